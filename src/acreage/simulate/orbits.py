"""Where and when Sentinel-1 and Sentinel-2 pass: circular sun-synchronous orbits that repeat exactly.

The figures of a mission (period, inclination, edges of the swath) and one node of each satellite are set so
that the orbit numbers, dates, times and nodata edges of real items come out; tests compare them.
Across- and along-track coordinates are defined in EPSG:3035, which is good for Europe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import transformer
from acreage.core.temporal import Season

Direction = Literal["ascending", "descending"]
Float = NDArray[np.float64]

GROUND_CRS = "EPSG:3035"
_ECCENTRICITY2 = 0.00669437999  # of the WGS 84 ellipsoid
_STEPS = 400
# Tracks are drawn within these degrees; EPSG:3035 folds over on the other side of the globe.
_SOUTH, _NORTH, _WEST, _EAST = 22.0, 76.0, -50.0, 75.0


@dataclass(frozen=True)
class Satellite:
    """A satellite with the ascending node (UTC) of one orbit, and the days on which it observed."""

    name: str
    orbit: int
    node: datetime
    first: date
    last: date


@dataclass(frozen=True)
class Mission:
    """Orbits and swath of a mission.

    Attributes:
        orbits, days: that many revolutions take that many days, and then repeat.
        inclination: of the orbit, degrees.
        first_node: longitude of the ascending node of relative orbit 1, degrees east.
        swath: left and right edge, metres from the ground track; right of the flight is positive.
        relative: for a satellite's name the n in relative orbit = (absolute - n) mod orbits + 1.
    """

    name: str
    orbits: int
    days: int
    inclination: float
    first_node: float
    swath: tuple[float, float]
    satellites: tuple[Satellite, ...]
    relative: tuple[tuple[str, int], ...]

    @property
    def revolution(self) -> timedelta:
        """Duration of one orbit."""
        return timedelta(days=self.days) / self.orbits

    def relative_orbit(self, satellite: str, absolute: int) -> int:
        """Relative orbit of a satellite's absolute orbit."""
        return (absolute - dict(self.relative)[satellite]) % self.orbits + 1

    def node(self, relative: int) -> float:
        """Longitude of the ascending node of a relative orbit, degrees in -180..180."""
        turned = self.first_node - 360.0 * self.days * (relative - 1) / self.orbits
        return (turned + 180.0) % 360.0 - 180.0


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_EVER = date(2100, 1, 1)
SENTINEL2 = Mission(
    "sentinel-2",
    143,
    10,
    98.62,
    0.9613,
    (-147_000.0, 147_000.0),
    (
        Satellite("sentinel-2a", 42590, _utc("2023-08-18T09:30:44"), date(2015, 7, 4), date(2025, 1, 20)),
        Satellite("sentinel-2b", 33610, _utc("2023-08-13T09:30:44"), date(2017, 3, 15), _EVER),
        Satellite("sentinel-2c", 8996, _utc("2026-05-27T01:17:05"), date(2025, 1, 21), _EVER),
    ),
    (("sentinel-2a", -2), ("sentinel-2b", 27), ("sentinel-2c", 114)),
)
SENTINEL1 = Mission(
    "sentinel-1",
    175,
    12,
    98.18,
    0.1608,
    (364_000.0, 625_500.0),
    (
        Satellite("sentinel-1a", 39156, _utc("2021-08-09T17:27:45"), date(2014, 10, 3), _EVER),
        Satellite("sentinel-1b", 30148, _utc("2021-12-23T04:33:30"), date(2016, 9, 26), date(2021, 12, 23)),
    ),
    (("sentinel-1a", 73), ("sentinel-1b", 27)),
)
MISSIONS = {m.name: m for m in (SENTINEL1, SENTINEL2)}


@dataclass(frozen=True, eq=False)
class Track:
    """The ground track of half an orbit in EPSG:3035, by ascending y.

    Attributes:
        x, y: metres.
        slope: dx/dy.
        argument: degrees from the ascending node along the orbit.
    """

    direction: Direction
    x: Float
    y: Float
    slope: Float
    argument: Float

    def across(self, x: Float, y: Float) -> Float:
        """Metres from the track, positive to the right of the flight; float64 of the inputs' shape.

        Infinite beyond the ends of the track.
        """
        if len(self.y) < 2:
            return np.full(np.shape(y), np.inf)
        slope = np.interp(y, self.y, self.slope)
        distance = (x - np.interp(y, self.y, self.x)) / np.sqrt(1.0 + slope * slope)
        beside = (y >= self.y[0]) & (y <= self.y[-1])
        return np.where(beside, distance if self.direction == "ascending" else -distance, np.inf)

    def along(self, x: Float, y: Float) -> Float:
        """Degrees from the ascending node along the orbit; float64 of the inputs' shape."""
        slope = np.interp(y, self.y, self.slope)
        foot = y + (x - np.interp(y, self.y, self.x)) * slope / (1.0 + slope * slope)
        return np.asarray(np.interp(foot, self.y, self.argument))

    def edge(self, across: float) -> Float:
        """The line at a distance to the right of the flight: (points, 2), EPSG:3035, by ascending y."""
        sign = 1.0 if self.direction == "ascending" else -1.0
        return np.column_stack([self.x + sign * across * np.sqrt(1.0 + self.slope**2), self.y])


