"""Reading pixels: nulls, offsets, mosaics; each pixel from one item, whatever the window."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from tests.support.engine_runs import assert_same_cube, run_cubes
from tests.support.tiny_archive import (
    CRS,
    NORTH,
    WEST,
    Layer,
    TinyArchive,
    chain,
    extent,
    load,
    node,
    write_layer,
)

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog, Raster
from acreage.core.cube import Cube
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box, Grid
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.readers import block_shape, close_readers, read_raster
from acreage.engine.run import run_plan

GRID = Grid.snapped(CRS, 10)
FULL = GRID.box_covering(WEST, NORTH - 640, WEST + 640, NORTH)
MARCH = ["2019-03-01", "2019-04-01"]


def raster_of(path: Path, values: Any, nodata: float | None = 0, **kwargs: Any) -> Raster:
    write_layer(path, Layer(values, nodata=nodata))
    return Raster(str(path), 1, FULL, str(values.dtype), nodata, **kwargs)


# --- one raster ---


def without_georeference(path: Path) -> None:
    with rasterio.open(path) as file:
        values, profile = file.read(), file.profile
    del profile["crs"], profile["transform"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(values)


def test_a_file_without_georeference_is_on_a_wrong_grid(tmp_path: Path) -> None:
    raster = raster_of(tmp_path / "a.tif", np.ones((64, 64), np.uint16))
    without_georeference(tmp_path / "a.tif")
    with pytest.raises(ItemUnreadable, match="has no CRS") as caught:
        read_raster(raster, FULL, "item", "B04")
    assert caught.value.kind == "wrong-grid"


def test_a_file_that_ends_before_its_georeference_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(1, 999, (64, 64)).astype(np.uint16)
    raster = raster_of(path, noise)
    whole = path.read_bytes()
    told: dict[str, set[str]] = {}
    for length in range(9, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(ItemUnreadable) as caught:
            read_raster(raster, FULL, "item", "B04")
        told.setdefault(caught.value.kind, set()).add(caught.value.message.partition(": ")[2][-60:])
    assert set(told) == {"truncated"}
    assert any("is not whole" in text for text in told["truncated"])


def test_every_item_that_names_a_file_is_checked_against_it(tmp_path: Path) -> None:
    raster = raster_of(tmp_path / "a.tif", np.ones((64, 64), np.uint16))
    read_raster(raster, FULL, "item", "B04")
    with pytest.raises(ItemUnreadable, match="1 bands, not 2") as caught:
        read_raster(replace(raster, band_index=2), FULL, "item", "B05")
    assert caught.value.kind == "missing-band"
    elsewhere = Box(GRID, FULL.x0 + 1, FULL.y0, FULL.x1 + 1, FULL.y1)
    with pytest.raises(ItemUnreadable, match="the item states") as caught:
        read_raster(replace(raster, box=elsewhere), elsewhere, "other", "B04")
    assert caught.value.kind == "wrong-grid"


def test_a_window_holds_the_pixels_at_its_place(tmp_path: Path) -> None:
    values = np.arange(1, 64 * 64 + 1, dtype=np.uint16).reshape(64, 64)
    raster = raster_of(tmp_path / "a.tif", values)
    box = Box(GRID, FULL.x0 + 5, FULL.y0 + 7, FULL.x0 + 40, FULL.y0 + 9)
    found, valid = read_raster(raster, box, "item", "B04")
    np.testing.assert_array_equal(found, values[7:9, 5:40])
    assert valid is None


def test_the_null_value_and_nan_are_null(tmp_path: Path) -> None:
    whole = np.ones((64, 64), np.uint8)
    whole[3, 4] = 7
    _, valid = read_raster(raster_of(tmp_path / "a.tif", whole, 7), FULL, "i", "b")
    assert valid is not None
    assert not valid[3, 4]
    assert valid.sum() == 64 * 64 - 1
    floats = np.ones((64, 64), np.float32)
    floats[0, 0], floats[0, 1] = np.nan, -9999
    _, valid = read_raster(raster_of(tmp_path / "b.tif", floats, -9999), FULL, "i", "b")
    assert valid is not None
    assert not valid[0, :2].any()
    assert valid.sum() == 64 * 64 - 2


def test_without_a_null_value_everything_is_valid(tmp_path: Path) -> None:
    _, valid = read_raster(raster_of(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), None), FULL, "i", "b")
    assert valid is None


def test_an_offset_leaves_nulls_null_and_dark_pixels_valid(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint16)
    values[0, :5] = [1, 999, 1000, 1001, 65535]
    raster = raster_of(tmp_path / "a.tif", values, dn_offset=-1000)
    found, valid = read_raster(raster, FULL, "i", "b")
    assert valid is not None
    np.testing.assert_array_equal(found[0, :5], [1, 1, 1, 1, 64535])
    np.testing.assert_array_equal(valid, values > 0)


def test_the_block_shape_is_the_files(tmp_path: Path) -> None:
    assert block_shape(raster_of(tmp_path / "a.tif", np.ones((64, 64), np.uint8)), "i", "b") == (32, 32)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    raster = Raster(str(tmp_path / "none.tif"), 1, FULL, "uint8", 0)
    with pytest.raises(ItemUnreadable, match=r"Item it, band B04: .*none\.tif cannot be read") as caught:
        read_raster(raster, FULL, "it", "B04")
    assert (caught.value.item, caught.value.asset) == ("it", "B04")


def test_a_band_that_the_file_does_not_have_is_named(tmp_path: Path) -> None:
    raster_of(tmp_path / "a.tif", np.ones((64, 64), np.uint8))
    with pytest.raises(ItemUnreadable, match="has 1 bands, not 2"):
        read_raster(Raster(str(tmp_path / "a.tif"), 2, FULL, "uint8", 0), FULL, "i", "b")


def test_more_files_than_are_kept_open_are_read_by_several_threads(tmp_path: Path) -> None:
    rasters = [raster_of(tmp_path / f"{n}.tif", np.full((64, 64), n + 1, np.uint16)) for n in range(80)]

    def mean(n: int) -> float:
        return float(read_raster(rasters[n % 80], FULL, str(n), "b")[0].mean())

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(mean, range(240)))
        list(pool.map(lambda _: close_readers(), range(4)))
    assert found == [n % 80 + 1 for n in range(240)]
    close_readers()


# --- mosaics ---

BANDS = (("B04", 10, "u2"), ("B08", 10, "u2"), ("B05", 20, "u2"), ("SCL", 20, "u1"))


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two granules of one datatake that overlap by 20 columns; holes in bands and in SCL differ."""
    rng = np.random.default_rng(3)
    made = TinyArchive(tmp_path_factory.mktemp("granules"))
    for n, west in enumerate((WEST, WEST + 400)):
        layers = {}
        for band, resolution, dtype in (
            ("B04", 10, "u2"),
            ("B08", 10, "u2"),
            ("B05", 20, "u2"),
            ("SCL", 20, "u1"),
        ):
            size = 600 // resolution
            values = rng.integers(1, 12, (size, size)) + (100 * (n + 1) if dtype == "u2" else 0)
            values[rng.random((size, size)) < 0.15] = 0
            layers[band] = Layer(values.astype(dtype), resolution, west=west)
        made.s2(f"g{n}", "2019-03-05", layers, **{"grid:code": f"MGRS-31UE{'ST'[n]}"})
    return open_catalog(made.write())


