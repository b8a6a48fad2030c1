"""Parts of the median's compiled loops that differ between integers and floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from acreage.engine.composites.gather_kernels import sample_float, sample_integer
from acreage.processes.kernels import inlined
from acreage.processes.resample_numba import STEPS

_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}


@inlined
def _integer(frames, k, width, offset, fraction_x, fraction_y, p):  # type: ignore[no-untyped-def]
    """Bilinear value of pixel `p` of image `k`, all neighbours valid: integers of at most 16 bits."""
    # First along the row, then down: as exact as the sum over four weights. Unsigned positions are not looked
    # at for being counted from the end.
    at = np.uint64(offset[p])
    below, beside = at + np.uint64(width), np.uint64(1)
    fx, fy = np.int64(fraction_x[p]), np.int64(fraction_y[p])
    left, right = np.int64(frames[k, at]), np.int64(frames[k, at + beside])
    upper = (left << np.int64(16)) + (right - left) * fx
    left, right = np.int64(frames[k, below]), np.int64(frames[k, below + beside])
    lower = (left << np.int64(16)) + (right - left) * fx
    return ((upper << np.int64(16)) + (lower - upper) * fy + np.int64(1 << 31)) >> np.int64(32)


@inlined
def _float(frames, k, width, offset, fraction_x, fraction_y, p):  # type: ignore[no-untyped-def]
    """Bilinear value of pixel `p` of image `k`, all neighbours valid: floats."""
    at = np.uint64(offset[p])
    below, beside = at + np.uint64(width), np.uint64(1)
    fx, fy = fraction_x[p] / STEPS, fraction_y[p] / STEPS
    gx, gy = 1.0 - fx, 1.0 - fy
    b, d, e = fx * gy, gx * fy, fx * fy
    # A neighbour without weight must not bring its infinity in; choosing is cheaper than branching.
    first = gx * gy * frames[k, at]
    more = first + b * frames[k, at + beside]
    second = more if b != 0.0 else first
    more = second + d * frames[k, below]
    third = more if d != 0.0 else second
    more = third + e * frames[k, below + beside]
    return more if e != 0.0 else third


def clean_value(frames, k, width, offset, fraction_x, fraction_y, p):  # type: ignore[no-untyped-def]
    """Bilinear value of pixel `p` of image `k`, all neighbours valid; compiled for both types below."""
    raise NotImplementedError


def write_value(frame, valid, width, offset, fraction_x, fraction_y, j, line, c):  # type: ignore[no-untyped-def]
    """Write the bilinear value of pixel `j` to `line[c]`; False: there is none; compiled for both below."""
    raise NotImplementedError


@overload(clean_value, jit_options=_OPTIONS, inline="always")
def _choose_clean(frames, k, width, offset, fraction_x, fraction_y, p):  # type: ignore[no-untyped-def]
    chosen = _integer if isinstance(frames.dtype, types.Integer) else _float

    def value(frames, k, width, offset, fraction_x, fraction_y, p):  # type: ignore[no-untyped-def]
        return chosen(frames, k, width, offset, fraction_x, fraction_y, p)

    return value


@overload(write_value, jit_options=_OPTIONS, inline="always")
def _choose_write(frame, valid, width, offset, fraction_x, fraction_y, j, line, c):  # type: ignore[no-untyped-def]
    if isinstance(frame.dtype, types.Integer):

        def integer(frame, valid, width, offset, fraction_x, fraction_y, j, line, c):  # type: ignore[no-untyped-def]
            return sample_integer(frame, valid, True, width, offset, fraction_x, fraction_y, j, line, c)

        return integer

    def number(frame, valid, width, offset, fraction_x, fraction_y, j, line, c):  # type: ignore[no-untyped-def]
        return sample_float(
            frame, valid, True, width, offset, fraction_x, fraction_y, False, 0.0, 0.0, j, line, c
        )

    return number


def mark_nans(line, undefined):  # type: ignore[no-untyped-def]
    """Note where a line has NaN; compiled to nothing for integers."""
    raise NotImplementedError


def middle_of(one, two, number, known, undefined, target):  # type: ignore[no-untyped-def]
    """The mean of two lines where so many are known, NaN where undefined; of integers in whole halves."""
    raise NotImplementedError


def middle_of_all(one, two, undefined, target):  # type: ignore[no-untyped-def]
    """As `middle_of`, where every pixel has as many observations."""
    raise NotImplementedError


@overload(mark_nans, jit_options=_OPTIONS)
def _choosemark_nans(line, undefined):  # type: ignore[no-untyped-def]
    if isinstance(line.dtype, types.Integer):

        def integers(line, undefined):  # type: ignore[no-untyped-def]
            pass

        return integers

    def floats(line, undefined):  # type: ignore[no-untyped-def]
        for j in range(line.size):
            undefined[j] |= line[j] != line[j]  # as only NaN is

    return floats


@overload(middle_of, jit_options=_OPTIONS)
def _choosemiddle_of(one, two, number, known, undefined, target):  # type: ignore[no-untyped-def]
    if isinstance(one.dtype, types.Integer):

        def integers(one, two, number, known, undefined, target):  # type: ignore[no-untyped-def]
            for j in range(target.size):
                middle = np.float32(np.int32(one[j]) + np.int32(two[j])) * np.float32(0.5)
                target[j] = middle if known[j] == number else target[j]

        return integers

    def floats(one, two, number, known, undefined, target):  # type: ignore[no-untyped-def]
        for j in range(target.size):
            low, high = np.float64(one[j]), np.float64(two[j])
            middle = low if low == high else low * 0.5 + high * 0.5
            result = np.float32(np.nan if undefined[j] else middle)
            target[j] = result if known[j] == number else target[j]

    return floats


@overload(middle_of_all, jit_options=_OPTIONS)
def _choosemiddle_of_all(one, two, undefined, target):  # type: ignore[no-untyped-def]
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
