"""Compiled loops over (elements, pixels): no interpreter lock, one thread, pixels in cache-sized blocks.

Every kernel takes C-contiguous values of shape (n, p), their validity of the same shape with `masked` True,
or any (1, 1) boolean array with `masked` False where all is valid. NaN is a value: it makes a median or an
extremum NaN.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import numba
import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked

BLOCK = 256
_log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code, kept on disk where a folder can be written, else made once a process.

    What is kept is used as long as no file with compiled loops has changed: numba itself looks at the
    function's own file only, and not at those of the functions that are compiled into it.
    """
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError as error:
        _log.debug("kernel %s is not kept on disk: %s", function.__name__, error)
        return numba.njit(nogil=True, error_model="numpy")(function)
    kept: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(kept, "_source_stamp"):
        kept._source_stamp = (kept._source_stamp, sources_digest())
    return made


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """Of the text of all files with compiled loops."""
    package = Path(__file__).parent.parent
    folders = (package / "processes", package / "engine" / "composites")
    texts = {p.name: p.read_text("utf-8") for folder in folders for p in folder.glob("*.py")}
    loops = {name: text for name, text in texts.items() if "numba" in text or "@compiled" in text}
    return hashlib.sha256(repr(sorted(loops.items())).encode()).hexdigest()


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of one pixel into the loops that call it: a call of its own would count references
    to every array, which costs more than the pixel.
    """
    return numba.njit(nogil=True, error_model="numpy", inline="always")(function)


def where_valid(kernel: Callable[..., None]) -> Callable[..., None]:
    """The kernel, called only where some value is valid; else its outputs stay as they are given.

    The caller fills outputs with what a pixel without a valid value has: the kernel itself would leave just
    that. A plan, which tries callbacks on nulls, then needs no machine code, whose loading takes numba half a
    second.
    """

    @wraps(kernel)
    def call(values: Array, valid: BoolArray, masked: bool, *further: Any) -> None:
        if not masked or valid.any():
            kernel(values, valid, masked, *further)

    return call


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


@where_valid
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


@where_valid
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
                if low == high or place == below or (low == -np.inf and high < np.inf):
                    out[i, start + j] = low
                else:
                    out[i, start + j] = low + (high - low) * (place - below)


@where_valid
@compiled
def sums(values, valid, masked, total, count):  # type: ignore[no-untyped-def]
    """Sum and number of valid values over axis 0, added to `total` (p; int64 or float64) and `count` (p)."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        sums_here = total[start:stop]
        counts_here = count[start:stop]
        for k in range(n):
            row = values[k, start:stop]
            if masked:
                use = valid[k, start:stop]
                for j in range(stop - start):
                    sums_here[j] += row[j] if use[j] else row.dtype.type(0)
                    counts_here[j] += use[j]
            else:
                for j in range(stop - start):
                    sums_here[j] += row[j]
                    counts_here[j] += 1


@where_valid
@compiled
def products(values, valid, masked, total, count):  # type: ignore[no-untyped-def]
    """Product of valid values over axis 0 onto `total` (p; float64, ones at the start) and their number."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        total_here = total[start:stop]
        counts_here = count[start:stop]
        for k in range(n):
            row = values[k, start:stop]
            use = valid[k, start:stop] if masked else valid[0]
            for j in range(stop - start):
                known = use[j] if masked else True
                total_here[j] *= np.float64(row[j]) if known else 1.0
                counts_here[j] += known


@where_valid
@compiled
def squared_deviations(values, valid, masked, mean, total):  # type: ignore[no-untyped-def]
    """Sum of squared deviations from `mean` (p) over axis 0, added to `total` (p, float64)."""
    n, pixels = values.shape
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        mean_here = mean[start:stop]
        total_here = total[start:stop]
        for k in range(n):
            row = values[k, start:stop]
            use = valid[k, start:stop] if masked else valid[0]
            for j in range(stop - start):
                deviation = row[j] - mean_here[j]
                known = use[j] if masked else True
                total_here[j] += deviation * deviation if known else 0.0


@where_valid
@compiled
def extremes(values, valid, masked, bottom, top, low, high, count):  # type: ignore[no-untyped-def]
    """Smallest and largest valid value over axis 0 (p each), and their number, added to `count` (p).

    `bottom` and `top` are the smallest and largest value of the dtype.
    """
    n, pixels = values.shape
    undefined = np.empty(BLOCK, np.bool_)
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        low_here = low[start:stop]
        high_here = high[start:stop]
        counts_here = count[start:stop]
        for j in range(stop - start):
            low_here[j] = top
            high_here[j] = bottom
            undefined[j] = False
        for k in range(n):
            row = values[k, start:stop]
            use = valid[k, start:stop] if masked else valid[0]
            for j in range(stop - start):
                value = row[j]
                known = use[j] if masked else True
                # Only NaN is unequal to itself; no comparison with it is true.
                undefined[j] |= known & (value != value)
                low_here[j] = value if known & (value < low_here[j]) else low_here[j]
                high_here[j] = value if known & (value > high_here[j]) else high_here[j]
                counts_here[j] += known
        for j in range(stop - start):
            if undefined[j]:
                low_here[j] = np.nan
                high_here[j] = np.nan