@lru_cache(maxsize=512)
def track(mission: str, relative: int, direction: Direction) -> Track:
    """The track of a relative orbit over Europe's latitudes."""
    facts = MISSIONS[mission]
    steps = np.linspace(10.0, 85.0, _STEPS)
    argument = steps if direction == "ascending" else 180.0 - steps
    tilt, u = math.radians(facts.inclination), np.radians(argument)
    latitude = np.arcsin(math.sin(tilt) * np.sin(u))
    turned = np.degrees(np.unwrap(np.arctan2(math.cos(tilt) * np.sin(u), np.cos(u))))
    longitude = turned + facts.node(relative) - 360.0 * facts.days / facts.orbits * argument / 360.0
    latitude = np.degrees(np.arctan(np.tan(latitude) / (1.0 - _ECCENTRICITY2)))
    longitude = (longitude + 180.0) % 360.0 - 180.0
    near = (latitude > _SOUTH) & (latitude < _NORTH) & (longitude > _WEST) & (longitude < _EAST)
    x, y = transformer("EPSG:4326", GROUND_CRS).transform(longitude[near], latitude[near])
    order = np.argsort(y)
    x, y = np.asarray(x)[order], np.asarray(y)[order]
    slope = np.gradient(x, y) if len(y) > 1 else np.zeros(len(y))
    return Track(direction, x, y, slope, argument[near][order])


@dataclass(frozen=True)
class Pass:
    """One satellite on one half of an orbit.

    Attributes:
        satellite: as `sentinel-2a`.
        node: time of the ascending node, UTC.
        shift: metres by which this pass lies to the right of the nominal track.
    """

    mission: str
    satellite: str
    absolute_orbit: int
    relative_orbit: int
    direction: Direction
    node: datetime
    shift: float = 0.0

    @property
    def track(self) -> Track:
        """Its ground track."""
        return track(self.mission, self.relative_orbit, self.direction)

    @property
    def letters(self) -> str:
        """As in product names: `S2A`."""
        kind, number = self.satellite.split("-")
        return f"{kind[0].upper()}{number.upper()}"

    def inside(self, x: Float, y: Float) -> NDArray[np.bool_]:
        """Which points of EPSG:3035 lie in the swath."""
        return self.inside_by(x, y, 0.0)

    def inside_by(self, x: Float, y: Float, metres: float) -> NDArray[np.bool_]:
        """Which points of EPSG:3035 lie in the swath, at least so many metres from its edges."""
        left, right = MISSIONS[self.mission].swath
        across = self.track.across(x, y) - self.shift
        return np.asarray((across >= left + metres) & (across <= right - metres))

    def time(self, argument: float) -> datetime:
        """When the satellite is so many degrees after its ascending node (UTC)."""
        return self.node + MISSIONS[self.mission].revolution * (argument / 360.0)

    def time_at(self, x: float, y: float) -> datetime:
        """When a point of EPSG:3035 is seen (UTC)."""
        return self.time(float(self.track.along(np.array(x), np.array(y))))


def coverage(
    mission: str, bounds: tuple[float, float, float, float]
) -> tuple[tuple[int, Direction, float], ...]:
    """Relative orbits that see an area: (relative orbit, direction, share of the area), the widest first."""
    x, y = np.meshgrid(np.linspace(bounds[0], bounds[2], 15), np.linspace(bounds[1], bounds[3], 15))
    left, right = MISSIONS[mission].swath
    directions: tuple[Direction, ...] = (
        ("descending",) if mission == "sentinel-2" else ("ascending", "descending")
    )
    found: list[tuple[int, Direction, float]] = []
    for direction in directions:
        for relative in range(1, MISSIONS[mission].orbits + 1):
            across = track(mission, relative, direction).across(x, y)
            if share := float(((across >= left) & (across <= right)).mean()):
                found.append((relative, direction, share))
    return tuple(sorted(found, key=lambda f: (-f[2], f[0])))


def passes(
    mission: str, orbits: tuple[tuple[int, Direction], ...], season: Season, place: tuple[float, float]
) -> tuple[Pass, ...]:
    """Every pass on these relative orbits whose time over `place` (EPSG:3035) lies in the season, by time."""
    facts, found = MISSIONS[mission], []
    for satellite in facts.satellites:
        start = datetime.combine(season.first, datetime.min.time(), UTC) - timedelta(days=1)
        begin = math.floor((start - satellite.node) / facts.revolution)
        number = math.ceil(timedelta(days=(season.last - season.first).days + 3) / facts.revolution)
        for step in range(begin, begin + number + 1):
            absolute = satellite.orbit + step
            relative = facts.relative_orbit(satellite.name, absolute)
            for wanted, direction in orbits:
                if wanted != relative:
                    continue
                node = satellite.node + facts.revolution * step
                one = Pass(mission, satellite.name, absolute, relative, direction, node)
                if len(one.track.y) < 2:  # on the other side of the globe
                    continue
                day = one.time_at(*place).date()
                if satellite.first <= day <= satellite.last and season.first <= day <= season.last:
                    found.append(one)
    return tuple(sorted(found, key=lambda p: (p.node, p.satellite, p.direction)))
