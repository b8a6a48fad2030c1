"""What is observed and processed when: acquisitions of Sentinel-2, slices of Sentinel-1."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np

from acreage.simulate.orbits import MISSIONS, Direction, Pass, coverage, passes
from acreage.simulate.publish.products import Processing
from acreage.simulate.settings import ArchiveSettings

BEFORE_OFFSET, SINCE_OFFSET, REPROCESSED = "03.01", "04.00", "05.00"
OLD_IPF, NEW_IPF = "002.84", "003.10"
# Degrees along the orbit at which datatakes over Europe begin, about 72 N.
_DATATAKE_START = 106.4
_KEPT_OFFSET_EVERY = 5
_SHIFT_M, _MAX_SHIFT_M = 300.0, 900.0
_SLICE_SECONDS = 25.0
_CUT_SHARE, _GAP_SHARE, _MISSING_SHARE = 0.35, 0.2, 0.06
_OVERLAP, _GAP = 0.003, 0.005  # degrees along the orbit: 330 m and 550 m


@dataclass(frozen=True)
class Acquisition:
    """A Sentinel-2 datatake with all its processings.

    Attributes:
        sensed: start of the datatake, UTC, whole seconds.
        offset_kept: whether Earth Search failed to remove the offset.
    """

    seen: Pass
    sensed: datetime
    processings: tuple[Processing, ...]
    offset_kept: bool

    @property
    def strip(self) -> datetime:
        """Start of the datastrip, UTC."""
        return self.sensed + timedelta(seconds=1)


@dataclass(frozen=True)
class Slice:
    """A slice of a Sentinel-1 datatake: degrees along the orbit [first, last], its number and software."""

    seen: Pass
    first: float
    last: float
    number: int
    take: int
    software: str

    @property
    def start(self) -> datetime:
        """First moment, UTC."""
        return min(self.seen.time(self.first), self.seen.time(self.last))

    @property
    def end(self) -> datetime:
        """Last moment, UTC."""
        return max(self.seen.time(self.first), self.seen.time(self.last))

    @property
    def has_border_noise(self) -> bool:
        """Processors before IPF 2.90 left noise along the edges of the swath."""
        return self.software == OLD_IPF


def acquisitions(settings: ArchiveSettings) -> tuple[Acquisition, ...]:
    """Sentinel-2 acquisitions of the season, by time."""
    wide = coverage("sentinel-2", settings.area)[: settings.s2_orbits]
    seen = _thinned(settings, "sentinel-2", tuple((r, d) for r, d, _ in wide), settings.s2_every)
    found = []
    for index, one in enumerate(seen):
        sensed = one.time(_DATATAKE_START).replace(microsecond=0)
        old = sensed.date() < settings.switch
        first = Processing(
            BEFORE_OFFSET if old else SINCE_OFFSET, sensed + timedelta(hours=4, minutes=7), "2APS", 0
        )
        processings = [first]
        every = settings.reprocessed_every
        if every and index % every == every // 2:
            later = sensed + timedelta(days=400, hours=9, minutes=31)
            processings.append(Processing(REPROCESSED, later, "S2RP", 1))
        kept = index % _KEPT_OFFSET_EVERY == 2
        found.append(Acquisition(one, sensed, tuple(processings), kept))
    return tuple(found)


def slices(settings: ArchiveSettings) -> tuple[Slice, ...]:
    """Sentinel-1 slices over the area in the season, by time; now and then an acquisition is missing."""
    wide = coverage("sentinel-1", settings.area)
    orbits: list[tuple[int, Direction]] = []
    for direction in settings.s1_directions:
        orbits += [(r, d) for r, d, _ in wide if d == direction][: settings.s1_orbits]
    found: list[Slice] = []
    for one in _thinned(settings, "sentinel-1", tuple(orbits), settings.s1_every):
        rng = _rng(settings, one)
        if rng.random() >= _MISSING_SHARE:
            found += _slices_of(settings, one, rng)
    return tuple(found)


def _thinned(
    settings: ArchiveSettings, mission: str, orbits: tuple[tuple[int, Direction], ...], every: int
) -> list[Pass]:
    found: list[Pass] = []
    for orbit in orbits:
        found += passes(mission, (orbit,), settings.season, settings.centre)[::every]
    return [_shifted(settings, p) for p in sorted(found, key=lambda p: (p.node, p.satellite, p.direction))]


def _shifted(settings: ArchiveSettings, one: Pass) -> Pass:
    metres = float(np.clip(_rng(settings, one, 1).normal(0.0, _SHIFT_M), -_MAX_SHIFT_M, _MAX_SHIFT_M))
    return replace(one, shift=round(metres, 1))


def _slices_of(settings: ArchiveSettings, one: Pass, rng: np.random.Generator) -> list[Slice]:
    """Slices of one pass that reach the area; in a third of the passes two meet over it."""
    west, south, east, north = settings.published
    along = one.track.along(np.array([west, west, east, east]), np.array([south, north, south, north]))
    first, last = float(along.min()), float(along.max())
    middle, half = (first + last) / 2, (last - first) / 2
    length = _SLICE_SECONDS / MISSIONS["sentinel-1"].revolution.total_seconds() * 360.0
    if rng.random() < _CUT_SHARE:
        cut = middle + rng.uniform(-0.5, 0.5) * half
    else:
        cut = middle + half + rng.uniform(0.1, 0.9) * max(length - 2 * half, 0.0)
    begin = cut - math.ceil((cut - first) / length) * length
    old = one.time(middle) < datetime.combine(settings.switch, time.min, UTC)
    found = []
    for k in range(math.ceil((last - begin) / length)):
        low = begin + k * length
        high = low + length + (-_GAP if rng.random() < _GAP_SHARE else _OVERLAP)
        if high > first:
            number = k + 1 + int(rng.integers(1, 9)) * (k == 0)
            found.append(
                Slice(one, low, high, number, one.absolute_orbit * 7 % 0xFFFFF, OLD_IPF if old else NEW_IPF)
            )
    return found


def _rng(settings: ArchiveSettings, one: Pass, stream: int = 0) -> np.random.Generator:
    return np.random.default_rng(
        [settings.seed, one.absolute_orbit, one.mission == "sentinel-1", one.satellite[-1] == "a", stream]
    )
