"""Collection definitions and catalog configurations: what they do, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.support.catalog_items import WORLD, stac_item, write_catalog
from tests.support.stac_api import StacApi, stac_api

from acreage.catalog import open_catalog
from acreage.catalog.definition import load_definition, shipped_definitions
from acreage.core.errors import CatalogError, CollectionNotFound

AREA = (4.0585, 50.7431, 4.0676, 50.7489)


def write(path: Path, data: object) -> Path:
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def test_the_shipped_collections_have_the_federations_names() -> None:
    names = {d.id: [b.name for b in d.bands] for d in shipped_definitions()}
    assert names == {
        "SENTINEL2_L2A": [*(f"B0{n}" for n in range(1, 9)), "B8A", "B09", "B11", "B12", "SCL"],
        "SENTINEL1_GRD": ["VV", "VH"],
        "COPERNICUS_30": ["DEM"],
        "ESA_WORLDCOVER_10M_2020_V1": ["MAP"],
        "ESA_WORLDCOVER_10M_2021_V2": ["MAP"],
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bands": []}, r"- bands: Tuple should have at least 1 item"),
        ({"bands": [{"assets": ["a"]}]}, r"- bands\.0\.name: Field required"),
        (
            {"bands": [{"name": "A", "assets": ["a"], "dtype": "int12"}]},
            r"bands\.0\.dtype: 'int12' is not a numpy",
        ),
        (
            {"bands": [{"name": "A", "assets": ["a"], "gsd": -1}]},
            r"bands\.0\.gsd: Input should be greater than 0",
        ),
        ({"bands": [{"name": "A", "assets": ["a"], "colour": 1}]}, r"bands\.0\.colour: .*unknown key"),
        ({"bands": [{"name": "A", "assets": ["a"]}] * 2}, "A is defined twice"),
        ({"mosaic": "nearest"}, r"- mosaic: Input should be 'solar-day-datatake'"),
        ({"mosaic_reference": "B"}, "mosaic_reference: 'B' is not one of the bands"),
        ({"interval": ["2022-01-01", "2021-01-01"]}, "interval: the interval ends before it starts"),
        ({"interval": ["then", "now"]}, "interval: 'then' is not a date"),
        ({"defaults": 3}, "defaults: a mapping of band keys is needed"),
    ],
)
def test_a_wrong_definition_names_file_key_and_cure(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    good: dict[str, object] = {"id": "MINE", "bands": [{"name": "A", "assets": ["a"]}]}
    path = write(tmp_path / "mine.yaml", good | change)
    with pytest.raises(CatalogError, match=reason) as caught:
        load_definition(path)
    assert str(path) in str(caught.value)


def test_a_definition_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("id: [unclosed")
    with pytest.raises(CatalogError, match="is not valid YAML"):
        load_definition(path)
    path.write_text("just words")
    with pytest.raises(CatalogError, match="holds no mapping"):
        load_definition(path)


def test_a_configuration_brings_collections_of_several_catalogs_together(
    tmp_path: Path, real_data: Path
) -> None:
    site = real_data / "flanders-2019"
    path = write(
        tmp_path / "all.yaml",
        {
            "collections": {
                "SENTINEL2_L2A": {"catalog": str(site / "catalog.json")},
                "RADAR": {
                    "catalog": str(site / "sentinel-1-sigma0"),
                    "definition": str(write(tmp_path / "radar.yaml", RADAR)),
                    "attributes": {"sar:calibration": "mine"},
                },
            }
        },
    )
    catalog = open_catalog(path)
    assert catalog.collections() == ("SENTINEL2_L2A", "RADAR")
    assert len(catalog.search("SENTINEL2_L2A", AREA, bands=("B04",)).items) == 72
    radar = catalog.search("RADAR", AREA)
    assert {i.collection for i in radar.items} == {"RADAR"}
    assert {name for i in radar.items for name in i.rasters} == {"cross"}
    assert catalog.describe("RADAR").attributes == {"sar:calibration": "mine"}
    with pytest.raises(
        CollectionNotFound, match=r"'COPERNICUS_30' in .*all\.yaml\. It has: RADAR, SENTINEL2"
    ):
        catalog.search("COPERNICUS_30", AREA)


RADAR = {
    "id": "SOMETHING",
    "sources": [{"ids": ["sentinel-1-sigma0"]}],
    "bands": [{"name": "cross", "assets": ["vh"]}],
}


def test_asset_keys_and_properties_can_be_set_in_the_configuration(tmp_path: Path) -> None:
    item = stac_item("odd")
    item["assets"] = {"band_two": item["assets"]["blue"]}
    del item["assets"]["band_two"]["raster:bands"]
    del item["properties"]["s2:processing_baseline"]
    root = write_catalog(tmp_path / "stac", [item], "mine")
    entry = {"catalog": str(root), "source": "mine", "assets": {"B02": "band_two"}}
    bare = open_catalog(write(tmp_path / "bare.yaml", {"collections": {"SENTINEL2_L2A": entry}}))
    (problem,) = bare.search("SENTINEL2_L2A", WORLD, bands=("B02",)).problems
    assert "neither its processing baseline nor an offset" in problem.reason

    entry["properties"] = {"s2:processing_baseline": "05.00"}
    path = write(tmp_path / "with.yaml", {"collections": {"SENTINEL2_L2A": entry}})
    found = open_catalog(path).search("SENTINEL2_L2A", WORLD, bands=("B02",))
    assert found.problems == ()
    assert found.items[0].rasters["B02"].dn_offset == -1000


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, r"collections\.SENTINEL2_L2A\.catalog: Field required"),
        ({"catalog": "stac/catalog.json", "bands": {}}, r"SENTINEL2_L2A\.bands: .*unknown key"),
        (
            {"catalog": "stac/catalog.json", "assets": {"B99": "x"}},
            r"assets: B99 is no band of SENTINEL2_L2A",
        ),
        ({"catalog": "stac/none.json"}, "There is no catalog at"),
        ({"catalog": "file://nowhere/none.json"}, "There is no catalog at"),
        ({"catalog": "ftp://h/catalog.json"}, "collections.SENTINEL2_L2A: catalogs are not read by ftp://"),
        ({"catalog": "stac/catalog.json", "source": "s2"}, r"no collection 's2' in .*It has: sentinel-2-l2a"),
        ({"catalog": "stac/catalog.json", "definition": "none.yaml"}, r"none\.yaml cannot be read"),
        (
            {"catalog": "stac/catalog.json", "headers": {"Authorization": {"env": "ACREAGE_TEST_NO_SUCH"}}},
            r"headers\.Authorization: The environment variable ACREAGE_TEST_NO_SUCH is not set",
        ),
        (
            {"catalog": "stac/catalog.json", "headers": {"Authorization": "hunter2"}},
            r"headers\.Authorization: write it as {env: NAME}: secrets stay in environment variables Correct",
        ),
        (
            {
                "catalog": "stac/catalog.json",
                "access": {"key": 1, "credentials": {"keys": 1, "profile": "p"}},
            },
            r"access\.credentials\.keys: .*known are access_key, secret_key, session_token, profile\)"
            r"\n.*access\.key: .*known are signing, endpoint, region,",
        ),
    ],
)
def test_a_wrong_configuration_names_file_key_and_cure(
    tmp_path: Path, entry: dict[str, object], reason: str
) -> None:
    write_catalog(tmp_path / "stac", [stac_item("good")])
    path = write(tmp_path / "catalogs.yaml", {"collections": {"SENTINEL2_L2A": entry}})
    with pytest.raises(CatalogError, match=reason):
        open_catalog(path)


def test_overrides_without_a_definition_are_refused(tmp_path: Path) -> None:
    write_catalog(tmp_path / "stac", [stac_item("good")], "own")
    path = write(
        tmp_path / "c.yaml",
        {"collections": {"own": {"catalog": "stac/catalog.json", "assets": {"blue": "b"}}}},
    )
    with pytest.raises(CatalogError, match="need a definition; this id has none"):
        open_catalog(path)


def test_headers_come_from_the_environment_and_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_CATALOG_TOKEN", "Bearer 123")
    collection = {
        "type": "Collection",
        "id": "sentinel-2-l2a",
        "stac_version": "1.1.0",
        "description": "",
        "license": "other",
        "extent": {"spatial": {"bbox": [[4, 50, 5, 51]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }
    with stac_api(StacApi({"sentinel-2-l2a": collection}, [stac_item("one")])) as api:
        entry = {"catalog": api.address, "headers": {"Authorization": {"env": "TEST_CATALOG_TOKEN"}}}
        catalog = open_catalog(write(tmp_path / "c.yaml", {"collections": {"SENTINEL2_L2A": entry}}))
        assert len(catalog.search("SENTINEL2_L2A", WORLD, bands=("B02",)).items) == 1
        assert {headers.get("authorization") for headers in api.headers_seen} == {"Bearer 123"}
