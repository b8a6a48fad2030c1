"""Compiled loops that fill gaps between numbers along an array."""

from __future__ import annotations

import numpy as np

from acreage.processes.kernels import BLOCK, compiled, inlined, where_valid


@inlined
def _fill_gap(out, out_valid, positions, pixel, first, last):  # type: ignore[no-untyped-def]
    """Fill what lies between the numbers of a pixel at `first` and `last`; arguments as `fill_gaps`."""
    x0, x1 = positions[first], positions[last]
    y0, y1 = np.float64(out[first, pixel]), np.float64(out[last, pixel])
    slope = (y1 - y0) / (x1 - x0)
    for k in range(first + 1, last):
        y = slope * (positions[k] - x0) + y0
        # The second and third form, as in numpy.interp, give a number beside infinities if there is one.
        if y != y:
            y = slope * (positions[k] - x1) + y1
            if y != y and y0 == y1:
                y = y0
        out[k, pixel] = y
        out_valid[k, pixel] = True


@where_valid
@compiled
def fill_gaps(values, valid, masked, positions, out, out_valid):  # type: ignore[no-untyped-def]
    """Interpolate nulls and NaN between numbers of a pixel linearly; ends stay as they are.

    A pass over whole rows counts the numbers of each pixel; only pixels with some numbers, but not all, are
    then looked at one by one.

    Args:
        values: (n, p), any number dtype; `valid`, `masked` as everywhere.
        positions: (n), float64, the places of the elements, in ascending or descending order, each once.
        out: (n, p), float32 or float64, of which every value is exact; the computation is in float64.
        out_valid: (n, p), boolean.
    """
    n, pixels = values.shape
    known = np.empty((n, BLOCK), np.bool_)
    count = np.empty(BLOCK, np.int32)
    for start in range(0, pixels, BLOCK):
        size = min(BLOCK, pixels - start)
        count[:] = 0
        for k in range(n):
            row, filled = values[k, start : start + size], out[k, start : start + size]
            here, filled_valid = known[k, :size], out_valid[k, start : start + size]
            if masked:
                use = valid[k, start : start + size]
                for j in range(size):
                    here[j] = use[j] & (row[j] == row[j])
                    filled[j] = row[j] if here[j] else np.nan
                    filled_valid[j] = use[j]
            else:
                for j in range(size):
                    here[j] = row[j] == row[j]
                    filled[j] = row[j]
                    filled_valid[j] = True
            for j in range(size):
                count[j] += here[j]
        for j in range(size):
            if count[j] < 2 or count[j] == n:
                continue
            last = n
            for k in range(n):
                if known[k, j]:
                    if k - last > 1:
                        _fill_gap(out, out_valid, positions, start + j, last, k)
                    last = k
