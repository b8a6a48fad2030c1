"""What a simulated surface reflects and scatters on a day: covers, spectra and backscatter curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput

Float = NDArray[np.float64]
Term = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Backscatter:
    """A backscatter curve: sigma0 in dB without vegetation, and double logistic terms in dB."""

    base: float
    terms: tuple[Term, ...]

    def on(self, days: Float) -> Float:
        """sigma0 in dB on days of the year (any shape)."""
        return np.asarray(self.base + double_logistics(self.terms, days))


@dataclass(frozen=True)
class Cover:
    """A crop or another land cover.

    Attributes:
        name: crop name, which is also the label of its parcels.
        code: value in the truth raster; 0 for covers that are no crop class.
        is_crop: grown on arable parcels; the others are laid over the landscape by their own shares.
        landcover: WorldCover code.
        share: share of the arable parcels (crops) or of the other parcels (covers).
        green, dry: double logistic terms of the cover fractions, 0..1.
        green_spectrum, dry_spectrum: reflectance 0..1 in the order of `Phenology.bands`.
        flower: (day, width, reflectance added at full flower), or None.
        vv, vh: backscatter curves.
    """

    name: str
    code: int
    is_crop: bool
    landcover: int
    share: float
    colour: str
    green: tuple[Term, ...]
    dry: tuple[Term, ...]
    green_spectrum: tuple[float, ...]
    dry_spectrum: tuple[float, ...]
    flower: tuple[float, float, tuple[float, ...]] | None
    vv: Backscatter
    vh: Backscatter


@dataclass(frozen=True)
class Phenology:
    """All covers of a simulation, with the soil's spectrum and the names of the bands."""

    bands: tuple[str, ...]
    soil: tuple[float, ...]
    covers: tuple[Cover, ...]

    @property
    def crops(self) -> tuple[Cover, ...]:
        """Covers of arable parcels."""
        return tuple(c for c in self.covers if c.is_crop)

    @property
    def others(self) -> tuple[Cover, ...]:
        """Covers of all other parcels."""
        return tuple(c for c in self.covers if not c.is_crop)

    def reflectance(self, cover: Cover, days: Float, vigour: Float | float = 1.0) -> Float:
        """Surface reflectance (bands, *days.shape), 0..1.

        `days`: day of the year as the parcel feels it (its sowing date's shift taken off). `vigour` scales
        the green cover.
        """
        green = np.clip(double_logistics(cover.green, days) * vigour, 0.0, 1.0)
        dry = np.clip(double_logistics(cover.dry, days), 0.0, 1.0 - green)
        flower = np.zeros_like(green)
        if cover.flower is not None:
            flower = green * np.exp(-0.5 * ((days - cover.flower[0]) / cover.flower[1]) ** 2)
        out = np.empty((len(self.bands), *green.shape))
        for i, soil in enumerate(self.soil):
            out[i] = soil + green * (cover.green_spectrum[i] - soil) + dry * (cover.dry_spectrum[i] - soil)
            if cover.flower is not None:
                out[i] += flower * cover.flower[2][i]
        return out


def double_logistics(terms: tuple[Term, ...], days: Float) -> Float:
    """Sum of double logistic curves h (1 / (1 + e^((s - t) / a)) - 1 / (1 + e^((e - t) / b))).

    A term is (h, s, a, e, b): height, mid-day and width of the rise, mid-day and width of the fall, in days.
    """
    total = np.zeros(np.shape(days))
    for height, start, rise, end, fall in terms:
        up = 1.0 / (1.0 + np.exp(np.clip((start - days) / rise, -60, 60)))
        down = 1.0 / (1.0 + np.exp(np.clip((end - days) / fall, -60, 60)))
        total = total + height * (up - down)
    return total


def load_phenology() -> Phenology:
    """The phenology that ships with the package (invented figures of plausible size)."""
    text = (files("acreage.simulate") / "data" / "phenology.json").read_text(encoding="utf-8")
    return phenology_from_dict(json.loads(text))


def phenology_from_dict(data: dict[str, Any]) -> Phenology:
    """A phenology from its JSON form.

    Raises:
        InvalidInput: an entry is missing, or a spectrum has another length than the list of bands.
    """
    try:
        bands, soil = tuple(data["bands"]), tuple(data["soil"])
        covers = tuple(_cover(entry) for entry in data["covers"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"This is no phenology: {error!r} is missing or wrong.") from error
    for spectrum in (soil, *(s for c in covers for s in (c.green_spectrum, c.dry_spectrum))):
        if len(spectrum) != len(bands):
            raise InvalidInput(f"A spectrum has {len(spectrum)} values for {len(bands)} bands.")
    return Phenology(bands, soil, covers)


def _cover(entry: dict[str, Any]) -> Cover:
    flower = entry.get("flower")
    return Cover(
        name=entry["name"],
        code=int(entry["code"]),
        is_crop=entry["kind"] == "crop",
        landcover=int(entry["landcover"]),
        share=float(entry["share"]),
        colour=entry["colour"],
        green=_terms(entry["green"]),
        dry=_terms(entry["dry"]),
        green_spectrum=tuple(entry["green_spectrum"]),
        dry_spectrum=tuple(entry["dry_spectrum"]),
        flower=None if flower is None else (flower["day"], flower["width"], tuple(flower["offset"])),
        vv=Backscatter(entry["vv"]["base"], _terms(entry["vv"]["terms"])),
        vh=Backscatter(entry["vh"]["base"], _terms(entry["vh"]["terms"])),
    )


def _terms(rows: list[list[float]]) -> tuple[Term, ...]:
    return tuple((h, s, a, e, b) for h, s, a, e, b in rows)
