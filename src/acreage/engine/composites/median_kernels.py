"""Compiled loops that sample and sort in one pass, segment by segment of a row.

The arithmetic of samples is that of `gather_kernels`, that of medians that of `processes.kernels`.
"""

from __future__ import annotations

import numpy as np

from acreage.engine.composites.typed_kernels import clean_value, mark_nans, middle_of, write_value
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
def pick(keep, shape, segment, counts, positions):  # type: ignore[no-untyped-def]
    """List the kept pixels of every segment.

    Args:
        keep: (n, pixels of the window).
        shape: (rows, columns) of the window.
        segment: pixels of a segment, at most 256.
        counts: (n, rows, segments) uint16, written: kept pixels of a segment.
        positions: (n, pixels of the window) uint8, written: from a segment's first pixel on, the kept ones'
            places in it; what follows them is left over.
    """
    for k in range(keep.shape[0]):
        for r in range(shape[0]):
            for s in range(counts.shape[2]):
                first = r * shape[1] + s * segment
                size = min(segment, shape[1] - s * segment)
                here, found = keep[k, first : first + size], positions[k, first : first + size]
                number = 0
                for j in range(size):
                    # Written in any case: a branch would be guessed wrong at every edge.
                    found[number] = j
                    number += here[j]
                    if number == size:
                        break
                counts[k, r, s] = number


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
def _sample_all(frame, width, offset, fraction_x, fraction_y, line):  # type: ignore[no-untyped-def]
    """Sample all pixels of a segment; arguments as `_sample_picked`."""
    for j in range(line.size):
        line[j] = clean_value(frame, width, offset, fraction_x, fraction_y, j)  # type: ignore[no-untyped-call]


@compiled
def _sample_picked(  # type: ignore[no-untyped-def]
    frame, valid, clean, width, offset, fraction_x, fraction_y, picked, top, line, known
):
    """Sample some pixels of a segment; the others get `top`.

    Args:
        frame, valid: of the image, flat; validity is looked at unless `clean`.
        clean: all neighbours of all pixels of the segment are valid.
        width: of the frame.
        offset, fraction_x, fraction_y: of the segment's pixels.
        picked: positions of those that are sampled.
        top: the largest value of the frame's type.
        line: (segment), written.
        known: (segment), counts the samples that there are.
    """
    line[:] = top
    if clean:
        for q in range(picked.size):
            j = picked[q]
            line[j] = clean_value(frame, width, offset, fraction_x, fraction_y, j)  # type: ignore[no-untyped-call]
            known[j] += 1
        return
    for q in range(picked.size):
        j = picked[q]
        known[j] += write_value(frame, valid, width, offset, fraction_x, fraction_y, j, line)  # type: ignore[no-untyped-call]


@compiled
def _write_medians(block, used, known, undefined, target):  # type: ignore[no-untyped-def]
    """The middle of each column's observations.

    Args:
        block: sorted; of `used` rows that count.
        used: rows that count.
        known: observations of each column, which come first.
        undefined: columns with NaN among them.
        target: written.
    """
    target[:] = np.nan
    least, most = np.int32(used), np.int32(0)
    for j in range(target.size):
        least, most = min(least, known[j]), max(most, known[j])
    # One number of observations after the other: no branch for each pixel.
    for m in range(max(least, np.int32(1)), most + 1):
        one, two = block[(m - 1) // 2, : target.size], block[m // 2, : target.size]
        middle_of(one, two, np.int32(m), known, undefined, target)  # type: ignore[no-untyped-call]


@compiled
def median_of_frames(  # type: ignore[no-untyped-def]
    frames, valid, holes, cell, width, offset, fraction_x, fraction_y, bounds, segment, counts, positions,
    comparators, starts, top, out, observations
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
        counts, positions: from `pick`.
        comparators: sorting networks for 0, 1, ... n elements, one behind the other.
        starts: (n + 2): where the network for m elements begins; it ends where the next begins.
        top: the largest value of the frames' type, infinity for floats.
        out: (rows, columns) float32, written; NaN where nothing is kept and valid.
        observations: (rows, columns), written: number of valid ones; not touched where it has no rows.
    """
    images = frames.shape[0]
    rows, columns = out.shape
    block = np.empty((images, segment), frames.dtype)
    known = np.empty(segment, np.int32)
    undefined = np.empty(segment, np.bool_)
    for r in range(rows):
        for s in range(bounds.shape[1]):
            first = r * columns + s * segment
            size = min(segment, columns - s * segment)
            here = slice(first, first + size)
            known[:] = 0
            undefined[:] = False
            used, full = 0, 0
            for k in range(images):
                number = counts[k, r, s]
                if number == 0:
                    continue
                line = block[used, :size]
                used += 1
                clean = bounds[r, s, 0] >= 0 and _clean(holes[k], bounds[r, s], cell)
                frame, place = frames[k], (offset[here], fraction_x[here], fraction_y[here])
                if clean and number == size:
                    _sample_all(frame, width, *place, line)
                    full += 1
                else:
                    picked = positions[k, first : first + number]
                    _sample_picked(frame, valid[k], clean, width, *place, picked, top, line, known)
                mark_nans(line, undefined)  # type: ignore[no-untyped-call]
            for j in range(size):
                known[j] += full
            target = out[r, s * segment : s * segment + size]
            if used == 0:
                target[:] = np.nan
            else:
                _sort(block, comparators[starts[used] : starts[used + 1]], size)
                _write_medians(block, used, known, undefined, target)
            if observations.shape[0] > 0:
                for j in range(size):
                    observations[r, s * segment + j] = known[j]
