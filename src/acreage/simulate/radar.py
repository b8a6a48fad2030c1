"""The forward model of Sentinel-1: sigma0 of the simulated ground, and speckle.

Curves of VV and VH in dB were fitted to real series of ascending and descending passes together; what the
orbit, the incidence angle, the slope and the moisture of the soil add is of invented size.
"""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.simulate.curves import Phenology
from acreage.simulate.ground import Patch
from acreage.simulate.noise import (
    between,
    gamma_levels,
    hash2,
    key_of,
    mix,
    node_range,
    normal_of,
    octaves_at,
)
from acreage.simulate.surface import day_of_year, table_row

Orbit = Literal["ascending", "descending"]
REFERENCE_INCIDENCE = 38.5
"""Degrees: the middle of the swath, for which the curves hold."""
DB_PER_DEGREE = (-0.13, -0.10)
"""Change of VV and VH with the incidence angle, dB; invented, of the size known for crops."""
ORBIT_DB = {"ascending": (0.0, 0.0), "descending": (-0.25, -0.15)}
"""Morning passes meet other moisture and look from the other side; invented."""
WET_DB = (1.1, 0.7)
"""dB that a deviation of the moisture adds to bare soil in VV and VH; invented."""
SLOPE_DB = 9.0
"""dB for a slope of 1 (45 degrees) towards the sensor; invented, small."""
LOOK_AZIMUTH = {"ascending": 80.0, "descending": 280.0}
"""Direction in which a right-looking sensor looks, degrees from north."""
RAIN_NODE = 2000.0
"""Metres between the places at which moisture is computed; linear between them."""
_U = np.uint64


def moisture(x: NDArray[np.float64], y: NDArray[np.float64], day: date, seed: int) -> NDArray[np.float32]:
    """How wet the soil is at places (EPSG:3035 metres) on a day: mean 0, deviation about 1, float32.

    Rain areas of some 80 km; each dries over about eight days while the next one comes.
    """
    shape = np.shape(x)
    x, y = (np.ascontiguousarray(a, np.float64).ravel() for a in (x, y))
    if not x.size:
        return np.empty(shape, np.float32)
    i0, j0, columns, rows = node_range(x, y, RAIN_NODE)
    at_x, at_y = np.meshgrid(
        (i0 + np.arange(columns)) * RAIN_NODE, (j0 + np.arange(rows)) * RAIN_NODE, indexing="ij"
    )
    spell, part = divmod(day.toordinal(), 8)
    weights = {0: part / 8.0, -1: 1.0 - part / 8.0}
    nodes = np.zeros(at_x.size, np.float32)
    for step, weight in weights.items():
        key = _U(key_of("moisture", seed, spell + step))
        nodes += np.float32(weight) * octaves_at(key, at_x.ravel(), at_y.ravel(), 80e3, 3, 0.5)
    # Two independent fields joined by these weights would be calmer between spells.
    nodes /= np.float32(math.hypot(*weights.values()))
    out = np.empty(x.size, np.float32)
    _moisture_at(x, y, i0, j0, nodes.reshape(columns, rows, 1), out)
    return out.reshape(shape)


