"""The simulated sky: clouds, their shadows, cirrus and haze over the whole plane at the moment of a datatake.

Every field is a function of the coordinates (EPSG:3035), the seed and the moment, hence without seam between
granules, zones and windows. How much cloud there is, and on which scales, is read from `scales.json`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.stats import norm

from acreage.core.errors import InvalidInput
from acreage.core.grid import transformer
from acreage.simulate.noise import between, key_of, mix, node_range, octaves, value_noise
from acreage.simulate.scales import CloudScales
from acreage.simulate.sun import in_utc, sun_position

WIDE_METRES = 360e3
"""Step of the longest octave of the cloud field."""
OCTAVES = 12
"""Down to steps of 176 m."""
WIDE_OCTAVES = 3
"""Octaves that share the variance `CloudScales.wide`: steps of 360, 180 and 90 km."""
RIM = 0.22
"""How far the cloud field rises, in deviations, from no cloud to a dense one."""
LOWEST_SUN = 8.0
"""Degrees: below, shadows are as long as here."""
SUN_NODE = 50e3
"""Metres between the places at which the sun is looked up; linear between them."""
NODE = 1000.0
"""Metres between the places at which the long octaves, cirrus and haze are computed; linear between them."""
FROM_NODES = 5
"""Octaves of the clouds that are computed at the nodes: steps of 360 to 22.5 km."""
_TURN_X, _TURN_Y = 0.8, 0.6
_U = np.uint64


@dataclass(frozen=True, eq=False)
class SkyPatch:
    """The sky over some places; float32 arrays of their shape, 0..1.

    Attributes:
        cloud: opacity of clouds.
        cirrus: opacity of cirrus.
        haze: amount of haze.
        shadow: how much of the sun clouds take away.
    """

    cloud: NDArray[np.float32]
    cirrus: NDArray[np.float32]
    haze: NDArray[np.float32]
    shadow: NDArray[np.float32]

    def coarser(self, factor: int) -> SkyPatch:
        """Means of `factor` x `factor` places; both sides must be multiples of it."""
        return SkyPatch(*(means(a, factor) for a in (self.cloud, self.cirrus, self.haze, self.shadow)))


class Sky:
    """All skies of a seed. `cloudless` leaves them out: for looking at the ground, not for proofs."""

    def __init__(self, seed: int, scales: CloudScales, cloudless: bool = False) -> None:
        self.seed = seed
        self.scales = scales
        self.cloudless = cloudless
        self._threshold = float(norm.ppf(1.0 - scales.cover))
        self._weights, self._rest = _amplitudes(scales)

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64], moment: datetime) -> SkyPatch:
        """The sky over places (EPSG:3035 metres, any one shape) at a moment.

        `moment` is the datatake's (the same for all its granules), in UTC unless it says otherwise.
        """
        if np.shape(x) != np.shape(y):
            raise InvalidInput(f"Coordinates of shapes {np.shape(x)} and {np.shape(y)} are no places.")
        shape = np.shape(x)
        x, y = (np.ascontiguousarray(a, np.float64).ravel() for a in (x, y))
        out = [np.zeros(x.size, np.float32) for _ in range(4)]
        if not self.cloudless and x.size:
            key = key_of("sky", self.seed, in_utc(moment).replace(microsecond=0).isoformat())
            height = 1000.0 + 3500.0 * (mix_unit(key) ** 2)
            offsets, oi, oj = _toward_sun(x, y, moment, height)
            reach = float(np.abs(offsets).max())
            ni, nj, columns, rows = node_range(x, y, NODE, reach)
            nodes = np.empty((columns, rows, 3), np.float32)
            fill_nodes(_U(key), ni, nj, self._weights, nodes)
            cirrus = float(norm.ppf(1.0 - self.scales.cirrus))
            fill_sky(
                _U(key), x, y, self._weights, self._rest, self._threshold, cirrus,
                offsets, oi, oj, nodes, ni, nj, out[0], out[1], out[2], out[3],
            )  # fmt: skip
        return SkyPatch(*(a.reshape(shape) for a in out))


def means(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of squares of `factor` x `factor` values.

    Raises:
        InvalidInput: a side is no multiple of `factor`.
    """
    rows, columns = values.shape
    if rows % factor or columns % factor:
        raise InvalidInput(f"{rows} x {columns} values cannot be joined by {factor}: take a whole multiple.")
    return np.asarray(values.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3)))


def mix_unit(key: int) -> float:
    """A number in [0, 1) that follows from a key."""
    return int(mix(_U(key))) / 2.0**64


