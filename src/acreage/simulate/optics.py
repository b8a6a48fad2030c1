"""The forward model of Sentinel-2 L2A: ground and sky to what the sensor's products hold, on any window of
pixels.

Noise is drawn for each pixel of the sensor's lattice by the key of the datatake, so that two granules of one
datatake in one zone hold the same pixels where they overlap, and windows agree with the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.simulate.curves import BANDS, Phenology
from acreage.simulate.ground import Patch
from acreage.simulate.noise import LEVELS, gaussian_levels, hash2, key_of, mix
from acreage.simulate.scales import SceneErrors
from acreage.simulate.scene_classes import classify
from acreage.simulate.sky import SkyPatch
from acreage.simulate.surface import B10, B20, B60, reflectance, sensor_surface

__all__ = ["OpticalImage", "digital_numbers", "optical", "reflectance"]

NOISE = 0.0035
"""Deviation of the reflectance noise at a reflectance of 0.25; invented, within the sensor's requirement."""
CALIBRATION = 0.012
"""Deviation of a datatake's error of the atmospheric correction, as a factor; invented."""
# By band of BANDS; all invented: what haze adds at its densest, the brightness of clouds, how dark shadows
# are.
HAZE = (0.070, 0.055, 0.040, 0.030, 0.025, 0.020, 0.018, 0.014, 0.012, 0.012, 0.005, 0.003)
CLOUD = (0.66, 0.65, 0.64, 0.66, 0.67, 0.68, 0.68, 0.69, 0.69, 0.60, 0.50, 0.38)
CIRRUS = (0.17, 0.17, 0.165, 0.165, 0.165, 0.16, 0.16, 0.155, 0.15, 0.10, 0.09, 0.07)
SHADOW = (0.45, 0.50, 0.56, 0.60, 0.62, 0.63, 0.63, 0.64, 0.64, 0.64, 0.66, 0.66)
_LEVELS = gaussian_levels()
_U = np.uint64


@dataclass(frozen=True, eq=False)
class OpticalImage:
    """A window of a Sentinel-2 L2A scene.

    Attributes:
        bands: surface reflectance 0..1 as the product has it, float32, each on its own pixels (10, 20 or
        60 m).
        scl: scene classification, uint8, 20 m; never 0, which is for pixels outside of the swath.
    """

    bands: dict[str, NDArray[np.float32]]
    scl: NDArray[np.uint8]


