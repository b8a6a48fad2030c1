"""Non-linear least squares for many pixels side by side: Levenberg (1944), Marquardt (1963).

Every pixel's numbers depend on its own data only, to the last bit, however many are fitted together: sums
run in a fixed order, and the small systems are solved element by element.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import BoolArray

Float = NDArray[np.float64]
Model = Callable[[Float], Float]

_ROUNDS = 200
_STEP = np.sqrt(np.finfo(np.float64).eps)
_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e12
_GAIN, _MOVE = 1e-14, 1e-10  # share of the squares, and of a parameter, below which a pixel is done


def fit(model: Model, y: Float, use: BoolArray, guess: Float) -> tuple[Float, BoolArray]:
    """Parameters with the least squared differences from the model.

    Args:
        model: from parameters (k, pixels) to values (n, pixels); may give NaN.
        y: values (n, pixels).
        use: which of them count, same shape.
        guess: parameters to begin with (k).

    Returns:
        Parameters (k, pixels), and where they are a minimum (pixels); elsewhere they mean nothing.
    """
    count, pixels = len(guess), y.shape[1]
    best = np.repeat(guess[:, None], pixels, axis=1)
    good = np.zeros(pixels, bool)
    active = np.flatnonzero(use.sum(axis=0) >= count)
    damping = np.full(pixels, _DAMPING)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            if not active.size:
                break
            now, target, counts = best[:, active], y[:, active], use[:, active]
            rest = _residuals(model, now, target, counts)
            squares = _total(rest * rest)
            step = _solve(*_normal(model, now, rest, target, counts), damping[active])
            after = _residuals(model, now + step, target, counts)
            less = _total(after * after)
            better = less <= squares
            best[:, active] = np.where(better, now + step, now)
            small = np.all(np.abs(step) <= _MOVE * (np.abs(now) + _MOVE), axis=0)
            done = better & ((squares - less <= _GAIN * squares) | small)
            done |= ~better & (damping[active] >= _MOST_DAMPING) & np.isfinite(squares)
            damping[active] = np.where(
                better, np.maximum(damping[active] / 10, _LEAST_DAMPING), damping[active] * 10
            )
            lost = ~np.isfinite(squares) | (damping[active] > 10 * _MOST_DAMPING)
            good[active[done]] = True
            active = active[~done & ~lost]
    return best, good & np.isfinite(best).all(axis=0)


def _residuals(model: Model, parameters: Float, y: Float, use: BoolArray) -> Float:
    return np.where(use, y - model(parameters), 0.0)


def _normal(
    model: Model, now: Float, rest: Float, y: Float, use: BoolArray
) -> tuple[list[list[Float]], list[Float]]:
    """The normal equations' matrix and right side, by forward differences."""
    slopes = []
    for j in range(len(now)):
        width = _STEP * np.maximum(np.abs(now[j]), 1.0)
        moved = now.copy()
        moved[j] += width
        # The width as it really is in floating point.
        slopes.append((rest - _residuals(model, moved, y, use)) / (moved[j] - now[j]))
    matrix = [[_total(a * b) for b in slopes] for a in slopes]
    return matrix, [_total(a * rest) for a in slopes]


def _solve(matrix: list[list[Float]], right: list[Float], damping: Float) -> Float:
    """(matrix + damping * its diagonal) step = right, by elimination; the matrix is positive definite."""
    size = len(right)
    a, b = [list(row) for row in matrix], list(right)
    for i in range(size):
        a[i][i] = a[i][i] + damping * np.maximum(a[i][i], np.finfo(np.float64).tiny)
    for i in range(size):
        for r in range(i + 1, size):
            share = a[r][i] / a[i][i]
            a[r] = [a[r][c] - share * a[i][c] for c in range(size)]
            b[r] = b[r] - share * b[i]
    step: list[Float] = [np.zeros(0)] * size
    for i in reversed(range(size)):
        known = b[i]
        for c in range(i + 1, size):
            known = known - a[i][c] * step[c]
        step[i] = known / a[i][i]
    return np.stack(step)


def _total(terms: Float) -> Float:
    """Sums over the first axis, one row after the other, whatever the number of pixels."""
    total = np.zeros(terms.shape[1])
    for row in terms:
        total += row
    return total
