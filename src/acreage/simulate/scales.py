"""Sizes of things in the simulated landscape and sky, as measured on real data.

They are read from `data/scales.json`, which `scripts/fit_scales.py` writes with each figure's source, and are
no parameters: a simulation cannot be made easier by larger fields or fewer clouds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from acreage.core.errors import InvalidInput


@dataclass(frozen=True)
class ParcelSizes:
    """Log-normal parcel sizes at a place: `median_ha`, and the deviation of the natural logarithm."""

    latitude: float
    median_ha: float
    deviation_log: float


@dataclass(frozen=True)
class CropMix:
    """Shares of the crops around a place (they need not add up to one)."""

    longitude: float
    latitude: float
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class CloudScales:
    """Statistics that the clouds follow.

    Attributes:
        cover: mean share of clouded pixels.
        wide: share of the variance of the cloud field in steps above 40 km.
        gain: amplitude of an octave of the cloud field over that of the next longer one.
        cirrus: share of dates with cirrus at a place.
    """

    cover: float
    wide: float
    gain: float
    cirrus: float


@dataclass(frozen=True)
class SceneErrors:
    """How often the scene classification is wrong; shares 0..1.

    Attributes:
        missed_cloud: of clouded patches that are classified as clear ground.
        bright_as_cloud: of bright built-up or bare patches that are taken for clouds.
        shadow_as_dark, shadow_as_water, shadow_missed: of shadow patches.
        cloud_as_snow: of dense clouds that are taken for snow.
        unclassified: of clear pixels that get no class.
        edge: deviation of the opacity that the classifier sees, pixel by pixel.
    """

    missed_cloud: float
    bright_as_cloud: float
    shadow_as_dark: float
    shadow_as_water: float
    shadow_missed: float
    cloud_as_snow: float
    unclassified: float
    edge: float


@dataclass(frozen=True)
class Scales:
    """All of them."""

    parcels: tuple[ParcelSizes, ...]
    mixes: tuple[CropMix, ...]
    clouds: CloudScales
    errors: SceneErrors

    def parcel_sizes(self, latitude: float) -> tuple[float, float]:
        """Median in square metres and deviation of the logarithm: linear in latitude between the places."""
        places = sorted(self.parcels, key=lambda p: p.latitude)
        low, high = places[0], places[-1]
        share = min(1.0, max(0.0, (latitude - low.latitude) / (high.latitude - low.latitude)))
        median = low.median_ha + share * (high.median_ha - low.median_ha)
        return median * 1e4, low.deviation_log + share * (high.deviation_log - low.deviation_log)

    def mix_at(self, longitude: float, latitude: float) -> dict[str, float]:
        """Shares of the crops at a place: of all known mixes, weighted by the inverse squared distance."""
        total: dict[str, float] = {}
        for mix in self.mixes:
            distance2 = ((mix.longitude - longitude) * 0.65) ** 2 + (mix.latitude - latitude) ** 2
            for name, share in mix.shares:
                total[name] = total.get(name, 0.0) + share / (distance2 + 1.0)
        whole = sum(total.values())
        return {name: share / whole for name, share in total.items()}


@lru_cache(maxsize=1)
def load_scales() -> Scales:
    """The scales that ship with the package."""
    text = (files("acreage.simulate") / "data" / "scales.json").read_text(encoding="utf-8")
    return scales_from_dict(json.loads(text))


def scales_from_dict(data: dict[str, Any]) -> Scales:
    """Scales from their JSON form, in which every figure is {"value": ..., "source": ...}.

    Raises:
        InvalidInput: an entry is missing or wrong.
    """
    try:
        parcels = tuple(
            ParcelSizes(p["latitude"], p["median_ha"], p["deviation_log"]) for p in data["parcels"]["places"]
        )
        mixes = tuple(
            CropMix(m["longitude"], m["latitude"], tuple(m["shares"].items()))
            for m in data["mixes"]["places"]
        )
        clouds = CloudScales(**{k: float(v["value"]) for k, v in data["clouds"]["used"].items()})
        errors = SceneErrors(**{k: float(v["value"]) for k, v in data["scene_errors"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"These are no scales: {error!r} is missing or wrong.") from error
    return Scales(parcels, mixes, clouds, errors)
