"""Compiled loops that sample and sort in one pass, segment by segment of a row.

The arithmetic of samples is that of `gather_kernels`, that of medians that of `processes.kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from acreage.engine.composites.gather_kernels import gather_floats, gather_integers
from acreage.processes.kernels import compiled
from acreage.processes.resample_numba import STEPS


@compiled
def segment_bounds(offset, shape, width, segment, bounds):  # type: ignore[no-untyped-def]
    """First and last frame column and row that a segment of a row samples, the neighbours included.

    Args:
        offset: of every pixel, row by row (bilinear).
        shape: (rows, columns) of the window.
        width: of the frame.
        segment: pixels of a segment.
        bounds: (rows, segments, 4) int32, written: first column, first row, last column, last row; a first
            column of -1 where some pixel has no sample.
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
    # First along the row, then down: as exact as the sum over four weights. Unsigned positions are not looked
    # at for being counted from the end.
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
    frames, valid, holes, cell, width, offset, fraction_x, fraction_y, bounds, segment, keep, comparators,
    starts, top, out, counts
):  # fmt: skip
    """Medians of bilinear samples of several images of one lattice: floats, or integers of at most 16 bits.

    Segment by segment: the kept samples of all images are gathered into one block that stays in the
    processor's cache, sorted there, and their median is written.

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
