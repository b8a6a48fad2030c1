"""Generated samples with a known rule behind their labels."""

from __future__ import annotations

from datetime import date

import geopandas as gpd
import numpy as np
import shapely

from acreage.core.temporal import Season
from acreage.croptype.series import Samples, season_dekads
from acreage.croptype.training import TrainingOptions

BANDS = ("B02", "B03", "B04", "B08", "B11", "VV", "VH", "DEM")
SEASON = Season(date(2019, 3, 1), date(2019, 10, 31))
SIZES = {"levels": [[3, 1, 16], [4, 2, 16]], "hidden": 16}
QUICK = TrainingOptions(members=2, epochs=12, patience=12, settings=SIZES)


def make_samples(count: int = 120, seed: int = 0) -> Samples:
    """Two crops that green up in spring or in summer, with a third of the S2 dekads missing."""
    rng = np.random.default_rng(seed)
    dekads = season_dekads(SEASON)
    when = np.arange(len(dekads))
    kind = np.arange(count) % 2
    green = np.exp(-0.5 * ((when - np.where(kind, 15, 7)[:, None]) / 3) ** 2)
    values = np.empty((count, len(dekads), len(BANDS)), np.float32)
    for i, (low, high) in enumerate(((600, 400), (800, 700), (1200, 400), (1800, 4500), (2500, 1600))):
        values[:, :, i] = low + (high - low) * green + rng.normal(0, 60, green.shape)
    values[:, :, 5] = 0.05 + 0.05 * green + rng.gamma(2, 0.005, green.shape)
    values[:, :, 6] = 0.01 + 0.01 * green + rng.gamma(2, 0.001, green.shape)
    values[:, :, 7] = rng.uniform(0, 300, (count, 1))
    values[:, :, :5][rng.random(green.shape) < 0.33] = np.nan
    values[:, :, 5:7][rng.random(green.shape) < 0.1] = np.nan
    ids = np.array([f"s{i:04d}" for i in range(count)])
    return Samples(
        ids,
        np.where(kind, "maize", "wheat"),
        ids,
        np.where(np.arange(count) < count // 2, "north", "south"),
        BANDS,
        tuple(dekads),
        values,
        gpd.GeoSeries([shapely.Point(3 + i * 1e-3, 51) for i in range(count)], crs="EPSG:4326"),
    )
