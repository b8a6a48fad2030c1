"""A result raster with every kind of pixel, and its provenance."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from acreage.core.inputs import InputAsset, Inputs
from acreage.core.legend import Legend, LegendClass, read_legend
from acreage.core.provenance import InputItem, Provenance
from acreage.core.temporal import Season

PROFILE = {
    "driver": "GTiff",
    "count": 4,
    "dtype": "uint8",
    "crs": "EPSG:3035",
    "transform": Affine(10, 0, 3_900_000, 0, -10, 3_100_000),
    "nodata": 255,
}


@pytest.fixture(scope="session")
def legend() -> Legend:
    return Legend(
        "three",
        (
            LegendClass(1, "wheat", "Wheat", "#e2b007"),
            LegendClass(4, "maize", "Maize & sweet corn", "#f4d03f"),
            LegendClass(250, "other_arable", "Other arable crops", "#7e57c2"),
        ),
    )


@pytest.fixture(scope="session")
def europe() -> Legend:
    return read_legend(Path(str(files("acreage.croptype"))) / "legends" / "europe.json")


@pytest.fixture
def inputs() -> Inputs:
    s2 = "SENTINEL2_L2A"
    return Inputs(
        (
            InputAsset(s2, "a", "B04", "read", "", "", "/a/B04.tif", "/a.json"),
            InputAsset(s2, "a", "B08", "read", "", "", "/a/B08.tif", "/a.json"),
            InputAsset(s2, "b", "B04", "failed", "truncated", "It ends early.", "/b/B04.tif", "/b.json"),
            InputAsset(s2, "b", "B08", "skipped", "with-item", "Left out.", "/b/B08.tif", "/b.json"),
            InputAsset(s2, "c", "B04", "skipped", "quarantined", "Shifted.", "/c/B04.tif", "/c.json"),
            InputAsset("SENTINEL1_GRD", "d", "VV", "skipped", "outside", "Beside.", "/d/VV.tif", "/d.json"),
        ),
        inspected=True,
        tolerance="2%",
    )


@pytest.fixture
def provenance(inputs: Inputs) -> Provenance:
    return Provenance(
        process_graph={"load": {"process_id": "load_collection", "arguments": {"id": "X"}, "result": True}},
        model_id="tempcnn-1",
        model_sha256="0123456789abcdef" * 4,
        items=(
            InputItem("sentinel-2-l2a", "S2_b", "/archive/with space/S2_b.json"),
            InputItem("sentinel-2-l2a", "S2_a", "https://example.org/S2_a.json"),
            InputItem("sentinel-1-sigma0", "S1_a", "https://example.org/S1_a.json"),
            InputItem("sentinel-2-l2a", "S2_a", "https://example.org/S2_a.json"),
        ),
        season=Season.parse("2019-03-01/2019-10-31"),
        software={"acreage": "0.1.0"},
        usage={"cpu_seconds": 12.5},
        created=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        inputs=inputs.summary(),
    )


def values(height: int = 1152, width: int = 1300, seed: int = 3) -> NDArray[np.uint8]:
    """(4, height, width): fields of 1 to 20 pixels, single odd pixels, all reserved codes, null counts."""
    rng = np.random.default_rng(seed)
    out = np.empty((4, height, width), np.uint8)
    fields = rng.choice(np.array([1, 4, 250, 254], np.uint8), (height // 13 + 1, width // 17 + 1))
    out[0] = np.kron(fields, np.ones((13, 17), np.uint8))[:height, :width]
    odd = rng.random((height, width)) < 0.2
    out[0][odd] = rng.choice(np.array([1, 4, 250, 254, 255], np.uint8), int(odd.sum()))
    out[0][:, : width // 10] = 0
    out[1] = rng.integers(20, 101, (height, width))
    out[1][np.isin(out[0], [0, 254, 255])] = 255
    out[2:] = rng.integers(0, 60, (2, height, width))
    out[2:, np.isin(out[0], [0, 255])] = 255
    return out


def write(path: Path, data: NDArray[np.uint8], **changes: object) -> Path:
    profile = {**PROFILE, "height": data.shape[1], "width": data.shape[2], "count": data.shape[0], **changes}
    with rasterio.open(path, "w", **profile) as target:
        target.write(data)
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    data = values()
    return write(tmp_path_factory.mktemp("large") / "result.tif", data), data


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    data = values(60, 80)
    return write(tmp_path_factory.mktemp("small") / "result.tif", data), data
