"""Compiled loops over (elements, pixels): no interpreter lock, one thread, pixels in cache-sized blocks.

Every kernel takes C-contiguous values of shape (n, p), their validity of the same shape with `masked` True,
or any (1, 1) boolean array with `masked` False where all is valid. NaN is a value: it makes a median or an
extremum NaN.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked

BLOCK = 256
_log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code, kept on disk where a folder can be written, else made once a process."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError as error:
        _log.debug("kernel %s is not kept on disk: %s", function.__name__, error)
        return numba.njit(nogil=True)(function)


def flat(data: Masked) -> tuple[Array, BoolArray, bool]:
    """Values (n, p), validity and `masked`, as the kernels take them."""
    n = data.length
    pixels = int(np.prod(data.values.shape[1:], dtype=np.int64))
    values = np.ascontiguousarray(data.values.reshape(n, pixels))
    if data.valid is None:
        return values, np.ones((1, 1), bool), False
    return values, np.ascontiguousarray(data.valid.reshape(n, pixels)), True


@lru_cache(maxsize=512)
def sorting_network(n: int) -> Array:
    """Comparators (m, 2) that sort n elements: Batcher's odd-even mergesort (Knuth, TAOCP 3, 5.2.2 M)."""
    pairs: list[tuple[int, int]] = []
    if n < 2:
        return np.zeros((0, 2), np.int64)
    top = 1 << ((n - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return np.array(pairs, np.int64)


@compiled
def _sorted_block(  # type: ignore[no-untyped-def]
    values, valid, masked, start, stop, top, network, block, count, undefined
):
    """Fill `block` (n, width) with sorted columns, nulls last; `undefined` where a valid value is NaN."""
    n = values.shape[0]
    width = stop - start
    for j in range(width):
        count[j] = 0
        undefined[j] = False
    for k in range(n):
        for j in range(width):
            value = values[k, start + j]
            use = valid[k, start + j] if masked else True
            nan = value != value
            count[j] += use
            undefined[j] |= use & nan
            block[k, j] = value if use and not nan else top
    for c in range(network.shape[0]):
        one = block[network[c, 0]]
        two = block[network[c, 1]]
        for j in range(width):
            a = one[j]
            b = two[j]
            one[j] = a if a < b else b
            two[j] = b if a < b else a


@compiled
def medians(values, valid, masked, ignore, top, network, out, out_valid):  # type: ignore[no-untyped-def]
    """Median over axis 0 into `out` (p), float32 or float64; of an even number the mean of the middle two."""
    n, pixels = values.shape
    block = np.empty((n, BLOCK), values.dtype)
    count = np.empty(BLOCK, np.int32)
    undefined = np.empty(BLOCK, np.bool_)
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        _sorted_block(values, valid, masked, start, stop, top, network, block, count, undefined)
        for j in range(stop - start):
            m = count[j]
            if m == 0 or (m < n and not ignore):
                out[start + j] = np.nan
                out_valid[start + j] = False
                continue
            out_valid[start + j] = True
            if undefined[j]:
                out[start + j] = np.nan
            else:
                low = np.float64(block[(m - 1) // 2, j])
                high = np.float64(block[m // 2, j])
                out[start + j] = low if low == high else low * 0.5 + high * 0.5


@compiled
def quantiles(  # type: ignore[no-untyped-def]
    values, valid, masked, ignore, top, network, probabilities, out, out_valid
):
    """Quantiles of type 7 (Hyndman and Fan 1996) over axis 0 into `out` (q, p)."""
    n, pixels = values.shape
    block = np.empty((n, BLOCK), values.dtype)
    count = np.empty(BLOCK, np.int32)
    undefined = np.empty(BLOCK, np.bool_)
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        _sorted_block(values, valid, masked, start, stop, top, network, block, count, undefined)
        for i in range(probabilities.shape[0]):
            for j in range(stop - start):
                m = count[j]
                known = m > 0 and (m == n or ignore)
                out_valid[i, start + j] = known
                if not known or undefined[j]:
                    out[i, start + j] = np.nan
                    continue
                place = (m - 1) * probabilities[i]
                below = int(np.floor(place))
                above = min(below + 1, m - 1)
                low = np.float64(block[below, j])
                high = np.float64(block[above, j])
                out[i, start + j] = low if low == high else low + (high - low) * (place - below)


@compiled
def sums(values, valid, masked, total, count):  # type: ignore[no-untyped-def]
    """Sum and number of valid values over axis 0, added to `total` (p; int64 or float64) and `count` (p)."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        for k in range(n):
            for j in range(start, stop):
                if not masked or valid[k, j]:
                    total[j] += values[k, j]
                    count[j] += 1


@compiled
def products(values, valid, masked, total, count):  # type: ignore[no-untyped-def]
    """Product of valid values over axis 0 onto `total` (p; float64, ones at the start) and their number."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        for k in range(n):
            for j in range(start, stop):
                if not masked or valid[k, j]:
                    total[j] *= values[k, j]
                    count[j] += 1


@compiled
def squared_deviations(values, valid, masked, mean, total):  # type: ignore[no-untyped-def]
    """Sum of squared deviations from `mean` (p) over axis 0, added to `total` (p, float64)."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        for k in range(n):
            for j in range(start, stop):
                if not masked or valid[k, j]:
                    deviation = values[k, j] - mean[j]
                    total[j] += deviation * deviation


@compiled
def extremes(values, valid, masked, low, high, count):  # type: ignore[no-untyped-def]
    """Smallest and largest valid value over axis 0 (p each), and their number, added to `count` (p)."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        for k in range(n):
            for j in range(start, stop):
                if masked and not valid[k, j]:
                    continue
                value = values[k, j]
                if count[j] == 0:
                    low[j] = value
                    high[j] = value
                else:
                    # NaN is unequal to itself, and nothing is below or above it once it is there.
                    if value < low[j] or value != value:
                        low[j] = value
                    if value > high[j] or value != value:
                        high[j] = value
                count[j] += 1


@compiled
def _between(x, x0, x1, y0, y1):  # type: ignore[no-untyped-def]
    # The second and third form, as in numpy.interp, give a number beside infinities where there is one.
    slope = (y1 - y0) / (x1 - x0)
    y = slope * (x - x0) + y0
    if y != y:
        y = slope * (x - x1) + y1
        if y != y and y0 == y1:
            y = y0
    return y


@compiled
def fill_gaps(values, valid, masked, positions, out, out_valid):  # type: ignore[no-untyped-def]
    """Interpolate nulls and NaN between numbers of a pixel linearly; ends stay as they are.

    Args:
        values: (n, p), any number dtype; `valid`, `masked` as everywhere.
        positions: (n), float64, the places of the elements, in ascending or descending order.
        out: (n, p), float32 or float64; the computation is in float64.
        out_valid: (n, p), boolean.
    """
    n, pixels = values.shape
    last = np.empty(BLOCK, np.int64)
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        last[:] = -1
        for k in range(n):
            for j in range(start, stop):
                value = values[k, j]
                known = valid[k, j] if masked else True
                out[k, j] = value if known else np.nan
                out_valid[k, j] = known
                if not known or value != value:
                    continue
                before = last[j - start]
                last[j - start] = k
                if before < 0 or before == k - 1:
                    continue
                y0 = np.float64(values[before, j])
                for gap in range(before + 1, k):
                    out[gap, j] = _between(
                        positions[gap], positions[before], positions[k], y0, np.float64(value)
                    )
                    out_valid[gap, j] = True
