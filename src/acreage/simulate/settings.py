"""What a simulated archive is to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid, transformer
from acreage.core.temporal import Season
from acreage.simulate.orbits import GROUND_CRS

Form = Literal["earth-search", "planetary-computer", "cdse"]
Radar = Literal["sigma0", "sigma0-db", "rtc"]
Sensor = Literal["sentinel-2", "sentinel-1", "dem", "worldcover"]
Direction = Literal["ascending", "descending"]

FORMS: tuple[Form, ...] = ("earth-search", "planetary-computer", "cdse")
SENSORS: tuple[Sensor, ...] = ("sentinel-2", "sentinel-1", "dem", "worldcover")
RADARS: tuple[Radar, ...] = ("sigma0", "sigma0-db", "rtc")
_RADAR_OF_FORM: dict[Form, Radar] = {
    "earth-search": "sigma0",
    "planetary-computer": "rtc",
    "cdse": "sigma0-db",
}
# EPSG:3035 and the sun-synchronous tracks are good here.
_EUROPE = (-30.0, 28.0, 50.0, 71.5)
_STEP_M = 20.0


@dataclass(frozen=True)
class ArchiveSettings:
    """All that determines a simulated archive: the same settings give the same pixels.

    How clouds, fields and their noise look is no setting: that is taken from real images and parcels.

    Attributes:
        area: (west, south, east, north) in EPSG:3035 metres, on multiples of 20 m.
        season: first and last day of the observations.
        seed: of the landscape and of all random numbers.
        form: the catalog in whose form the archive is published.
        sensors: what is published.
        s2_orbits: how many of Sentinel-2's relative orbits over the area, the widest first.
        s2_every: keep every so manieth pass of each relative orbit.
        s1_directions: flight directions of Sentinel-1.
        s1_orbits: how many relative orbits of each direction, the widest first.
        s1_every: keep every so manieth pass of each relative orbit.
        radar: how Sentinel-1 is published; None takes what suits the form.
        baseline_switch: first day with processing baseline 04.00; None takes the middle of the season.
        reprocessed_every: every so manieth Sentinel-2 acquisition is published twice, processed anew; 0 none.
        looks: equivalent number of looks of the radar speckle; 0 gives none.
        train_share: share of the crop parcels that are marked for training.
        margin_m: metres by which files reach beyond the area.
        full_granules: whole granules of 109.8 km instead of their part over the area.
    """

    area: tuple[float, float, float, float]
    season: Season = field(default_factory=lambda: Season(date(2019, 3, 1), date(2019, 10, 31)))
    seed: int = 1
    form: Form = "earth-search"
    sensors: tuple[Sensor, ...] = SENSORS
    s2_orbits: int = 2
    s2_every: int = 1
    s1_directions: tuple[Direction, ...] = ("ascending", "descending")
    s1_orbits: int = 1
    s1_every: int = 1
    radar: Radar | None = None
    baseline_switch: date | None = None
    reprocessed_every: int = 8
    looks: float = 12.0
    train_share: float = 0.5
    margin_m: float = 1000.0
    full_granules: bool = False

    def __post_init__(self) -> None:
        west, south, east, north = self.area
        problems = [
            (not all(map(math.isfinite, self.area)), f"an area of {self.area}"),
            (east - west < 160 or north - south < 160, "an area of less than 160 m"),
            (any(v % _STEP_M for v in self.area), f"an area {self.area} that is not on multiples of 20 m"),
            (
                (self.season.last - self.season.first).days > 400,
                f"a season of more than 400 days ({self.season})",
            ),
            (self.season.first < date(2017, 3, 15), f"a season before both Sentinel-2 flew ({self.season})"),
            (not 0 <= self.seed < 2**63, f"the seed {self.seed}"),
            (self.form not in FORMS, f"the form {self.form!r} (known: {', '.join(FORMS)})"),
            (not self.sensors or not set(self.sensors) <= set(SENSORS), f"the sensors {self.sensors}"),
            (self.radar is not None and self.radar not in RADARS, f"radar as {self.radar!r}"),
            (
                min(self.s2_orbits, self.s2_every, self.s1_orbits, self.s1_every) < 1,
                "less than one orbit or pass",
            ),
            (
                not self.s1_directions or not set(self.s1_directions) <= {"ascending", "descending"},
                "no orbit direction",
            ),
            (self.reprocessed_every < 0, "a negative number of reprocessed products"),
            (not 0 <= self.looks < 1000, f"{self.looks} looks (0 to 1000)"),
            (not 0 < self.train_share < 1, f"a training share of {self.train_share} (between 0 and 1)"),
            (not 0 <= self.margin_m <= 20_000, f"a margin of {self.margin_m} m (0 to 20000)"),
        ]
        if found := [text for wrong, text in problems if wrong]:
            raise InvalidInput(f"An archive cannot be simulated with {', '.join(found)}.")
        self._check_place()

    @staticmethod
    def around(centre: tuple[float, float], size_km: float, **rest: Any) -> ArchiveSettings:
        """A square of EPSG:3035 around a longitude and latitude in degrees.

        Raises:
            InvalidInput: the place or another setting cannot be used.
        """
        longitude, latitude = centre
        if not (-180 <= longitude <= 180 and -90 <= latitude <= 90 and 0.16 <= size_km <= 5000):
            raise InvalidInput(
                f"No archive can be simulated around {longitude:g}, {latitude:g} with {size_km:g} km.",
                hint="Longitude, latitude in degrees; 0.16 to 5000 km.",
            )
        x, y = transformer("EPSG:4326", GROUND_CRS).transform(longitude, latitude)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InvalidInput(f"{longitude:g}, {latitude:g} does not lie in Europe.")
        steps = max(8, round(size_km * 1000 / _STEP_M))
        west, south = (round(v / _STEP_M - steps / 2) * _STEP_M for v in (x, y))
        return ArchiveSettings((west, south, west + steps * _STEP_M, south + steps * _STEP_M), **rest)

    @staticmethod
    def within(bbox: tuple[float, float, float, float], **rest: Any) -> ArchiveSettings:
        """The rectangle of EPSG:3035 that covers (west, south, east, north) in degrees.

        Raises:
            InvalidInput: the bounds are empty or outside Europe, or another setting cannot be used.
        """
        west, south, east, north = bbox
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise InvalidInput(f"{bbox} is no area.", hint="West, south, east, north in degrees.")
        bounds = transformer("EPSG:4326", GROUND_CRS).transform_bounds(*bbox, densify_pts=21)
        if not all(map(math.isfinite, bounds)):
            raise InvalidInput(f"{bbox} does not lie in Europe.")
        box = Grid.snapped(GROUND_CRS, _STEP_M).box_covering(*bounds)
        return ArchiveSettings(box.bounds, **rest)

    @property
    def box(self) -> Box:
        """The area's 10 m pixels in EPSG:3035, on which the truth is written."""
        return Grid.snapped(GROUND_CRS, 10.0).box_covering(*self.area)

    @property
    def published(self) -> tuple[float, float, float, float]:
        """The area with its margin, EPSG:3035."""
        west, south, east, north = self.area
        m = self.margin_m
        return (west - m, south - m, east + m, north + m)

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the area, EPSG:3035."""
        west, south, east, north = self.area
        return ((west + east) / 2, (south + north) / 2)

    @property
    def switch(self) -> date:
        """First day with processing baseline 04.00."""
        if self.baseline_switch is not None:
            return self.baseline_switch
        return self.season.first + (self.season.last - self.season.first) / 2

    @property
    def radar_product(self) -> Radar:
        """How Sentinel-1 is published."""
        return self.radar or _RADAR_OF_FORM[self.form]

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees of a rectangle inside the area."""
        west, south, east, north = self.area
        x = np.concatenate(
            [np.linspace(west, east, 21), np.full(21, east), np.linspace(west, east, 21), np.full(21, west)]
        )
        y = np.concatenate(
            [
                np.full(21, south),
                np.linspace(south, north, 21),
                np.full(21, north),
                np.linspace(south, north, 21),
            ]
        )
        lon, lat = (
            np.asarray(v).reshape(4, 21) for v in transformer(GROUND_CRS, "EPSG:4326").transform(x, y)
        )
        return (float(lon[3].max()), float(lat[0].max()), float(lon[1].min()), float(lat[2].min()))

    def _check_place(self) -> None:
        west, south, east, north = transformer(GROUND_CRS, "EPSG:4326").transform_bounds(
            *self.published, densify_pts=21
        )
        a, b, c, d = _EUROPE
        if not (a <= west <= east <= c and b <= south <= north <= d):
            raise InvalidInput(
                f"The area lies at {west:.2f}, {south:.2f}, {east:.2f}, {north:.2f}, outside Europe.",
                hint=f"Archives are simulated within {a:g}, {b:g}, {c:g}, {d:g} degrees.",
            )


