"""Compiled loops of streaming composites.

A frame is the part of a source lattice that a window of target pixels needs; a sample map says for each target
pixel where in the frame it lies. The arithmetic is that of `processes.resample_numba`, so that results are equal
to the last bit: bilinear weights are whole multiples of 2 ** -32, and sums of them times integers of up to 16
bits are exact as 64-bit integers here as they are as 64-bit floats there.
"""

from __future__ import annotations

import math

import numpy as np

from acreage.processes.kernels import compiled
from acreage.processes.resample_numba import STEPS

_EDGE = 1e-10  # as in resample_numba
_STEPS = int(STEPS)
_HALF = _STEPS // 2


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
        fx = int(math.floor((x - 0.5 - floor_x) * STEPS + 0.5))
        fy = int(math.floor((y - 0.5 - floor_y) * STEPS + 0.5))
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
        i, j = int(math.floor(x + _EDGE)) - x0, int(math.floor(y + _EDGE)) - y0
        if 0 <= i < width and 0 <= j < height:
            offset[k] = j * width + i


@compiled
def gather_near(frame, valid, masked, offset, keep, pixels, out, ok):  # type: ignore[no-untyped-def]
    """Values of the pixels that the centres lie in; arguments as `gather_integers`."""
    for k in range(pixels.size):
        p = pixels[k]
        at = offset[p]
        ok[k] = False
        if at >= 0 and keep[p] and (not masked or valid[at]):
            out[k] = frame[at]
            ok[k] = True


@compiled
def gather_integers(  # type: ignore[no-untyped-def]
    frame, valid, masked, width, offset, fraction_x, fraction_y, keep, pixels, out, ok
):
    """Bilinear values of kept pixels, of integers of at most 16 bits.

    Args:
        frame: flat, (height * width).
        valid: validity of the frame, looked at where `masked`.
        width: of the frame.
        offset, fraction_x, fraction_y: of every pixel of the window, from `locate_bilinear`.
        keep: of every pixel of the window: False is not looked at.
        pixels: (n) int32: positions of the pixels that are made.
        out: (n), written where `ok`.
        ok: (n) boolean, written.
    """
    for k in range(pixels.size):
        p = pixels[k]
        at = offset[p]
        ok[k] = False
        if at < 0 or not keep[p]:
            continue
        fx, fy = np.int64(fraction_x[p]), np.int64(fraction_y[p])
        gx, gy = np.int64(_STEPS) - fx, np.int64(_STEPS) - fy
        below = at + width
        if not masked or (valid[at] and valid[at + 1] and valid[below] and valid[below + 1]):
            total = gx * gy * np.int64(frame[at]) + fx * gy * np.int64(frame[at + 1])
            total += gx * fy * np.int64(frame[below]) + fx * fy * np.int64(frame[below + 1])
            out[k] = (total + np.int64(1 << 31)) >> np.int64(32)
            ok[k] = True
            continue
        centre = (below if fy >= _HALF else at) + (1 if fx >= _HALF else 0)
        if not valid[centre]:
            continue
        total = np.int64(0)
        weights = np.int64(0)
        for b in range(2):
            wy = fy if b == 1 else gy
            for a in range(2):
                here = at + b * width + a
                weight = (fx if a == 1 else gx) * wy
                if valid[here]:
                    total += weight * np.int64(frame[here])
                    weights += weight
        if weights >= 0.00001 * STEPS * STEPS:
            out[k] = math.floor(np.float64(total) / np.float64(weights) + 0.5)
            ok[k] = True


@compiled
def gather_floats(  # type: ignore[no-untyped-def]
    frame, valid, masked, width, offset, fraction_x, fraction_y, keep, pixels, integer, low, high, out, ok
):
    """Bilinear values of kept pixels of any type, summed in float64 in the order of `resample_numba.bilinear`.

    `integer`, `low`, `high`: whether the values are rounded, and the range that they are cut to; all else as
    `gather_integers`.
    """
    for k in range(pixels.size):
        p = pixels[k]
        at = offset[p]
        ok[k] = False
        if at < 0 or not keep[p]:
            continue
        fx, fy = fraction_x[p] / STEPS, fraction_y[p] / STEPS
        below = at + width
        total = 0.0
        if (
            fx > 0.0
            and fy > 0.0
            and (not masked or (valid[at] and valid[at + 1] and valid[below] and valid[below + 1]))
        ):
            a, b = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy)
            d, e = (1.0 - fx) * fy, fx * fy
            total = a * frame[at] + b * frame[at + 1]
            total = total + d * frame[below] + e * frame[below + 1]
        else:
            centre = (below if fy >= 0.5 else at) + (1 if fx >= 0.5 else 0)
            if masked and not valid[centre]:
                continue
            weights = 0.0
            for j in range(2):
                wy = fy if j == 1 else 1.0 - fy
                for i in range(2):
                    here = at + j * width + i
                    weight = (fx if i == 1 else 1.0 - fx) * wy
                    if weight != 0.0 and (not masked or valid[here]):
                        total += weight * frame[here]
                        weights += weight
            if weights < 0.00001:
                continue
            total = total / weights
        if integer:
            total = min(max(math.floor(total + 0.5), low), high)
        out[k] = total
        ok[k] = True


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
def cell_bounds(offset, shape, width, cell, bounds):  # type: ignore[no-untyped-def]
    """Smallest and largest frame column and row of the pixels of square cells; rows below columns of -1: none.

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
                for c in range(n * cell, min((n + 1) * cell, shape[1])):
                    at = offset[r * shape[1] + c]
                    if at < 0 or not keep[r * shape[1] + c]:
                        continue
                    if single:
                        needed[first_j, first_i] = True
                        done = True
                        break
                    y = at // width
                    x = at - y * width
                    for j in range(
                        (y + origin_y) // block_height, (y + reach + origin_y) // block_height + 1
                    ):
                        for i in range(
                            (x + origin_x) // block_width, (x + reach + origin_x) // block_width + 1
                        ):
                            if 0 <= j < rows and 0 <= i < columns:
                                needed[j, i] = True
                if done:
                    break
