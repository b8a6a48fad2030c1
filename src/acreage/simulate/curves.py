"""What each crop and land cover reflects and scatters in the course of a year.

A cover's reflectance in a band is its base plus `vigour` times a sum of double logistic curves whose days are
common to all bands; its backscatter in dB is made likewise. The figures were fitted to real labelled series
(`scripts/fit_phenology.py`) and are stated, with their sources and residuals, in `data/curves.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput

Float = NDArray[np.float64]
BANDS = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3",
    "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip
"""Sentinel-2 bands by the names of Earth Search, in the order of wavelength."""
YEAR = 365.25
STEPS = 4
"""Entries of the tables a day."""
ROWS = 1461
"""Entries of the tables a year: four a day."""


@dataclass(frozen=True)
class Term:
    """A double logistic curve of the year, 0..1, and what it adds.

    Attributes:
        rise, fall: (day of the year of the middle, width in days) of its two slopes.
        amount: what is added where the curve is 1: reflectance by band, or dB for VV and VH.
    """

    rise: tuple[float, float]
    fall: tuple[float, float]
    amount: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """Values of several bands through the year: `base` and terms on it."""

    base: tuple[float, ...]
    terms: tuple[Term, ...]

    def on(self, days: Float) -> Float:
        """The values (bands, *days.shape) on days of the year."""
        days = np.asarray(days, np.float64)
        base = np.array(self.base).reshape(-1, *(1,) * days.ndim)
        return np.asarray(base + self.change(days))

    def change(self, days: Float) -> Float:
        """The terms' sum alone (bands, *days.shape)."""
        days = np.asarray(days, np.float64)
        out = np.zeros((len(self.base), *days.shape))
        for term in self.terms:
            amount = np.array(term.amount).reshape(-1, *(1,) * days.ndim)
            out += amount * double_logistic(days, *term.rise, *term.fall)
        return out


@dataclass(frozen=True)
class Spread:
    """How much parcels of one cover differ, as standard deviations.

    Attributes:
        shift_days: of the whole season, days.
        vigour: of the factor of the optical terms.
        brightness: of the factor of the optical base.
        greenness: of the change of vigour within a season.
        radar_db: of the level of VV and VH, dB.
    """

    shift_days: float
    vigour: float
    brightness: float
    greenness: float
    radar_db: tuple[float, float]


@dataclass(frozen=True)
class Cover:
    """A crop or another land cover.

    Attributes:
        name: which is also the label of its parcels.
        code: value in the truth raster; 0 for covers that are no class of the legend.
        is_crop: grown on arable land; the others are laid over the landscape by noise.
        landcover: WorldCover code.
        invented: whether its figures are plausible ones that no data was fitted to.
    """

    name: str
    code: int
    is_crop: bool
    landcover: int
    colour: str
    optical: Curve
    radar: Curve
    spread: Spread
    invented: bool


