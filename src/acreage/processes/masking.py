"""mask, mask_polygon and filter_spatial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import DimensionMismatch, LabelMismatch, ProcessParameterInvalid
from acreage.core.grid import Box
from acreage.processes.convert import owned
from acreage.processes.dtypes import common
from acreage.processes.geometries import geometries_of, in_crs
from acreage.processes.geometry_pixels import filtered_bounds, pixels_of_any
from acreage.processes.merge import check_aligned
from acreage.processes.registry import cube_process
from acreage.processes.resampling import spatial_box

# --- replacing values ---------------------------------------------------------------------------------------


def masked_meta(data: CubeMeta, replacement: Any) -> CubeMeta:
    """The metadata of a cube in which some values are replaced.

    Raises:
        ProcessParameterInvalid: the replacement is no value of the cube's kind.
    """
    if replacement is None:
        return replace(data, may_be_null=True)
    if not isinstance(replacement, int | float):
        raise ProcessParameterInvalid(
            f"{replacement!r} cannot replace pixels of type {data.dtype}.",
            hint="Use a number, a boolean or null.",
        )
    if isinstance(replacement, bool) != (data.dtype.kind == "b"):
        raise ProcessParameterInvalid(
            f"{replacement!r} cannot replace pixels of type {data.dtype}.",
            hint="Replace numbers by a number, booleans by a boolean, and either by null.",
        )
    return replace(data, dtype=common(data.dtype, replacement))


def replaced(data: Cube, where: BoolArray, replacement: Any, out: CubeMeta) -> Cube:
    """The cube with its values replaced where `where` (which broadcasts to it) is True; nulls stay null."""
    where = np.broadcast_to(where, data.values.shape)
    if replacement is None:
        valid = ~where if data.valid is None else data.valid & ~where
        return owned(data.values.copy(), valid, out)
    values: Array = data.values.astype(out.dtype)
    np.copyto(values, np.asarray(replacement, out.dtype), where=where)
    return owned(values, data.valid, out)


# --- mask ---------------------------------------------------------------------------------------------------


def _describe_mask(*, data: CubeMeta, mask: CubeMeta, replacement: Any) -> CubeMeta:
    if not isinstance(mask, CubeMeta):
        raise ProcessParameterInvalid(
            "mask needs a raster data cube as mask.", hint="Use mask_polygon for geometries."
        )
    full, cover = spatial_box(data, "mask"), spatial_box(mask, "mask")
    check_aligned(full.grid, cover.grid, "The data cube and its mask")
    if not cover.on(full.grid).contains(full):
        raise DimensionMismatch(
            f"The mask covers {_extent(cover)}, the data cube {_extent(full)}: some pixels have no mask.",
            hint="Load or filter both over the same area.",
        )
    for dim in mask.dims:
        _check_dimension(data, dim)
    return masked_meta(data, replacement)


def _extent(box: Box) -> str:
    return " ".join(f"{v:.6g}" for v in box.bounds)


def _is_one_band(dim: Dimension) -> bool:
    return dim.type == "bands" and len(dim.labels) == 1


def _check_dimension(data: CubeMeta, dim: Dimension) -> None:
    if dim.type in ("x", "y") or _is_one_band(dim):
        return
    if dim.name not in data.names or data.dim(dim.name).type != dim.type:
        raise DimensionMismatch(
            f"The mask has a dimension {dim.name!r} of type {dim.type} that the data cube does not have; it "
            f"has {', '.join(data.names)}.",
            hint="Drop or reduce that dimension of the mask.",
        )
    have = set(dim.labels)
    missing = [label for label in data.dim(dim.name).labels if label not in have]
    if missing or len(have) != len(data.dim(dim.name).labels):
        extra = [label for label in dim.labels if label not in set(data.dim(dim.name).labels)]
        raise LabelMismatch(
            f"Data cube and mask have different labels in dimension {dim.name!r}: "
            f"{len(missing)} of the data cube's are not in the mask{_some(missing)}, "
            f"{len(extra)} of the mask's not in the data cube{_some(extra)}.",
            hint="Filter both the same way before masking.",
        )


def _some(labels: list[Any]) -> str:
    return f" ({', '.join(map(str, labels[:3]))}{', ...' if len(labels) > 3 else ''})" if labels else ""


@cube_process("mask", describe=_describe_mask)
def mask(*, data: Cube, mask: Cube, replacement: Any, out: CubeMeta) -> Cube:
    """Values replaced wherever the mask is true or not zero; its nulls replace nothing, nulls stay null.

    Labels are matched by name, not by position. A mask that lacks t or bands, or that has one band of any
    name (such as the result of to_scl_dilation_mask), counts for every label. Grids must be the same: nothing
    is resampled silently.
    """
    assert out.box is not None
    data, mask = data.crop(out.box), mask.crop(out.box.on(mask.meta.grid))
    return replaced(data, masked_where(data.dims, mask), replacement, out)


def masked_where(dims: Sequence[Dimension], mask: Cube) -> BoolArray:
    """Where a mask is true or not zero, (1 where the mask has no such dimension) for each of the dimensions.

    Args:
        dims: of the cube that is masked.
        mask: over the same box.
    """
    hit = mask.values != 0
    if mask.valid is not None:
        hit &= mask.valid
    order, sizes = [], []
    for dim, own in zip(dims, _counterparts(dims, mask.dims), strict=True):
        if own is None:
            sizes.append(1)
            continue
        axis = mask.meta.axis(own.name)
        if dim.type not in ("x", "y") and not _is_one_band(own) and own.labels != dim.labels:
            hit = np.take(hit, [own.index(label) for label in dim.labels], axis=axis)
        order.append(axis)
        sizes.append(hit.shape[axis])
    lone = [i for i in range(hit.ndim) if i not in order]  # a single band over data without bands
    where: BoolArray = np.transpose(hit, [*order, *lone]).reshape(sizes)
    return where


def _counterparts(of_data: Sequence[Dimension], of_mask: Sequence[Dimension]) -> list[Dimension | None]:
    """For each dimension of the data cube the mask's: of the same name, else bands of another name, once."""
    names = {d.name for d in of_data}
    loose = [d for d in of_mask if d.type == "bands" and d.name not in names]
    found: list[Dimension | None] = []
    for dim in of_data:
        own = next((d for d in of_mask if d.name == dim.name), None)
        if own is None and dim.type == "bands" and loose:
            own = loose.pop(0)
        found.append(own)
    return found


