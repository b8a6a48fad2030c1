"""The engine on real pixels, against a few lines of NumPy and against GDAL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from support.engine_runs import run_cubes

SEASON = ["2019-03-01", "2019-11-01"]
ASSETS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
CLOUDY = (3, 8, 9, 10, 11)
Pixels = NDArray[np.float64]


@pytest.fixture(scope="module")
def site(real_data: Path) -> Path:
    return real_data / "flanders-2019"


@pytest.fixture(scope="module")
def catalog(site: Path) -> Catalog:
    return open_catalog(site / "catalog.json")


def node(process_id: str, result: bool = False, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process_id, "arguments": arguments, **({"result": True} if result else {})}


def ref(key: str) -> dict[str, str]:
    return {"from_node": key}


def callback(process_id: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"f": node(process_id, True, **arguments)}}


def load(*bands: str) -> dict[str, Any]:
    return node(
        "load_collection", id="SENTINEL2_L2A", spatial_extent=None, temporal_extent=SEASON, bands=list(bands)
    )


DATA = {"from_parameter": "data"}
X = {"from_parameter": "x"}


def composite_graph(*, interpolated: bool) -> dict[str, Any]:
    """Dekad medians of all bands in the native grid, clouds of SCL left out."""
    clouds: dict[str, Any] = {}
    for code in CLOUDY:
        clouds[f"eq{code}"] = node("eq", x=X, y=code)
    clouds["any"] = node("any", True, data=[ref(f"eq{code}") for code in CLOUDY])
    graph = {
        "s2": load(*ASSETS),
        "scl": load("SCL"),
        "scl10": node("resample_cube_spatial", data=ref("scl"), target=ref("s2"), method="near"),
        "clouds": node("apply", data=ref("scl10"), process={"process_graph": clouds}),
        "clear": node("mask", data=ref("s2"), mask=ref("clouds")),
        "dekads": node(
            "aggregate_temporal_period",
            not interpolated,
            data=ref("clear"),
            period="dekad",
            reducer=callback("median", data=DATA),
        ),
    }
    if interpolated:
        process = callback("array_interpolate_linear", data=DATA)
        graph["filled"] = node("apply_dimension", True, data=ref("dekads"), dimension="t", process=process)
    return graph


def season_items(site: Path) -> Iterator[tuple[np.datetime64, Path]]:
    for path in sorted((site / "sentinel-2-l2a").glob("*/*.json")):
        day = np.datetime64(json.loads(path.read_text())["properties"]["datetime"][:10])
        if np.datetime64(SEASON[0]) <= day < np.datetime64(SEASON[1]):
            yield day, path.parent


def at_10_m(path: Path) -> Pixels:
    with rasterio.open(path) as file:
        values = file.read(1).astype(np.float64)
    return values if values.shape == (64, 64) else values.repeat(2, axis=0).repeat(2, axis=1)


def plain_medians(site: Path) -> Pixels:
    """(24 dekads, 10 bands, 64, 64), NaN where no observation is clear."""
    days, stack = [], []
    for day, folder in season_items(site):
        bands = np.stack([at_10_m(folder / f"{asset}.tif") for asset in ASSETS.values()])
        bands[bands == 0] = np.nan
        bands[:, np.isin(at_10_m(folder / "scl.tif"), CLOUDY)] = np.nan
        days.append(day)
        stack.append(bands)
    numbers = [int(str(d)[5:7]) * 3 - 3 + min((int(str(d)[8:]) - 1) // 10, 2) for d in days]
    observed, dekads = np.stack(stack), np.array(numbers)
    out = np.full((24, *observed.shape[1:]), np.nan)
    for n in range(24):
        part = observed[dekads == n + 6]
        if len(part):
            seen = np.isfinite(part).any(axis=0)
            out[n][seen] = np.nanmedian(part[:, seen], axis=0)
    return out


def plain(cube: Cube) -> NDArray[np.float32]:
    return np.where(cube.validity(), cube.values, np.nan)


def test_dekad_medians_equal_a_few_lines_of_numpy_on_every_pixel(site: Path, catalog: Catalog) -> None:
    (found,) = run_cubes(composite_graph(interpolated=False), catalog).values()
    expected = plain_medians(site)
    assert found.values.dtype == np.float32
    assert found.meta.dim("t").labels[0] == "2019-07"
    assert found.meta.shape == expected.shape == (24, 10, 64, 64)
    halves = np.isfinite(expected) & (expected % 1 == 0.5)
    assert halves.sum() > 1000
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(plain(found), expected.astype(np.float32))


def test_gaps_are_interpolated_between_the_first_and_last_valid_dekad_only(
    site: Path, catalog: Catalog
) -> None:
    (found,) = run_cubes(composite_graph(interpolated=True), catalog).values()
    medians = plain_medians(site).reshape(24, -1)
    steps = np.arange(24)
    expected = np.full(medians.shape, np.nan)
    for pixel, series in enumerate(medians.T):
        known = np.isfinite(series)
        if known.any():
            expected[:, pixel] = np.interp(steps, steps[known], series[known], left=np.nan, right=np.nan)
    assert np.isnan(medians).sum() > np.isnan(expected).sum() > 0
    filled = plain(found).reshape(24, -1)
    np.testing.assert_array_equal(np.isnan(filled), np.isnan(expected))
    np.testing.assert_allclose(filled, expected.astype(np.float32), rtol=2e-7)


@pytest.mark.parametrize("method", ["near", "bilinear", "cubic"])
def test_reprojection_is_within_a_digital_number_of_gdal_and_the_same_in_every_window(
    site: Path, catalog: Catalog, method: str
) -> None:
    graph = {
        "s2": load("B04", "B11"),
        "laea": node("resample_spatial", True, data=ref("s2"), resolution=10, projection=3035, method=method),
    }
    (whole,) = run_cubes(graph, catalog).values()
    for window in (8, 17, 64):
        (cut,) = run_cubes(graph, catalog, window, threads=2).values()
        np.testing.assert_array_equal(cut.values, whole.values)
        np.testing.assert_array_equal(cut.validity(), whole.validity())
    box = whole.meta.box
    assert box is not None
    compared = 0
    for step, (_, folder) in enumerate(season_items(site)):
        for band, name in enumerate(("B04", "B11")):
            with (
                rasterio.open(folder / f"{ASSETS[name]}.tif") as file,
                WarpedVRT(
                    file,
                    crs="EPSG:3035",
                    transform=box.affine,
                    width=box.width,
                    height=box.height,
                    resampling=Resampling[{"near": "nearest"}.get(method, method)],
                    tolerance=1e-6,
                ) as vrt,
            ):
                expected = vrt.read(1).astype(np.int64)
            valid = whole.validity()[step, band]
            np.testing.assert_array_equal(valid, expected != 0)
            difference = np.abs(whole.values[step, band].astype(np.int64) - expected)[valid]
            assert difference.size == 0 or difference.max() <= (0 if method == "near" else 1)
            compared += difference.size
    assert compared > 100_000
