"""The real site: counts, grids and types as its files have them, whichever way the catalog is read."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tests.support.stac_api import api_of_static, stac_api, web_folder

from acreage.catalog import Catalog, Raster, Search, open_catalog
from acreage.core.errors import CollectionNotFound, InvalidInput, LabelNotAvailable

AREA = (4.0585, 50.7431, 4.0676, 50.7489)
COLLECTIONS = {
    "SENTINEL2_L2A": "sentinel-2-l2a",
    "SENTINEL1_GRD": "sentinel-1-sigma0",
    "COPERNICUS_30": "cop-dem-glo-30",
    "ESA_WORLDCOVER_10M_2021_V2": "esa-worldcover",
}

# The site has no 60 m bands, so none are offered.
OFFERED = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL")


@pytest.fixture(scope="module")
def site(real_data: Path) -> Path:
    return real_data / "flanders-2019"


@pytest.fixture(scope="module")
def catalog(site: Path) -> Catalog:
    return open_catalog(site / "catalog.json")


def at(text: str) -> np.datetime64:
    return np.datetime64(text, "ms")


@pytest.mark.parametrize(
    ("collection", "count"),
    [("SENTINEL2_L2A", 72), ("SENTINEL1_GRD", 80), ("COPERNICUS_30", 1), ("ESA_WORLDCOVER_10M_2021_V2", 1)],
)
def test_every_item_is_found_and_its_rasters_are_what_the_files_say(
    catalog: Catalog, collection: str, count: int
) -> None:
    found = catalog.search(collection, AREA)
    assert len(found.items) == count
    assert found.problems == ()
    assert found.superseded == ()
    for item in found.items[:: max(1, count // 12)]:
        assert tuple(item.rasters) == catalog.describe(collection).band_names
        for raster in item.rasters.values():
            _equals_file(raster)


def _equals_file(raster: Raster) -> None:
    with rasterio.open(raster.href) as file:
        assert raster.box.shape == file.shape
        assert raster.box.bounds == tuple(file.bounds)
        assert raster.box.affine == file.transform
        assert raster.box.grid.crs == f"EPSG:{file.crs.to_epsg()}"
        assert raster.dtype == file.dtypes[raster.band_index - 1]
        stored = file.nodatavals[raster.band_index - 1]
    if stored is None or raster.nodata is None:
        assert stored is raster.nodata
    else:
        assert stored == raster.nodata or (math.isnan(stored) and math.isnan(raster.nodata))
    assert raster.dn_offset == 0


def test_the_season_selects_what_its_item_names_say(catalog: Catalog, site: Path) -> None:
    season = (at("2019-03-01"), at("2019-11-01"))
    found = catalog.search("SENTINEL2_L2A", AREA, season, ("B04", "SCL"))
    named = {
        path.name
        for path in (site / "sentinel-2-l2a").iterdir()
        if path.is_dir() and "20190301" <= path.name.split("_")[2] < "20191101"
    }
    assert {item.id for item in found.items} == named
    assert all(set(item.rasters) == {"B04", "SCL"} for item in found.items)


def test_the_interval_is_half_open(catalog: Catalog) -> None:
    first = at("2018-08-04T10:50:22")
    day = catalog.search("SENTINEL2_L2A", AREA, (first, first + np.timedelta64(1, "ms")))
    assert [item.datetime for item in day.items] == [first]
    assert catalog.search("SENTINEL2_L2A", AREA, (at("2018-08-01"), first)).items == ()


def test_static_collections_answer_for_any_season(catalog: Catalog) -> None:
    for collection in ("COPERNICUS_30", "ESA_WORLDCOVER_10M_2021_V2"):
        assert len(catalog.search(collection, AREA, (at("2019-03-01"), at("2019-11-01"))).items) == 1


def test_items_are_in_order_of_time_and_each_pass_is_a_group(catalog: Catalog) -> None:
    for collection, count in (("SENTINEL2_L2A", 72), ("SENTINEL1_GRD", 80)):
        items = catalog.search(collection, AREA).items
        assert [i.datetime for i in items] == sorted(i.datetime for i in items)
        assert len({i.group for i in items}) == count


def test_an_area_elsewhere_holds_nothing(catalog: Catalog) -> None:
    assert catalog.search("SENTINEL2_L2A", (10.0, 50.0, 10.1, 50.1)) == Search(())


def test_bounds_that_are_not_degrees_are_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidInput, match="not bounds in degrees"):
        catalog.search("SENTINEL2_L2A", (574680.0, 5621800.0, 575320.0, 5622440.0))


def test_collections_are_described_as_they_are(catalog: Catalog) -> None:
    assert catalog.collections() == tuple(COLLECTIONS)
    optical = catalog.describe("SENTINEL2_L2A")
    assert optical.band_names == OFFERED
    assert optical.mosaic_reference == "SCL"
    scl = optical.band("SCL")
    assert scl is not None
    assert scl.categorical
    assert catalog.describe("SENTINEL1_GRD").attributes["sar:calibration"] == "sigma0-ellipsoid"
    assert optical.interval == (at("2018-08-04T10:50:22"), at("2019-11-27T10:56:51"))
    west, south, east, north = optical.bboxes[0]
    assert west < AREA[0] < AREA[2] < east
    assert south < AREA[1] < AREA[3] < north


def test_a_band_that_the_catalog_does_not_have_is_refused(catalog: Catalog) -> None:
    with pytest.raises(LabelNotAvailable, match=r"no band 'B01'; it has B02"):
        catalog.search("SENTINEL2_L2A", AREA, bands=("B01",))


def test_an_unknown_collection_lists_the_known_ones(catalog: Catalog) -> None:
    with pytest.raises(CollectionNotFound, match=r"'SENTINEL3'.*COPERNICUS_30, ESA_WORLDCOVER"):
        catalog.describe("SENTINEL3")


def test_property_filters_are_evaluated(catalog: Catalog) -> None:
    everything = catalog.search("SENTINEL2_L2A", AREA, bands=("SCL",)).items
    clear = catalog.search("SENTINEL2_L2A", AREA, bands=("SCL",), query={"eo:cloud_cover": {"lte": 20}}).items
    wanted = [i.id for i in everything if i.properties["eo:cloud_cover"] <= 20]
    assert [i.id for i in clear] == wanted
    assert 0 < len(wanted) < 72
    with pytest.raises(InvalidInput, match="unknown operator 'below'"):
        catalog.search("SENTINEL2_L2A", AREA, query={"eo:cloud_cover": {"below": 20}})


def test_a_search_survives_pickling(catalog: Catalog) -> None:
    found = catalog.search("SENTINEL2_L2A", AREA, bands=("B04",))
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_stac_api_gives_the_same_answer_as_the_static_catalog(catalog: Catalog, site: Path) -> None:
    season = (at("2019-03-01"), at("2019-11-01"))
    with stac_api(api_of_static(site, list(COLLECTIONS.values()))) as api:
        api.page = 7
        remote = open_catalog(api.address)
        assert remote.collections() == tuple(COLLECTIONS)
        for collection in COLLECTIONS:
            ours, theirs = (c.search(collection, AREA, season) for c in (catalog, remote))
            assert len(ours.items) > 0
            bands = set(catalog.describe(collection).band_names)
            _same_but_for_href(ours, theirs, bands)
        pages = [wanted for path, wanted in api.requests if path.endswith("/search") and "token" in wanted]
        assert len(pages) >= 8, "the answers were meant to come in pages"
        first = next(wanted for path, wanted in api.requests if path == "POST /search")
        assert first["datetime"] == "2019-03-01T00:00:00Z/2019-10-31T23:59:59.999Z"
        nowhere = remote.search("SENTINEL2_L2A", (10.0, 50.0, 10.1, 50.1))
        assert nowhere.items == ()


def _same_but_for_href(ours: Search, theirs: Search, bands: set[str]) -> None:
    """An API cannot know which bands no item has, so it reports these; all else is equal."""
    assert [replace(i, href="") for i in ours.items] == [replace(i, href="") for i in theirs.items]
    assert not [p for p in theirs.problems if p.asset in bands]
    assert ours.superseded == theirs.superseded


def test_a_static_catalog_on_a_web_server_gives_the_same_answer(catalog: Catalog, site: Path) -> None:
    with web_folder(site) as address:
        remote = open_catalog(f"{address}/catalog.json")
        for collection in COLLECTIONS:
            ours, theirs = (c.search(collection, AREA) for c in (catalog, remote))
            assert len(ours.items) == len(theirs.items)
            for mine, other in zip(ours.items, theirs.items, strict=True):
                assert other.href.startswith(address)
                assert (mine.id, mine.group, mine.rank) == (other.id, other.group, other.rank)
                for name, raster in mine.rasters.items():
                    moved = other.rasters[name]
                    assert moved.href == raster.href.replace(str(site), address)
                    assert replace(moved, href="") == replace(raster, href="")


def test_a_folder_is_opened_by_its_catalog(site: Path) -> None:
    assert open_catalog(site).collections() == tuple(COLLECTIONS)
    only = open_catalog(site / "sentinel-1-sigma0")
    assert only.collections() == ("SENTINEL1_GRD",)
    assert len(only.search("SENTINEL1_GRD", AREA).items) == 80


def test_without_definitions_names_stay_as_they_are_published(site: Path) -> None:
    plain = open_catalog(site / "catalog.json", definitions=())
    assert plain.collections() == tuple(COLLECTIONS.values())
    info = plain.describe("sentinel-2-l2a")
    assert set(info.band_names) >= {"blue", "scl", "swir22"}
    found = plain.search("sentinel-2-l2a", AREA, bands=("blue",))
    assert len(found.items) == 72
    assert {i.group for i in found.items} == {i.id for i in found.items}
    assert datetime.fromisoformat(found.items[0].properties["datetime"]).year == 2018
