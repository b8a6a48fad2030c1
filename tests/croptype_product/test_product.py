"""The product folder: values, COGs, names and colours, wholeness."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate
from tests.croptype_product.conftest import values, write

from acreage.core.errors import InvalidInput, OutputExists, WriteFailed
from acreage.core.legend import Legend
from acreage.core.provenance import Provenance
from acreage.croptype import product
from acreage.croptype.product import ProductFiles, write_product

Result = tuple[Path, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def written(
    large: Result, legend: Legend, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ProductFiles, NDArray[np.uint8]]:
    from acreage.core.temporal import Season

    out = tmp_path_factory.mktemp("product") / "area"
    source = Provenance(
        {"a": {"process_id": "x"}},
        "m",
        "ab" * 32,
        (),
        Season.parse("2019-03-01/2019-10-31"),
        {"acreage": "0"},
    )
    return write_product(large[0], out, legend=legend, provenance=source, area_name="area"), large[1]


def test_every_raster_is_a_valid_cog_with_overviews(written: tuple[ProductFiles, NDArray[np.uint8]]) -> None:
    for path in (written[0].classes, written[0].confidence, written[0].observations):
        valid, errors, warnings = cog_validate(path, strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        with rasterio.open(path) as source:
            assert source.overviews(1) == [2, 4]
            assert source.crs.to_epsg() == 3035
            assert source.transform.c == 3_900_000


def test_values_are_the_results_and_nodata_stands_where_nothing_was_mapped(
    written: tuple[ProductFiles, NDArray[np.uint8]],
) -> None:
    files, data = written
    codes = data[0]
    with rasterio.open(files.classes) as source:
        assert source.nodata == 0
        assert np.array_equal(source.read(1), codes)
    classed = ~np.isin(codes, [0, 254, 255])
    with rasterio.open(files.confidence) as source:
        assert source.nodata == 255
        assert np.array_equal(source.read(1), np.where(classed, data[1], 255))
    with rasterio.open(files.observations) as source:
        assert source.nodatavals == (255, 255)
        assert source.descriptions == ("s2_observations", "s1_observations")
        for band in (1, 2):
            counts = np.where(codes == 255, 0, data[1 + band])
            assert np.array_equal(source.read(band), np.where(np.isin(codes, [0, 254]), 255, counts))
    codes_there, numbers = np.unique(codes, return_counts=True)
    assert files.pixels == dict(zip(codes_there.tolist(), numbers.tolist(), strict=True))


@pytest.mark.parametrize(("level", "step"), [(0, 2), (1, 4)])
def test_class_overviews_hold_a_most_frequent_code_of_the_pixels_below(
    written: tuple[ProductFiles, NDArray[np.uint8]], level: int, step: int
) -> None:
    files, data = written
    with rasterio.open(files.classes, overview_level=level) as source:
        overview = source.read(1)
    height, width = (n // step for n in data.shape[1:])
    blocks = data[0, : height * step, : width * step].reshape(height, step, width, step).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(height, width, step**2)
    found = overview[:height, :width]
    empty = (blocks == 0).all(axis=2)
    assert np.array_equal(found == 0, empty)
    votes = np.stack([(blocks == code).sum(axis=2) for code in (1, 4, 250, 254, 255)], axis=-1)
    mine = (blocks == found[..., None]).sum(axis=2)
    assert (mine[~empty] == votes.max(axis=-1)[~empty]).all()
    # A plain decimation would not do: the check can tell the two apart.
    assert not np.array_equal(found, data[0, : height * step : step, : width * step : step])


def test_confidence_overviews_average_the_classified_pixels(
    written: tuple[ProductFiles, NDArray[np.uint8]],
) -> None:
    files, data = written
    with rasterio.open(files.confidence, overview_level=0) as source:
        overview = source.read(1).astype(float)
    height, width = (n // 2 for n in data.shape[1:])
    blocks = data[1, : height * 2, : width * 2].astype(float)
    blocks[blocks == 255] = np.nan
    quads = blocks.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(height, width, 4)
    some = np.isfinite(quads).any(axis=2)
    assert np.array_equal(overview[:height, :width] != 255, some)
    assert np.abs(overview[:height, :width][some] - np.nanmean(quads[some], axis=1)).max() <= 0.5


def test_the_colour_table_and_the_class_names_come_back(
    written: tuple[ProductFiles, NDArray[np.uint8]], legend: Legend, tmp_path: Path
) -> None:
    files = written[0]
    with rasterio.open(files.classes) as source:
        table = source.colormap(1)
        assert {code: table[code] for code in legend.colour_table()} == legend.colour_table()
        assert source.tags()["CLASS_4"] == "Maize & sweet corn"
        assert source.tags()["CLASS_254"] == "Not cropland"
    # GDAL itself reads the names: its copy to another format carries them along.
    rasterio.shutil.copy(files.classes, tmp_path / "copy.vrt", driver="VRT")
    tree = ET.parse(tmp_path / "copy.vrt")
    names = [node.text or "" for node in tree.iter("Category")]
    assert (names[1], names[4], names[250], names[255]) == (
        "Wheat",
        "Maize & sweet corn",
        "Other arable crops",
        "Cropland without a valid observation",
    )
    rows = {row.findall("F")[0].text: [f.text for f in row.findall("F")] for row in tree.iter("Row")}
    assert rows["1"][1:6] == [str(files.pixels[1]), "Wheat", "226", "176", "7"]


def test_counts_above_the_largest_are_clipped_not_lost(
    legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    data = np.full((4, 4, 4), 1, np.uint8)
    data[2] = 255
    source = write(tmp_path / "r.tif", data, nodata=None)
    files = write_product(source, tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    with rasterio.open(files.observations) as opened:
        assert (opened.read(1) == 254).all()
        assert (opened.read(2) == 1).all()


def test_provenance_comes_back_whole(
    small: Result, legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    files = write_product(small[0], tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    again = Provenance.from_dict(json.loads(files.provenance.read_text()))
    assert again == provenance
    assert [i.id for i in again.items] == ["S1_a", "S2_a", "S2_b"]


@pytest.mark.parametrize("step", ["translate", "write_names", "draw_product", "write_stac"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_nothing_behind(
    step: str,
    failure: BaseException,
    small: Result,
    legend: Legend,
    provenance: Provenance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise failure

    monkeypatch.setattr(product, step, fail)
    expected = WriteFailed if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_product(small[0], tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_refuses_and_keeps_the_first(
    small: Result, legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    out = tmp_path / "p"
    files = write_product(small[0], out, legend=legend, provenance=provenance, area_name="first")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(OutputExists, match="is there already"):
        write_product(small[0], out, legend=legend, provenance=provenance, area_name="second")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    write_product(small[0], out, legend=legend, provenance=provenance, area_name="second", overwrite=True)
    assert json.loads(files.item.read_text())["id"] == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_overwriting_never_removes_a_folder_that_holds_other_things(
    small: Result, legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match=r"thesis\.txt"):
        write_product(small[0], out, legend=legend, provenance=provenance, area_name="a", overwrite=True)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_a_failed_overwrite_keeps_the_old_product(
    small: Result, legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    out = tmp_path / "p"
    files = write_product(small[0], out, legend=legend, provenance=provenance, area_name="first")
    bad = write(tmp_path / "bad.tif", np.full((4, 5, 5), 77, np.uint8))
    with pytest.raises(InvalidInput, match="77"):
        write_product(bad, out, legend=legend, provenance=provenance, area_name="second", overwrite=True)
    assert json.loads(files.item.read_text())["id"] == "first"


def test_results_that_are_no_map_are_refused_with_the_reason(
    legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    def run(path: Path) -> None:
        write_product(path, tmp_path / "p", legend=legend, provenance=provenance, area_name="a")

    data = values(20, 20)
    with pytest.raises(InvalidInput, match="has 3 bands"):
        run(write(tmp_path / "three.tif", data[:3]))
    with pytest.raises(InvalidInput, match="of float32"):
        run(write(tmp_path / "float.tif", data, dtype="float32"))
    doubtful = data.copy()
    doubtful[0, 3, 3], doubtful[1, 3, 3] = 1, 180
    with pytest.raises(InvalidInput, match="confidence of 180"):
        run(write(tmp_path / "doubtful.tif", doubtful))
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(InvalidInput, match="cannot be read"):
        run(tmp_path / "text.tif")
    whole = write(tmp_path / "cut.tif", values(300, 300))
    whole.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(InvalidInput, match="cannot be read"):
        run(whole)
    assert not (tmp_path / "p").exists()
