"""Options of the crop type commands on Sentinel-1: orbit direction, calibration and unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import typer

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.croptype.orbits import OrbitChoice, choose_orbit
from acreage.croptype.workflow import CubeSettings

OrbitOption = Annotated[
    str,
    typer.Option(
        help="S1 orbit direction: ascending, descending, best (the one that covers the area more) or both."
    ),
]
CoefficientOption = Annotated[
    str,
    typer.Option(help="What the S1 collection is calibrated to, such as sigma0-ellipsoid, gamma0-terrain."),
]
UnitOption = Annotated[
    str, typer.Option(help="Unit of the S1 composites in the series: linear (power) or db (decibels).")
]


def s1_unit(text: str) -> Literal["linear", "db"]:
    """The unit itself.

    Raises:
        InvalidInput: it is none.
    """
    if text == "linear":
        return "linear"
    if text == "db":
        return "db"
    raise InvalidInput(f"{text!r} is not a unit of S1 composites.", hint="Use linear or db.")


@dataclass
class OrbitPicker:
    """Chooses the orbit direction of each area, once, and remembers why."""

    catalog: Catalog
    season: Season
    settings: CubeSettings
    asked: str
    choices: dict[Box, OrbitChoice] = field(default_factory=dict)

    def __call__(self, area: Box) -> CubeSettings:
        """The settings for an area."""
        if area not in self.choices:
            self.choices[area] = choose_orbit(self.catalog, area, self.season, self.settings, self.asked)
        return self.choices[area].applied(self.settings)

    def told(self) -> str:
        """What was chosen for all areas, a line for people."""
        chosen = [c.chosen for c in self.choices.values()]
        if len(self.choices) == 1:
            return str(next(iter(self.choices.values())))
        parts = [f"{d} in {chosen.count(d)} areas" for d in dict.fromkeys(sorted(chosen))]
        return f"Sentinel-1 orbit ({self.asked} asked): {', '.join(parts)}"
