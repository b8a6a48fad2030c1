"""The crop type map of the real site over HTTP, by the official client, and by the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
from tests.support.client_runner import ClientRunner
from tests.support.oidc_server import ACCOUNTS, running_server

from acreage.catalog.items import Catalog
from acreage.cli.croptype_area import parse_area
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.inputs import inspector
from acreage.cli.runtime import budget_of, udf_runner
from acreage.core.legend import RESERVED
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.labels import open_legend, open_samples
from acreage.croptype.mapping import MapJob, make_map
from acreage.croptype.modelfile import save_model
from acreage.croptype.product import ProductFiles
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.workflow import CubeSettings

# As docs/real-site.md has it, but for a model that is trained in seconds: its accuracy is no matter here.
AREA = "EPSG:32631:574680,5621800,575320,5622440"
SEASON = Season.parse("2019-03-01/2019-10-31")
SETTINGS = CubeSettings()
OPTIONS = TrainingOptions(members=2, epochs=6, patience=6)


@pytest.fixture(scope="module")
def job(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> MapJob:
    """The map of the whole site with the workflow's own settings; a model of real French series."""
    series = open_samples(real_data / "labels" / "dekad_2023_FRA_LPIS_POLY_110.geoparquet")
    series = series.in_season(Season.parse("2023-03-01/2023-10-31")).with_gaps_filled()
    legend = open_legend("europe").without(["grassland", "vineyards", "other_permanent"])
    path = tmp_path_factory.mktemp("model") / "french.pt"
    save_model(train(series, legend, SETTINGS.cropland_codes, OPTIONS), path)
    area, name = parse_area(AREA, SETTINGS)
    return MapJob(area, name, SEASON, path, SETTINGS)


@pytest.fixture(scope="module")
def embedded(job: MapJob, site_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> ProductFiles:
    """By the embedded engine."""
    app = load_settings()
    with udf_runner(app, 2) as udf:
        runner = EmbeddedRunner(site_catalog, budget_of(app), udf, inspect=inspector(app, wanted=True))
        return make_map(job, runner, tmp_path_factory.mktemp("embedded") / "map").product


@pytest.fixture(scope="module")
def served(job: MapJob, site: Path, tmp_path_factory: pytest.TempPathFactory) -> ProductFiles:
    """By a batch job of `acreage serve`, through the official client."""
    folder = tmp_path_factory.mktemp("served")
    with running_server(folder, site / "catalog.json", users=["carla"]) as server:
        connection = openeo.connect(server.url).authenticate_basic("carla", ACCOUNTS["carla"])
        return make_map(job, ClientRunner(connection), folder / "map").product


pytestmark = pytest.mark.timeout(1200)


def test_every_raster_of_the_map_is_the_same_file(embedded: ProductFiles, served: ProductFiles) -> None:
    names = sorted(p.name for p in embedded.folder.iterdir())
    assert names == sorted(p.name for p in served.folder.iterdir())
    rasters = [name for name in names if name.endswith(".tif")]
    assert {"classes.tif", "confidence.tif"} <= set(rasters)
    for name in rasters:
        with rasterio.open(embedded.folder / name) as one, rasterio.open(served.folder / name) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert (one.transform, one.crs, one.nodatavals) == (other.transform, other.crs, other.nodatavals)
        assert (embedded.folder / name).read_bytes() == (served.folder / name).read_bytes()
    # A map of something: several classes on a good part of the site.
    crops = {code: n for code, n in embedded.pixels.items() if code not in {r.code for r in RESERVED}}
    assert len(crops) > 1
    assert sum(crops.values()) > 1000
    assert served.pixels == embedded.pixels


def test_provenance_and_the_account_of_the_inputs_are_the_same(
    embedded: ProductFiles, served: ProductFiles
) -> None:
    def told(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {k: v for k, v in found.items() if k not in ("usage", "created")}

    assert told(served.provenance) == told(embedded.provenance)
    assert told(served.inputs) == told(embedded.inputs)