def optical(
    phenology: Phenology,
    patch: Patch,
    sky: SkyPatch,
    day: date,
    key: int | str,
    origin: tuple[int, int],
    errors: SceneErrors,
    noise: float = 1.0,
) -> OpticalImage:
    """What Sentinel-2 sees of a window.

    Args:
        patch: the ground at the centres of 10 m pixels (H, W), both even; multiples of 6 for the 60 m bands.
        sky: the sky at the centres of 20 m pixels (H / 2, W / 2).
        day: of the observation.
        key: of all random numbers: the same for all granules of a datatake in one UTM zone.
        origin: column and row of the window's first 10 m pixel on the zone's lattice (for UTM: x / 10 and
            -y / 10 of its upper left corner); even, and multiples of 6 for the 60 m bands.
        errors: how often the scene classification is wrong.
        noise: factor of the noise; 0 leaves it and the correction's error out.

    Raises:
        InvalidInput: the sides or the origin do not fit the coarser pixels.
    """
    rows, columns = patch.shape
    if sky.cloud.shape != (rows // 2, columns // 2):
        raise InvalidInput(
            f"A sky of {sky.cloud.shape} does not fit a ground of {patch.shape}: it is at 20 m."
        )
    if origin[0] % 2 or origin[1] % 2:
        raise InvalidInput(f"The origin {origin} lies within a 20 m pixel.")
    number = _U(key_of("optical", key))
    ground = sensor_surface(phenology, patch, day)
    if origin[0] % 6 or origin[1] % 6:
        ground.pop(60, None)
    skies = {10: (sky, 2), 20: (sky, 1)}
    if 60 in ground:
        skies[60] = (sky.coarser(3), 1)
    bands: dict[str, NDArray[np.float32]] = {}
    for metres, names in ((10, B10), (20, B20), (60, B60)):
        if metres not in ground:
            continue
        above, factor = skies[metres]
        which = np.array([BANDS.index(b) for b in names])
        place = (origin[0] * 10 // metres, origin[1] * 10 // metres)
        air = np.array([HAZE, CLOUD, CIRRUS, SHADOW], np.float32)[:, which]
        gains = np.array([1.0 + noise * CALIBRATION * _drawn(number, b) for b in which], np.float32)
        through_air(
            ground[metres], above.cloud, above.cirrus, above.haze, above.shadow, factor, air, gains,
            _U(mix(number + _U(metres))), place[0], place[1], NOISE * noise, _LEVELS,
        )  # fmt: skip
        bands |= {name: ground[metres][i] for i, name in enumerate(names)}
    place = (origin[0] // 2, origin[1] // 2)
    return OpticalImage(bands, classify(bands, sky, number, place, errors))


def digital_numbers(
    reflectances: NDArray[np.float32], outside: NDArray[np.bool_] | None = None, offset: int = 0
) -> NDArray[np.uint16]:
    """Reflectances as a product stores them: 10000 times, plus `offset`; 0 is nodata, and 1 the least else.

    `offset` is 1000 from processing baseline 04.00 on (where BOA_ADD_OFFSET is -1000).
    """
    out = np.empty(reflectances.shape, np.uint16)
    _numbers(reflectances, float(offset), out)
    if outside is not None:
        out[outside] = 0
    return out


def _drawn(number: np.uint64, band: int) -> float:
    return float(_LEVELS[int(hash2(number, int(band), 77)) % LEVELS])


@njit(nogil=True, cache=True)
def _numbers(values: NDArray[np.float32], offset: float, out: NDArray[np.uint16]) -> None:
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = min(
                np.float32(65535),
                max(np.float32(1), values[i, j] * np.float32(10000) + np.float32(offset + 0.5)),
            )


@njit(nogil=True, cache=True)
def through_air(
    values: NDArray[np.float32],
    cloud: NDArray[np.float32],
    cirrus: NDArray[np.float32],
    haze: NDArray[np.float32],
    shadow: NDArray[np.float32],
    factor: int,
    air: NDArray[np.float32],
    gains: NDArray[np.float32],
    key: np.uint64,
    column: int,
    row: int,
    noise: float,
    levels: NDArray[np.float32],
) -> None:
    """Put the sky and the noise on (bands, rows, columns) reflectances, in place.

    A sky's pixel covers `factor` x `factor` of them. `air` (4, bands): haze, cloud, cirrus, shadow. One hash
    serves four bands of a pixel, 16 bits each.
    """
    bands, rows, columns = values.shape
    one = np.float32(1.0)
    for i in range(rows):
        for j in range(columns):
            a, b = i // factor, j // factor
            c, v, h, s = cloud[a, b], cirrus[a, b], haze[a, b], shadow[a, b]
            bits = hash2(key, column + j, row + i)
            for k in range(bands):
                if k % 4 == 0 and k:
                    bits = mix(bits)
                drawn = levels[(bits >> _U(16 * (k % 4))) & _U(0xFFFF)]
                value = values[k, i, j]
                value *= one - s * air[3, k]
                value += h * (air[0, k] - np.float32(0.15) * value)
                value += v * (air[2, k] - np.float32(0.3) * value)
                value += c * (air[1, k] - value)
                size = np.float32(noise) * np.sqrt(np.float32(0.25) + np.float32(3.0) * value)
                value = value * gains[k] + size * drawn
                values[k, i, j] = max(np.float32(0.0001), value)
