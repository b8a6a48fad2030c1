"""Compiled inner loops of focal processes; every pixel's sum runs in one fixed order, whatever the window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Float = NDArray[np.float64]


@njit(nogil=True, cache=True)
def correlate(padded: Float, kernel: Float, factor: float, out: Array) -> None:
    """Sum of kernel times the pixels under it, times a factor.

    Args:
        padded: (layers, rows + kernel rows - 1, columns + kernel columns - 1).
        kernel: weights, both sides odd.
        factor: multiplied at the end.
        out: (layers, rows, columns), written.
    """
    layers, height, width = out.shape
    line = np.empty(width)
    for n in range(layers):
        for r in range(height):
            line[:] = 0.0
            for j in range(kernel.shape[0]):
                for i in range(kernel.shape[1]):
                    weight = kernel[j, i]
                    for c in range(width):
                        line[c] += weight * padded[n, r + j, c + i]
            for c in range(width):
                out[n, r, c] = line[c] * factor


SEGMENT = 64
"""Pixels of a row that are decided together."""


@njit(nogil=True, cache=True)
def _spread_row(
    marked: NDArray[np.bool_], sums: Float, first: int, out: Float, used: NDArray[np.bool_]
) -> None:
    """Convolution of one row of zeros and ones, outside counting as zero.

    A run of marked pixels adds the weights that reach it at once, as a difference of their sums: runs from
    west to east, so that the order at any pixel does not depend on where the row begins.

    Args:
        marked: (columns).
        sums: of the first 0, 1, ... weights.
        first: column of `marked` that column 0 of `out` is.
        out: (columns of the result), written.
        used: (segments), written: whether anything in them is not zero.
    """
    half = (sums.size - 1) // 2
    total = sums[sums.size - 1]
    out[:] = 0.0
    used[:] = False
    end = 0
    while end < marked.size:
        if not marked[end]:
            end += 1
            continue
        start = end
        while end < marked.size and marked[end]:
            end += 1
        low, high = max(start - half, first), min(end + half, first + out.size)
        if low >= high:
            continue
        for s in range((low - first) // SEGMENT, (high - 1 - first) // SEGMENT + 1):
            used[s] = True
        # Between these two all weights lie on the run.
        inner, outer = min(max(start + half, low), high), max(min(end - half, high), low)
        if inner >= outer:
            inner = outer = high
        for x in range(low, inner):
            out[x - first] += sums[min(end, x + half + 1) - x + half] - sums[max(start, x - half) - x + half]
        for x in range(inner, outer):
            out[x - first] += total
        for x in range(outer, high):
            out[x - first] += sums[min(end, x + half + 1) - x + half] - sums[max(start, x - half) - x + half]


@njit(nogil=True, cache=True)
def mark_convolved(
    marked: NDArray[np.bool_],
    weights: Float,
    first_row: int,
    first_column: int,
    threshold: float,
    out: NDArray[np.bool_],
) -> None:
    """Set `out` where the separable convolution of zeros and ones exceeds a threshold.

    Weights and marks are not negative, so sums only grow: a segment of a row is done as soon as all of its
    pixels exceed. Rows are added from the middle outwards. Outside counts as zero.

    Args:
        marked: (rows, columns).
        weights: of either axis, an odd number.
        first_row, first_column: pixel of `marked` that the first of `out` is.
        threshold: compared with `>`.
        out: (rows, columns) of the result, only ever set to True.
    """
    size, half = weights.size, weights.size // 2
    height, width = out.shape
    sums = np.zeros(size + 1)
    for k in range(size):
        sums[k + 1] = sums[k] + weights[k]
    # Rows of the horizontal pass that are in reach, each at its number modulo their count.
    lines = np.zeros((size, width))
    used = np.zeros((size, -(-width // SEGMENT)), np.bool_)
    made = max(first_row - half, 0)
    line = np.empty(SEGMENT)
    for r in range(height):
        middle = r + first_row
        while made < min(middle + half + 1, marked.shape[0]):
            _spread_row(marked[made], sums, first_column, lines[made % size], used[made % size])
            made += 1
        for s in range(used.shape[1]):
            start = s * SEGMENT
            target = out[r, start : min(start + SEGMENT, width)]
            missing = target.size
            for c in range(target.size):
                missing -= target[c]
            line[:] = 0.0
            for step in range(half + 1):
                if missing == 0:
                    break
                added = False
                for side in range(1 if step == 0 else 2):
                    source = middle + (step if side == 0 else -step)
                    if not (0 <= source < marked.shape[0] and used[source % size, s]):
                        continue
                    added = True
                    weight = weights[half + step]
                    values = lines[source % size, start : start + target.size]
                    for c in range(target.size):
                        line[c] += weight * values[c]
                if added:
                    missing = 0
                    for c in range(target.size):
                        missing += (line[c] <= threshold) & (not target[c])
            for c in range(target.size):
                target[c] |= line[c] > threshold


@njit(nogil=True, cache=True)
def erode(marked: NDArray[np.bool_], half: int, out: NDArray[np.bool_]) -> None:
    """Keeps a mark where all pixels of the disc around it are marked; outside counts as marked.

    The disc holds the pixels at most `half` pixels away, middle to middle.
    """
    height, width = marked.shape
    for r in range(height):
        line = out[r]
        line[:] = marked[r]
        for j in range(max(-half, -r), min(half, height - 1 - r) + 1):
            other = marked[r + j]
            for i in range(-half, half + 1):
                if j * j + i * i > half * half or (i == 0 and j == 0):
                    continue
                mine, beside = line[max(0, -i) : width - max(0, i)], other[max(0, i) : width - max(0, -i)]
                for c in range(mine.size):
                    mine[c] &= beside[c]
