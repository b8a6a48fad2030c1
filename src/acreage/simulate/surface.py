"""Reflectance of the simulated ground: parcels' curves looked up for pixels, and averaged to the sensor's."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.simulate.calendar import felt_day
from acreage.simulate.curves import BANDS, ROWS, STEPS, Phenology
from acreage.simulate.ground import Patch
from acreage.simulate.noise import hash2, mix, normal_of

B10 = ("blue", "green", "red", "nir")
B20 = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
B60 = ("coastal", "nir09")
BANDS_10 = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
"""The ten bands that maps are made from."""
DARKEST = 0.002
_WEEKS = 40.0  # days between the times at which a parcel's greenness is drawn
_U = np.uint64


def reflectance(
    phenology: Phenology, patch: Patch, day: date, bands: tuple[str, ...] = BANDS_10
) -> NDArray[np.float32]:
    """Reflectance of the ground (bands, *patch.shape), float32, 0..1: the truth, without atmosphere and
    noise.

    Raises:
        InvalidInput: a band is none of Sentinel-2's.
    """
    if unknown := [b for b in bands if b not in BANDS]:
        raise InvalidInput(f"There is no band {', '.join(unknown)}.", hint=f"There are: {', '.join(BANDS)}.")
    out = np.empty((len(bands), int(np.prod(patch.shape))), np.float32)
    which = np.array([BANDS.index(b) for b in bands], np.int64)
    t = phenology.tables
    _each(
        float(day_of_year(day)), patch.parcel.ravel(), patch.cover.ravel(), patch.vigour.ravel(),
        patch.shift_days.ravel(), patch.season_days.ravel(),
        t.base, t.change, t.brightness, t.greenness, which, out,
    )  # fmt: skip
    return out.reshape(len(bands), *patch.shape)


def sensor_surface(phenology: Phenology, patch: Patch, day: date) -> dict[int, NDArray[np.float32]]:
    """Reflectance of the ground on the sensor's pixels: {10: (4, H, W), 20: (6, H/2, W/2), 60: (2, H/6,
    W/6)}.

    `patch` holds the ground at the centres of 10 m pixels (H, W); coarser pixels are means of these. 60 m
    is left
    out where a side is no multiple of 6. Bands in the order of B10, B20 and B60.

    Raises:
        InvalidInput: a side is odd.
    """
    rows, columns = patch.shape
    if rows % 2 or columns % 2:
        raise InvalidInput(f"{rows} x {columns} pixels of 10 m make no 20 m pixels: both sides must be even.")
    sixty = rows % 6 == 0 and columns % 6 == 0
    out = {
        10: np.empty((len(B10), rows, columns), np.float32),
        20: np.empty((len(B20), rows // 2, columns // 2), np.float32),
    }
    sixties = np.zeros((len(B60), -(-rows // 6), -(-columns // 6)), np.float32)
    t = phenology.tables
    order = np.array([BANDS.index(b) for b in (*B10, *B20, *B60)], np.int64)
    _squares(
        float(day_of_year(day)), patch.parcel, patch.cover, patch.vigour, patch.shift_days, patch.season_days,
        np.ascontiguousarray(t.base[:, order]), np.ascontiguousarray(t.change[:, :, order]),
        t.brightness, t.greenness, out[10], out[20], sixties,
    )  # fmt: skip
    if sixty:
        out[60] = sixties
    return out


def day_of_year(day: date) -> int:
    """1 on the first of January."""
    return day.timetuple().tm_yday


@njit(nogil=True, cache=True)
def table_row(day: float, season: float, shift: float) -> int:
    """The tables' row of a place on a day of the year."""
    return math.floor((felt_day(day, season) - shift) * STEPS) % ROWS


