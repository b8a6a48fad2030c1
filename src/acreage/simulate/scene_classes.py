"""The simulated scene classification (SCL) of Sentinel-2 L2A, with the errors of the real one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.simulate.noise import gaussian_levels, hash2, mix, unit, value_noise
from acreage.simulate.scales import SceneErrors
from acreage.simulate.sky import SkyPatch, means

(
    NODATA,
    DEFECTIVE,
    DARK,
    SHADOW,
    VEGETATION,
    BARE,
    WATER,
    UNCLASSIFIED,
    CLOUD_MEDIUM,
    CLOUD_HIGH,
    CIRRUS,
    SNOW,
) = range(12)
"""Classes of the scene classification (Sentinel-2 Products Specification Document)."""
CLOUD_SEEN, CLOUD_DENSE, SHADOW_SEEN, CIRRUS_SEEN = 0.22, 0.62, 0.35, 0.25
"""Opacities from which on the classifier sees a thing."""
BRIGHT = 0.155
"""Reflectance in the blue from which on clear ground may be taken for a cloud."""
DEFECTIVE_SHARE = 1e-4
PATCH = 14.0
"""Pixels of 20 m: the size of the patches that an error befalls as a whole."""
_U = np.uint64
_GAUSS = gaussian_levels()


def classify(
    bands: dict[str, NDArray[np.float32]],
    sky: SkyPatch,
    key: np.uint64,
    place: tuple[int, int],
    errors: SceneErrors,
) -> NDArray[np.uint8]:
    """SCL of a window at 20 m, from what was seen and the true sky.

    `bands`: observed reflectance, with blue, red and nir at 10 m; `sky` at 20 m; `place`: column and row
    of the
    first 20 m pixel on the zone's lattice.
    """
    blue, red, nir = (means(bands[b], 2) for b in ("blue", "red", "nir"))
    limits = np.array(
        [
            patch_limit(errors.missed_cloud),
            patch_limit(errors.cloud_as_snow),
            patch_limit(errors.bright_as_cloud),
            patch_limit(errors.shadow_as_dark),
            patch_limit(errors.shadow_as_water),
            patch_limit(errors.shadow_missed),
        ]
    )
    out = np.empty(blue.shape, np.uint8)
    fill_classes(
        blue, red, nir, sky.cloud, sky.cirrus, sky.shadow, _U(mix(key ^ _U(0x5C1))), *place, limits,
        errors.edge, errors.unclassified, _GAUSS, out,
    )  # fmt: skip
    return out


@lru_cache(maxsize=64)
def patch_limit(share: float) -> float:
    """The value that this share of the patches' noise exceeds (from a large sample of it)."""
    return float(np.quantile(_sample(), 1.0 - share)) if share > 0 else 1e9


@lru_cache(maxsize=1)
def _sample() -> NDArray[np.float64]:
    return _noise_sample(400)


@njit(nogil=True, cache=True)
def _noise_sample(side: int) -> NDArray[np.float64]:
    out = np.empty(side * side)
    for i in range(side):
        for j in range(side):
            out[i * side + j] = value_noise(_U(987654321), i * 0.731, j * 0.731)
    return out


@njit(nogil=True, cache=True)
def _befalls(key: np.uint64, number: int, column: int, row: int, limit: float) -> bool:
    """Whether an error befalls the patch that a pixel lies in."""
    return value_noise(mix(key + _U(number)), column / PATCH, row / PATCH) > limit


@njit(nogil=True, cache=True)
def _clear(
    blue: float, red: float, nir: float, key: np.uint64, column: int, row: int, limit: float, lost: float
) -> int:
    """Class of a pixel that the classifier takes for clear ground."""
    if blue > BRIGHT and _befalls(key, 3, column, row, limit):
        return CLOUD_MEDIUM
    if unit(hash2(key ^ _U(6), column, row)) < lost:
        return UNCLASSIFIED
    if nir < 0.09 and red < 0.09:
        return WATER if nir < red * 1.1 + 0.004 else DARK
    ndvi = (nir - red) / (nir + red + 1e-6)
    if ndvi > 0.4:
        return VEGETATION
    return BARE if blue < 0.26 else UNCLASSIFIED


@njit(nogil=True, cache=True)
def fill_classes(
    blue: NDArray[np.float32],
    red: NDArray[np.float32],
    nir: NDArray[np.float32],
    cloud: NDArray[np.float32],
    cirrus: NDArray[np.float32],
    shadow: NDArray[np.float32],
    key: np.uint64,
    column: int,
    row: int,
    limits: NDArray[np.float64],
    edge: float,
    lost: float,
    levels: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Fill the classes of (rows, columns) pixels. `limits`: see `classify`."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            c, r = column + j, row + i
            bits = hash2(key, c, r)
            c_seen = cloud[i, j] + edge * levels[bits & _U(0xFFFF)] * (1.0 if cloud[i, j] > 0.0 else 0.5)
            s_seen = shadow[i, j] + edge * levels[(bits >> _U(16)) & _U(0xFFFF)]
            v_seen = cirrus[i, j] + 0.5 * edge * levels[(bits >> _U(32)) & _U(0xFFFF)]
            found = -1
            if c_seen > CLOUD_SEEN:
                if c_seen > CLOUD_DENSE:
                    found = SNOW if c_seen > 0.9 and _befalls(key, 1, c, r, limits[1]) else CLOUD_HIGH
                elif not _befalls(key, 2, c, r, limits[0]):
                    found = CLOUD_MEDIUM
            elif v_seen > CIRRUS_SEEN:
                found = CIRRUS
            elif s_seen > SHADOW_SEEN:
                if _befalls(key, 4, c, r, limits[4]):
                    found = WATER
                elif _befalls(key, 5, c, r, limits[3]):
                    found = DARK
                elif not _befalls(key, 7, c, r, limits[5]):
                    found = SHADOW
            if found < 0:
                found = _clear(blue[i, j], red[i, j], nir[i, j], key, c, r, limits[2], lost)
            if unit(mix(bits)) < DEFECTIVE_SHARE:
                found = DEFECTIVE
            out[i, j] = found
