"""The compiled inner loop of the statistics of resampling: average, mode, min, max, quantiles, sum, rms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.processes.resample_numba import store

Array = NDArray[Any]

AVERAGE, MODE, MIN, MAX, QUANTILE, SUM, RMS = 0, 1, 2, 3, 4, 5, 6


@njit(nogil=True, cache=True, inline="always")
def _share(pixel: int, start: float, stop: float) -> float:
    """Share of a pixel that lies in [start, stop]."""
    return max(min(stop, pixel + 1.0) - max(start, float(pixel)), 0.0)


@njit(nogil=True, cache=True)
def _statistic(kind: int, quantile: float, found: Array, shares: Array, count: int) -> float:
    """One statistic of the values and area shares of the source pixels below a target pixel (count >= 1)."""
    if kind == MIN:
        return float(found[:count].min())
    if kind == MAX:
        return float(found[:count].max())
    if kind == QUANTILE:
        ordered = np.sort(found[:count])
        return float(ordered[max(math.ceil(quantile * count) - 1, 0)])
    total = 0.0
    area = 0.0
    if kind == MODE:
        best = -1.0
        answer = found[0]
        for a in range(count):
            area = 0.0
            for b in range(count):
                if found[b] == found[a]:
                    area += shares[b]
            if area > best:
                best = area
                answer = found[a]
        return float(answer)
    for a in range(count):
        total += shares[a] * (found[a] * found[a] if kind == RMS else found[a])
        area += shares[a]
    if kind == SUM:
        return total
    return math.sqrt(total / area) if kind == RMS else total / area


@njit(nogil=True, cache=True)
def areal(
    values: Array,
    valid: Array,
    x0: int,
    y0: int,
    columns: Array,
    rows: Array,
    span_x: Array,
    span_y: Array,
    kind: int,
    quantile: float,
    integer: bool,
    low: float,
    high: float,
    out: Array,
    out_valid: Array,
) -> None:
    """A statistic of the source pixels that a target pixel covers.

    The target pixel is the box of `span_x` x `span_y` source pixels around its centre. Average, mode, sum and
    rms weigh a source pixel by its share of area; min, max and quantiles take every pixel that is touched.
    """
    layers, height, width = values.shape
    masked = valid.shape[0] > 0
    found = np.empty(64)
    shares = np.empty(64)
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            x, y = columns[r, c], rows[r, c]
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            left, right = x - span_x[r, c] / 2.0, x + span_x[r, c] / 2.0
            top, bottom = y - span_y[r, c] / 2.0, y + span_y[r, c] / 2.0
            first_i = max(math.floor(left + 1e-7), x0)
            first_j = max(math.floor(top + 1e-7), y0)
            last_i = min(math.ceil(right - 1e-7), x0 + width)
            last_j = min(math.ceil(bottom - 1e-7), y0 + height)
            need = max(last_i - first_i, 0) * max(last_j - first_j, 0)
            if need > found.size:
                found = np.empty(need)
                shares = np.empty(need)
            for n in range(layers):
                count = 0
                for j in range(first_j, last_j):
                    share_y = _share(j, top, bottom)
                    for i in range(first_i, last_i):
                        if masked and not valid[n, j - y0, i - x0]:
                            continue
                        share = share_y * _share(i, left, right)
                        if share > 0.0:
                            found[count] = values[n, j - y0, i - x0]
                            shares[count] = share
                            count += 1
                if count > 0:
                    store(out, n, r, c, _statistic(kind, quantile, found, shares, count), integer, low, high)
                    out_valid[n, r, c] = True
