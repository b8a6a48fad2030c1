"""The inner loops of the resampling kernel, compiled.

They follow GDAL's warper (`alg/gdalwarpkernel.cpp`) formula by formula: which neighbours count, how weights
are renormalised over valid ones, and when a target pixel is null. All take `values` (layers, rows, columns),
`valid` of the same shape (or with no layers, where all is valid), the source box's corner `x0, y0`, and
absolute source positions of the target centres; sums are float64 in a fixed order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
_EDGE = 1e-10  # a centre this close to the next pixel counts as in it (GDAL's own tolerance)

BILINEAR, CUBIC, CUBICSPLINE, LANCZOS = 1, 2, 3, 4
STEPS = 65536.0
"""Places between two pixel centres that bilinear interpolation tells apart: 0.15 mm in a pixel of 10 m."""


@njit(nogil=True, cache=True, inline="always")
def _inside(x: float, y: float, x0: int, y0: int, width: int, height: int) -> bool:
    """True where the position lies in the source box."""
    # False for NaN and infinities too
    return x0 <= x + _EDGE and y0 <= y + _EDGE and x - _EDGE <= x0 + width and y - _EDGE <= y0 + height


@njit(nogil=True, cache=True, inline="always")
def _pixel(x: float, x0: int, width: int) -> int:
    return min(max(math.floor(x + _EDGE) - x0, 0), width - 1)


@njit(nogil=True, cache=True)
def near(
    values: Array, valid: Array, x0: int, y0: int, columns: Array, rows: Array, out: Array, out_valid: Array
) -> None:
    """Nearest neighbour: the pixel that the centre lies in."""
    layers, height, width = values.shape
    masked = valid.shape[0] > 0
    for n in range(layers):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                x, y = columns[r, c], rows[r, c]
                if _inside(x, y, x0, y0, width, height):
                    i, j = _pixel(x, x0, width), _pixel(y, y0, height)
                    if not masked or valid[n, j, i]:
                        out[n, r, c] = values[n, j, i]
                        out_valid[n, r, c] = True


@njit(nogil=True, cache=True, inline="always")
def store(out: Array, n: int, r: int, c: int, value: float, integer: bool, low: float, high: float) -> None:
    """Write one value: integers rounded to the nearest (halves upward) and cut to their range."""
    if integer:
        value = math.floor(value + 0.5)
        value = min(max(value, low), high)
    out[n, r, c] = value


@njit(nogil=True, cache=True, inline="always")
def fraction(f: float) -> float:
    """The place between two pixel centres, in whole 1/65536: products of two such weights are exact.

    Sums of them times integers of up to 16 bits are exact, too, in whatever order they are computed.
    """
    return math.floor(f * STEPS + 0.5) / STEPS


@njit(nogil=True, cache=True, inline="always")
def _bilinear_at(
    values: Array, valid: Array, masked: bool, n: int, i: int, j: int, fx: float, fy: float
) -> tuple[float, float]:
    """Weighted sum and sum of weights of the valid ones among the 2 x 2 pixels from (j, i)."""
    height, width = values.shape[1], values.shape[2]
    total = 0.0
    weights = 0.0
    for b in range(2):
        jj = j + b
        if jj < 0 or jj >= height:
            continue
        wy = fy if b == 1 else 1.0 - fy
        for a in range(2):
            ii = i + a
            if ii < 0 or ii >= width or (masked and not valid[n, jj, ii]):
                continue
            weight = (fx if a == 1 else 1.0 - fx) * wy
            if weight != 0.0:  # a neighbour without weight must not bring its NaN in
                total += weight * values[n, jj, ii]
                weights += weight
    return total, weights


@njit(nogil=True, cache=True)
def bilinear(
    values: Array,
    valid: Array,
    x0: int,
    y0: int,
    columns: Array,
    rows: Array,
    integer: bool,
    low: float,
    high: float,
    out: Array,
    out_valid: Array,
) -> None:
    """Bilinear over 2 x 2 pixels, where nothing is shrunk."""
    layers, height, width = values.shape
    masked = valid.shape[0] > 0
    for n in range(layers):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                x, y = columns[r, c], rows[r, c]
                if not _inside(x, y, x0, y0, width, height):
                    continue
                floor_x, floor_y = math.floor(x - 0.5), math.floor(y - 0.5)
                fx, fy = fraction(x - 0.5 - floor_x), fraction(y - 0.5 - floor_y)
                i, j = floor_x - x0, floor_y - y0
                if fx == 1.0:
                    fx, i = 0.0, i + 1
                if fy == 1.0:
                    fy, j = 0.0, j + 1
                whole = fx > 0.0 and fy > 0.0 and i >= 0 and j >= 0 and i + 1 < width and j + 1 < height
                if whole and masked:
                    whole = (
                        valid[n, j, i]
                        and valid[n, j, i + 1]
                        and valid[n, j + 1, i]
                        and valid[n, j + 1, i + 1]
                    )
                if (
                    whole
                ):  # the same sums in the same order as below, without the branches; weights add up to 1
                    a, b = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy)
                    d, e = (1.0 - fx) * fy, fx * fy
                    total = a * values[n, j, i] + b * values[n, j, i + 1]
                    total = total + d * values[n, j + 1, i] + e * values[n, j + 1, i + 1]
                    store(out, n, r, c, total, integer, low, high)
                    out_valid[n, r, c] = True
                    continue
                at_i = min(max(i + (1 if fx >= 0.5 else 0), 0), width - 1)
                at_j = min(max(j + (1 if fy >= 0.5 else 0), 0), height - 1)
                if masked and not valid[n, at_j, at_i]:
                    continue
                total, weights = _bilinear_at(values, valid, masked, n, i, j, fx, fy)
                if weights >= 0.00001:
                    store(out, n, r, c, total / weights, integer, low, high)
                    out_valid[n, r, c] = True


@njit(nogil=True, cache=True)
def cubic(
    values: Array,
    valid: Array,
    x0: int,
    y0: int,
    columns: Array,
    rows: Array,
    integer: bool,
    low: float,
    high: float,
    out: Array,
    out_valid: Array,
) -> None:
    """Cubic convolution (a = -0.5) over 4 x 4 pixels, where nothing is shrunk.

    Bilinear wherever one of the sixteen pixels is missing, as GDAL has it.
    """
    layers, height, width = values.shape
    masked = valid.shape[0] > 0
    wx = np.empty(4)
    wy = np.empty(4)
    for n in range(layers):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                x, y = columns[r, c], rows[r, c]
                if not _inside(x, y, x0, y0, width, height):
                    continue
                floor_x, floor_y = math.floor(x - 0.5), math.floor(y - 0.5)
                fx, fy = x - 0.5 - floor_x, y - 0.5 - floor_y
                i, j = floor_x - x0, floor_y - y0
                whole = i >= 1 and j >= 1 and i + 2 < width and j + 2 < height
                if whole and masked:
                    for b in range(-1, 3):
                        for a in range(-1, 3):
                            whole = whole and valid[n, j + b, i + a]
                if whole:
                    _convolution(fx, wx)
                    _convolution(fy, wy)
                    total = 0.0
                    for b in range(4):
                        line = 0.0
                        for a in range(4):
                            line += wx[a] * values[n, j + b - 1, i + a - 1]
                        total += wy[b] * line
                    store(out, n, r, c, total, integer, low, high)
                    out_valid[n, r, c] = True
                    continue
                if masked and not valid[n, _pixel(y, y0, height), _pixel(x, x0, width)]:
                    continue
                total, weights = _bilinear_at(values, valid, masked, n, i, j, fx, fy)
                if weights >= 0.00001:
                    store(out, n, r, c, total / weights, integer, low, high)
                    out_valid[n, r, c] = True


@njit(nogil=True, cache=True, inline="always")
def _convolution(f: float, weights: Array) -> None:
    """Keys's cubic convolution with a = -0.5 at a distance f from the second of four samples."""
    f2, f3 = f * f, f * f * f
    weights[0] = 0.5 * (-f + 2.0 * f2 - f3)
    weights[1] = 1.0 + 0.5 * (-5.0 * f2 + 3.0 * f3)
    weights[2] = 0.5 * (f + 4.0 * f2 - 3.0 * f3)
    weights[3] = 0.5 * (-f2 + f3)


