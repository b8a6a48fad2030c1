"""aggregate_spatial_window: one value for every so many by so many pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine

from acreage.core.arrays import Array, BoolArray, Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.grid import Box, Grid
from acreage.processes.callback import Callback
from acreage.processes.convert import from_result
from acreage.processes.probing import null_array, reducer_dtype
from acreage.processes.registry import Footprint, cube_process
from acreage.processes.resampling import spatial_box


@dataclass(frozen=True, slots=True)
class Coarser:
    """Each output pixel needs its window of input pixels.

    Attributes:
        out: the output's first pixel, as a box of that pixel.
        column, row: the first input pixel of its window, on the input's grid.
        columns, rows: size of a window.
    """

    out: Box
    column: int
    row: int
    columns: int
    rows: int

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The windows of the pixels; may reach beyond the input."""
        x = self.column + (out.x0 - self.out.x0) * self.columns
        y = self.row + (out.y0 - self.out.y0) * self.rows
        return Box(full_input.grid, x, y, x + out.width * self.columns, y + out.height * self.rows)


def _coarse(full: Box, size: Sequence[int], boundary: str, align: str) -> tuple[Box, Coarser]:
    """The box of the result, and the windows of its pixels.

    Raises:
        ProcessParameterInvalid: not a size, boundary or alignment; or trimmed to nothing.
    """
    if len(size) != 2 or min(size) < 1:
        raise ProcessParameterInvalid(f"The size of a window is two whole numbers, not {list(size)}.")
    if boundary not in ("pad", "trim"):
        raise ProcessParameterInvalid(f"`boundary` is pad or trim, not {boundary!r}.")
    if align not in ("lower-left", "upper-left", "lower-right", "upper-right"):
        raise ProcessParameterInvalid(f"`align` is a corner such as upper-left, not {align!r}.")
    columns, rows = size
    x, width = _windows(full.x0, full.width, columns, boundary, far=align.endswith("right"))
    y, height = _windows(full.y0, full.height, rows, boundary, far=align.startswith("lower"))
    if not width or not height:
        raise ProcessParameterInvalid(
            f"The data cube has {full.width} x {full.height} pixels, less than one window of "
            f"{columns} x {rows}.",
            hint="Choose a smaller `size`, or the boundary pad.",
        )
    fine = full.grid
    corner = Affine(
        fine.res_x * columns,
        0,
        fine.off_x + x * fine.res_x,
        0,
        -fine.res_y * rows,
        fine.off_y - y * fine.res_y,
    )
    grid = Grid.of_transform(fine.crs, corner)
    box = grid.box_of_transform(corner, width, height)
    return box, Coarser(replace(box, x1=box.x0 + 1, y1=box.y0 + 1), x, y, columns, rows)


def _windows(first: int, length: int, size: int, boundary: str, *, far: bool) -> tuple[int, int]:
    """Where the first window begins along an axis, and how many windows there are."""
    count = length // size if boundary == "trim" else -(-length // size)
    return (first + length - count * size if far else first), count


def _describe(
    *, data: CubeMeta, reducer: Callback, size: Sequence[int], boundary: str, align: str, context: Any
) -> CubeMeta:
    box, _ = _coarse(spatial_box(data, "aggregate_spatial_window"), size, boundary, align)
    sample = null_array(
        replace(data, dims=(Dimension("window", "other"), *data.dims)), size[0] * size[1], None
    )
    dtype = reducer_dtype("aggregate_spatial_window", reducer, sample, context)
    return replace(data, box=box, dtype=dtype, nodata=None, may_be_null=True)


def _footprints(
    *, data: CubeMeta, size: Sequence[int], boundary: str, align: str, **_: Any
) -> Mapping[str, Footprint]:
    assert data.box is not None
    return {"data": _coarse(data.box, size, boundary, align)[1]}


@cube_process("aggregate_spatial_window", describe=_describe, footprints=_footprints)
def aggregate_spatial_window(
    *,
    data: Cube,
    reducer: Callback,
    size: Sequence[int],
    boundary: str,
    align: str,
    context: Any,
    out: CubeMeta,
) -> Cube:
    """The reducer on the pixels of each window, row by row; what is padded is null."""
    assert out.box is not None
    assert data.meta.box is not None
    columns, rows = size
    there = data.meta.box
    fine = there.grid
    # The input is cut to the data; where windows reach beyond it is known from their corner alone.
    x = round((out.box.bounds[0] - fine.off_x) / fine.res_x)
    y = round((fine.off_y - out.box.bounds[3]) / fine.res_y)
    needed = Box(fine, x, y, x + out.box.width * columns, y + out.box.height * rows)
    values, valid = _padded(data, needed)

    def stacked(array: Array) -> Array:
        """Shape (rows * columns of a window, other dimensions ..., rows, columns)."""
        others = array.shape[:-2]
        cut = array.reshape(*others, out.shape[-2], rows, out.shape[-1], columns)
        moved = np.moveaxis(cut, (-3, -1), (0, 1))
        return moved.reshape(rows * columns, *others, *out.shape[-2:])

    result = reducer(data=Masked(stacked(values), stacked(valid), is_array=True), context=context)
    return from_result(result, out.shape, out)


def _padded(data: Cube, needed: Box) -> tuple[Array, BoolArray]:
    """Values and validity over exactly a box: cropped, and null where the cube has no pixels."""
    assert data.meta.box is not None
    others = data.values.shape[:-2]
    values = np.full((*others, *needed.shape), null_like(data.meta.dtype), data.meta.dtype)
    valid = np.zeros(values.shape, bool)
    common = needed.intersect(data.meta.box)
    if not common.is_empty:
        inside, part = common.slices_in(needed), data.crop(common)
        values[..., inside[0], inside[1]] = part.values
        valid[..., inside[0], inside[1]] = part.validity()
    return values, valid