def cube_of(catalog: Catalog, bands: list[str], *steps: Mapping[str, Any], window: int = 10**6) -> Cube:
    graph = chain(load(bands, extent(100, 60), MARCH), *map(dict, steps))
    return run_cubes(graph, catalog, window)[f"n{len(steps)}"]


def test_granules_of_one_datatake_are_one_time_step(granules: Catalog) -> None:
    cube = cube_of(granules, ["B04"])
    assert cube.values.shape == (1, 1, 60, 100)
    assert cube.validity()[..., :40].any()
    assert cube.validity()[..., 60:].any()


def test_all_bands_of_a_pixel_come_from_one_item_and_all_loads_agree(granules: Catalog) -> None:
    both = cube_of(granules, ["B04", "B08"])
    source = both.values[0] // 100
    valid = both.validity()[0]
    where = valid.all(axis=0)
    assert (source[0] == source[1])[where].all()
    overlap = source[0][:, 40:60][where[:, 40:60]]
    assert set(np.unique(overlap)) == {1, 2}, "holes of the first granule's SCL let the second one in"
    for n, band in enumerate(("B04", "B08")):
        alone = cube_of(granules, [band])
        np.testing.assert_array_equal(alone.values[0, 0], both.values[0, n])
        np.testing.assert_array_equal(alone.validity()[0, 0], both.validity()[0, n])


STEPS = [
    [],
    [node("resample_spatial", resolution=20, method="average")],
    [node("resample_spatial", projection=3035, resolution=10, method="bilinear")],
    [node("resample_spatial", projection=32632, resolution=30, method="mode")],
    [node("resample_spatial", resolution=10, method="cubicspline")],
]


@pytest.mark.parametrize("window", [7, 16, 33])
@pytest.mark.parametrize("steps", STEPS, ids=["own grid", "average", "bilinear", "mode", "cubicspline"])
def test_a_mosaic_does_not_depend_on_the_windows_it_is_computed_in(
    granules: Catalog, window: int, steps: list[dict[str, Any]]
) -> None:
    whole = cube_of(granules, ["B04", "B05"], *steps)
    assert_same_cube(whole, cube_of(granules, ["B04", "B05"], *steps, window=window))


def test_a_hole_in_the_reference_band_of_the_only_item_hides_nothing(granules: Catalog) -> None:
    """Far from the overlap there is no choice to make: the band's own nulls count."""
    cube = cube_of(granules, ["B04"])
    narrow = run_cubes(chain(load(["B04"], extent(30, 60), MARCH)), granules)["n0"]
    np.testing.assert_array_equal(cube.values[..., :30], narrow.values)
    np.testing.assert_array_equal(cube.validity()[..., :30], narrow.validity())


def test_only_items_whose_pixels_were_read_are_listed(granules: Catalog, tmp_path: Path) -> None:
    graph = chain(load(["B04"], extent(20, 20), MARCH))
    done = run_plan(make_plan(parse_graph(graph), granules, Budget(10**9, 1)), tmp_path / "a.nc")
    assert [i.id for i in done.items_read] == ["g0"]