@njit(nogil=True, cache=True)
def _weight(kind: int, x: float) -> float:
    """Value of a filter at a distance in (scaled) source pixels."""
    d = abs(x)
    if kind == BILINEAR:
        return 1.0 - d if d <= 1.0 else 0.0
    if kind == CUBIC:
        if d <= 1.0:
            return d * d * (1.5 * d - 2.5) + 1.0
        return d * (d * (-0.5 * d + 2.5) - 4.0) + 2.0 if d <= 2.0 else 0.0
    if kind == CUBICSPLINE:
        if d <= 1.0:
            return (4.0 + d * d * (3.0 * d - 6.0)) / 6.0
        return (2.0 - d) * (2.0 - d) * (2.0 - d) / 6.0 if d <= 2.0 else 0.0
    if d == 0.0:
        return 1.0
    if d >= 3.0:
        return 0.0
    angle = math.pi * d
    return 3.0 * math.sin(angle) * math.sin(angle / 3.0) / (angle * angle)


@njit(nogil=True, cache=True)
def weighted(
    values: Array,
    valid: Array,
    x0: int,
    y0: int,
    columns: Array,
    rows: Array,
    scale_x: Array,
    scale_y: Array,
    kind: int,
    radius: int,
    integer: bool,
    low: float,
    high: float,
    out: Array,
    out_valid: Array,
) -> None:
    """A separable filter, stretched by 1 / scale where the target is coarser (scale < 1) against aliasing."""
    layers, height, width = values.shape
    masked = valid.shape[0] > 0
    wx = np.empty(64)
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            x, y = columns[r, c], rows[r, c]
            if not _inside(x, y, x0, y0, width, height):
                continue
            sx, sy = min(scale_x[r, c], 1.0), min(scale_y[r, c], 1.0)
            reach_x, reach_y = math.ceil(radius / sx), math.ceil(radius / sy)
            floor_x, floor_y = math.floor(x - 0.5), math.floor(y - 0.5)
            fx, fy = x - 0.5 - floor_x, y - 0.5 - floor_y
            i, j = int(floor_x) - x0, int(floor_y) - y0
            first_i, last_i = max(i + 1 - reach_x, 0), min(i + reach_x, width - 1)
            first_j, last_j = max(j + 1 - reach_y, 0), min(j + reach_y, height - 1)
            if wx.size < 2 * reach_x + 2:
                wx = np.empty(2 * reach_x + 2)
            for ii in range(first_i, last_i + 1):
                wx[ii - first_i] = _weight(kind, (ii - i - fx) * sx)
            at_i, at_j = _pixel(x, x0, width), _pixel(y, y0, height)
            for n in range(layers):
                if masked and not valid[n, at_j, at_i]:
                    continue
                total = 0.0
                weights = 0.0
                for jj in range(first_j, last_j + 1):
                    line = 0.0
                    line_weights = 0.0
                    for ii in range(first_i, last_i + 1):
                        weight = wx[ii - first_i]
                        if weight != 0.0 and (not masked or valid[n, jj, ii]):
                            line += weight * values[n, jj, ii]
                            line_weights += weight
                    if line_weights != 0.0:
                        wy = _weight(kind, (jj - j - fy) * sy)
                        total += wy * line
                        weights += wy * line_weights
                if weights >= 0.000001:
                    store(out, n, r, c, total / weights, integer, low, high)
                    out_valid[n, r, c] = True
