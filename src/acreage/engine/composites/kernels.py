"""Compiled loops of streaming composites: where samples lie, which blocks they need, pixels into frames.

A frame is the part of a source lattice that a window of target pixels needs; a sample map says for each
target pixel where in the frame it lies.
"""

from __future__ import annotations

import math

import numpy as np

from acreage.processes.kernels import compiled
from acreage.processes.resample_numba import STEPS

_EDGE = 1e-10  # as in resample_numba
_STEPS = int(STEPS)


@compiled
def locate_bilinear(columns, rows, x0, y0, width, height, offset, fraction_x, fraction_y):  # type: ignore[no-untyped-def]
    """Upper left of the four neighbours in a frame, and the place between them in 1/65536.

    Args:
        columns, rows: absolute source positions of pixel centres, float64 (n).
        x0, y0, width, height: the frame.
        offset: (n) int32, written: flat index in the frame, -1 where a neighbour lies outside.
        fraction_x, fraction_y: (n) uint16, written.
    """
    for k in range(offset.size):
        x, y = columns[k], rows[k]
        offset[k] = -1
        fraction_x[k] = 0
        fraction_y[k] = 0
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        floor_x, floor_y = math.floor(x - 0.5), math.floor(y - 0.5)
        fx = math.floor((x - 0.5 - floor_x) * STEPS + 0.5)
        fy = math.floor((y - 0.5 - floor_y) * STEPS + 0.5)
        i, j = int(floor_x) - x0, int(floor_y) - y0
        if fx == _STEPS:
            fx = 0
            i += 1
        if fy == _STEPS:
            fy = 0
            j += 1
        if i < 0 or j < 0 or i + 1 >= width or j + 1 >= height:
            continue
        offset[k] = j * width + i
        fraction_x[k] = fx
        fraction_y[k] = fy


@compiled
def locate_near(columns, rows, x0, y0, width, height, offset):  # type: ignore[no-untyped-def]
    """The pixel of a frame that each centre lies in, -1 outside; arguments as `locate_bilinear`."""
    for k in range(offset.size):
        x, y = columns[k], rows[k]
        offset[k] = -1
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        i, j = math.floor(x + _EDGE) - x0, math.floor(y + _EDGE) - y0
        if 0 <= i < width and 0 <= j < height:
            offset[k] = j * width + i


@compiled
def place(values, valid, masked, winner, number, frame, frame_valid):  # type: ignore[no-untyped-def]
    """Put an item's pixels into a frame where it is the winner, or where none is and nothing is there yet.

    All arrays are (rows, columns) over one part of the frame; `winner` holds -1 where no item covers.
    """
    for r in range(values.shape[0]):
        for c in range(values.shape[1]):
            mine = winner[r, c] == number or (winner[r, c] < 0 and not frame_valid[r, c])
            if mine:
                frame[r, c] = values[r, c]
                frame_valid[r, c] = not masked or valid[r, c]


@compiled
def any_of(winner, number, frame_valid):  # type: ignore[no-untyped-def]
    """Whether an item gives any pixel of a part of a frame (see `place`)."""
    for r in range(winner.shape[0]):
        for c in range(winner.shape[1]):
            if winner[r, c] == number or (winner[r, c] < 0 and not frame_valid[r, c]):
                return True
    return False


@compiled
def all_of(winner, number):  # type: ignore[no-untyped-def]
    """Whether an item gives every pixel of a part of a frame."""
    for r in range(winner.shape[0]):
        other = 0
        for c in range(winner.shape[1]):
            other |= winner[r, c] != number
        if other:
            return False
    return True


