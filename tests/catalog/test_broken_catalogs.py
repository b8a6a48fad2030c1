"""Broken items and catalogs: each fault is named, counted, and takes nothing else with it."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.catalog_items import WORLD, stac_item, write_catalog, write_raster

from acreage.catalog import Catalog, Search, open_catalog
from acreage.catalog.headers import Header, read_header
from acreage.core.errors import CatalogError

BLUE = ("B02",)


def search(root: Path, bands: tuple[str, ...] | None = BLUE) -> Search:
    return open_catalog(root).search("SENTINEL2_L2A", WORLD, bands=bands)


def broken(**changes: Any) -> dict[str, Any]:
    item = stac_item("bad")
    for key, value in changes.items():
        if value is None:
            del item[key]
        else:
            item[key] = value
    return item


@pytest.mark.parametrize(
    ("item", "name", "reason"),
    [
        (broken(assets=None), "bad", "no assets"),
        (broken(assets={}), "bad", "no assets"),
        (broken(properties=None), "bad", "no properties"),
        (broken(properties={"datetime": None}), "bad", "no datetime"),
        (broken(properties={"datetime": "yesterday"}), "bad", "'yesterday', not a date"),
        (broken(properties={"datetime": 20190801}), "bad", "20190801, not a date"),
        (
            broken(
                properties={"start_datetime": "2020-02-01T00:00:00Z", "end_datetime": "2020-01-01T00:00:00Z"}
            ),
            "bad",
            "end_datetime lies before",
        ),
        (broken(bbox=None), "bad", "neither a usable bbox nor a geometry"),
        (broken(bbox=["west", 1, 2, 3]), "bad", "neither a usable bbox nor a geometry"),
        (broken(bbox=None, geometry={"type": "Polygon", "coordinates": "none"}), "bad", "neither"),
        (broken(id=None), "0.json", "no id"),
    ],
)
def test_an_unusable_item_is_a_problem_and_the_others_are_read(
    tmp_path: Path, item: dict[str, Any], name: str, reason: str
) -> None:
    found = search(write_catalog(tmp_path, [item, stac_item("good")]))
    assert [i.id for i in found.items] == ["good"]
    (problem,) = found.problems
    assert problem.item.endswith(name)
    assert reason in problem.reason


def test_a_geometry_stands_in_for_a_missing_bbox(tmp_path: Path) -> None:
    ring = [[4.0, 50.0], [4.2, 50.0], [4.2, 50.2], [4.0, 50.0]]
    item = broken(bbox=None, geometry={"type": "Polygon", "coordinates": [ring]})
    assert search(write_catalog(tmp_path, [item])).items[0].bbox == (4.0, 50.0, 4.2, 50.2)


def test_an_item_that_is_not_json_is_a_problem(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, [stac_item("good"), stac_item("cut")])
    (tmp_path / "sentinel-2-l2a" / "1.json").write_text('{"type": "Feature", "id"')
    found = search(root)
    assert [i.id for i in found.items] == ["good"]
    (problem,) = found.problems
    assert problem.item.endswith("1.json")
    assert "is not JSON; it begins with" in problem.reason


def test_two_items_with_one_id_are_a_problem(tmp_path: Path) -> None:
    good = stac_item("good", **{"grid:code": "MGRS-31UFS"})
    found = search(write_catalog(tmp_path, [stac_item("twin"), stac_item("twin"), good]))
    assert sorted(i.id for i in found.items) == ["good", "twin"]
    (problem,) = found.problems
    assert (problem.item, problem.asset, problem.kind) == ("twin", "", "duplicate-id")
    assert "used by 2 items" in problem.reason
    assert "none is used" in problem.reason


def test_an_item_that_is_listed_twice_is_one_item(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, [stac_item("twin")])
    path = tmp_path / "sentinel-2-l2a" / "collection.json"
    collection = json.loads(path.read_text())
    collection["links"] *= 2
    path.write_text(json.dumps(collection))
    found = search(root)
    assert [i.id for i in found.items] == ["twin"]
    assert found.problems == ()


def test_a_missing_asset_leaves_the_other_bands(tmp_path: Path) -> None:
    whole, part = stac_item("whole"), stac_item("part", **{"grid:code": "MGRS-31UFS"})
    whole["assets"]["red"] = whole["assets"]["blue"]
    found = search(write_catalog(tmp_path, [whole, part]), ("B02", "B04"))
    assert {i.id: set(i.rasters) for i in found.items} == {"whole": {"B02", "B04"}, "part": {"B02"}}
    (problem,) = found.problems
    assert (problem.item, problem.asset) == ("part", "B04")
    assert "no asset 'red'" in problem.reason


@pytest.mark.parametrize(
    ("asset", "properties", "reason"),
    [
        ({"href": None}, {}, "has no href"),
        ({"href": "gs://bucket/b02.tif"}, {}, "lies at gs://, which is not read; http, https and s3 are"),
        ({}, {"s2:processing_baseline": "03.01"}, "03.01 means an offset of 0 DN, but -1000 is stated"),
        ({"proj:transform": [10, 5, 500000, 0, -10, 5600000]}, {}, "rotated or not north-up"),
        ({}, {"proj:code": "EPSG:99999999"}, "not a coordinate reference system"),
    ],
)
def test_an_asset_that_cannot_be_placed_is_a_problem(
    tmp_path: Path, asset: dict[str, Any], properties: dict[str, Any], reason: str
) -> None:
    item = stac_item("bad", **properties)
    item["assets"]["blue"].update(asset)
    found = search(write_catalog(tmp_path, [item]))
    assert found.items == ()
    (problem,) = found.problems
    assert (problem.item, problem.asset) == ("bad", "B02")
    assert reason in problem.reason


def local(tmp_path: Path, **raster: Any) -> Search:
    """A catalog whose one item states 100 x 100 pixels of 10 m in EPSG:32631, over a file of another kind."""
    item = stac_item("local")
    item["assets"]["blue"]["href"] = "./blue.tif"
    root = write_catalog(tmp_path, [item])
    write_raster(tmp_path / "sentinel-2-l2a" / "blue.tif", **raster)
    return search(root)


def test_a_file_coarser_than_its_metadata_is_taken_as_it_is(tmp_path: Path) -> None:
    coarse = Affine(100, 0, 500000, 0, -100, 5600000)
    (item,) = local(tmp_path, transform=coarse, shape=(10, 10)).items
    raster = item.rasters["B02"]
    assert raster.box.affine == coarse
    assert raster.box.shape == (10, 10)
    assert raster.dn_offset == -1000


@pytest.mark.parametrize(
    ("raster", "reason"),
    [
        ({"shape": (100, 100), "crs": "EPSG:32632"}, "states EPSG:32631, but the file is in EPSG:32632"),
        (
            {"shape": (100, 100), "transform": Affine(10, 0, 600000, 0, -10, 5600000)},
            "states the bounds (500000, 5599000, 501000, 5600000), but the file covers (600000",
        ),
        ({"shape": (100, 100), "nodata": 65535}, "has the null value 65535, but the item states 0"),
    ],
)
def test_a_file_that_contradicts_its_item_is_a_problem(
    tmp_path: Path, raster: dict[str, Any], reason: str
) -> None:
    found = local(tmp_path, **raster)
    assert found.items == ()
    assert reason in found.problems[0].reason


def test_a_missing_and_a_truncated_file_are_problems(tmp_path: Path) -> None:
    items = [stac_item("gone"), stac_item("cut", **{"grid:code": "MGRS-31UFS"})]
    for item in items:
        item["assets"]["blue"]["href"] = f"./{item['id']}.tif"
    root = write_catalog(tmp_path, items)
    cut = write_raster(tmp_path / "sentinel-2-l2a" / "cut.tif", shape=(100, 100))
    cut.write_bytes(cut.read_bytes()[:100])
    found = search(root)
    assert found.items == ()
    assert {p.item for p in found.problems} == {"gone", "cut"}
    assert all("cannot be opened" in p.reason for p in found.problems)


def test_a_file_that_ends_before_its_georeference_is_truncated(tmp_path: Path) -> None:
    item = stac_item("cut")
    item["assets"]["blue"]["href"] = "./cut.tif"
    root = write_catalog(tmp_path, [item])
    path = write_raster(tmp_path / "sentinel-2-l2a" / "cut.tif", shape=(100, 100))
    whole = path.read_bytes()
    kinds, lost = set(), 0
    for length in range(16, 600, 24):
        path.write_bytes(whole[:length])
        header = read_header(str(path))
        if isinstance(header, Header) and header.crs is not None:
            break  # the rest is for the inspection
        lost += isinstance(header, Header)
        (problem,) = search(root).problems
        kinds.add(problem.kind)
    assert kinds == {"truncated"}
    assert lost > 0


def test_a_file_without_georeference_is_a_problem(tmp_path: Path) -> None:
    item = stac_item("flat")
    item["assets"]["blue"]["href"] = "./flat.tif"
    root = write_catalog(tmp_path, [item])
    write_raster(tmp_path / "sentinel-2-l2a" / "flat.tif", crs="", shape=(100, 100))
    found = search(root)
    assert found.items == ()
    assert "no coordinate reference system" in found.problems[0].reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html><body>Log in</body></html>", r"not JSON; it begins with '<html><body>Log in"),
        ("[1, 2]", "a JSON list, not a STAC object"),
        ('{"type": "Topology"}', "not valid:\n- collections: Field required"),
        ("", "not JSON"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(text)
    with pytest.raises(CatalogError, match=reason) as caught:
        open_catalog(path)
    assert str(path) in str(caught.value)


def test_a_catalog_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="There is no catalog at"):
        open_catalog(tmp_path / "none.json")
    with pytest.raises(CatalogError, match="holds neither STAC documents nor GeoTIFFs"):
        open_catalog(tmp_path)


def test_a_child_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, [stac_item("good")])
    (tmp_path / "sentinel-2-l2a" / "collection.json").unlink()
    with pytest.raises(CatalogError, match=r"collection\.json cannot be read: No such file"):
        open_catalog(root)


def test_a_collection_id_used_twice_is_refused(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, [stac_item("good")])
    twin = tmp_path / "twin.json"
    twin.write_text((tmp_path / "sentinel-2-l2a" / "collection.json").read_text())
    data = json.loads(root.read_text())
    data["links"].append({"rel": "child", "href": "./twin.json"})
    root.write_text(json.dumps(data))
    with pytest.raises(CatalogError, match="'sentinel-2-l2a' is used twice"):
        open_catalog(root)


def test_items_below_a_catalog_of_a_collection_belong_to_it(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, [])
    home = tmp_path / "sentinel-2-l2a"
    (home / "year.json").write_text(
        json.dumps({"type": "Catalog", "id": "2022", "links": [{"rel": "item", "href": "./item.json"}]})
    )
    (home / "item.json").write_text(json.dumps(stac_item("deep")))
    collection = json.loads((home / "collection.json").read_text())
    collection["links"] = [{"rel": "child", "href": "./year.json"}]
    (home / "collection.json").write_text(json.dumps(collection))
    catalog: Catalog = open_catalog(root)
    assert catalog.collections() == ("SENTINEL2_L2A",)
    assert [i.id for i in search(root).items] == ["deep"]


JUNK = st.sampled_from(
    [None, True, 0, -1, 1e400, float("nan"), "", "x", "2020-13-01", [], [None], list(range(6)), {}, {"a": 1}]
)
PLACES = {
    "item": tuple(stac_item("x")),
    "properties": (
        *stac_item("x")["properties"],
        *("s2:datatake_id", "s2:datastrip_id", "s2:sequence", "created", "earthsearch:boa_offset_applied"),
        *("sat:absolute_orbit", "sat:relative_orbit", "proj:epsg"),
    ),
    "asset": (*stac_item("x")["assets"]["blue"], "bands", "nodata", "proj:code", "data_type"),
    "band": ("nodata", "data_type", "scale", "offset"),
}
FAULTS = st.tuples(st.sampled_from([(level, key) for level, keys in PLACES.items() for key in keys]), JUNK)


@given(st.lists(FAULTS, min_size=1, max_size=4))
@settings(max_examples=150)
def test_whatever_an_item_holds_it_is_read_or_reported(faults: list[tuple[tuple[str, str], Any]]) -> None:
    item = stac_item("bad")
    asset = item["assets"]["blue"]
    levels = {
        "item": item,
        "properties": item["properties"],
        "asset": asset,
        "band": asset["raster:bands"][0],
    }
    for (level, key), value in faults:
        levels[level][key] = value
    with TemporaryDirectory() as folder:
        root = write_catalog(Path(folder), [item, stac_item("good", **{"grid:code": "MGRS-31UFS"})])
        found = search(root, ("B02", "B02"))
    ids = {i.id for i in found.items}
    assert "good" in ids
    assert len(ids) == 2 or found.problems
