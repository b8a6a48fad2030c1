"""Sentinel-1 as archives hold it: decibels read as linear power, border noise masked, facts a collection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.catalog_items import parsed
from tests.support.engine_runs import WHOLE, assert_same_cube, plan_of, run_cubes
from tests.support.layers import Piece, layer_graph, rectangle, write_pieces

from acreage.catalog import open_catalog
from acreage.catalog.definition import shipped_definitions
from acreage.catalog.items import BorderNoise, Raster
from acreage.catalog.radar import has_border_noise, processor_version
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.grid import Box, Grid
from acreage.engine.decode import decode, mask_border_noise
from acreage.engine.readers import read_raster

GRID = Grid.snapped(32631, 20)
RADAR = next(d for d in shipped_definitions() if d.id == "SENTINEL1_GRD")
PLACE = Affine(20, 0, 500_000, 0, -20, 5_600_000)
AREA = rectangle(500_000, 5_599_200, 500_800, 5_600_000, 32631)
SEASON = ["2019-03-01", "2019-04-01"]


def scene(name: str, values: np.ndarray, **facts: object) -> Piece:
    properties = {"sat:orbit_state": "ascending", "platform": "sentinel-1a", **facts}
    return Piece(
        name,
        {"vv": values, "vh": values / 4},
        PLACE,
        "EPSG:32631",
        np.nan,
        "2019-03-05T17:31:53Z",
        properties,
    )


def power(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).gamma(4, 0.02, (40, 40)).astype(np.float32)
    values[:6, :6] = np.nan
    return values


# --- decibels ---


def in_db(values: np.ndarray) -> np.ndarray:
    return (10 * np.log10(values.astype(np.float64))).astype(np.float32)


@given(st.lists(st.floats(-50, 30, width=32), min_size=1, max_size=50))
def test_decibels_become_linear_power_in_float32(values: list[float]) -> None:
    stored = np.array([values], np.float32)
    raster = Raster("a", 1, Box(GRID, 0, 0, len(values), 1), "float32", -9999, db=True)
    found, valid = decode(stored, raster)
    assert found.dtype == np.float32
    assert valid is None
    expected = 10.0 ** (stored.astype(np.float64) / 10)
    np.testing.assert_allclose(found, expected, rtol=2**-23)


def test_nulls_are_found_before_decibels_are_converted_and_scaled_integers_are_understood() -> None:
    raster = Raster("a", 1, Box(GRID, 0, 0, 3, 1), "int16", -32768, scale=0.01, db=True)
    found, valid = decode(np.array([[-32768, -1000, 0]], np.int16), raster)
    assert valid is not None
    np.testing.assert_array_equal(valid, [[False, True, True]])
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found[0, 1:], [0.1, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("collection", "facts"),
    [
        ("sentinel-1-sigma0-db", {}),
        ("sentinel-1-sigma0", {"unit": "dB"}),
        ("sentinel-1-sigma0", {"unit": "decibel"}),
    ],
)
def test_an_archive_in_decibels_gives_the_cube_of_the_linear_one(
    tmp_path: Path, collection: str, facts: dict[str, str]
) -> None:
    values = power()
    linear = write_pieces(tmp_path / "linear", {"sentinel-1-sigma0": [scene("a", values)]})
    stored = replace(scene("a", values), assets={"vv": in_db(values), "vh": in_db(values / 4)})
    decibel = write_pieces(tmp_path / "db", {collection: [replace(stored, band_facts=facts)]})
    graph = layer_graph("SENTINEL1_GRD", AREA, days=SEASON, projection=3035, resolution=20, method="bilinear")
    a = run_cubes(graph, open_catalog(linear))["grid"]
    b = run_cubes(graph, open_catalog(decibel))["grid"]
    assert a.meta == b.meta
    np.testing.assert_array_equal(a.validity(), b.validity())
    np.testing.assert_allclose(b.values[b.validity()], a.values[a.validity()], rtol=1e-6)


def test_a_unit_that_says_linear_overrules_the_collection(tmp_path: Path) -> None:
    piece = replace(scene("a", power()), band_facts={"unit": "linear"})
    catalog = open_catalog(write_pieces(tmp_path, {"sentinel-1-sigma0-db": [piece]}))
    (item,) = catalog.search("SENTINEL1_GRD", (-180, -90, 180, 90)).items
    assert not item.rasters["VV"].db


def test_terrain_corrected_backscatter_of_planetary_computer(tmp_path: Path) -> None:
    values = power()
    values[np.isnan(values)] = -32768
    piece = replace(scene("a", values), nodata=None)
    catalog = open_catalog(write_pieces(tmp_path, {"sentinel-1-rtc": [piece]}))
    info = catalog.describe("SENTINEL1_GRD")
    assert info.attributes["sar:calibration"] == "gamma0-terrain"
    assert info.bands[0].nodata == -32768
    assert info.bands[0].gsd == 10
    graph = layer_graph("SENTINEL1_GRD", AREA, days=SEASON)
    cube = run_cubes(graph, catalog)["load"]
    np.testing.assert_array_equal(cube.validity()[0, 0], values != -32768)
    backscatter = {"process_id": "sar_backscatter", "result": True}
    arguments = {"data": {"from_node": "load"}, "coefficient": "sigma0-ellipsoid"}
    asked = {"load": {**graph["load"], "result": False}, "b": {**backscatter, "arguments": arguments}}
    with pytest.raises(ProcessParameterInvalid, match=r"calibrated to gamma0-terrain.*sigma0-ellipsoid"):
        run_cubes(asked, catalog)
    asked["b"]["arguments"] = {**arguments, "coefficient": "gamma0-terrain"}
    assert_same_cube(run_cubes(asked, catalog)["b"], cube)


def test_products_of_other_polarisations_are_no_fault_and_are_named(tmp_path: Path) -> None:
    both = scene("both", power(), **{"sar:polarizations": ["VV", "VH"]})
    silent = scene("silent", power(1))
    other = scene("other", power(2), **{"sar:polarizations": ["HH", "HV"]})
    single = replace(scene("single", power(3), **{"sar:polarizations": ["VV"]}), assets={"vv": power(3)})
    path = write_pieces(tmp_path, {"sentinel-1-sigma0": [both, silent, other, single]})
    found = open_catalog(path).search("SENTINEL1_GRD", (-180, -90, 180, 90))
    assert {i.id for i in found.items} == {"both", "silent"}
    assert found.problems == ()
    assert found.notes == ("SENTINEL1_GRD: 2 items are not of VV and VH and are left out: other, single",)
    graph = layer_graph("SENTINEL1_GRD", AREA, days=SEASON)
    assert set(found.notes) <= set(plan_of(graph, open_catalog(path), WHOLE).notes)


def test_the_real_site_in_decibels_gives_the_same_composites(real_data: Path, tmp_path: Path) -> None:
    """Flanders 2019, linear and turned to decibels: dekad medians within float32 rounding."""
    site = real_data / "flanders-2019" / "sentinel-1-sigma0"
    copy = tmp_path / "sentinel-1-sigma0-db"
    count = 0
    for path in sorted(site.glob("S1_20190[3-6]*/*.json")):
        item = json.loads(path.read_text())
        home = copy / item["id"]
        home.mkdir(parents=True)
        for name in ("vv", "vh"):
            with rasterio.open(path.parent / f"{name}.tif") as file:
                values, profile = file.read(1), file.profile
            with rasterio.open(home / f"{name}.tif", "w", **profile) as file:
                file.write(in_db(values), 1)
        item["collection"], item["links"] = "sentinel-1-sigma0-db", []
        (home / path.name).write_text(json.dumps(item))
        count += 1
    assert count == 20
    reducer = {
        "m": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    }
    area = rectangle(574680, 5621800, 575320, 5622440, 32631)
    season = ["2019-03-01", "2019-07-01"]
    graph = layer_graph("SENTINEL1_GRD", area, days=season, projection=3035, resolution=10, method="bilinear")
    graph["grid"]["result"] = False
    arguments = {"data": {"from_node": "grid"}, "period": "dekad", "reducer": {"process_graph": reducer}}
    graph["dekads"] = {"process_id": "aggregate_temporal_period", "arguments": arguments, "result": True}
    linear = run_cubes(graph, open_catalog(real_data / "flanders-2019" / "catalog.json"))["dekads"]
    decibel = run_cubes(graph, open_catalog(tmp_path))["dekads"]
    np.testing.assert_array_equal(linear.validity(), decibel.validity())
    valid = linear.validity()
    assert valid.mean() > 0.5
    np.testing.assert_allclose(decibel.values[valid], linear.values[valid], rtol=2e-6)


# --- border noise ---


@pytest.mark.parametrize(
    ("properties", "noisy"),
    [
        ({"processing:software": {"Sentinel-1 IPF": "002.84"}}, True),
        ({"processing:software": {"Sentinel-1 IPF": "002.90"}}, False),
        ({"processing:software": {"Sentinel-1 IPF": "2.9"}}, False),
        ({"processing:software": {"Sentinel-1 IPF": "003.71"}}, False),
        ({"s1:processing_datetime": "2017-06-01T00:00:00Z"}, True),
        ({"s1:processing_datetime": "2018-03-13T00:00:00Z"}, False),
        ({"processing:software": {"ISCE": "2.1"}, "processing:datetime": "2016-01-01T00:00:00Z"}, True),
        ({}, False),
    ],
)
def test_the_processor_that_an_item_states_decides(properties: dict[str, object], noisy: bool) -> None:
    assert RADAR.border_noise is not None
    assert has_border_noise(parsed("a", **properties), RADAR.border_noise) is noisy


def test_versions_are_compared_as_numbers() -> None:
    assert processor_version(parsed("a", **{"processing:software": {"Sentinel-1 IPF": "002.84"}})) == (2, 84)
    assert processor_version(parsed("a", **{"processing:software": {"Sentinel-1 IPF": "2.9"}})) == (2, 90)


def noisy_swath(seed: int = 3) -> np.ndarray:
    """A swath with a slanting null edge, and beside it a strip of very low values that only looks valid."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(4, 0.02, (60, 60)).astype(np.float32)
    column, row = np.meshgrid(np.arange(60), np.arange(60))
    inner = column - row // 6
    values[inner < 14] = rng.uniform(1e-6, 5e-4, (inner < 14).sum())
    values[inner < 10] = np.nan
    values[40:43, 50:53] = np.nan  # a hole that is no edge
    values[40, 49] = 1e-5  # dark, beside the hole
    values[20, 40] = 1e-5  # dark, inside the swath
    return values


