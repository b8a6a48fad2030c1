"""Compiled loops of streaming composites.

A frame is the part of a source lattice that a window of target pixels needs; a sample map says for each target
pixel where in the frame it lies. The arithmetic is that of `processes.resample_numba`, so that results are equal
to the last bit: bilinear weights are whole multiples of 2 ** -32, and sums of them times integers of up to 16
bits are exact as 64-bit integers here as they are as 64-bit floats there.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

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


@compiled
def segment_bounds(offset, shape, width, segment, bounds):  # type: ignore[no-untyped-def]
    """First and last frame column and row that a segment of a row samples, the neighbours included.

    Args:
        offset: of every pixel, row by row (bilinear).
        shape: (rows, columns) of the window.
        width: of the frame.
        segment: pixels of a segment.
        bounds: (rows, segments, 4) int32, written: first column, first row, last column, last row; a first column
            of -1 where some pixel has no sample.
    """
    for r in range(shape[0]):
        for s in range(bounds.shape[1]):
            first_i, first_j, last_i, last_j = width, 2**30, -1, -1
            lost = False
            for c in range(s * segment, min((s + 1) * segment, shape[1])):
                at = offset[r * shape[1] + c]
                if at < 0:
                    lost = True
                    break
                j = at // width
                i = at - j * width
                first_i, first_j = min(first_i, i), min(first_j, j)
                last_i, last_j = max(last_i, i + 1), max(last_j, j + 1)
            bounds[r, s, 0] = -1 if lost else first_i
            bounds[r, s, 1] = first_j
            bounds[r, s, 2] = last_i
            bounds[r, s, 3] = last_j


@compiled
def find_holes(words, rows_a_cell, words_a_cell, holes):  # type: ignore[no-untyped-def]
    """Which square cells of a frame have a null pixel.

    Args:
        words: validity, eight pixels a 64-bit word, (rows, words).
        rows_a_cell, words_a_cell: size of a cell.
        holes: (cell rows, cell columns) boolean, written.
    """
    valid = np.uint64(0x0101010101010101)
    for m in range(holes.shape[0]):
        for n in range(holes.shape[1]):
            together = valid
            for r in range(m * rows_a_cell, min((m + 1) * rows_a_cell, words.shape[0])):
                for w in range(n * words_a_cell, (n + 1) * words_a_cell):
                    together &= words[r, w]
            holes[m, n] = together != valid


@compiled
def _clean(holes, bounds, cell):  # type: ignore[no-untyped-def]
    for j in range(bounds[1] // cell, bounds[3] // cell + 1):
        for i in range(bounds[0] // cell, bounds[2] // cell + 1):
            if holes[j, i]:
                return False
    return True


def _sample_clean(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
    """Bilinear values where all neighbours are valid; compiled for integers and floats below."""
    raise NotImplementedError


def _sample_some(  # type: ignore[no-untyped-def]
    frame, valid, width, offset, fraction_x, fraction_y, keep, pixels, line, good
):
    """Bilinear values of kept pixels; compiled for integers and floats below."""
    raise NotImplementedError


@compiled
def _clean_integers(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
    # First along the row, then down: as exact as the sum over four weights. Unsigned positions are not looked at
    # for being counted from the end.
    half, bits = np.int64(1 << 31), np.int64(16)
    down, beside = np.uint64(width), np.uint64(1)
    for j in range(line.size):
        at = np.uint64(offset[j])
        below = at + down
        fx, fy = np.int64(fraction_x[j]), np.int64(fraction_y[j])
        left, right = np.int64(frame[at]), np.int64(frame[at + beside])
        upper = (left << bits) + (right - left) * fx
        left, right = np.int64(frame[below]), np.int64(frame[below + beside])
        lower = (left << bits) + (right - left) * fx
        line[j] = ((upper << bits) + (lower - upper) * fy + half) >> np.int64(32)


@compiled
def _clean_floats(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
    for j in range(line.size):
        at = offset[j]
        below = at + width
        fx, fy = fraction_x[j] / STEPS, fraction_y[j] / STEPS
        a, b = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy)
        d, e = (1.0 - fx) * fy, fx * fy
        if fx > 0.0 and fy > 0.0:
            total = a * frame[at] + b * frame[at + 1]
            total = total + d * frame[below] + e * frame[below + 1]
        else:  # a neighbour without weight must not bring its infinity in
            total = a * frame[at]
            if b != 0.0:
                total += b * frame[at + 1]
            if d != 0.0:
                total += d * frame[below]
            if e != 0.0:
                total += e * frame[below + 1]
        line[j] = total


@overload(_sample_clean, jit_options={"nogil": True, "error_model": "numpy"})
def _choose_clean(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
    if isinstance(frame.dtype, types.Integer):

        def integers(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
            _clean_integers(frame, width, offset, fraction_x, fraction_y, line)

        return integers

    def floats(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
        _clean_floats(frame, width, offset, fraction_x, fraction_y, line)

    return floats


@overload(_sample_some, jit_options={"nogil": True, "error_model": "numpy"})
def _choose_some(  # type: ignore[no-untyped-def]
    frame, valid, width, offset, fraction_x, fraction_y, keep, pixels, line, good
):
    if isinstance(frame.dtype, types.Integer):

        def integers(frame, valid, width, offset, fraction_x, fraction_y, keep, pixels, line, good):  # type: ignore[no-untyped-def]
            gather_integers(
                frame, valid, True, width, offset, fraction_x, fraction_y, keep, pixels, line, good
            )

        return integers

    def floats(frame, valid, width, offset, fraction_x, fraction_y, keep, pixels, line, good):  # type: ignore[no-untyped-def]
        place = (width, offset, fraction_x, fraction_y, keep, pixels)
        gather_floats(frame, valid, True, *place, False, 0.0, 0.0, line, good)

    return floats


def _mark_nans(line, undefined):  # type: ignore[no-untyped-def]
    """Note where a line has NaN; compiled to nothing for integers."""
    raise NotImplementedError


def _middle(one, two, undefined, target):  # type: ignore[no-untyped-def]
    """The mean of two lines, NaN where undefined; of integers, which are never undefined, in whole halves."""
    raise NotImplementedError


@overload(_mark_nans, jit_options={"nogil": True, "error_model": "numpy"})
def _choose_mark_nans(line, undefined):  # type: ignore[no-untyped-def]
    if isinstance(line.dtype, types.Integer):

        def integers(line, undefined):  # type: ignore[no-untyped-def]
            pass

        return integers

    def floats(line, undefined):  # type: ignore[no-untyped-def]
        for j in range(line.size):
            undefined[j] |= line[j] != line[j]  # as only NaN is

    return floats


@overload(_middle, jit_options={"nogil": True, "error_model": "numpy"})
def _choose_middle(one, two, undefined, target):  # type: ignore[no-untyped-def]
    if isinstance(one.dtype, types.Integer):

        def integers(one, two, undefined, target):  # type: ignore[no-untyped-def]
            for j in range(target.size):
                target[j] = np.float32(np.int32(one[j]) + np.int32(two[j])) * np.float32(0.5)

        return integers

    def floats(one, two, undefined, target):  # type: ignore[no-untyped-def]
        for j in range(target.size):
            low, high = np.float64(one[j]), np.float64(two[j])
            middle = low if low == high else low * 0.5 + high * 0.5
            target[j] = np.float32(np.nan if undefined[j] else middle)

    return floats


@compiled
def _sort(block, comparators, width):  # type: ignore[no-untyped-def]
    """Sort the columns of a block by a network of comparators."""
    for k in range(comparators.shape[0]):
        one = block[comparators[k, 0]]
        two = block[comparators[k, 1]]
        for j in range(width):
            a = one[j]
            b = two[j]
            one[j] = a if a < b else b
            two[j] = b if a < b else a


@compiled
def median_of_frames(  # type: ignore[no-untyped-def]
    frames, valid, holes, cell, width, offset, fraction_x, fraction_y, bounds, segment, keep, comparators, starts,
    top, out, counts
):  # fmt: skip
    """Medians of the bilinear samples of several images of one lattice: floats, or integers of at most 16 bits.

    Segment by segment: the kept samples of all images are gathered into one block that stays in the processor's
    cache, sorted there, and their median is written.

    Args:
        frames: (n, pixels of the frame), flat.
        valid: (n, pixels of the frame).
        holes: (n, cell rows, cell columns), from `find_holes`.
        cell: side of its cells.
        width: of the frame.
        offset, fraction_x, fraction_y: of every pixel of the window, row by row.
        bounds, segment: from `segment_bounds`.
        keep: (n, pixels of the window): False is not looked at.
        comparators: sorting networks for 0, 1, ... n elements, one behind the other.
        starts: (n + 2): where the network for m elements begins; it ends where the next begins.
        top: the largest value of the frames' type, infinity for floats.
        out: (rows, columns) float32, written; NaN where nothing is kept and valid.
        counts: (rows, columns), written: number of valid observations; not touched where it has no rows.
    """
    images = frames.shape[0]
    rows, columns = out.shape
    block = np.empty((images, segment), frames.dtype)
    known = np.empty(segment, np.int32)
    good = np.empty(segment, np.bool_)
    undefined = np.empty(segment, np.bool_)
    picked = np.arange(segment).astype(np.int32)
    for r in range(rows):
        for s in range(bounds.shape[1]):
            first = r * columns + s * segment
            size = min(segment, columns - s * segment)
            here = slice(first, first + size)
            whole = True
            used = 0
            clean = 0
            for j in range(size):
                known[j] = 0
                undefined[j] = False
            for k in range(images):
                kept = 0
                line_keep = keep[k, here]
                for j in range(size):
                    kept += line_keep[j]
                if kept == 0:
                    continue
                line = block[used]
                used += 1
                if kept == size and bounds[r, s, 0] >= 0 and _clean(holes[k], bounds[r, s], cell):
                    _sample_clean(  # type: ignore[no-untyped-call]
                        frames[k], width, offset[here], fraction_x[here], fraction_y[here], line[:size]
                    )
                    clean += 1
                    _mark_nans(line[:size], undefined)  # type: ignore[no-untyped-call]
                    continue
                whole = False
                _sample_some(  # type: ignore[no-untyped-call]
                    frames[k], valid[k], width, offset[here], fraction_x[here], fraction_y[here], line_keep,
                    picked[:size], line[:size], good[:size],
                )  # fmt: skip
                for j in range(size):
                    undefined[j] |= good[j] and line[j] != line[j]
                    line[j] = line[j] if good[j] else top
                    known[j] += good[j]
            _sort(block, comparators[starts[used] : starts[used + 1]], size)
            target = out[r, s * segment : s * segment + size]
            if whole and used > 0:
                _middle(  # type: ignore[no-untyped-call]
                    block[(used - 1) // 2, :size], block[used // 2, :size], undefined, target
                )
            else:
                for j in range(size):
                    m = known[j] + clean
                    if m == 0 or undefined[j]:
                        target[j] = np.nan
                        continue
                    low, high = np.float64(block[(m - 1) // 2, j]), np.float64(block[m // 2, j])
                    target[j] = np.float32(low if low == high else low * 0.5 + high * 0.5)
            if counts.shape[0] > 0:
                for j in range(size):
                    counts[r, s * segment + j] = known[j] + clean
