"""Compiled loops that sample a frame at kept pixels.

The arithmetic is that of `processes.resample_numba`, so that results are equal to the last bit: bilinear
weights are whole multiples of 2 ** -32, and sums of them times integers of up to 16 bits are exact as 64-bit
integers here as they are as 64-bit floats there.
"""

from __future__ import annotations

import math

import numpy as np

from acreage.processes.kernels import compiled, inlined
from acreage.processes.resample_numba import STEPS

_STEPS = int(STEPS)
_HALF = _STEPS // 2


@compiled
def gather_near(frame, valid, masked, offset, keep, pixels, out, ok):  # type: ignore[no-untyped-def]
    """Values of the pixels that the centres lie in; arguments as `gather_integers`."""
    for k in range(pixels.size):
        p = pixels[k]
        at = offset[p]
        ok[k] = False
        if at >= 0 and keep[p] and (not masked or valid[at]):
            out[k] = frame[at]
            ok[k] = True


@compiled
def gather_integers(  # type: ignore[no-untyped-def]
    frame, valid, masked, width, offset, fraction_x, fraction_y, keep, pixels, out, ok
):
    """Bilinear values of kept pixels, of integers of at most 16 bits.

    Args:
        frame: flat, (height * width).
        valid: validity of the frame, looked at where `masked`.
        width: of the frame.
        offset, fraction_x, fraction_y: of every pixel of the window, from `locate_bilinear`.
        keep: of every pixel of the window: False is not looked at.
        pixels: (n) int32: positions of the pixels that are made.
        out: (n), written where `ok`.
        ok: (n) boolean, written.
    """
    for k in range(pixels.size):
        p = pixels[k]
        ok[k] = False
        if keep[p]:
            ok[k] = sample_integer(frame, valid, masked, width, offset, fraction_x, fraction_y, p, out, k)


@compiled
def gather_floats(  # type: ignore[no-untyped-def]
    frame, valid, masked, width, offset, fraction_x, fraction_y, keep, pixels, integer, low, high, out, ok
):
    """Bilinear values of kept pixels of any type, summed as `resample_numba.bilinear` does, in float64.

    `integer`, `low`, `high`: whether the values are rounded, and the range that they are cut to; all else as
    `gather_integers`.
    """
    for k in range(pixels.size):
        p = pixels[k]
        ok[k] = False
        if keep[p]:
            ok[k] = sample_float(
                frame, valid, masked, width, offset, fraction_x, fraction_y, integer, low, high, p, out, k
            )


@inlined
def sample_integer(frame, valid, masked, width, offset, fraction_x, fraction_y, p, out, k):  # type: ignore[no-untyped-def]
    """Write the bilinear value of pixel `p` to `out[k]`; False where there is none (`gather_integers`)."""
    at = offset[p]
    if at < 0:
        return False
    fx, fy = np.int64(fraction_x[p]), np.int64(fraction_y[p])
    gx, gy = np.int64(_STEPS) - fx, np.int64(_STEPS) - fy
    below = at + width
    if not masked or (valid[at] and valid[at + 1] and valid[below] and valid[below + 1]):
        total = gx * gy * np.int64(frame[at]) + fx * gy * np.int64(frame[at + 1])
        total += gx * fy * np.int64(frame[below]) + fx * fy * np.int64(frame[below + 1])
        out[k] = (total + np.int64(1 << 31)) >> np.int64(32)
        return True
    centre = (below if fy >= _HALF else at) + (1 if fx >= _HALF else 0)
    if not valid[centre]:
        return False
    total = np.int64(0)
    weights = np.int64(0)
    for b in range(2):
        wy = fy if b == 1 else gy
        for a in range(2):
            here = at + b * width + a
            weight = (fx if a == 1 else gx) * wy
            if valid[here]:
                total += weight * np.int64(frame[here])
                weights += weight
    if weights < 0.00001 * STEPS * STEPS:
        return False
    out[k] = math.floor(np.float64(total) / np.float64(weights) + 0.5)
    return True


@inlined
def sample_float(  # type: ignore[no-untyped-def]
    frame, valid, masked, width, offset, fraction_x, fraction_y, integer, low, high, p, out, k
):
    """Write the bilinear value of pixel `p` to `out[k]`; False where there is none (`gather_floats`)."""
    at = offset[p]
    if at < 0:
        return False
    fx, fy = fraction_x[p] / STEPS, fraction_y[p] / STEPS
    below = at + width
    total = 0.0
    if (
        fx > 0.0
        and fy > 0.0
        and (not masked or (valid[at] and valid[at + 1] and valid[below] and valid[below + 1]))
    ):
        a, b = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy)
        d, e = (1.0 - fx) * fy, fx * fy
        total = a * frame[at] + b * frame[at + 1]
        total = total + d * frame[below] + e * frame[below + 1]
    else:
        centre = (below if fy >= 0.5 else at) + (1 if fx >= 0.5 else 0)
        if masked and not valid[centre]:
            return False
        weights = 0.0
        for j in range(2):
            wy = fy if j == 1 else 1.0 - fy
            for i in range(2):
                here = at + j * width + i
                weight = (fx if i == 1 else 1.0 - fx) * wy
                if weight != 0.0 and (not masked or valid[here]):
                    total += weight * frame[here]
                    weights += weight
        if weights < 0.00001:
            return False
        total = total / weights
    if integer:
        total = min(max(math.floor(total + 0.5), low), high)
    out[k] = total
    return True
