"""Blocks in which a graph hands a cube to a UDF, and the window of nulls that a UDF is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acreage.core.cube import CubeMeta
from acreage.core.errors import ProcessParameterInvalid
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
