"""Who grows what: the cover of every parcel, from smooth noise, the relief and the region's crops."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.simulate.noise import hash2, mix, normal_of, octaves, unit
from acreage.simulate.relief import elevation_of

_U = np.uint64
OTHERS = (
    "grassland",
    "broadleaf_forest",
    "conifer_forest",
    "shrubland",
    "built",
    "bare_rock",
    "water",
    "track",
)
"""Covers outside arable land, in the order in which `cover_of` takes their indices."""

CLOSED = ("broadleaf_forest", "conifer_forest", "built", "water", "bare_rock")
"""Covers that go on over the tracks between their parcels."""


@njit(nogil=True, cache=True)
def wild_cover(
    seed: np.uint64, x: float, y: float, area: float, bits: np.uint64, others: NDArray[np.int64]
) -> int:
    """Index of the cover of a parcel at (x, y) that is not arable, or -1.

    Forests, villages, lakes and grassland lie where noises of some kilometres are high; the thresholds, hence
    the shares of the covers, are invented.
    """
    grass, broad, conifer = int(others[0]), int(others[1]), int(others[2])
    shrub, built, rock, water = int(others[3]), int(others[4]), int(others[5]), int(others[6])
    height = elevation_of(seed, x, y)
    fringe = 0.18 * normal_of(bits)
    if octaves(seed ^ _U(71), x, y, 5e3, 3, 0.5) + 0.5 * fringe > 2.1 and height < 900.0:
        return water
    if (
        octaves(seed ^ _U(72), x, y, 2.6e3, 3, 0.55) + fringe > 1.85 - (0.25 if area < 6e3 else 0.0)
        and height < 1100.0
    ):
        return built
    if height > 2000.0 + 300.0 * fringe:
        return rock
    region = 0.35 * octaves(seed ^ _U(73), x, y, 60e3, 3, 0.5)
    wood = octaves(seed ^ _U(74), x, y, 5.5e3, 4, 0.55) + region + fringe + max(0.0, height - 250.0) / 450.0
    if wood > 1.1:
        if height > 1500.0 and unit(mix(bits)) < 0.5:
            return grass
        kind = octaves(seed ^ _U(75), x, y, 15e3, 2, 0.5) + (height - 500.0) / 500.0
        return conifer if kind + fringe > 0.3 else broad
    if wood > 1.04 and unit(mix(bits ^ _U(3))) < 0.5:
        return shrub
    meadow = (
        octaves(seed ^ _U(76), x, y, 5e3, 4, 0.6)
        + 0.4 * region
        + 3.0 * fringe
        + max(0.0, height - 200.0) / 500.0
    )
    return grass if meadow > 0.95 else -1


@njit(nogil=True, cache=True)
def cover_of(
    seed: np.uint64,
    x: float,
    y: float,
    area: float,
    bits: np.uint64,
    others: NDArray[np.int64],
    crops: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> int:
    """Index of the cover of a parcel; `shares` are those of the `crops` in its block, adding up to one."""
    wild = wild_cover(seed, x, y, area, bits, others)
    if wild >= 0:
        return wild
    drawn, total = unit(mix(bits ^ _U(9))), 0.0
    for k in range(crops.size):
        total += shares[k]
        if drawn < total:
            return int(crops[k])
    return int(crops[crops.size - 1])


@njit(nogil=True, cache=True)
def local_shares(seed: np.uint64, x: float, y: float, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The region's shares with the preferences of some 20 km around a place."""
    out = np.empty(shares.size)
    for k in range(shares.size):
        liking = octaves(mix(seed ^ _U(77)) + _U(k), x, y, 22e3, 2, 0.6)
        out[k] = shares[k] * math.exp(0.45 * liking)
    total = out.sum()
    for k in range(out.size):
        out[k] /= total
    return out


@njit(nogil=True, cache=True)
def describe_parcels(
    seed: np.uint64,
    i: int,
    j: int,
    area: NDArray[np.float64],
    middle: NDArray[np.float64],
    others: NDArray[np.int64],
    crops: NDArray[np.int64],
    shares: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Cover, vigour and shift in days of each leaf of a block; leaves without area are tracks.

    `spread` (covers, 2): deviations of shift and vigour.
    """
    n = area.size
    cover, vigour, shift = np.full(n, others[7], np.uint8), np.ones(n, np.float32), np.zeros(n, np.float32)
    key = hash2(seed ^ _U(0xC0FE), i, j)
    for k in range(n):
        if area[k] <= 0.0:
            continue
        bits = mix(key + _U(k))
        c = cover_of(seed, middle[k, 0], middle[k, 1], area[k], bits, others, crops, shares)
        cover[k] = c
        late = min(2.2, max(-2.2, normal_of(mix(bits ^ _U(11)))))
        strong = min(2.2, max(-2.2, normal_of(mix(bits ^ _U(12)))))
        shift[k] = spread[c, 0] * late
        vigour[k] = max(0.1, 1.0 + spread[c, 1] * strong)
    return cover, vigour, shift
