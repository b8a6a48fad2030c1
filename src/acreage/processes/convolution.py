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


@njit(nogil=True, cache=True)
def spread_rows(
    marked: NDArray[np.bool_], weights: Float, first: int, out: Float, used: NDArray[np.bool_]
) -> None:
    """Horizontal pass of a separable convolution of zeros and ones, outside counting as zero.

    Each marked pixel adds its weights from west to east, so the order at any pixel is that of the sources.

    Args:
        marked: (rows, columns).
        weights: odd number of weights.
        first: column of `marked` that column 0 of `out` is.
        out: (rows, columns of the result), zeros, written.
        used: (rows,), False, set where a row has a marked pixel in reach.
    """
    half = weights.size // 2
    width = out.shape[1]
    for r in range(marked.shape[0]):
        for c in range(marked.shape[1]):
            if not marked[r, c]:
                continue
            start = c - half - first
            low, high = max(start, 0), min(start + weights.size, width)
            if low < high:
                used[r] = True
                for k in range(low, high):
                    out[r, k] += weights[k - start]


@njit(nogil=True, cache=True)
def exceeds_after_columns(
    rows: Float, used: NDArray[np.bool_], weights: Float, first: int, threshold: float, out: NDArray[np.bool_]
) -> None:
    """Vertical pass: sets `out` where the convolution exceeds a threshold; rows without marks add nothing.

    Args:
        rows: result of `spread_rows`.
        used: rows with marks.
        weights: odd number of weights.
        first: row of `rows` that row 0 of `out` is.
        threshold: compared with `>`.
        out: (rows of the result, columns), only ever set to True.
    """
    half = weights.size // 2
    height, width = out.shape
    line = np.empty(width)
    for r in range(height):
        line[:] = 0.0
        for j in range(weights.size):
            source = r + first + j - half
            if 0 <= source < rows.shape[0] and used[source]:
                weight = weights[j]
                for c in range(width):
                    line[c] += weight * rows[source, c]
        for c in range(width):
            if line[c] > threshold:
                out[r, c] = True


@njit(nogil=True, cache=True)
def erode(marked: NDArray[np.bool_], half: int, out: NDArray[np.bool_]) -> None:
    """Keeps a mark where all pixels of the disc around it are marked; outside counts as marked.

    The disc holds the pixels at most `half` pixels away, middle to middle.
    """
    height, width = marked.shape
    for r in range(height):
        for c in range(width):
            keep = marked[r, c]
            for j in range(-half, half + 1):
                if not keep:
                    break
                if not 0 <= r + j < height:
                    continue
                for i in range(max(-half, -c), min(half, width - 1 - c) + 1):
                    if j * j + i * i <= half * half and not marked[r + j, c + i]:
                        keep = False
                        break
            out[r, c] = keep
