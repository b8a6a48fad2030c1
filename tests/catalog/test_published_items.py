"""Real items as Earth Search, the Copernicus Data Space and Planetary Computer publish them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
from tests.support.catalog_items import WORLD
from tests.support.real_offsets import EARTH_SEARCH

from acreage.catalog import Search, SourceItem, open_catalog
from acreage.catalog.definition import CollectionDefinition, shipped_definitions
from acreage.catalog.grouping import group_of
from acreage.catalog.headers import HeaderCache
from acreage.catalog.rasters import resolve_items
from acreage.catalog.sentinel2 import baseline, granule
from acreage.catalog.sources import features
from acreage.catalog.stac import StacItem, parse_item

SENTINEL2 = next(d for d in shipped_definitions() if d.id == "SENTINEL2_L2A")
ALL_BANDS = {"B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL"}


def resolved(item: StacItem, definition: CollectionDefinition = SENTINEL2) -> SourceItem:
    items, problems = resolve_items([item], definition, definition.bands, HeaderCache())
    assert problems == []
    return items[0]


def read(path: Path) -> list[StacItem]:
    return [parse_item(data, str(path)) for data in features(json.loads(path.read_text()))]


def test_the_table_of_earth_search_items_is_complete(real_data: Path) -> None:
    assert {p.stem for p in (real_data / "s2-earthsearch" / "stac_items").glob("*.json")} == set(EARTH_SEARCH)


@pytest.mark.parametrize("identifier", EARTH_SEARCH)
def test_earth_search_items_have_the_right_offset_and_grid(real_data: Path, identifier: str) -> None:
    (item,) = read(real_data / "s2-earthsearch" / "stac_items" / f"{identifier}.json")
    version, offset = EARTH_SEARCH[identifier]
    assert baseline(item) == version
    source = resolved(item)
    assert set(source.rasters) == ALL_BANDS
    for name, raster in source.rasters.items():
        resolution = 10 if name in ("B02", "B03", "B04", "B08") else 60 if name in ("B01", "B09") else 20
        assert raster.box.grid.res_x == resolution
        assert raster.box.size == (109_800 // resolution) ** 2
        assert raster.dn_offset == (0 if name == "SCL" else offset)
        assert raster.nodata == 0
        assert raster.dtype == ("uint8" if name == "SCL" else "uint16")
    assert source.rasters["B04"].scale == 0.0001
    assert source.rasters["B04"].offset == 0.0


@pytest.mark.parametrize("name", ["cdse_s2_l2a_T36NYH_20200322_N0500", "cdse_s2_l2a_T55WFR_20260527_N0512"])
def test_data_space_items_have_their_offset_still_in_the_pixels(real_data: Path, name: str) -> None:
    (item,) = read(real_data / "stac-items" / f"{name}.json")
    source = resolved(item)
    assert set(source.rasters) == ALL_BANDS
    assert {r.dn_offset for n, r in source.rasters.items() if n != "SCL"} == {-1000}
    assert source.rasters["SCL"].dn_offset == 0
    assert source.rasters["B02"].href.startswith("s3://eodata/")
    assert source.rasters["B02"].href.endswith("_B02_10m.jp2")
    assert source.rasters["B05"].box.shape == (5490, 5490)
    assert granule(item) == name.split("_")[3][1:]


def test_planetary_computer_items_need_no_raster_metadata(real_data: Path) -> None:
    items = read(real_data / "stac-items" / "pc_s2_l2a_13items_T35MNM_2020.geojson")
    items += read(real_data / "stac-items" / "pc_s2_l2a_item_T06VVN.json")
    assert len(items) == 14
    for item in items:
        source = resolved(item)
        assert set(source.rasters) == ALL_BANDS
        assert {r.dn_offset for r in source.rasters.values()} == {0}  # all of baseline 02.12
        assert source.rasters["B8A"].dtype == "uint16"
    assert len({group_of(item, "solar-day-datatake") for item in items}) == 14


@pytest.fixture(scope="module")
def products(real_data: Path) -> Search:
    catalog = open_catalog(real_data / "s2-earthsearch" / "full_products" / "catalog.json")
    return catalog.search("SENTINEL2_L2A", WORLD, bands=("B02", "B03", "B04", "B08", "SCL"))


def test_files_coarser_than_their_metadata_are_taken_as_they_are(products: Search) -> None:
    assert len(products.items) == 4
    for item in products.items:
        for raster in item.rasters.values():
            with rasterio.open(raster.href) as file:
                assert raster.box.shape == file.shape == (915, 915)
                assert raster.box.affine == file.transform
            assert raster.dn_offset == 0


def test_granules_of_one_datatake_are_one_group(products: Search) -> None:
    groups: dict[str, set[str]] = {}
    for item in products.items:
        groups.setdefault(item.group, set()).add(item.id[4:9])
    assert groups == {"S2B_20230813T095559": {"33TWL", "33TWM"}, "S2A_20230818T100031": {"33TWL", "33TWM"}}


def test_items_that_a_collection_links_but_does_not_have_are_reported(products: Search) -> None:
    missing = [p for p in products.problems if p.asset == ""]
    assert len(missing) == 6
    assert all("No such file" in p.reason for p in missing)
    assert len(products.problems) == 6


def test_a_folder_of_loose_items_is_sorted_into_collections(real_data: Path) -> None:
    catalog = open_catalog(real_data / "stac-items")
    assert set(catalog.collections()) == {"SENTINEL2_L2A", "sentinel-2-l1c"}
    found = catalog.search("SENTINEL2_L2A", WORLD, bands=("B04",))
    assert len(found.items) == 16
    assert found.problems == ()


def test_raw_radar_is_not_taken_for_a_calibrated_collection(real_data: Path) -> None:
    catalog = open_catalog(real_data / "s1-safe" / "stactools")
    assert "SENTINEL1_GRD" not in catalog.collections()
