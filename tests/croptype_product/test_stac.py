"""The STAC item and collection of a product."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pystac.errors import STACValidationError
from tests.support.stac_schemas import validate_file, validator

from acreage.core.grid import Grid
from acreage.core.inputs import Inputs
from acreage.core.legend import Legend
from acreage.core.provenance import Provenance
from acreage.croptype.product import ProductFiles, write_product
from acreage.croptype.stac import footprint


@pytest.fixture
def files(
    small: tuple[Path, NDArray[np.uint8]],
    legend: Legend,
    provenance: Provenance,
    inputs: Inputs,
    tmp_path: Path,
) -> ProductFiles:
    return write_product(
        small[0],
        tmp_path / "E390N310",
        legend=legend,
        provenance=provenance,
        inputs=inputs,
        area_name="E390N310",
    )


def test_item_and_collection_validate_with_all_their_extensions(files: ProductFiles) -> None:
    item = validate_file(files.item)
    for extension in ("projection", "raster", "classification", "processing", "file"):
        assert any(f"/{extension}/" in uri for uri in item)
    assert any("/collection-spec/" in uri for uri in validate_file(files.collection))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("properties", "proj:transform"), [1.0, 2.0]),
        (("properties", "processing:software"), {"acreage": 1}),
        (("assets", "classes", "classification:classes", 0, "name"), "not cropland"),
        (("assets", "confidence", "bands", 0, "raster:spatial_resolution"), "10 m"),
        (("assets", "classes", "file:checksum"), "deadbeef"),
        (("properties", "start_datetime"), None),
    ],
)
def test_the_validation_finds_a_wrong_field(
    files: ProductFiles, path: tuple[str | int, ...], value: object
) -> None:
    data = json.loads(files.item.read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place or isinstance(path[-1], int)
    place[path[-1]] = value
    with pytest.raises(STACValidationError):
        validator().validate(data, pystac.STACObjectType.ITEM, "1.1.0", data["stac_extensions"])


def test_derived_from_names_every_input_item_once(files: ProductFiles, provenance: Provenance) -> None:
    links = json.loads(files.item.read_text())["links"]
    derived = [(link["title"], link["href"]) for link in links if link["rel"] == "derived_from"]
    assert derived == [
        ("sentinel-1-sigma0/S1_a", "https://example.org/S1_a.json"),
        ("sentinel-2-l2a/S2_a", "https://example.org/S2_a.json"),
        ("sentinel-2-l2a/S2_b", "file:///archive/with%20space/S2_b.json"),
    ]
    assert len(derived) == len(provenance.items)


def test_inputs_are_counted_in_the_item_named_in_the_provenance_and_listed_whole_beside(
    files: ProductFiles, inputs: Inputs
) -> None:
    item = json.loads(files.item.read_text())
    told = item["properties"]["acreage:inputs"]
    assert (told["inspected"], told["tolerance"]) == (True, "2%")
    s2 = told["collections"]["SENTINEL2_L2A"]
    assert s2["items"] == {"expected": 3, "read": 1, "skipped": 1, "failed": 1}
    assert (s2["failed"], s2["skipped"]) == ({"truncated": 1}, {"quarantined": 1})
    assert told["collections"]["SENTINEL1_GRD"]["items"]["read"] == 0
    named = json.loads(files.provenance.read_text())["inputs"]
    assert [(a["item"], a["band"], a["reason"]) for a in named["failed"]] == [("b", "B04", "It ends early.")]
    assert [a["item"] for a in named["quarantined"]] == ["c"]
    assert Inputs.from_dict(json.loads(files.inputs.read_text())) == inputs
    assert item["assets"]["inputs"]["href"] == "./inputs.json"


def test_graph_model_season_and_software_stand_in_the_item(
    files: ProductFiles, provenance: Provenance
) -> None:
    properties = json.loads(files.item.read_text())["properties"]
    assert properties["processing:expression"] == {
        "format": "openeo",
        "expression": provenance.process_graph,
    }
    assert properties["acreage:model"] == {"id": "tempcnn-1", "sha256": "0123456789abcdef" * 4}
    assert (properties["start_datetime"], properties["end_datetime"], properties["datetime"]) == (
        "2019-03-01T00:00:00Z",
        "2019-10-31T23:59:59Z",
        None,
    )
    assert properties["processing:software"] == {"acreage": "0.1.0"}


def test_classes_carry_names_colours_and_pixel_counts(files: ProductFiles, legend: Legend) -> None:
    asset = json.loads(files.item.read_text())["assets"]["classes"]
    classes = {c["value"]: c for c in asset["classification:classes"]}
    assert set(classes) == {0, 254, 255, *legend.names}
    assert classes[4]["title"] == "Maize & sweet corn"
    assert classes[4]["color_hint"] == "F4D03F"
    assert [v for v, c in classes.items() if c.get("nodata")] == [0]
    assert {v: c["count"] for v, c in classes.items() if c["count"]} == files.pixels


def test_statistics_and_checksums_are_those_of_the_files(
    files: ProductFiles, small: tuple[Path, NDArray[np.uint8]]
) -> None:
    assets = json.loads(files.item.read_text())["assets"]
    data = small[1]
    confidence = data[1][~np.isin(data[0], [0, 254, 255])]
    statistics = assets["confidence"]["bands"][0]["statistics"]
    assert statistics["mean"] == pytest.approx(confidence.mean(), abs=1e-3)
    assert statistics["stddev"] == pytest.approx(confidence.std(), abs=1e-3)
    assert (statistics["minimum"], statistics["maximum"]) == (confidence.min(), confidence.max())
    for asset in assets.values():
        content = (files.folder / asset["href"]).read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset["file:size"] == len(content)


def test_pystac_reads_the_folder_after_it_is_moved(files: ProductFiles, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    files.folder.rename(moved)
    collection = pystac.Collection.from_file(str(moved / "collection.json"))
    (item,) = collection.get_items()
    assert item.id == "E390N310"
    assert item.get_collection() is collection
    for asset in item.assets.values():
        assert Path(asset.get_absolute_href() or "").is_file()
    for link in (*item.links, *collection.links):
        assert ".partial-" not in str(link.get_href(transform_href=False))


def test_the_footprint_covers_the_box_in_longitude_and_latitude() -> None:
    box = Grid.snapped(3035, 10.0).box_covering(3_900_000, 3_080_000, 3_920_000, 3_100_000)
    polygon = footprint(box)
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    forward = Transformer.from_crs(3035, 4326, always_xy=True)
    x, y = np.meshgrid(np.linspace(3_900_010, 3_919_990, 9), np.linspace(3_080_010, 3_099_990, 9))
    inside = shapely.points(*forward.transform(x.ravel(), y.ravel()))
    assert shapely.contains(polygon, inside).all()
    outside = shapely.points(*forward.transform([3_899_900, 3_910_000], [3_090_000, 3_100_100]))
    assert not shapely.contains(polygon, outside).any()