@njit(nogil=True, cache=True)
def _moisture_at(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    i0: int,
    j0: int,
    nodes: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for k in range(x.size):
        out[k] = between(nodes, i0, j0, RAIN_NODE, x[k], y[k], 0)


def sigma0(
    phenology: Phenology,
    patch: Patch,
    elevation: NDArray[np.float32] | None,
    day: date,
    orbit: Orbit,
    wetness: NDArray[np.float32] | float = 0.0,
    incidence: NDArray[np.float32] | float = REFERENCE_INCIDENCE,
    pixel: float = 10.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Backscatter VV and VH of the ground, linear power, float32 of the patch's shape, without speckle.

    Args:
        patch: the ground, any shape; two-dimensional with rows southward where an elevation is given.
        elevation: metres at the same places, or None for flat ground.
        day: of the observation.
        orbit: direction of the pass.
        wetness: see `moisture`.
        incidence: angle in degrees.
        pixel: metres between the places of the patch, for the slopes.

    Raises:
        InvalidInput: an unknown orbit, or an elevation of another shape.
    """
    if orbit not in ORBIT_DB:
        raise InvalidInput(f"There is no orbit {orbit!r}.", hint="Give ascending or descending.")
    shape = patch.shape
    wet = np.ascontiguousarray(np.broadcast_to(np.asarray(wetness, np.float32), shape)).ravel()
    angle = np.broadcast_to(np.asarray(incidence, np.float32), shape).ravel()
    added = np.zeros((2, wet.size), np.float32)
    for band in (0, 1):
        added[band] = ORBIT_DB[orbit][band] + DB_PER_DEGREE[band] * (angle - np.float32(REFERENCE_INCIDENCE))
    if elevation is not None:
        if elevation.shape != shape or elevation.ndim != 2:
            raise InvalidInput(f"An elevation of {elevation.shape} does not fit a ground of {shape}.")
        added += np.float32(SLOPE_DB) * facing_slope(elevation, pixel, orbit).ravel()
    out = np.empty((2, wet.size), np.float32)
    t = phenology.tables
    _scatter(
        float(day_of_year(day)), patch.parcel.ravel(), patch.cover.ravel(), patch.vigour.ravel(),
        patch.shift_days.ravel(), patch.season_days.ravel(), t.radar, t.green, t.radar_db,
        np.array(WET_DB, np.float32), wet, added, out,
    )  # fmt: skip
    return out[0].reshape(shape), out[1].reshape(shape)


def facing_slope(elevation: NDArray[np.float32], pixel: float, orbit: Orbit) -> NDArray[np.float32]:
    """Slope towards the sensor (rows, columns), -0.5..0.5; positive where the ground faces it."""
    down, right = np.gradient(elevation.astype(np.float32), np.float32(pixel))
    azimuth = math.radians(LOOK_AZIMUTH[orbit])
    rise = right * math.sin(azimuth) - down * math.cos(azimuth)
    return np.asarray(np.clip(rise, -0.5, 0.5), np.float32)


def speckle(
    key: int | str, origin: tuple[int, int], shape: tuple[int, int], looks: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors of the power of VV and VH (rows, columns): gamma of mean 1 and variance 1 / looks, float32.

    `key` names the acquisition; `origin` is the column and row of the first pixel on the product's
    lattice, so that
    any window of an acquisition has the whole's speckle. Pixels are independent; 0 looks gives ones.
    """
    if looks < 0:
        raise InvalidInput(
            f"{looks} looks are not possible.", hint="Give a positive number, or 0 for no speckle."
        )
    out = np.ones((2, *shape), np.float32)
    if looks > 0:
        fill_speckle(_U(key_of("speckle", key)), origin[0], origin[1], _levels(float(looks)), out)
    return out[0], out[1]


@lru_cache(maxsize=8)
def _levels(looks: float) -> NDArray[np.float32]:
    return gamma_levels(looks)


@njit(nogil=True, cache=True)
def fill_speckle(
    key: np.uint64, column: int, row: int, levels: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Fill (2, rows, columns); one hash serves both polarisations."""
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            bits = hash2(key, column + j, row + i)
            out[0, i, j] = levels[bits & _U(0xFFFF)]
            out[1, i, j] = levels[(bits >> _U(24)) & _U(0xFFFF)]


@njit(nogil=True, cache=True)
def _scatter(
    day: float,
    parcel: NDArray[np.int64],
    cover: NDArray[np.uint8],
    vigour: NDArray[np.float32],
    shift: NDArray[np.float32],
    season: NDArray[np.float32],
    radar: NDArray[np.float32],
    green: NDArray[np.float32],
    spread: NDArray[np.float32],
    wet_db: NDArray[np.float32],
    wet: NDArray[np.float32],
    added: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    to_power = np.float32(math.log(10.0) / 10.0)
    last, last_cover = -2, -1
    own = np.zeros(2, np.float32)
    for k in range(parcel.size):
        c = cover[k]
        if parcel[k] != last or c != last_cover:
            last, last_cover = parcel[k], c
            for b in range(2):
                own[b] = 0.0
                if last >= 0:
                    drawn = normal_of(mix(mix(_U(last)) ^ _U(31 + b)))
                    own[b] = spread[c, b] * min(2.0, max(-2.0, drawn))
        row = table_row(day, season[k], shift[k])
        # Moisture shows where the soil does.
        bare = np.float32(1.0) - np.float32(0.7) * min(np.float32(1.0), green[c, row] * vigour[k])
        for b in range(2):
            level = radar[c, row, b] + own[b] + added[b, k] + wet_db[b] * wet[k] * bare
            out[b, k] = np.exp(level * to_power)
