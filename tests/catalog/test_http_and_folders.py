"""Servers that misbehave, and folders of bare GeoTIFFs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from tests.support.catalog_items import WORLD, stac_item, write_catalog, write_raster
from tests.support.stac_api import StacApi, stac_api, web_folder

from acreage.catalog import open_catalog
from acreage.catalog.fetch import resolve
from acreage.core.errors import CatalogError

COLLECTION = {
    "type": "Collection",
    "id": "sentinel-2-l2a",
    "stac_version": "1.1.0",
    "description": "",
    "license": "other",
    "extent": {
        "spatial": {"bbox": [[4, 50, 5, 51]]},
        "temporal": {"interval": [["2022-01-01T00:00:00Z", None]]},
    },
    "links": [],
}
BUSY = (503, {"Retry-After": "0"}, "busy")
HTML = (200, {"Content-Type": "text/html"}, "<!DOCTYPE html><title>Maintenance</title>")


def server() -> StacApi:
    return StacApi({"sentinel-2-l2a": COLLECTION}, [stac_item("one")])


def test_a_busy_server_is_asked_again() -> None:
    with stac_api(server()) as api:
        api.refusals += [BUSY, (429, {"Retry-After": "0"}, "slow down")]
        catalog = open_catalog(api.address)
        api.refusals += [BUSY]
        assert len(catalog.search("SENTINEL2_L2A", WORLD, bands=("B02",)).items) == 1
        assert api.refusals == []


def test_a_web_page_in_place_of_json_is_refused_with_its_address_and_beginning() -> None:
    with stac_api(server()) as api:
        api.refusals += [HTML]
        with pytest.raises(CatalogError, match=r"is not JSON; it begins with '<!DOCTYPE html>") as caught:
            open_catalog(api.address)
        assert api.address in str(caught.value)


def test_a_web_page_in_place_of_an_answer_is_refused() -> None:
    with stac_api(server()) as api:
        catalog = open_catalog(api.address)
        api.refusals += [HTML]
        with pytest.raises(CatalogError, match="The STAC API at") as caught:
            catalog.search("SENTINEL2_L2A", WORLD)
        assert api.address in str(caught.value)


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_told_with_its_status(status: int) -> None:
    with stac_api(server()) as api:
        api.refusals += [(status, {}, "no entry")]
        with pytest.raises(CatalogError, match=rf"answers HTTP {status} .*'no entry'"):
            open_catalog(api.address)


def test_a_server_that_is_not_there_is_told() -> None:
    with stac_api(server()) as api:
        address = api.address
    with pytest.raises(CatalogError, match="cannot be reached"):
        open_catalog(address)


def test_an_item_that_the_web_server_lacks_is_a_problem(tmp_path: Path) -> None:
    write_catalog(tmp_path, [stac_item("good"), stac_item("gone", **{"grid:code": "MGRS-31UFS"})])
    (tmp_path / "sentinel-2-l2a" / "1.json").unlink()
    with web_folder(tmp_path) as address:
        found = open_catalog(f"{address}/catalog.json").search("SENTINEL2_L2A", WORLD, bands=("B02",))
        assert [i.id for i in found.items] == ["good"]
        (problem,) = found.problems
        assert problem.item == f"{address}/sentinel-2-l2a/1.json"
        assert "HTTP 404" in problem.reason


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("./b.tif", "/data/items/i.json", "/data/items/b.tif"),
        ("../b.tif", "/data/items/i.json", "/data/b.tif"),
        ("/else/b.tif", "/data/items/i.json", "/else/b.tif"),
        ("file:///else/a%20b.tif", "/data/i.json", "/else/a b.tif"),
        ("b.tif", "https://host/c/i.json?x=1", "https://host/c/b.tif"),
        ("/b.tif", "https://host/c/i.json", "https://host/b.tif"),
        ("s3://bucket/b.tif", "https://host/c/i.json", "s3://bucket/b.tif"),
        ("/vsizip/a.zip/b.tif", "/data/i.json", "/vsizip/a.zip/b.tif"),
    ],
)
def test_links_are_resolved_against_their_document(href: str, base: str, expected: str) -> None:
    assert resolve(href, base) == expected


PLACE = Affine(10, 0, 574680, 0, -10, 5622440)


def test_a_folder_of_bare_geotiffs_is_a_catalog(tmp_path: Path) -> None:
    for date in ("20190305T173153", "20190311T173243"):
        for band in ("VV", "VH"):
            path = tmp_path / "SENTINEL1_GRD" / f"S1A_{date}" / f"{band}.tif"
            write_raster(path, transform=PLACE, dtype="float32", nodata=np.nan, shape=(32, 24))
    dem = tmp_path / "cop-dem-glo-30" / "Copernicus_DSM_COG_10_N50_00_E004_00" / "data.tif"
    write_raster(
        dem, crs="EPSG:4326", transform=Affine(1 / 3600, 0, 4, 0, -1 / 3600, 51), dtype="float32", nodata=None
    )
    (tmp_path / "README.txt").write_text("not a raster")
    catalog = open_catalog(tmp_path)
    assert set(catalog.collections()) == {"SENTINEL1_GRD", "COPERNICUS_30"}
    found = catalog.search("SENTINEL1_GRD", WORLD, (np.datetime64("2019-03-06"), np.datetime64("2019-04-01")))
    (item,) = found.items
    assert item.datetime == np.datetime64("2019-03-11T17:32:43")
    assert item.rasters["VH"].box.affine == PLACE
    assert item.rasters["VH"].box.shape == (32, 24)
    assert item.rasters["VH"].dtype == "float32"
    assert found.problems == ()
    season = (np.datetime64("2019-03-01"), np.datetime64("2019-11-01"))
    (elevation,) = catalog.search("COPERNICUS_30", WORLD, season).items
    assert elevation.rasters["DEM"].box.bounds == pytest.approx((4, 51 - 16 / 3600, 4 + 16 / 3600, 51))
    west, south, east, north = catalog.describe("SENTINEL1_GRD").bboxes[0]
    assert west == pytest.approx(4.0584, abs=1e-3)
    assert south < 50.7475 < north
    assert east > west


def test_a_bare_item_without_a_date_is_a_problem(tmp_path: Path) -> None:
    write_raster(tmp_path / "SENTINEL1_GRD" / "march" / "VV.tif", transform=PLACE, dtype="float32")
    found = open_catalog(tmp_path).search("SENTINEL1_GRD", WORLD)
    assert found.items == ()
    assert [(p.item, p.reason) for p in found.problems] == [("march", "Its name holds no date.")]


def test_an_unreadable_bare_geotiff_is_a_problem(tmp_path: Path) -> None:
    write_raster(tmp_path / "SENTINEL1_GRD" / "20190305" / "VV.tif", transform=PLACE, dtype="float32")
    bad = tmp_path / "SENTINEL1_GRD" / "20190306" / "VV.tif"
    bad.parent.mkdir()
    bad.write_bytes(b"not a tiff")
    found = open_catalog(tmp_path).search("SENTINEL1_GRD", WORLD, bands=("VV",))
    assert len(found.items) == 1
    assert "cannot be opened" in found.problems[0].reason


def test_worldcover_of_another_year_is_left_out(tmp_path: Path) -> None:
    for name in ("ESA_WorldCover_10m_2020_v100_N48E003", "ESA_WorldCover_10m_2021_v200_N48E003"):
        write_raster(tmp_path / "esa-worldcover" / name / "map.tif", transform=PLACE, dtype="uint8")
    found = open_catalog(tmp_path).search("ESA_WORLDCOVER_10M_2021_V2", WORLD)
    assert [i.id for i in found.items] == ["ESA_WorldCover_10m_2021_v200_N48E003"]


def test_other_json_in_a_folder_of_items_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({"hello": "world"}))
    (tmp_path / "item.json").write_text(json.dumps(stac_item("one")))
    found = open_catalog(tmp_path).search("SENTINEL2_L2A", WORLD, bands=("B02",))
    assert [i.id for i in found.items] == ["one"]
