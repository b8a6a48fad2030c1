"""aggregate_spatial, and vector cubes made of GeoJSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from acreage.core.arrays import Array, BoolArray, Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import GeometryInvalid, ProcessParameterInvalid, TargetDimensionExists
from acreage.core.grid import Box
from acreage.processes.callback import Callback
from acreage.processes.convert import owned, pixels
from acreage.processes.dtypes import INT32, common
from acreage.processes.geometries import geometries_of, in_crs, parse_geometries
from acreage.processes.geometry_pixels import pixel_bounds, pixels_of
from acreage.processes.probing import null_array, reducer_dtype
from acreage.processes.registry import WHOLE, Footprint, cube_process
from acreage.processes.resampling import spatial_box

COUNT_LABELS = ("value", "total_count", "valid_count")


@dataclass(frozen=True, eq=False)
class Aggregated:
    """Results of some geometries.

    Attributes:
        values: (geometries, the cube's other dimensions ...), dtype of the reducer.
        valid: validity of the same shape.
        total_count: pixels of each geometry, valid or not, int64, shape (geometries,).
        valid_count: valid pixels of each value, int64, shape of `values`.
    """

    values: Array
    valid: BoolArray
    total_count: Array
    valid_count: Array


# --- partition by geometry ----------------------------------------------------------------------------------


def geometry_windows(
    shapes: Sequence[BaseGeometry], full_box: Box, max_pixels: int
) -> list[tuple[Box, tuple[int, ...]]]:
    """Geometries in clusters, each with the box that holds all their pixels.

    Each geometry is in exactly one cluster, unless it is empty or has no pixel in `full_box`. Boxes hold at
    most `max_pixels` unless a single geometry is larger; no cluster cuts a geometry.

    Args:
        shapes: geometries in the CRS of the box's grid.
        full_box: the cube's pixels.
        max_pixels: what a window may hold.

    Returns:
        (box, indices of geometries) in an order that keeps neighbours together.
    """
    boxes = [full_box.intersect(pixel_bounds(s, full_box.grid)) for s in shapes]
    side = max(math.isqrt(max_pixels), 1)
    order = sorted(
        (i for i, b in enumerate(boxes) if not b.is_empty),
        key=lambda i: (boxes[i].y0 // side, boxes[i].x0 // side, boxes[i].y0, boxes[i].x0, i),
    )
    windows: list[tuple[Box, list[int]]] = []
    for i in order:
        joined = windows[-1][0].union(boxes[i]) if windows else boxes[i]
        if windows and joined.size <= max_pixels:
            windows[-1] = (joined, [*windows[-1][1], i])
        else:
            windows.append((boxes[i], [i]))
    return [(box, tuple(sorted(members))) for box, members in windows]


def aggregate_window(
    cube: Cube,
    shapes: Sequence[BaseGeometry],
    indices: Sequence[int],
    reducer: Callback,
    context: Any,
    out_dtype: np.dtype[Any],
) -> Aggregated:
    """The reducer's value for some geometries, whose pixels all lie in the cube or outside of the whole data.

    Args:
        cube: raster cube over (at least) a window of `geometry_windows`.
        shapes: all geometries, in the cube's CRS.
        indices: which of them to aggregate, in the order of the result.
        reducer: called once a geometry with its pixels row by row, shape (pixels, other dimensions ...).
        context: handed to the reducer.
        out_dtype: what the reducer gives, found by probing.
    """
    assert cube.meta.box is not None
    others = tuple(n for d, n in zip(cube.dims, cube.meta.shape, strict=True) if d.type not in ("x", "y"))
    shape = (len(indices), *others)
    values = np.full(shape, null_like(out_dtype), out_dtype)
    valid = np.zeros(shape, bool)
    total = np.zeros(len(indices), np.int64)
    known = np.zeros(shape, np.int64)
    for position, index in enumerate(indices):
        data = _pixels_in(cube, shapes[index])
        if data is None:
            continue
        total[position] = data.length
        known[position] = data.length if data.valid is None else data.valid.sum(axis=0)
        result = reducer(data=data, context=context)
        values[position] = np.broadcast_to(result.values, others)
        valid[position] = True if result.valid is None else np.broadcast_to(result.valid, others)
    return Aggregated(values, valid, total, known)


def _pixels_in(cube: Cube, shape: BaseGeometry) -> Masked | None:
    """The pixels of a geometry as an array, None where it has none."""
    assert cube.meta.box is not None
    box = cube.meta.box.intersect(pixel_bounds(shape, cube.meta.box.grid))
    if box.is_empty:
        return None
    inside = pixels_of(shape, box).ravel()
    if not inside.any():
        return None
    found = pixels(cube.crop(box))
    return Masked(found.values[inside], None if found.valid is None else found.valid[inside], is_array=True)


# --- aggregate_spatial --------------------------------------------------------------------------------------


def aggregate_dtype(data: CubeMeta, reducer: Any, context: Any) -> np.dtype[Any]:
    """dtype of the reducer's values (static; found by probing)."""
    around = replace(data, dims=tuple(d for d in data.dims if d.type not in ("x", "y")), box=None)
    sample = null_array(replace(around, dims=(Dimension("pixel", "other"), *around.dims)), 1, None)
    return reducer_dtype("aggregate_spatial", reducer, sample, context)


def _describe(
    *, data: CubeMeta, geometries: Any, reducer: Any, target_dimension: str | None, context: Any
) -> CubeMeta:
    spatial_box(data, "aggregate_spatial")
    found, dim = geometries_of(geometries, "aggregate_spatial")
    others = tuple(d for d in data.dims if d.type not in ("x", "y"))
    names = {d.name for d in others}
    if dim.name in names:
        raise ProcessParameterInvalid(
            f"The data cube has a dimension {dim.name!r} already.", hint="Rename it first."
        )
    dtype = aggregate_dtype(data, reducer, context)
    dims = (*others, dim)
    if target_dimension is not None:
        if target_dimension in {*names, dim.name}:
            raise TargetDimensionExists(f"The data cube has a dimension {target_dimension!r} already.")
        dims = (*dims, Dimension(target_dimension, "other", COUNT_LABELS))
        dtype = common(dtype, INT32)
    return replace(data, dims=dims, dtype=dtype, box=None, geometries=found, nodata=None, may_be_null=True)


def _footprints(**_: Any) -> dict[str, Footprint]:
    return {"data": WHOLE}


@cube_process("aggregate_spatial", describe=_describe, footprints=_footprints)
def aggregate_spatial(
    *,
    data: Cube,
    geometries: Any,
    reducer: Callback,
    target_dimension: str | None,
    context: Any,
    out: CubeMeta,
) -> Cube:
    """One value for each geometry, and each label of the other dimensions: a vector cube.

    A polygon has the pixels whose centres lie in it or on its edge, a point the pixel it lies in, a line all
    pixels it touches. A polygon so small that it holds no centre has no pixels: its value is null and its
    count zero, as for one outside of the cube. With `target_dimension` there are also the numbers of all and
    of valid pixels.
    """
    found, _ = geometries_of(geometries, "aggregate_spatial")
    shapes = in_crs(found, data.meta.grid.crs)
    dtype = out.dtype if target_dimension is None else aggregate_dtype(data.meta, reducer, context)
    part = aggregate_window(data, shapes, range(len(shapes)), reducer, context, dtype)
    return assemble(part, target_dimension, out)


def assemble(part: Aggregated, target_dimension: str | None, out: CubeMeta) -> Cube:
    """The vector cube of results of all geometries, in order."""
    values, valid = np.moveaxis(part.values, 0, -1), np.moveaxis(part.valid, 0, -1)
    if target_dimension is not None:
        total = np.broadcast_to(part.total_count, values.shape)
        counts = (total, np.moveaxis(part.valid_count, 0, -1))
        values = np.stack([values.astype(out.dtype), *(c.astype(out.dtype) for c in counts)], axis=-1)
        valid = np.stack([valid, np.ones_like(valid), np.ones_like(valid)], axis=-1)
    return owned(np.ascontiguousarray(values), np.ascontiguousarray(valid), out)


# --- load_geojson -------------------------------------------------------------------------------------------


def load_geojson(data: Any, properties: Sequence[str] = ()) -> Cube:
    """The vector cube of a GeoJSON object.

    Without properties it has the dimension `geometry` alone and holds nulls. One property with arrays makes a
    dimension `properties` labelled by position; otherwise that dimension has the properties' names. Numbers
    and booleans only; int64 where all numbers are whole, else float64; missing values are null. Every
    property stays with the geometries.

    Raises:
        GeometryInvalid: as `parse_geometries`, or a property that no feature has or that holds no numbers.
    """
    found, dim = parse_geometries(data)
    if not properties:
        meta = CubeMeta((dim,), np.dtype(np.float32), geometries=found)
        return Cube(np.full(meta.shape, np.nan, np.float32), np.zeros(meta.shape, bool), meta)
    rows, labels = _table(found, list(properties))
    flat = [v for row in rows for v in row if v is not None]
    dtype = _property_dtype(flat, properties)
    values = np.full((len(rows), len(labels)), null_like(dtype), dtype)
    valid = np.array([[v is not None for v in row] for row in rows], bool).reshape(values.shape)
    values[valid] = flat
    meta = CubeMeta((dim, Dimension("properties", "other", labels)), dtype, geometries=found)
    return owned(values, valid, meta)


def _table(found: Geometries, names: list[str]) -> tuple[list[list[Any]], tuple[Any, ...]]:
    """One row of property values a geometry, and the labels of the columns."""
    for name in names:
        if not any(name in p for p in found.properties):
            have = sorted({k for p in found.properties for k in p})
            raise GeometryInvalid(
                f"No feature of the GeoJSON object has the property {name!r}; there are "
                f"{', '.join(have) or 'none'}."
            )
    rows = [[p.get(name) for name in names] for p in found.properties]
    if len(names) == 1 and any(isinstance(r[0], list) for r in rows):
        lists = [r[0] if isinstance(r[0], list) else [r[0]] for r in rows]
        longest = max(map(len, lists))
        return [[*row, *[None] * (longest - len(row))] for row in lists], tuple(range(longest))
    return rows, tuple(names)


def _property_dtype(values: list[Any], names: Sequence[str]) -> np.dtype[Any]:
    if not all(isinstance(v, bool | int | float) for v in values):
        raise GeometryInvalid(
            f"The properties {', '.join(names)} are not all numbers or booleans.",
            hint="A data cube holds numbers; leave text properties out, they stay with the geometries.",
        )
    if values and all(isinstance(v, bool) for v in values):
        return np.dtype(bool)
    return np.dtype(np.int64 if values and all(isinstance(v, int) for v in values) else np.float64)
