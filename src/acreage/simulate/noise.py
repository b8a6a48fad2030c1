"""Random numbers and smooth noise as functions of whole numbers and of coordinates.

Nothing here has a state: a value depends on its seed and place only, so any window, order or thread sees the
same. Hash: the finaliser of splitmix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import stats

_A, _B, _C = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_S11 = np.uint64(11)
_UNIT = 1.0 / (1 << 53)
LEVELS = 1 << 16
"""Number of values that `gaussian_levels` and `gamma_levels` hold: one for each value of 16 random bits."""


def key_of(*parts: int | str) -> int:
    """A 64-bit key (not negative, below 2**63) of a tuple of names and numbers."""
    digest = hashlib.sha256("\x1f".join(str(p) for p in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@njit(nogil=True, cache=True)
def mix(value: np.uint64) -> np.uint64:
    """The finaliser of splitmix64."""
    value = value + _C
    value = (value ^ (value >> _S30)) * _A
    value = (value ^ (value >> _S27)) * _B
    return value ^ (value >> _S31)


@njit(nogil=True, cache=True)
def hash2(seed: np.uint64, i: int, j: int) -> np.uint64:
    """64 random bits of a place on a lattice."""
    return mix(mix(seed ^ np.uint64(np.int64(i))) ^ np.uint64(np.int64(j)))


@njit(nogil=True, cache=True)
def unit(bits: np.uint64) -> float:
    """64 random bits as a number in [0, 1)."""
    return float(bits >> _S11) * _UNIT


@njit(nogil=True, cache=True)
def normal_of(bits: np.uint64) -> float:
    """64 random bits as a number of mean 0 and deviation 1: the sum of four uniform ones (at most 3.46)."""
    low = np.uint64(0xFFFF)
    total = (
        float(bits & low)
        + float((bits >> np.uint64(16)) & low)
        + float((bits >> np.uint64(32)) & low)
        + float(bits >> np.uint64(48))
    )
    return (total / 65535.0 - 2.0) * 1.7320508075688772


@njit(nogil=True, cache=True)
def _corner(seed: np.uint64, i: int, j: int) -> float:
    return (unit(hash2(seed, i, j)) - 0.5) * 3.4641016151377544


@njit(nogil=True, cache=True)
def value_noise(seed: np.uint64, x: float, y: float) -> float:
    """Value noise on the lattice of whole numbers: random corner values of deviation 1, joined smoothly.

    Mean 0; the deviation is 1 at the corners and about 0.65 over all places.
    """
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    v = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    a, b = int(i), int(j)
    c00, c10 = _corner(seed, a, b), _corner(seed, a + 1, b)
    c01, c11 = _corner(seed, a, b + 1), _corner(seed, a + 1, b + 1)
    top = c00 + u * (c10 - c00)
    return top + v * (c01 + u * (c11 - c01) - top)


@njit(nogil=True, cache=True)
def octaves(seed: np.uint64, x: float, y: float, length: float, count: int, gain: float) -> float:
    """Sum of `count` octaves of value noise; the first has lattice steps of `length` metres.

    Each following octave has half the step and `gain` times the amplitude; scaled to a deviation of about 1.
    Every octave is turned and moved, so that the lattices do not line up.
    """
    total, power, amplitude, scale = 0.0, 0.0, 1.0, 1.0 / length
    px, py = x, y
    for k in range(count):
        key = mix(seed + np.uint64(k))
        total += amplitude * value_noise(key, px * scale + 0.37 * k, py * scale + 0.71 * k)
        power += amplitude * amplitude
        px, py = 0.8 * px - 0.6 * py, 0.6 * px + 0.8 * py
        amplitude *= gain
        scale *= 2.0
    return total / (0.65 * math.sqrt(power))


@njit(nogil=True, cache=True)
def octaves_at(
    seed: np.uint64, x: NDArray[np.float64], y: NDArray[np.float64], length: float, count: int, gain: float
) -> NDArray[np.float32]:
    """`octaves` at each place of flat arrays of coordinates."""
    out = np.empty(x.size, np.float32)
    for i in range(x.size):
        out[i] = octaves(seed, x[i], y[i], length, count, gain)
    return out


def node_range(
    x: NDArray[np.float64], y: NDArray[np.float64], step: float, reach: float = 0.0
) -> tuple[int, int, int, int]:
    """Numbers of the first node, and columns and rows, of the lattice of `step` metres around some places.

    With `reach` metres more on every side. Node (i, j) lies at (i step, j step) whatever was asked for.
    """
    i0, j0 = math.floor((x.min() - reach) / step), math.floor((y.min() - reach) / step)
    return (
        i0,
        j0,
        math.floor((x.max() + reach) / step) + 2 - i0,
        math.floor((y.max() + reach) / step) + 2 - j0,
    )


@njit(nogil=True, cache=True)
def between(nodes: NDArray[Any], i0: int, j0: int, step: float, x: float, y: float, layer: int) -> float:
    """Bilinear value at a place of a layer of (columns, rows, layers) nodes that start at (i0, j0).

    The weights come from the place alone, so that it does not matter which nodes are at hand.
    """
    i, j = math.floor(x / step), math.floor(y / step)
    u, v = (x - i * step) / step, (y - j * step) / step
    a, b = int(i) - i0, int(j) - j0
    south = (1.0 - u) * nodes[a, b, layer] + u * nodes[a + 1, b, layer]
    north = (1.0 - u) * nodes[a, b + 1, layer] + u * nodes[a + 1, b + 1, layer]
    return float((1.0 - v) * south + v * north)


def gaussian_levels() -> NDArray[np.float32]:
    """Normal deviates of mean 0 and deviation 1, one for each of 16 bits."""
    return np.asarray(stats.norm.ppf((np.arange(LEVELS) + 0.5) / LEVELS), np.float32)


def gamma_levels(looks: float) -> NDArray[np.float32]:
    """Gamma deviates of mean 1 and variance 1 / `looks`, one for each of 16 bits."""
    return np.asarray(
        stats.gamma.ppf((np.arange(LEVELS) + 0.5) / LEVELS, looks, scale=1.0 / looks), np.float32
    )