@compiled
def cell_bounds(offset, shape, width, cell, bounds):  # type: ignore[no-untyped-def]
    """Smallest and largest frame column and row of the pixels of square cells; a last column of -1: none.

    Args:
        offset: of every pixel, row by row.
        shape: (rows, columns) of the window.
        width: of the frame.
        cell: side of a cell in target pixels.
        bounds: (cell rows, cell columns, 4) int32, written: first column, first row, last column, last row.
    """
    for r in range(shape[0]):
        for c in range(shape[1]):
            at = offset[r * shape[1] + c]
            if at < 0:
                continue
            j = at // width
            i = at - j * width
            b = bounds[r // cell, c // cell]
            b[0] = min(b[0], i)
            b[1] = min(b[1], j)
            b[2] = max(b[2], i)
            b[3] = max(b[3], j)


@compiled
def _mark_pixels(  # type: ignore[no-untyped-def]
    keep, offset, width, reach, origin_x, origin_y, block_width, block_height, needed
):
    """As `mark_blocks`, for each kept pixel of a run."""
    rows, columns = needed.shape
    for k in range(offset.size):
        at = offset[k]
        if at < 0 or not keep[k]:
            continue
        y = at // width
        x = at - y * width
        for j in range((y + origin_y) // block_height, (y + reach + origin_y) // block_height + 1):
            for i in range((x + origin_x) // block_width, (x + reach + origin_x) // block_width + 1):
                if 0 <= j < rows and 0 <= i < columns:
                    needed[j, i] = True


@compiled
def mark_blocks(  # type: ignore[no-untyped-def]
    keep, offset, shape, width, cell, bounds, reach, origin_x, origin_y, block_width, block_height, needed
):
    """Mark the blocks of a raster that the support of kept pixels touches.

    Cells whose whole support lies in one block are marked at once; others pixel by pixel.

    Args:
        keep: of every pixel of the window, row by row.
        offset, shape, width, cell, bounds: as `cell_bounds`.
        reach: how many frame pixels a sample reaches to the right and down (bilinear 1, near 0).
        origin_x, origin_y: raster column and row of the frame's first pixel.
        block_width, block_height: of the raster's blocks.
        needed: (block rows, block columns) boolean, only ever set to True; samples outside are ignored.
    """
    rows, columns = needed.shape
    for m in range(bounds.shape[0]):
        for n in range(bounds.shape[1]):
            b = bounds[m, n]
            if b[2] < b[0]:
                continue
            first_i, last_i = (b[0] + origin_x) // block_width, (b[2] + reach + origin_x) // block_width
            first_j, last_j = (b[1] + origin_y) // block_height, (b[3] + reach + origin_y) // block_height
            if last_i < 0 or last_j < 0 or first_i >= columns or first_j >= rows:
                continue
            done = True
            for j in range(max(first_j, 0), min(last_j, rows - 1) + 1):
                for i in range(max(first_i, 0), min(last_i, columns - 1) + 1):
                    done = done and needed[j, i]
            if done:
                continue
            single = first_i == last_i and first_j == last_j
            for r in range(m * cell, min((m + 1) * cell, shape[0])):
                start, stop = r * shape[1] + n * cell, r * shape[1] + min((n + 1) * cell, shape[1])
                if single:
                    for k in range(start, stop):
                        done = done or (offset[k] >= 0 and keep[k])
                    needed[first_j, first_i] = needed[first_j, first_i] or done
                    if done:
                        break
                else:
                    _mark_pixels(
                        keep[start:stop], offset[start:stop], width, reach, origin_x, origin_y, block_width,
                        block_height, needed,
                    )  # fmt: skip


@compiled
def unpack(  # type: ignore[no-untyped-def]
    values, has_nodata, nodata, offset, low, high, chosen, winner, number, frame, frame_valid
):
    """A block's numbers into a frame, with their nulls, as `engine.decode` and `place` together.

    Args:
        values: (rows, columns), numbers as the file has them.
        has_nodata, nodata: the null value; NaN is null in any case.
        offset: added to integers, which are then cut to `low` .. `high`; 0 adds nothing.
        chosen: whether `winner` says which pixels are taken.
        winner: (rows, columns), or of any shape where not `chosen`.
        number: the item's.
        frame, frame_valid: (rows, columns), written.
    """
    for r in range(values.shape[0]):
        if chosen:
            for c in range(values.shape[1]):
                if winner[r, c] != number and (winner[r, c] >= 0 or frame_valid[r, c]):
                    continue
                value = values[r, c]
                known = value == value and not (has_nodata and value == nodata)
                frame[r, c] = value if offset == 0 else min(max(np.int64(value) + offset, low), high)
                frame_valid[r, c] = known
        elif offset == 0:
            for c in range(values.shape[1]):
                value = values[r, c]
                frame[r, c] = value
                frame_valid[r, c] = (value == value) & (not has_nodata or value != nodata)
        else:
            for c in range(values.shape[1]):
                value = values[r, c]
                frame[r, c] = min(max(np.int64(value) + offset, low), high)
                frame_valid[r, c] = not has_nodata or value != nodata
