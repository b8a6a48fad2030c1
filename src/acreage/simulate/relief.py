"""The simulated relief: elevation as a function of coordinates. Its sizes are invented; there is no sea."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.simulate.noise import mix, octaves


@njit(nogil=True, cache=True)
def elevation_of(seed: np.uint64, x: float, y: float) -> float:
    """Metres above the sea: plains with hills, and here and there mountains of up to about 2500 m."""
    key = mix(seed ^ np.uint64(0xE1E7))
    mountains = max(0.0, octaves(key, x, y, 320e3, 4, 0.55) - 0.9)
    plain = 110.0 + 55.0 * octaves(mix(key + np.uint64(101)), x, y, 70e3, 3, 0.5)
    hills = octaves(mix(key + np.uint64(202)), x, y, 6e3, 6, 0.48)
    size = 16.0 + 180.0 * min(1.5, mountains)
    height = plain + 1100.0 * mountains + size * hills
    # Softly above zero, so that the ground has no edges.
    return 6.0 * math.log1p(math.exp(min(height / 6.0, 60.0))) if height < 300.0 else height


@njit(nogil=True, cache=True)
def elevations(seed: np.uint64, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """`elevation_of` at each place of flat arrays."""
    out = np.empty(x.size, np.float32)
    for i in range(x.size):
        out[i] = elevation_of(seed, x[i], y[i])
    return out