def by_hand(values: np.ndarray, border: BorderNoise) -> np.ndarray:
    """The rule, pixel by pixel. Outside of the array counts as null for a square, and never as an edge."""
    null = np.pad(np.isnan(values), 2, constant_values=True)
    squares = [
        (r, c)
        for r in range(values.shape[0])
        for c in range(values.shape[1])
        if null[r : r + 5, c : c + 5].all()
    ]
    kept = ~np.isnan(values)
    for r in range(values.shape[0]):
        for c in range(values.shape[1]):
            near = any(max(abs(r - a), abs(c - b)) <= border.distance + 2 for a, b in squares)
            if near and values[r, c] < border.floor:
                kept[r, c] = False
    return kept


@settings(max_examples=3)
@given(st.integers(1, 12), st.integers(0, 20))
def test_dark_pixels_beside_the_edge_are_masked_and_no_others(distance: int, seed: int) -> None:
    values = noisy_swath(seed)
    border = BorderNoise(distance, 1e-3)
    found = mask_border_noise(values, ~np.isnan(values), border)
    np.testing.assert_array_equal(found, by_hand(values, border))


def test_the_noise_goes_and_dark_fields_stay() -> None:
    values = noisy_swath()
    found = mask_border_noise(values, ~np.isnan(values), BorderNoise(8, 1e-3))
    assert found is not None
    assert np.nanmin(values[found]) < 1e-3  # the dark pixels away from the edge
    assert found[20, 40]
    assert found[40, 49]
    beside = found & (values < 1e-3)
    assert beside.sum() == 2