# --- mask_polygon -------------------------------------------------------------------------------------------


def polygons_of(argument: Any, process_id: str, crs: str) -> tuple[BaseGeometry, ...]:
    """The polygons of GeoJSON or a vector cube that are not empty, in a CRS.

    Raises:
        ProcessParameterInvalid: there is none, or another geometry; GeometryInvalid: as `geometries_of`.
    """
    shapes = in_crs(geometries_of(argument, process_id)[0], crs)
    kept = tuple(s for s in shapes if not s.is_empty)
    other = sorted({s.geom_type for s in kept} - {"Polygon", "MultiPolygon"})
    if other:
        raise ProcessParameterInvalid(f"{process_id} takes polygons only, and was given {', '.join(other)}.")
    if not kept:
        raise ProcessParameterInvalid(f"{process_id} was given no polygon that is not empty.")
    return kept


def _describe_mask_polygon(*, data: CubeMeta, mask: Any, replacement: Any, inside: bool) -> CubeMeta:
    polygons_of(mask, "mask_polygon", spatial_box(data, "mask_polygon").grid.crs)
    return masked_meta(data, replacement)


@cube_process("mask_polygon", describe=_describe_mask_polygon)
def mask_polygon(*, data: Cube, mask: Any, replacement: Any, inside: bool, out: CubeMeta) -> Cube:
    """Values replaced where the pixel centre lies in no polygon, or in one with `inside`; edges belong."""
    assert out.box is not None
    hit = pixels_of_any(polygons_of(mask, "mask_polygon", out.box.grid.crs), out.box)
    return replaced(data.crop(out.box), hit if inside else ~hit, replacement, out)


# --- filter_spatial -----------------------------------------------------------------------------------------


def _describe_filter(*, data: CubeMeta, geometries: Any) -> CubeMeta:
    full = spatial_box(data, "filter_spatial")
    bounds = Box(full.grid, 0, 0, 0, 0)
    for geometry in in_crs(geometries_of(geometries, "filter_spatial")[0], full.grid.crs):
        bounds = bounds.union(filtered_bounds(geometry, full.grid))
    kept = full.intersect(bounds)
    return replace(data.with_box(kept), may_be_null=True)


@cube_process("filter_spatial", describe=_describe_filter)
def filter_spatial(*, data: Cube, geometries: Any, out: CubeMeta) -> Cube:
    """The pixels whose centres lie within the geometries' bounds, null where no geometry has the pixel.

    A polygon has the pixels whose centres lie in it, a point the pixel it lies in, a line all pixels it
    touches. Where they hold no pixel, none is left; only a graph that ends there can be run.
    """
    assert out.box is not None
    shapes = in_crs(geometries_of(geometries, "filter_spatial")[0], out.box.grid.crs)
    return replaced(data.crop(out.box), ~pixels_of_any(shapes, out.box), None, out)
