"""A tiny archive of random reflectances, cropland in its west, and a model of its bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.support.croptype_samples import QUICK, make_samples
from tests.support.tiny_archive import Layer, TinyArchive

from acreage.core.legend import Legend, LegendClass
from acreage.core.temporal import Season
from acreage.croptype.modelfile import save_model
from acreage.croptype.training import train
from acreage.croptype.workflow import CubeSettings

SETTINGS = CubeSettings(s2_bands=("B02", "B03", "B04", "B08", "B11"), buffer=150.0)
SEASON = Season.parse("2019-03-01/2019-10-31")
ASSETS = ("B02", "B03", "B04", "B08")
DAYS = ("2019-04-02", "2019-06-11", "2019-08-20")
SIZE = 128


def small_archive(folder: Path, scl: int, sigma0: float) -> Path:
    """Three dates of S2 with one scene class everywhere, three of S1; cropland in the west only."""
    rng = np.random.default_rng(5)
    made = TinyArchive(folder)
    half = SIZE // 2
    for n, day in enumerate(DAYS):
        layers = {b: Layer(rng.integers(300, 3000, (SIZE, SIZE)).astype(np.uint16)) for b in ASSETS}
        layers["B11"] = Layer(rng.integers(300, 3000, (half, half)).astype(np.uint16), 20)
        layers["SCL"] = Layer(np.full((half, half), scl, np.uint8), 20)
        made.s2(f"s2-{n}", day, layers)
        radar = Layer(np.full((SIZE, SIZE), sigma0, np.float32), nodata=None)
        made.add(
            "sentinel-1-sigma0",
            f"s1-{n}",
            f"{day}T17:30:00Z",
            {"vv": radar, "vh": radar},
            **{"sat:absolute_orbit": n, "sat:orbit_state": "descending" if n == 0 else "ascending"},
        )
    height = Layer(np.full((50, 50), 20, np.float32), 30, nodata=None)
    made.add("cop-dem-glo-30", "dem", "2021-04-22T00:00:00Z", {"data": height})
    cover = np.full((SIZE, SIZE), 40, np.uint8)
    cover[:, half:] = 10
    made.add("esa-worldcover", "lc", "2021-01-01T00:00:00Z", {"map": Layer(cover)})
    return made.write()


def small_model(folder: Path) -> Path:
    """A model of two crops, trained in seconds on generated series."""
    classes = (
        LegendClass(1, "wheat", "Wheat", "#e0c040", (40,), ("wheat",)),
        LegendClass(2, "maize", "Maize", "#c08020", (40,), ("maize",)),
    )
    path = folder / "model.pt"
    save_model(train(make_samples(), Legend("test", classes), (40,), QUICK), path)
    return path
