"""The cloud mask of a scene classification in plain SciPy: shares nothing with the engine.

After the federation's code, as docs/decisions/0010 has it. The peers use it as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, convolve1d, generate_binary_structure

CLEAR = (0, 2, 4, 5, 6, 7)
CLOUD = (3, 8, 9, 10, 11)
SIZES = (17, 77)
THRESHOLDS = (0.057, 0.025)
REACH = max(SIZES) // 2 + 1  # pixels that a mask depends on: half a kernel, and the erosion


def cloud_mask(scl: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True near clouds.

    Args:
        scl: classes at the pixels of the map, 10 m, shape (rows, columns); 0 where there is no data.

    Returns:
        Shape of `scl`. Right at least `REACH` pixels away from its edges; nothing is marked outside.
    """
    cross = generate_binary_structure(2, 1)
    masked = np.zeros(scl.shape, bool)
    marks = (~np.isin(scl, CLEAR), np.isin(scl, CLOUD))
    for marked, size, threshold in zip(marks, SIZES, THRESHOLDS, strict=True):
        if marked.any():
            eroded = binary_erosion(marked, cross, border_value=1).astype(np.float32)
            weights = gaussian(size)
            spread = convolve1d(convolve1d(eroded, weights, 0, mode="constant"), weights, 1, mode="constant")
            masked |= spread > threshold
    return masked


def gaussian(size: int) -> NDArray[np.float64]:
    """Weights of one axis: standard deviation size / 6, sum 1."""
    x = np.arange(size) - size // 2
    weights = np.exp(-(x**2) / (2 * (size / 6) ** 2))
    return np.asarray(weights / weights.sum(), np.float64)
