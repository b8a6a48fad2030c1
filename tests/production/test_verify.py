"""Results that are not their tile's map are refused, with what is wrong and whether fetching again helps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from acreage.core.errors import BackEndNonsense, ProductWrong
from acreage.core.inputs import UNKNOWN
from acreage.core.legend import NOT_CROPLAND, Legend, LegendClass
from acreage.core.provenance import InputItem
from acreage.production.backends import Fetched
from acreage.production.downloads import checksum_of, files_of
from acreage.production.tiles import TileGrid
from acreage.production.verify import Expected, check_stac, verify

TILE = TileGrid(500).tile(8_000, 6_000)
LEGEND = Legend("test", (LegendClass(1, "wheat", "Wheat", "#e0c040", (40,), ("wheat",)),))
EXPECTED = Expected(TILE.id, "tok-1", TILE.box(10), LEGEND, 0.5)
Change = Callable[[dict[str, Any]], None]


def pixels() -> NDArray[np.uint8]:
    """A map of the tile: wheat in the west, no cropland in the east."""
    values = np.zeros((4, 50, 50), np.uint8)
    values[0], values[0, :, 25:] = 1, NOT_CROPLAND
    values[1], values[2], values[3] = 80, 12, 30
    return values


def write(path: Path, values: NDArray[Any], **changes: Any) -> None:
    count, rows, columns = values.shape
    about = {
        "driver": "GTiff",
        "count": count,
        "height": rows,
        "width": columns,
        "dtype": values.dtype,
        "crs": TILE.crs,
        "transform": TILE.box(10).affine,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **{**about, **changes}) as target:
        target.write(values)


def results(folder: Path, values: NDArray[Any] | None = None, **changes: Any) -> Fetched:
    """Results as a back end gives them."""
    folder.mkdir(exist_ok=True)
    path = folder / "map.tif"
    write(path, pixels() if values is None else values, **changes)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    document = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "j-1",
        "title": f"Crop types {TILE.id} tok-1",
        "description": "Results.",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[4, 50, 5, 51]]},
            "temporal": {"interval": [["2019-03-01T00:00:00Z", None]]},
        },
        "links": [{"rel": "derived_from", "href": "https://s.example.org/items/S2A_1"}],
        "assets": {
            "map.tif": {
                "href": "https://b.example.org/map.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "file:size": path.stat().st_size,
                "file:checksum": f"1220{digest}",
            }
        },
    }
    return Fetched(folder, ("map.tif",), path.stat().st_size, document)


def without_checksum(fetched: Fetched) -> Fetched:
    document = json.loads(json.dumps(fetched.document))
    for asset in document["assets"].values():
        del asset["file:size"], asset["file:checksum"]
    return replace(fetched, document=document)


def test_results_as_they_should_be_are_taken(tmp_path: Path) -> None:
    found = verify(results(tmp_path), EXPECTED)
    assert found.raster == tmp_path / "map.tif"
    assert found.inputs is UNKNOWN
    assert found.items == (InputItem("", "S2A_1", "https://s.example.org/items/S2A_1"),)
    verify(without_checksum(results(tmp_path)), EXPECTED)
    # Another title is another back end's own.
    other = {**results(tmp_path).document, "title": "Batch job j-1"}
    verify(replace(results(tmp_path), document=other), EXPECTED)


BOX = TILE.box(10)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"transform": BOX.affine @ Affine.translation(50, 0)}, "corner"),
        ({"transform": BOX.affine @ Affine.translation(0.01, 0)}, "corner"),
        ({"transform": BOX.affine @ Affine.scale(2)}, "corner"),
        ({"crs": "EPSG:32631"}, "CRS"),
        ({"crs": None}, "CRS"),
        ({"values": pixels()[:, :49]}, "49 x 50 pixels for 50 x 50"),
        ({"values": pixels()[:3]}, "3 bands for 4"),
        ({"values": pixels().astype(np.float32)}, "float32"),
    ],
)
def test_another_grid_is_refused_for_good(changes: Mapping[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(ProductWrong, match=named) as caught:
        verify(results(tmp_path, **changes), EXPECTED)
    assert not caught.value.again
    assert TILE.id in str(caught.value)


def changed(band: int, value: int, dtype: str = "uint8") -> NDArray[Any]:
    values = pixels().astype(dtype)
    values[band, 10, 10] = value
    return values


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (changed(0, 7), "classes without a name"),
        (changed(1, 101), "confidences of 80 to 101"),
        (changed(2, -3, "int16"), "counts of -3"),
        (changed(3, 999, "int16"), "counts of 30 to 999"),
        (np.full((4, 50, 50), NOT_CROPLAND, np.uint8), "no cropland, and WorldCover has 50 %"),
    ],
)
def test_values_that_cannot_be_are_refused(values: NDArray[Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(ProductWrong, match=named) as caught:
        verify(results(tmp_path, values), EXPECTED)
    assert not caught.value.again


def test_a_tile_without_cropland_may_have_none(tmp_path: Path) -> None:
    nothing = np.full((4, 50, 50), NOT_CROPLAND, np.uint8)
    for share in (None, 0.0, 0.01):
        verify(results(tmp_path, nothing), replace(EXPECTED, cropland_share=share))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(b ^ 0xFF for b in content[middle : middle + 100])
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("stated", [True, False])
def test_a_damaged_file_is_removed_and_fetched_again(
    damage: Callable[[Path], None], stated: bool, tmp_path: Path
) -> None:
    fetched = results(tmp_path, np.random.default_rng(1).integers(0, 2, (4, 50, 50)).astype(np.uint8))
    fetched = fetched if stated else without_checksum(fetched)
    damage(tmp_path / "map.tif")
    with pytest.raises(ProductWrong) as caught:
        verify(fetched, EXPECTED)
    assert caught.value.again
    assert not (tmp_path / "map.tif").exists()


def test_a_file_that_is_broken_as_the_back_end_made_it_is_not_fetched_again(tmp_path: Path) -> None:
    fetched = results(tmp_path)
    flip(tmp_path / "map.tif")
    document = json.loads(json.dumps(fetched.document))
    content = (tmp_path / "map.tif").read_bytes()
    document["assets"]["map.tif"]["file:checksum"] = "1220" + hashlib.sha256(content).hexdigest()
    with pytest.raises(ProductWrong) as caught:
        verify(replace(fetched, document=document), EXPECTED)
    assert not caught.value.again


def no_extent(document: dict[str, Any]) -> None:
    del document["extent"]


def no_id(document: dict[str, Any]) -> None:
    del document["id"]


def of_no_kind(document: dict[str, Any]) -> None:
    document["type"] = "Map"


def no_description(document: dict[str, Any]) -> None:
    document["description"] = 3


@pytest.mark.parametrize("change", [no_extent, no_id, of_no_kind, no_description])
def test_metadata_that_are_no_stac_are_refused_unless_the_profile_allows_them(
    change: Change, tmp_path: Path
) -> None:
    fetched = results(tmp_path)
    document = json.loads(json.dumps(fetched.document))
    change(document)
    fetched = replace(fetched, document=document)
    with pytest.raises(ProductWrong, match=r"STAC") as caught:
        verify(fetched, EXPECTED)
    assert not caught.value.again
    verify(fetched, replace(EXPECTED, strict_stac=False))


def test_an_item_as_metadata_is_as_good(tmp_path: Path) -> None:
    fetched = results(tmp_path)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "j-1",
        "geometry": {"type": "Point", "coordinates": [4, 50]},
        "bbox": [4, 50, 4, 50],
        "properties": {"datetime": "2019-03-01T00:00:00Z"},
        "links": [],
        "assets": fetched.document["assets"],
    }
    verify(replace(fetched, document=item), EXPECTED)
    with pytest.raises(ProductWrong, match="no valid STAC"):
        check_stac({**item, "properties": {"datetime": 3}}, "x")


def test_results_of_another_job_and_several_rasters_are_refused(tmp_path: Path) -> None:
    fetched = results(tmp_path)
    other = {**fetched.document, "title": f"Crop types {TILE.id} tok-2"}
    with pytest.raises(ProductWrong, match="another job"):
        verify(replace(fetched, document=other), EXPECTED)
    asset = fetched.document["assets"]["map.tif"]
    (tmp_path / "more.tif").write_bytes((tmp_path / "map.tif").read_bytes())
    two = {**fetched.document, "assets": {"map.tif": asset, "more.tif": asset}}
    with pytest.raises(ProductWrong, match="2 rasters"):
        verify(replace(fetched, document=two), EXPECTED)
    none = {**fetched.document, "assets": {"map.tif": {**asset, "roles": ["metadata"]}}}
    with pytest.raises(ProductWrong, match="0 rasters"):
        verify(replace(fetched, document=none), EXPECTED)
    with pytest.raises(BackEndNonsense):
        verify(replace(fetched, document={"type": "Collection"}), EXPECTED)


@pytest.mark.parametrize(
    ("name", "prefix"), [("sha256", "1220"), ("sha1", "1114"), ("sha512", "1340"), ("md5", "d50110")]
)
def test_checksums_of_all_usual_kinds_are_compared(name: str, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    digest = hashlib.new(name, b"content").hexdigest()
    assert checksum_of(path, prefix + digest) is True
    assert checksum_of(path, prefix + digest[:-2] + "00") is False
    assert checksum_of(path, "ff20" + digest) is None
    assert checksum_of(path, "no hash") is None


def test_an_address_that_is_relative_is_relative_to_the_results() -> None:
    document = {"assets": {"a.tif": {"href": "./assets/a.tif"}}}
    (file,) = files_of(document, "https://b.example.org/jobs/1/results", "west")
    assert file.href == "https://b.example.org/jobs/1/assets/a.tif"