def _amplitudes(scales: CloudScales) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitude of each octave (the sum has deviation 1), and the most that the octaves after it can add."""
    wide = 0.8 ** np.arange(WIDE_OCTAVES)
    fine = scales.gain ** np.arange(OCTAVES - WIDE_OCTAVES)
    wide *= math.sqrt(scales.wide) / (0.65 * math.sqrt((wide**2).sum()))
    fine *= math.sqrt(1 - scales.wide) / (0.65 * math.sqrt((fine**2).sum()))
    weights = np.concatenate([wide, fine])
    rest = math.sqrt(3.0) * (weights.sum() - np.cumsum(weights))
    return weights, rest


def _toward_sun(
    x: NDArray[np.float64], y: NDArray[np.float64], moment: datetime, height: float
) -> tuple[NDArray[np.float64], int, int]:
    """(columns, rows, 2) metres from nodes to the cloud that shades them, and the first node's numbers."""
    i0, j0, columns, rows = node_range(x, y, SUN_NODE)
    to_degrees, to_plane = transformer("EPSG:3035", "EPSG:4326"), transformer("EPSG:4326", "EPSG:3035")
    out = np.zeros((columns, rows, 2))
    for i in range(columns):
        for j in range(rows):
            east, north = (i0 + i) * SUN_NODE, (j0 + j) * SUN_NODE
            longitude, latitude = to_degrees.transform(east, north)
            if not (math.isfinite(longitude) and math.isfinite(latitude)):
                continue
            azimuth, elevation = sun_position(moment, longitude, latitude)
            length = height / math.tan(math.radians(max(LOWEST_SUN, elevation)))
            # The plane's north is not the true one: step towards the sun on the globe, and come back.
            there = to_plane.transform(
                longitude
                + 1e-3 * math.sin(math.radians(azimuth)) / max(0.05, math.cos(math.radians(latitude))),
                latitude + 1e-3 * math.cos(math.radians(azimuth)),
            )
            dx, dy = there[0] - east, there[1] - north
            scale = length / math.hypot(dx, dy)
            out[i, j] = dx * scale, dy * scale
    return out, i0, j0


@njit(nogil=True, cache=True)
def _opacity(
    key: np.uint64,
    x: float,
    y: float,
    wide: float,
    weights: NDArray[np.float64],
    rest: NDArray[np.float64],
    threshold: float,
) -> float:
    """Opacity of clouds at a place where the long octaves add up to `wide`.

    Octaves that can no longer change it are left out.
    """
    total = wide
    px, py, scale = x, y, 2.0**FROM_NODES / WIDE_METRES
    for k in range(FROM_NODES, weights.size):
        if total + rest[k - 1] <= threshold:
            return 0.0
        if total - rest[k - 1] >= threshold + RIM:
            return 1.0
        total += weights[k] * value_noise(mix(key + _U(k)), px * scale + 0.37 * k, py * scale + 0.71 * k)
        px, py = _TURN_X * px - _TURN_Y * py, _TURN_Y * px + _TURN_X * py
        scale *= 2.0
    return min(1.0, max(0.0, (total - threshold) / RIM))


@njit(nogil=True, cache=True)
def fill_nodes(
    key: np.uint64, i0: int, j0: int, weights: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    """Fill (columns, rows, 3) of the nodes from (i0, j0) on: the clouds' long octaves, cirrus and haze."""
    high, air = mix(key ^ _U(0xC1)), mix(key ^ _U(0xA1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            x, y = (i0 + i) * NODE, (j0 + j) * NODE
            total, px, py, scale = 0.0, x, y, 1.0 / WIDE_METRES
            for k in range(FROM_NODES):
                place = px * scale + 0.37 * k, py * scale + 0.71 * k
                total += weights[k] * value_noise(mix(key + _U(k)), place[0], place[1])
                px, py = _TURN_X * px - _TURN_Y * py, _TURN_Y * px + _TURN_X * py
                scale *= 2.0
            out[i, j, 0] = total
            veil = octaves(high, x, 2.5 * y, 250e3, 3, 0.55)
            out[i, j, 1] = veil + 0.15 * value_noise(high, x / 6e3, y / 15e3)
            out[i, j, 2] = 0.18 + 0.2 * octaves(air, x, y, 90e3, 2, 0.5)


@njit(nogil=True, cache=True)
def fill_sky(
    key: np.uint64,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    rest: NDArray[np.float64],
    threshold: float,
    cirrus_threshold: float,
    offsets: NDArray[np.float64],
    oi: int,
    oj: int,
    nodes: NDArray[np.float32],
    ni: int,
    nj: int,
    cloud: NDArray[np.float32],
    cirrus: NDArray[np.float32],
    haze: NDArray[np.float32],
    shadow: NDArray[np.float32],
) -> None:
    """Fill the arrays of a `SkyPatch` for flat arrays of places.

    `offsets`: of `_toward_sun`, from node (oi, oj) on; `nodes`: of `fill_nodes`, from (ni, nj) on.
    """
    for k in range(x.size):
        wide = between(nodes, ni, nj, NODE, x[k], y[k], 0)
        cloud[k] = _opacity(key, x[k], y[k], wide, weights, rest, threshold)
        there_x = x[k] + between(offsets, oi, oj, SUN_NODE, x[k], y[k], 0)
        there_y = y[k] + between(offsets, oi, oj, SUN_NODE, x[k], y[k], 1)
        wide = between(nodes, ni, nj, NODE, there_x, there_y, 0)
        shadow[k] = (1.0 - cloud[k]) * _opacity(key, there_x, there_y, wide, weights, rest, threshold)
        veil = between(nodes, ni, nj, NODE, x[k], y[k], 1)
        cirrus[k] = min(1.0, max(0.0, (veil - cirrus_threshold) / 1.2))
        haze[k] = min(1.0, max(0.0, between(nodes, ni, nj, NODE, x[k], y[k], 2)))
