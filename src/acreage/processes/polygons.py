"""apply_polygon: a process on the pixels of each polygon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.core.arrays import BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import (
    DataCubePropertiesImmutable,
    GeometriesOverlap,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box
from acreage.processes.callback import Callback
from acreage.processes.convert import owned
from acreage.processes.eager import describe_callback, is_array_callback, run_callback
from acreage.processes.geometry_pixels import centre_bounds, pixels_of
from acreage.processes.masking import masked_meta, polygons_of, replaced
from acreage.processes.registry import Footprint, cube_process
from acreage.processes.resampling import spatial_box


@dataclass(frozen=True, slots=True)
class WholePolygons:
    """Output pixels need the boxes of all polygons that have a pixel among them.

    Attributes:
        boxes: of the polygons, cut to the data.
    """

    boxes: tuple[Box, ...]

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The pixels, and the boxes that they touch."""
        needed = out.on(full_input.grid)
        for box in self.boxes:
            if not box.intersect(out).is_empty:
                needed = needed.union(box.on(full_input.grid))
        return needed


def _boxes(full: Box, geometries: Any) -> list[tuple[BaseGeometry, Box]]:
    """Each polygon that holds a pixel of the data, and the smallest box of its pixels.

    Raises:
        ProcessParameterInvalid: no polygons; GeometryInvalid: as `parse_geometries`.
    """
    found = []
    for shape in polygons_of(geometries, "apply_polygon", full.grid.crs):
        box = full.intersect(centre_bounds(shape.bounds, full.grid))
        inside = pixels_of(shape, box)
        if not inside.any():
            continue
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        y, x = box.y0 + int(rows[0]), box.x0 + int(columns[0])
        found.append((shape, Box(box.grid, x, y, x + int(np.ptp(columns)) + 1, y + int(np.ptp(rows)) + 1)))
    return found


def _check_apart(parts: list[tuple[BaseGeometry, Box]]) -> None:
    """Raise GeometriesOverlap where a pixel belongs to two polygons."""
    shapes = [shape for shape, _ in parts]
    near = shapely.STRtree(shapes).query(shapes, predicate="intersects").T
    for one, other in near:
        common = parts[one][1].intersect(parts[other][1])
        if one < other and (pixels_of(shapes[one], common) & pixels_of(shapes[other], common)).any():
            raise GeometriesOverlap(
                f"Polygons {one} and {other} of apply_polygon have pixels in common.",
                hint="Give polygons that do not overlap.",
            )


def _checked(process: Any) -> Callback:
    if not isinstance(process, Callback) or process.udf is not None:
        raise ProcessGraphError(
            "The process of apply_polygon must be a process graph without run_udf.",
            hint="Use apply_neighborhood for user-defined functions.",
        )
    if is_array_callback(process):
        raise ProcessParameterInvalid(
            f"The callback of apply_polygon ({', '.join(process.process_ids)}) computes on arrays, "
            "but each polygon gives a data cube.",
            hint="Use processes on data cubes; apply and reduce_dimension, for example, reach values.",
        )
    return process


def _describe(*, data: CubeMeta, geometries: Any, process: Any, mask_value: Any, context: Any) -> CubeMeta:
    callback, full = _checked(process), spatial_box(data, "apply_polygon")
    parts = _boxes(full, geometries)
    if not parts:
        raise ProcessParameterInvalid(
            "No polygon of apply_polygon holds a pixel centre of the data cube.",
            hint="Check their coordinates (longitude first) and their CRS.",
        )
    _check_apart(parts)
    given = masked_meta(data, mask_value)
    made = {_described(callback, given.with_box(box), context) for _, box in parts}
    if len(made) > 1:
        raise DataCubePropertiesImmutable("The process of apply_polygon gives polygons different data types.")
    return replace(data, dtype=made.pop(), nodata=None, may_be_null=True)


def _described(callback: Callback, given: CubeMeta, context: Any) -> np.dtype[Any]:
    """dtype of the callback's result for the box of a polygon."""
    made = describe_callback(callback, {"data": given, "context": context})
    if (made.dims, made.box) != (given.dims, given.box):
        raise DataCubePropertiesImmutable(
            f"The process of apply_polygon ({', '.join(callback.process_ids)}) must keep the pixels, "
            "dimensions and labels of the data cube."
        )
    return made.dtype


def _footprints(*, data: CubeMeta, geometries: Any, **_: Any) -> Mapping[str, Footprint]:
    assert data.box is not None
    return {"data": WholePolygons(tuple(box for _, box in _boxes(data.box, geometries)))}


@cube_process("apply_polygon", describe=_describe, footprints=_footprints)
def apply_polygon(
    *, data: Cube, geometries: Any, process: Callback, mask_value: Any, context: Any, out: CubeMeta
) -> Cube:
    """The process on the smallest box of each polygon's pixels; null where no polygon has the pixel."""
    assert out.box is not None
    assert data.meta.box is not None
    values = np.full(out.shape, null_like(out.dtype), out.dtype)
    valid = np.zeros(out.shape, bool)
    for shape, box in _boxes(data.meta.box, geometries):
        common = box.intersect(out.box)
        if common.is_empty:
            continue
        given = _masked(data.crop(box), ~pixels_of(shape, box), mask_value)
        made = run_callback(process, {"data": given, "context": context}).crop(common)
        inside, at = pixels_of(shape, common), common.slices_in(out.box)
        np.copyto(values[..., at[0], at[1]], made.values, where=inside)
        np.copyto(valid[..., at[0], at[1]], made.validity(), where=inside)
    return owned(values, valid, out)


def _masked(part: Cube, outside: BoolArray, mask_value: Any) -> Cube:
    """The box of a polygon with the mask value outside of it, in place of nulls too."""
    meta = masked_meta(part.meta, mask_value)
    made = replaced(part, outside, mask_value, meta)
    if mask_value is None or made.valid is None:
        return made
    values = np.where(outside, np.asarray(mask_value, meta.dtype), made.values)
    return owned(values, made.valid | outside, meta)