def parse_form(text: str) -> Form:
    """A form by its name.

    Raises:
        InvalidInput: there is none of this name.
    """
    for form in FORMS:
        if form == text:
            return form
    raise InvalidInput(f"There is no catalog form {text!r}.", hint=f"Known are {', '.join(FORMS)}.")


def parse_radar(text: str) -> Radar:
    """A radar product by its name.

    Raises:
        InvalidInput: there is none of this name.
    """
    for radar in RADARS:
        if radar == text:
            return radar
    raise InvalidInput(f"Sentinel-1 is not published as {text!r}.", hint=f"Known are {', '.join(RADARS)}.")


def settings_to_dict(settings: ArchiveSettings) -> dict[str, Any]:
    """As JSON has it."""
    switch = settings.baseline_switch
    return {
        **asdict(settings),
        "season": str(settings.season),
        "baseline_switch": None if switch is None else switch.isoformat(),
    }


def settings_from_dict(data: Mapping[str, Any]) -> ArchiveSettings:
    """The settings that `settings_to_dict` wrote.

    Raises:
        InvalidInput: something is missing, unknown or wrong.
    """
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        values["season"] = Season.parse(data["season"])
        if data.get("baseline_switch") is not None:
            values["baseline_switch"] = date.fromisoformat(data["baseline_switch"])
        return ArchiveSettings(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"These are no settings of a simulated archive: {error}.") from error
