"""Blocks in which a graph hands a cube to a UDF, and the window of nulls that a UDF is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.cube import CubeMeta
from acreage.core.errors import ProcessParameterInvalid, UdfError
from acreage.core.udf import LabelledArray
from acreage.engine.ops import labels_for_udf, udf_dtype
from acreage.processes.registry import Blocks


def udf_blocks(given: CubeMeta, size: Any, overlap: Any) -> Blocks:
    """apply_neighborhood's size and overlap, in pixels of x and y."""
    sizes = {s["dimension"]: s for s in size}
    overlaps = {s["dimension"]: s for s in overlap or ()}
    for entry in (*sizes.values(), *overlaps.values()):
        given.dim(entry["dimension"])
        if entry["dimension"] in ("x", "y") and entry.get("unit", "px") != "px":
            raise ProcessParameterInvalid(
                "apply_neighborhood takes sizes of x and y in pixels.", hint='Set "unit": "px".'
            )
        if entry["dimension"] not in ("x", "y") and entry.get("value") is not None:
            raise ProcessParameterInvalid(
                f"A user-defined function gets dimension {entry['dimension']!r} whole.",
                hint="Leave its size and overlap out, or null.",
            )

    def pixels(entries: Mapping[str, Any], name: str) -> int | None:
        value = entries.get(name, {}).get("value")
        return None if value is None else int(value)

    return Blocks(
        pixels(sizes, "x"), pixels(sizes, "y"), pixels(overlaps, "x") or 0, pixels(overlaps, "y") or 0
    )


def cube_dimensions(meta: CubeMeta) -> dict[str, Any]:
    """A cube's metadata as STAC's `cube:dimensions`, for `apply_metadata`."""
    found: dict[str, Any] = {}
    for dim in meta.dims:
        entry: dict[str, Any] = {"type": dim.type}
        if meta.box is not None and dim.type in ("x", "y"):
            left, bottom, right, top = meta.box.bounds
            grid = meta.box.grid
            extent, step = ([left, right], grid.res_x) if dim.type == "x" else ([bottom, top], grid.res_y)
            entry = {"type": "spatial", "axis": dim.type, "extent": extent, "step": step}
            entry |= {"reference_system": _epsg(grid.crs)}
        elif dim.type == "temporal":
            labels = [str(v) for v in labels_for_udf(meta)[dim.name]]
            entry |= {"values": labels, "extent": [labels[0], labels[-1]] if labels else [None, None]}
        else:
            entry |= {"values": list(labels_for_udf(meta)[dim.name])}
        found[dim.name] = entry
    return {"cube:dimensions": found}


def _epsg(crs: str) -> int | str:
    code = crs.removeprefix("EPSG:")
    return int(code) if code.isdigit() else crs


def with_described(meta: CubeMeta, described: Mapping[str, Any] | None) -> CubeMeta:
    """The planned output with the bands that the function's `apply_metadata` names.

    Args:
        meta: as the function's answer to a probe has it.
        described: what `apply_metadata` returned; None without one.

    Raises:
        UdfError: it names another number of bands than the function returns, or the same in another order.
    """
    for name, entry in ((described or {}).get("cube:dimensions") or {}).items():
        labels = entry.get("values") if isinstance(entry, Mapping) else None
        if labels is None or name not in meta.names or meta.dim(name).type not in ("bands", "other"):
            continue
        returned = meta.dim(name).labels
        same = sorted(map(str, labels)) == sorted(map(str, returned))
        if len(labels) != len(returned) or (same and list(labels) != list(returned)):
            raise UdfError(
                f"apply_metadata says that dimension {name!r} becomes {', '.join(map(str, labels))}, and the "
                f"UDF returned {', '.join(map(str, returned))}.",
                hint="Let apply_metadata name what is returned, in its order.",
            )
        meta = meta.with_dim(name, replace(meta.dim(name), labels=tuple(labels)))
    return meta


def null_window(given: CubeMeta, blocks: Blocks | None) -> LabelledArray:
    """A window of nulls of 2 x 2 pixels, or of one block with its overlap."""
    width = 2 if blocks is None else (blocks.columns or 2) + 2 * blocks.overlap_columns
    height = 2 if blocks is None else (blocks.rows or 2) + 2 * blocks.overlap_rows
    meta = given
    attrs: dict[str, Any] = {}
    if given.box is not None:
        corner = given.box
        meta = given.with_box(
            type(corner)(corner.grid, corner.x0, corner.y0, corner.x0 + width, corner.y0 + height)
        )
        attrs = {"crs": corner.grid.crs}
    values = np.full(meta.shape, np.nan, udf_dtype(meta.dtype))
    return LabelledArray(
        values,
        meta.names,
        labels_for_udf(meta),
        tuple(d.name for d in meta.dims if d.type == "temporal"),
        attrs,
    )
