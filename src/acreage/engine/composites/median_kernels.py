"""Compiled loops that sample and sort in one pass, segment by segment of a row.

The arithmetic of samples is that of `gather_kernels`, that of medians that of `processes.kernels`. Loops over
the pixels of a segment are given whole arrays and places in them: to hand a part of an array to a function
counts references to it, which took as long as some dozen pixels.
"""

from __future__ import annotations

import numpy as np

from acreage.engine.composites.typed_kernels import (
    clean_value,
    mark_nans,
    middle_of,
    middle_of_all,
    write_value,
)
from acreage.processes.kernels import compiled


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
def pick(keep, shape, segment, totals, places, counts, columns):  # type: ignore[no-untyped-def]
    """List the pixels of every segment that any image keeps, and which of those each image keeps.

    Args:
        keep: (n, pixels of the window).
        shape: (rows, columns) of the window.
        segment: pixels of a segment, at most 256.
        totals: (rows, segments) uint16, written: pixels of a segment that any image keeps.
        places: (pixels of the window) uint8, written: from a segment's first pixel on, their places in it;
            what follows them is left over.
        counts: (n, rows, segments) uint16, written: pixels of a segment that an image keeps.
        columns: (n, pixels of the window) uint8, written: from a segment's first pixel on, which of the
            segment's listed pixels the image keeps; what follows them is left over.
    """
    kept = np.empty(segment, np.bool_)
    for r in range(shape[0]):
        for s in range(totals.shape[1]):
            first = r * shape[1] + s * segment
            size = min(segment, shape[1] - s * segment)
            for j in range(size):
                kept[j] = False
            for k in range(keep.shape[0]):
                for j in range(size):
                    kept[j] |= keep[k, first + j]
            number = 0
            for j in range(size):
                # Written in any case: a branch would be guessed wrong at every edge.
                places[first + number] = j
                number += kept[j]
            totals[r, s] = number
            for k in range(keep.shape[0]):
                found = 0
                for c in range(number):
                    columns[k, first + found] = c
                    found += keep[k, first + places[first + c]]
                counts[k, r, s] = found


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
def _clean(holes, k, bounds, r, s, cell):  # type: ignore[no-untyped-def]
    """Whether all that a segment samples of image `k` is valid."""
    if bounds[r, s, 0] < 0:
        return False
    for j in range(bounds[r, s, 1] // cell, bounds[r, s, 3] // cell + 1):
        for i in range(bounds[r, s, 0] // cell, bounds[r, s, 2] // cell + 1):
            if holes[k, j, i]:
                return False
    return True


@compiled
def _sort(block, comparators, start, stop, width):  # type: ignore[no-untyped-def]
    """Sort the columns of a block by a network, comparators `start` to `stop`."""
    for n in range(start, stop):
        one, two = np.uint64(comparators[n, 0]), np.uint64(comparators[n, 1])
        for j in range(np.uint64(width)):
            a = block[one, j]
            b = block[two, j]
            block[one, j] = a if a < b else b
            block[two, j] = b if a < b else a


@compiled
def _sample_all(frames, k, width, offset, fraction_x, fraction_y, first, size, block, row):  # type: ignore[no-untyped-def]
    """Sample all pixels of a segment, all neighbours valid; arguments as `_sample_some`."""
    at, image, line = np.uint64(first), np.uint64(k), np.uint64(row)
    for j in range(np.uint64(size)):
        block[line, j] = clean_value(frames, image, width, offset, fraction_x, fraction_y, at + j)  # type: ignore[no-untyped-call]


@compiled
def _sample_listed(  # type: ignore[no-untyped-def]
    frames, k, width, offset, fraction_x, fraction_y, first, places, listed, block, row
):
    """Sample all listed pixels of a segment, all neighbours valid; arguments as `_sample_some`."""
    at, image, line = np.uint64(first), np.uint64(k), np.uint64(row)
    for c in range(np.uint64(listed)):
        p = at + np.uint64(places[at + c])
        block[line, c] = clean_value(frames, image, width, offset, fraction_x, fraction_y, p)  # type: ignore[no-untyped-call]


@compiled
def _sample_some(  # type: ignore[no-untyped-def]
    frames, valid, k, clean, width, offset, fraction_x, fraction_y, first, places, listed, columns, number,
    top, block, row, known
):  # fmt: skip
    """Sample some listed pixels of a segment; the others get `top`.

    Args:
        frames, valid: of all images, flat; validity is looked at unless `clean`.
        k: the image.
        clean: all neighbours of all pixels of the segment are valid.
        width: of a frame.
        offset, fraction_x, fraction_y: of the window's pixels.
        first: the segment's first pixel.
        places, listed: of the segment's listed pixels (`pick`).
        columns, number: which of these are sampled (`pick`).
        top: the largest value of the frames' type.
        block, row: written.
        known: (listed pixels), counts the samples that there are.
    """
    # Unsigned places are not looked at for being counted from the end.
    at, image, line = np.uint64(first), np.uint64(k), np.uint64(row)
    for j in range(np.uint64(listed)):
        block[line, j] = top
    for q in range(np.uint64(number)):
        c = np.uint64(columns[image, at + q])
        p = at + np.uint64(places[at + c])
        if clean:
            block[line, c] = clean_value(frames, image, width, offset, fraction_x, fraction_y, p)  # type: ignore[no-untyped-call]
            known[c] += 1
        else:
            known[c] += write_value(
                frames[k], valid[k], width, offset, fraction_x, fraction_y, p, block[row], c
            )  # type: ignore[no-untyped-call]


@compiled
def _middles(block, used, known, undefined, target):  # type: ignore[no-untyped-def]
    """The middle of each column's observations.

    Args:
        block: sorted; of `used` rows that count.
        used: rows that count.
        known: observations of each column, which come first.
        undefined: columns with NaN among them.
        target: written.
    """
    least, most = np.int32(used), np.int32(0)
    for j in range(target.size):
        least, most = min(least, known[j]), max(most, known[j])
    if least == 0:
        target[:] = np.nan
    # One number of observations after the other: no branch for each pixel.
    for m in range(max(least, np.int32(1)), most + 1):
        one, two = block[(m - 1) // 2, : target.size], block[m // 2, : target.size]
        if least == most:
            middle_of_all(one, two, undefined, target)  # type: ignore[no-untyped-call]
        else:
            middle_of(one, two, np.int32(m), known, undefined, target)  # type: ignore[no-untyped-call]


@compiled
def _spread(values, places, first, nothing, target):  # type: ignore[no-untyped-def]
    """Values of listed pixels in their places of a segment, and nothing elsewhere."""
    target[:] = nothing
    for c in range(values.size):
        target[places[first + c]] = values[c]


@compiled
def median_of_frames(  # type: ignore[no-untyped-def]
    frames, valid, holes, cell, width, offset, fraction_x, fraction_y, bounds, segment, totals, places,
    counts, columns, comparators, starts, top, out, observations
):  # fmt: skip
    """Medians of bilinear samples of several images of one lattice: floats, or integers of at most 16 bits.

    Segment by segment: the samples of the pixels that any image keeps are gathered into one block, a row an
    image, that stays in the processor's cache; its columns are sorted there, and their median is written.

    Args:
        frames: (n, pixels of the frame), flat.
        valid: (n, pixels of the frame).
        holes: (n, cell rows, cell columns), from `find_holes`.
        cell: side of its cells.
        width: of the frame.
        offset, fraction_x, fraction_y: of every pixel of the window, row by row.
        bounds, segment: from `segment_bounds`.
        totals, places, counts, columns: from `pick`.
        comparators: sorting networks for 0, 1, ... n elements, one behind the other.
        starts: (n + 2): where the network for m elements begins; it ends where the next begins.
        top: the largest value of the frames' type, infinity for floats.
        out: (rows, columns) float32, written; NaN where nothing is kept and valid.
        observations: (rows, columns), written: number of valid ones; not touched where it has no rows.
    """
    images = frames.shape[0]
    rows, wide = out.shape
    block = np.empty((images, segment), frames.dtype)
    known, undefined = np.empty(segment, np.int32), np.empty(segment, np.bool_)
    middle = np.empty(segment, np.float32)
    for r in range(rows):
        for s in range(bounds.shape[1]):
            left = s * segment
            first, size = r * wide + left, min(segment, wide - left)
            listed = totals[r, s]
            target = out[r, left : left + size]
            if listed == 0:
                target[:] = np.nan
                if observations.shape[0] > 0:
                    observations[r, left : left + size] = 0
                continue
            for j in range(listed):
                known[j] = 0
                undefined[j] = False
            used, full = 0, 0
            for k in range(images):
                number = counts[k, r, s]
                if number == 0:
                    continue
                clean = _clean(holes, k, bounds, r, s, cell)
                if clean and number == size:
                    _sample_all(frames, k, width, offset, fraction_x, fraction_y, first, size, block, used)
                    full += 1
                elif clean and number == listed:
                    _sample_listed(
                        frames, k, width, offset, fraction_x, fraction_y, first, places, listed, block, used
                    )
                    full += 1
                else:
                    _sample_some(
                        frames, valid, k, clean, width, offset, fraction_x, fraction_y, first, places, listed,
                        columns, number, top, block, used, known
                    )  # fmt: skip
                mark_nans(block[used, :listed], undefined)  # type: ignore[no-untyped-call]
                used += 1
            for j in range(listed):
                known[j] += full
            _sort(block, comparators, starts[used], starts[used + 1], listed)
            if listed == size:
                _middles(block, used, known, undefined, target)
            else:
                _middles(block, used, known, undefined, middle[:listed])
                _spread(middle[:listed], places, first, np.float32(np.nan), target)
            if observations.shape[0] > 0:
                _spread(known[:listed], places, first, np.int32(0), observations[r, left : left + size])