@settings(max_examples=30)
@given(
    x=st.integers(0, 50),
    y=st.integers(0, 50),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
    distance=st.integers(1, 15),
)
def test_a_window_masks_what_the_whole_raster_masks(
    x: int, y: int, width: int, height: int, distance: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "border-noise.tif"
    if not path.exists():
        with rasterio.open(
            path, "w", "GTiff", 60, 60, 1, "EPSG:32631", PLACE, "float32", nodata=np.nan
        ) as file:
            file.write(noisy_swath(), 1)
    box = GRID.box_of_transform(PLACE, 60, 60)
    raster = Raster(str(path), 1, box, "float32", np.nan, border=BorderNoise(distance, 1e-3))
    part = Box(
        GRID, box.x0 + x, box.y0 + y, min(box.x0 + x + width, box.x1), min(box.y0 + y + height, box.y1)
    )
    whole, whole_valid = read_raster(raster, box, "i", "VV")
    values, valid = read_raster(raster, part, "i", "VV")
    inside = part.slices_in(box)
    np.testing.assert_array_equal(values, whole[inside])
    assert whole_valid is not None
    np.testing.assert_array_equal(np.ones(part.shape, bool) if valid is None else valid, whole_valid[inside])


def test_an_old_product_is_masked_in_the_cube_whatever_the_windows(tmp_path: Path) -> None:
    old = scene("old", noisy_swath(), **{"processing:software": {"Sentinel-1 IPF": "002.60"}})
    new = replace(old, name="new", properties={**old.properties, "processing:software": {"IPF": "2.90"}})
    area = rectangle(500_000, 5_598_800, 501_200, 5_600_000, 32631)
    graph = layer_graph("SENTINEL1_GRD", area, days=SEASON, bands=["VV"])
    cubes = {}
    for piece in (old, new):
        catalog = open_catalog(write_pieces(tmp_path / piece.name, {"sentinel-1-sigma0": [piece]}))
        cubes[piece.name] = run_cubes(graph, catalog, WHOLE)["load"]
        assert_same_cube(cubes[piece.name], run_cubes(graph, catalog, 13)["load"])
    masked = cubes["new"].validity() & ~cubes["old"].validity()
    assert masked.sum() > 100
    assert (cubes["new"].values[masked] < 1e-3).all()
    np.testing.assert_array_equal(cubes["new"].validity()[0, 0], ~np.isnan(noisy_swath()))
