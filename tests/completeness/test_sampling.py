"""Sampling is many jobs: a product that one of them loses is in none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from acreage.core.inputs import InputAsset, Inputs
from acreage.core.temporal import Season, period_label
from acreage.croptype.runner import JobResult, Progress
from acreage.croptype.sampling import sample_series
from acreage.croptype.series import season_dekads
from acreage.croptype.workflow import CubeSettings

SEASON = Season.parse("2019-04-01/2019-04-30")
SETTINGS = CubeSettings()


def asset(item: str, fate: str, kind: str = "") -> InputAsset:
    return InputAsset("SENTINEL2_L2A", item, "B04", fate, kind, kind and "Why.")  # type: ignore[arg-type]


@dataclass
class Archive:
    """Runs jobs as an engine does: an item can be read for every point but the one where it is broken.

    The value of a series is the number of items it was made of.
    """

    broken_at: Mapping[str, float]
    areas: list[float] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def run(self, graph: Mapping[str, Any], out: Path, progress: Progress | None = None) -> JobResult:
        (features,) = [
            n["arguments"]["geometries"]["features"]
            for n in graph.get("process_graph", graph).values()
            if n["process_id"] == "aggregate_spatial"
        ]
        east = shapely.geometry.shape(features[0]["geometry"]).centroid.x
        self.areas.append(east)
        found = [asset("whole", "read")]
        for item, place in self.broken_at.items():
            if item in self.lost:
                found.append(asset(item, "skipped", "quarantined"))
            elif abs(east - place) < 0.05:
                self.lost.add(item)
                found.append(asset(item, "failed", "truncated"))
            else:
                found.append(asset(item, "read"))
        labels = [period_label("dekad", pd.Timestamp(d).to_pydatetime()) for d in season_dekads(SEASON)]
        bands = (*SETTINGS.s2_bands, *SETTINGS.s1_bands, "DEM")
        used = float(sum(a.fate == "read" for a in found))
        columns = {f"{b}_{label}": np.full(len(features), used) for b in bands for label in labels}
        pd.DataFrame(columns).to_parquet(out)
        return JobResult((out,), Inputs(tuple(found)))


@pytest.mark.parametrize(
    ("broken_at", "jobs"),
    [({"x": 10.0}, 3), ({"x": 10.8}, 4), ({"x": 11.6}, 5), ({"x": 10.0, "y": 11.6}, 5), ({}, 3)],
)
def test_cells_that_used_a_product_before_it_failed_are_sampled_again(
    broken_at: Mapping[str, float], jobs: int
) -> None:
    table = gpd.GeoDataFrame(
        {"sample_id": ["a", "b", "c"], "label": "wheat", "group": ["1", "2", "3"], "region": "r"},
        geometry=[shapely.Point(x, 52.0) for x in (10.0, 10.8, 11.6)],
        crs=4326,
    )
    archive = Archive(broken_at)
    sampled = sample_series(table, SEASON, SETTINGS, archive)
    assert len(archive.areas) == jobs
    assert sorted(sampled.samples.ids) == ["a", "b", "c"]
    assert np.nanmax(sampled.samples.values) == np.nanmin(sampled.samples.values) == 1
    fates = {i.item: i.fate for i in sampled.inputs.items}
    assert fates == {"whole": "read", **dict.fromkeys(broken_at, "failed")}