@njit(nogil=True, cache=True)
def parcel_factors(parcel: int, day: float, brightness: float, greenness: float) -> tuple[float, float]:
    """A parcel's own factors of the base and of the change on a day; 1 where there is no parcel."""
    if parcel < 0:
        return 1.0, 1.0
    key = mix(_U(parcel))
    bright = 1.0 + brightness * min(2.0, max(-2.0, normal_of(mix(key ^ _U(21)))))
    at = (day + 80.0 * (float(key >> _U(40)) / 16777216.0)) / _WEEKS
    i = math.floor(at)
    u = at - i
    u = u * u * (3.0 - 2.0 * u)
    drawn = (1.0 - u) * normal_of(hash2(key, i, 22)) + u * normal_of(hash2(key, i + 1, 22))
    return max(0.3, bright), max(0.2, 1.0 + 1.2 * greenness * min(2.0, max(-2.0, drawn)))


@njit(nogil=True, cache=True)
def _each(
    day: float,
    parcel: NDArray[np.int64],
    cover: NDArray[np.uint8],
    vigour: NDArray[np.float32],
    shift: NDArray[np.float32],
    season: NDArray[np.float32],
    base: NDArray[np.float32],
    change: NDArray[np.float32],
    brightness: NDArray[np.float32],
    greenness: NDArray[np.float32],
    bands: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    last, last_cover, bright, green = -2, -1, 1.0, 1.0
    for k in range(parcel.size):
        c = cover[k]
        if parcel[k] != last or c != last_cover:
            last, last_cover = parcel[k], c
            bright, green = parcel_factors(last, day, brightness[c], greenness[c])
        row = table_row(day, season[k], shift[k])
        factor = green * vigour[k]
        for b in range(bands.size):
            value = bright * base[c, bands[b]] + factor * change[c, row, bands[b]]
            out[b, k] = max(DARKEST, value)


@njit(nogil=True, cache=True)
def _squares(
    day: float,
    parcel: NDArray[np.int64],
    cover: NDArray[np.uint8],
    vigour: NDArray[np.float32],
    shift: NDArray[np.float32],
    season: NDArray[np.float32],
    base: NDArray[np.float32],
    change: NDArray[np.float32],
    brightness: NDArray[np.float32],
    greenness: NDArray[np.float32],
    ten: NDArray[np.float32],
    twenty: NDArray[np.float32],
    sixty: NDArray[np.float32],
) -> None:
    """`sensor_surface` pixel by pixel: tables in the order of B10, B20, B60."""
    rows, columns = parcel.shape
    n10, n20, n60 = ten.shape[0], twenty.shape[0], sixty.shape[0]
    quarter, part = np.float32(0.25), np.float32(1.0 / 36.0)
    darkest = np.float32(DARKEST)
    last, last_cover, bright, green = -2, -1, np.float32(1.0), np.float32(1.0)
    last_shift, last_season, row = np.float32(1e9), np.float32(0.0), 0
    sums = np.zeros(n20, np.float32)
    for i in range(0, rows, 2):
        for j in range(0, columns, 2):
            for b in range(n20):
                sums[b] = 0.0
            for s in range(4):
                r, c = i + (s >> 1), j + (s & 1)
                kind = cover[r, c]
                if parcel[r, c] != last or kind != last_cover:
                    last, last_cover = parcel[r, c], kind
                    f = parcel_factors(last, day, brightness[kind], greenness[kind])
                    bright, green = np.float32(f[0]), np.float32(f[1])
                if shift[r, c] != last_shift or season[r, c] != last_season:
                    last_shift, last_season = shift[r, c], season[r, c]
                    row = table_row(day, last_season, last_shift)
                factor = green * vigour[r, c]
                for b in range(n10):
                    ten[b, r, c] = max(darkest, bright * base[kind, b] + factor * change[kind, row, b])
                for b in range(n20):
                    q = n10 + b
                    sums[b] += max(darkest, bright * base[kind, q] + factor * change[kind, row, q])
                for b in range(n60):
                    q = n10 + n20 + b
                    value = max(darkest, bright * base[kind, q] + factor * change[kind, row, q])
                    sixty[b, r // 6, c // 6] += part * value
            for b in range(n20):
                twenty[b, i // 2, j // 2] = quarter * sums[b]
