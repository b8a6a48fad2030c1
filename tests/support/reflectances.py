"""Real Sentinel-2 pixels by scene, as files have them, and faults of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from acreage.catalog.plausibility import BandSample, Verdict, judge_reflectance

Array = NDArray[Any]
BANDS = {"B02": "blue", "B04": "red", "B08": "nir"}
STEP = 4  # every fourth pixel of whole granules


@dataclass(frozen=True)
class Scene:
    """A date of a place.

    Attributes:
        name: item id.
        bands: digital numbers by band, 0 is null, no offset in them.
        scl: scene classification, same shape.
    """

    name: str
    bands: Mapping[str, Array]
    scl: Array


def real_scenes(real_data: Path) -> list[Scene]:
    """All 72 dates of the site in Flanders, and the four whole granules in the Alps."""
    scenes = []
    for folder in sorted((real_data / "flanders-2019" / "sentinel-2-l2a").iterdir()):
        if folder.is_dir():
            scl = read(folder / "scl.tif").repeat(2, 0).repeat(2, 1)
            scenes.append(Scene(folder.name, {b: read(folder / f"{a}.tif") for b, a in BANDS.items()}, scl))
    for folder in sorted((real_data / "s2-earthsearch/full_products/sentinel-2-l2a").iterdir()):
        if folder.is_dir():
            bands = {b: read(folder / f"{b}.tif")[::STEP, ::STEP] for b in BANDS}
            scenes.append(Scene(folder.name, bands, read(folder / "SCL.tif")[::STEP, ::STEP]))
    return scenes


def read(path: Path) -> Array:
    with rasterio.open(path) as file:
        values: Array = file.read(1)
    return values


def moved(values: Array, by: int) -> Array:
    """Valid numbers moved as a publisher does it: below 1 becomes 1, null stays null."""
    changed = np.clip(values.astype(np.int64) + by, 1, 65535)
    return np.where(values == 0, 0, changed).astype(np.uint16)


def scaled(values: Array, factor: float) -> Array:
    """Valid numbers times a factor."""
    return np.where(values == 0, 0, np.clip(np.rint(values * factor), 1, 65535)).astype(np.uint16)


# What is done to the numbers, and what the item wrongly says is to be added to them.
FAULTS: Mapping[str, tuple[Callable[[Array], Array], int]] = {
    "offset left in the pixels": (lambda v: moved(v, 1000), 0),
    "offset subtracted twice by the publisher": (lambda v: moved(v, -1000), 0),
    "offset subtracted again by what the item says": (lambda v: v, -1000),
    "a tenth of the numbers": (lambda v: scaled(v, 0.1), 0),
    "ten times the numbers": (lambda v: scaled(v, 10.0), 0),
}


def judged(scene: Scene, change: Callable[[Array], Array] = lambda v: v, dn_offset: int = 0) -> Verdict:
    """The verdict on a scene whose numbers were changed."""
    changed = {band: change(values) for band, values in scene.bands.items()}
    samples = {band: BandSample(values, values != 0, dn_offset) for band, values in changed.items()}
    return judge_reflectance(samples, scene.scl)