@dataclass(frozen=True, eq=False)
class Tables:
    """Curves by cover and quarter of a day, for kernels: float32.

    Attributes:
        base: (covers, 12) reflectance.
        change: (covers, 1461, 12) reflectance at vigour 1.
        radar: (covers, 1461, 2) dB.
        green: (covers, 1461) how much of the ground plants hide, 0..1.
        brightness, greenness: (covers,) spreads.
        radar_db: (covers, 2) spreads, dB.
    """

    base: NDArray[np.float32]
    change: NDArray[np.float32]
    radar: NDArray[np.float32]
    green: NDArray[np.float32]
    brightness: NDArray[np.float32]
    greenness: NDArray[np.float32]
    radar_db: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Phenology:
    """All covers of a simulation; a cover's index is its place in `covers`."""

    covers: tuple[Cover, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the optical bands of all curves."""
        return BANDS

    @property
    def crops(self) -> tuple[Cover, ...]:
        """Covers of arable land."""
        return tuple(c for c in self.covers if c.is_crop)

    def index(self, name: str) -> int:
        """Index of a cover by name.

        Raises:
            InvalidInput: there is none of this name.
        """
        names = [c.name for c in self.covers]
        if name not in names:
            raise InvalidInput(f"There is no cover {name!r}.", hint=f"There are: {', '.join(names)}.")
        return names.index(name)

    @cached_property
    def tables(self) -> Tables:
        """The curves at every quarter of a day."""
        days = np.arange(ROWS) / STEPS
        change = np.stack([c.optical.change(days).T for c in self.covers])
        base = np.array([c.optical.base for c in self.covers])
        red, nir = BANDS.index("red"), BANDS.index("nir")
        seen = base[:, None] + change
        ndvi = (seen[..., nir] - seen[..., red]) / (seen[..., nir] + seen[..., red])
        return Tables(
            base=base.astype(np.float32),
            change=change.astype(np.float32),
            radar=np.stack([c.radar.on(days).T for c in self.covers]).astype(np.float32),
            # Ground cover from NDVI between bare soil (0.15) and a closed canopy (0.9), linear.
            green=np.clip((ndvi - 0.15) / 0.75, 0, 1).astype(np.float32),
            brightness=np.array([c.spread.brightness for c in self.covers], np.float32),
            greenness=np.array([c.spread.greenness for c in self.covers], np.float32),
            radar_db=np.array([c.spread.radar_db for c in self.covers], np.float32),
        )


def double_logistic(days: Float, start: float, rise: float, end: float, fall: float) -> Float:
    """1 / (1 + e^((start - t) / rise)) - 1 / (1 + e^((end - t) / fall)), repeated every year.

    After Beck et al. 2006 (doi:10.1016/j.rse.2005.10.021). `start` and `end` are the middles of the slopes in
    days of the year, `rise` and `fall` their widths in days.
    """
    total = np.zeros(np.shape(days))
    within = np.mod(np.asarray(days, np.float64), YEAR)
    for year in (-YEAR, 0.0, YEAR):
        t = within + year
        total = total + 0.5 * (np.tanh((t - start) / (2 * rise)) - np.tanh((t - end) / (2 * fall)))
    return total


def load_phenology() -> Phenology:
    """The phenology that ships with the package."""
    text = (files("acreage.simulate") / "data" / "curves.json").read_text(encoding="utf-8")
    return phenology_from_dict(json.loads(text))


def phenology_from_dict(data: dict[str, Any]) -> Phenology:
    """A phenology from its JSON form.

    Raises:
        InvalidInput: an entry is missing or has another number of bands.
    """
    try:
        covers = tuple(_cover(entry) for entry in data["covers"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"This is no phenology: {error!r} is missing or wrong.") from error
    for cover in covers:
        for curve, number in ((cover.optical, len(BANDS)), (cover.radar, 2)):
            for values in (curve.base, *(t.amount for t in curve.terms)):
                if len(values) != number:
                    raise InvalidInput(
                        f"A curve of {cover.name} has {len(values)} values for {number} bands."
                    )
    return Phenology(covers)


def _cover(entry: dict[str, Any]) -> Cover:
    spread = entry["spread"]
    vv, vh = spread["radar_db"]
    return Cover(
        name=entry["name"],
        code=int(entry["code"]),
        is_crop=bool(entry["crop"]),
        landcover=int(entry["landcover"]),
        colour=entry["colour"],
        optical=_curve(entry["optical"]),
        radar=_curve(entry["radar"]),
        spread=Spread(
            spread["shift_days"], spread["vigour"], spread["brightness"], spread["greenness"], (vv, vh)
        ),
        invented=bool(entry["fit"]["invented"]),
    )


def _curve(entry: dict[str, Any]) -> Curve:
    terms = tuple(Term(tuple(t["rise"]), tuple(t["fall"]), tuple(t["amount"])) for t in entry["terms"])
    return Curve(tuple(entry["base"]), terms)
