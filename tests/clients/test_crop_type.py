"""The crop type graph over HTTP: what the official clients get is what the embedded engine makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openeo
import pytest
import rasterio
from tests.clients.conftest import USER, CropTypes
from tests.support.javascript import require_packages, run_script
from tests.support.oidc_server import ACCOUNTS, Served

from acreage.core.legend import NOT_CROPLAND
from acreage.croptype.workflow import MAP_BANDS

pytestmark = pytest.mark.timeout(900)


def assert_same_map(path: Path, crop_types: CropTypes) -> None:
    """The same file, byte by byte: pixels, georeference, band names."""
    with rasterio.open(path) as file, rasterio.open(crop_types.embedded) as embedded:
        np.testing.assert_array_equal(file.read(), embedded.read())
        assert (file.crs, file.transform) == (embedded.crs, embedded.transform)
    assert path.read_bytes() == crop_types.embedded.read_bytes()


def test_the_embedded_map_has_crops_and_other_land(crop_types: CropTypes) -> None:
    with rasterio.open(crop_types.embedded) as file:
        classes = file.read(1)
        assert file.descriptions == MAP_BANDS
    assert classes.shape == (64, 64)
    assert {1, 2, NOT_CROPLAND} <= set(np.unique(classes).tolist())


@pytest.fixture(scope="module")
def connection(server: Served) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic(USER, ACCOUNTS[USER])


def test_the_python_client_gets_the_map_at_once(
    connection: openeo.Connection, crop_types: CropTypes, tmp_path: Path
) -> None:
    assert connection.validate_process_graph(crop_types.graph) == []
    connection.download(crop_types.graph, tmp_path / "map.tif")
    assert_same_map(tmp_path / "map.tif", crop_types)


def test_the_python_client_gets_the_map_by_a_batch_job(
    connection: openeo.Connection, crop_types: CropTypes, tmp_path: Path
) -> None:
    job = connection.create_job(crop_types.graph, title="crop types")
    assert job.estimate()["costs"] == 0
    job.start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    (file,) = job.get_results().download_files(tmp_path, include_stac_metadata=False)
    assert_same_map(Path(file), crop_types)
    assert job.describe_job()["usage"]["input_pixel"]["value"] > 0
    job.delete_job()


def test_the_javascript_client_gets_the_map_at_once_and_by_a_batch_job(
    server: Served, crop_types: CropTypes, tmp_path: Path
) -> None:
    require_packages()
    login = (server.url, USER, ACCOUNTS[USER])
    seen = json.loads(run_script("crop_type.cjs", *login, str(crop_types.graph_file), str(tmp_path)))
    assert_same_map(tmp_path / "sync.tif", crop_types)
    (file,) = (tmp_path / "batch").glob("*.tif")
    assert_same_map(file, crop_types)

    assert (seen["apiVersion"], seen["user"], seen["errors"]) == ("1.2.0", USER, [])
    assert "ESA_WORLDCOVER_10M_2021_V2" in seen["collections"]
    assert {"load_collection", "to_scl_dilation_mask", "save_result"} <= set(seen["processes"])
    assert (seen["created"], seen["status"]) == ("created", "finished")
    assert "crop types" in seen["listed"]
    assert seen["result"] == {"type": "Collection", "assets": [file.name]}
    assert any("items read" in line for line in seen["logs"])
