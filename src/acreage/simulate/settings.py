"""What a simulated scene is to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import numpy as np

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid, transformer, utm_crs
from acreage.core.temporal import Season

Orbit = Literal["ascending", "descending"]


@dataclass(frozen=True)
class SceneSettings:
    """All that determines a simulated scene: the same settings give the same bytes of pixels.

    Attributes:
        centre: longitude and latitude in degrees; the scene lies in the UTM zone of this point. North of the
            equator, for the crop calendars are northern ones.
        size_km: side of the square in kilometres; a whole number of 40 m steps.
        season: first and last day of the observations, within one year.
        seed: of all random numbers.
        parcel_ha: mean size of a parcel in hectares.
        arable_share: share of the parcels that are arable.
        s2_interval_days, s1_interval_days: days between two observations of a sensor.
        s1_orbits: orbit directions, taken in turn.
        cloudy: scales the cloud cover of the dates; 0 gives a cloud-free season.
        swath_edge_every: on every so manieth S2 date an edge of the swath crosses the scene; 0 never.
        noise: standard deviation of the reflectance noise, 0..1.
        looks: equivalent number of looks of the radar speckle; 0 gives none.
        train_share: share of the parcels of each crop that are marked for training.
    """

    centre: tuple[float, float] = (4.06, 50.75)
    size_km: float = 2.56
    season: Season = field(default_factory=lambda: Season(date(2019, 3, 1), date(2019, 10, 31)))
    seed: int = 1
    parcel_ha: float = 2.5
    arable_share: float = 0.78
    s2_interval_days: int = 5
    s1_interval_days: int = 6
    s1_orbits: tuple[Orbit, ...] = ("ascending",)
    cloudy: float = 1.0
    swath_edge_every: int = 8
    noise: float = 0.004
    looks: float = 12.0
    train_share: float = 0.5

    def __post_init__(self) -> None:
        longitude, latitude = self.centre
        problems = [
            (
                not (-180 <= longitude <= 180 and 0 < latitude <= 84),
                f"the centre {self.centre} (longitude -180 to 180, latitude above 0 and up to 84)",
            ),
            (not 0.16 <= self.size_km <= 110, f"a size of {self.size_km} km (0.16 to 110)"),
            (self.season.first.year != self.season.last.year, f"a season over two years ({self.season})"),
            (self.s2_interval_days < 1 or self.s1_interval_days < 1, "an interval of less than a day"),
            (not self.s1_orbits, "no Sentinel-1 orbit"),
            (not 0.1 <= self.parcel_ha <= 1000, f"parcels of {self.parcel_ha} ha (0.1 to 1000)"),
            (not 0 < self.arable_share <= 1, f"an arable share of {self.arable_share} (0 to 1)"),
            (not 0 < self.train_share < 1, f"a training share of {self.train_share} (0 to 1)"),
            (self.cloudy < 0 or self.noise < 0 or self.looks < 0, "a negative cloudiness, noise or looks"),
        ]
        if found := [text for wrong, text in problems if wrong]:
            raise InvalidInput(f"A scene cannot be simulated with {', '.join(found)}.")

    @property
    def box(self) -> Box:
        """The scene's 10 m pixels, with edges on multiples of 40 m."""
        crs = utm_crs(*self.centre)
        x, y = transformer("EPSG:4326", crs).transform(*self.centre)
        steps = max(1, round(self.size_km * 1000 / 40))
        west, north = round(x / 40 - steps / 2) * 40, round(y / 40 + steps / 2) * 40
        return Grid.snapped(crs, 10.0).box_covering(west, north - steps * 40, west + steps * 40, north)

    def dates(self, interval: int, first: int) -> tuple[date, ...]:
        """Observation dates: every `interval` days from `first` days after the season's first day."""
        days = (self.season.last - self.season.first).days
        return tuple(self.season.first + timedelta(d) for d in range(first, days + 1, interval))

    def rng(self, *stream: int | str) -> np.random.Generator:
        """Random numbers of a named stream; one stream never depends on how much another was used."""
        key = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in stream]
        return np.random.default_rng([self.seed, *key])
