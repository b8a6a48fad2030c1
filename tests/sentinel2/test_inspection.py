"""Inspection before a run: real items are found sound, real items with a fault put into them are not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from tests.support.catalog_items import WORLD, stac_item
from tests.support.reflectances import moved
from tests.support.servers.faulty import folder_backend, serving

from acreage.catalog import open_catalog
from acreage.catalog.items import ItemProblem, SourceItem
from acreage.core.faults import FaultKind
from acreage.engine.inspection import inspect_items

SITE = (4.05, 50.74, 4.07, 50.75)
CLEAR = "S2_31UES_20190416_0_L2A"
ALPS = "s2-earthsearch/full_products/sentinel-2-l2a"
GRANULE = "S2B_33TWM_20230813_0_L2A"
ALPINE_BANDS = ("B02", "B03", "B04", "B08", "SCL")


@pytest.mark.parametrize(
    ("collection", "count"),
    [("SENTINEL2_L2A", 72), ("SENTINEL1_GRD", 80), ("COPERNICUS_30", 1), ("ESA_WORLDCOVER_10M_2021_V2", 1)],
)
def test_nothing_is_found_in_the_real_site(real_data: Path, collection: str, count: int) -> None:
    catalog = open_catalog(real_data / "flanders-2019" / "catalog.json")
    bands = catalog.describe(collection).band_names
    if collection == "SENTINEL2_L2A":
        bands = ("B02", "B04", "B08", "B11", "SCL")
    items = catalog.search(collection, WORLD, bands=bands).items
    assert len(items) == count
    assert inspect_items(items, bands, SITE, 2) == ()


def test_nothing_is_found_in_whole_real_granules(real_data: Path) -> None:
    items = open_catalog(real_data / ALPS / "collection.json").search("SENTINEL2_L2A", WORLD).items
    assert len(items) == 4
    assert inspect_items(items, ALPINE_BANDS, WORLD, 2) == ()


def copied(real_data: Path, place: Path, name: str, to: Path) -> Path:
    """One real item with its files, as a catalog of its own."""
    shutil.copytree(real_data / place / name, to / name)
    for path in (to / name).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return to / name


def rewritten(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with rasterio.open(path) as file:
        values, profile = change(file.read()), file.profile
    with rasterio.open(path, "w", **{**profile, "dtype": values.dtype}) as file:
        file.write(values)


def inspected(
    items: Sequence[SourceItem], bands: Sequence[str] = ("B02", "B04", "B08", "SCL")
) -> ItemProblem:
    (problem,) = inspect_items(items, bands, SITE, 1)
    return problem


def one_null_frame(values: np.ndarray) -> np.ndarray:
    framed = values.copy()
    framed[:, :2, :] = 65535
    return framed


@pytest.mark.parametrize(
    ("file", "change", "asset", "kind", "reason"),
    [
        ("blue.tif red.tif nir.tif", lambda v: moved(v, 1000), "B02", "implausible", "1000 is still in"),
        ("blue.tif red.tif nir.tif", lambda v: moved(v, -1000), "B02", "implausible", "was subtracted twice"),
        ("blue.tif red.tif nir.tif", lambda v: v // 10, "B02", "implausible", "the scale is wrong"),
        ("red.tif", lambda v: np.full_like(v, 777), "B04", "implausible", "sampled pixels are 777"),
        ("red.tif", lambda v: np.full_like(v, 65535), "B04", "nodata", "100% of the pixels are 65535"),
        ("red.tif", one_null_frame, "B04", "nodata", "% of the pixels are 65535, a null value"),
        ("red.tif", np.zeros_like, "B04", "empty", "no valid pixel among"),
        ("scl.tif", lambda v: v + 30, "SCL", "implausible", "codes such as 3"),
    ],
)
def test_faults_of_pixels_are_found_and_named(
    real_data: Path,
    tmp_path: Path,
    file: str,
    change: Callable[[np.ndarray], np.ndarray],
    asset: str,
    kind: FaultKind,
    reason: str,
) -> None:
    folder = copied(real_data, Path("flanders-2019/sentinel-2-l2a"), CLEAR, tmp_path)
    for name in file.split():
        rewritten(folder / name, change)
    problem = inspected(open_catalog(tmp_path).search("SENTINEL2_L2A", WORLD).items)
    assert (problem.item, problem.asset, problem.kind) == (CLEAR, asset, kind)
    assert reason in problem.reason


@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
@pytest.mark.parametrize("form", ["cog", "jp2"])
def test_a_file_that_ends_early_is_found_wherever_it_ends(
    real_data: Path, tmp_path: Path, share: float, form: str
) -> None:
    if form == "cog":
        place, name, file, area = Path("flanders-2019/sentinel-2-l2a"), CLEAR, "red.tif", SITE
    else:
        place, name, file, area = Path(ALPS), GRANULE, "B04.tif", WORLD
    folder = copied(real_data, place, name, tmp_path)
    items = open_catalog(tmp_path).search("SENTINEL2_L2A", WORLD).items
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: int(len(whole) * share)])
    (problem,) = inspect_items(items, ("B04", "SCL"), area, 1)
    assert (problem.asset, problem.kind) == ("B04", "truncated")


def test_a_file_replaced_since_the_search_is_found(real_data: Path, tmp_path: Path) -> None:
    folder = copied(real_data, Path("flanders-2019/sentinel-2-l2a"), CLEAR, tmp_path)
    items = open_catalog(tmp_path).search("SENTINEL2_L2A", WORLD).items
    shutil.copy(real_data / "flanders-2019/cop-dem-glo-30/dem/data.tif", folder / "red.tif")
    assert inspected(items).kind == "wrong-grid"
    (folder / "red.tif").write_text("<html>Sign in</html>")
    assert inspected(items).kind == "not-an-image"
    assert "a document that begins with '<html>Sign in" in inspected(items).reason
    (folder / "red.tif").unlink()
    assert inspected(items).kind == "unreadable"


def radar(real_data: Path, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]) -> ItemProblem:
    name = "S1_20180802T173151_000"
    folder = copied(real_data, Path("flanders-2019/sentinel-1-sigma0"), name, tmp_path)
    rewritten(next(folder.glob("*[vV][vV]*.tif")), change)
    return inspected(open_catalog(tmp_path).search("SENTINEL1_GRD", WORLD).items, ("VV", "VH"))


def decibels(values: np.ndarray) -> np.ndarray:
    return (10 * np.log10(values)).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        (decibels, "implausible", "these are dB"),
        (np.zeros_like, "empty", "all sampled pixels are 0"),
        (lambda v: np.full_like(v, np.nan), "empty", "no valid pixel"),
        (lambda v: np.full_like(v, 0.25), "implausible", "sampled pixels are 0.25"),
        (lambda v: np.where(v > 0.1, np.float32(-9999), v), "nodata", "are -9999, a null value"),
    ],
)
def test_faults_of_radar_are_found_and_named(
    real_data: Path,
    tmp_path: Path,
    change: Callable[[np.ndarray], np.ndarray],
    kind: FaultKind,
    reason: str,
) -> None:
    problem = radar(real_data, tmp_path, change)
    assert (problem.asset, problem.kind) == ("VV", kind)
    assert reason in problem.reason


def test_an_empty_part_outside_of_the_footprint_is_no_fault(real_data: Path, tmp_path: Path) -> None:
    """The southern granule is empty beyond its swath in the west, and its footprint says so."""
    items = open_catalog(real_data / ALPS / "collection.json").search("SENTINEL2_L2A", WORLD).items
    (south,) = [i for i in items if i.id == "S2B_33TWL_20230813_0_L2A"]
    box = south.rasters["SCL"].box
    with rasterio.open(south.rasters["SCL"].href) as file:
        empty = file.read(1) == 0
    assert 0.1 < empty.mean() < 0.2
    rows, columns = np.nonzero(empty)
    chosen = len(rows) // 2
    x = box.x_centres()[columns[chosen]]
    y = box.y_centres()[rows[chosen]]
    (longitude,), (latitude,) = rasterio.warp.transform(box.grid.crs, "EPSG:4326", [x], [y])
    area = (longitude - 0.002, latitude - 0.002, longitude + 0.002, latitude + 0.002)
    assert inspect_items([south], ("B04", "SCL"), area, 1) == ()
    # Catalogs that draw the footprint around the whole file, or none, do not say where its pixels are.
    west, low, east, high = south.bbox
    around = shapely.to_wkb(shapely.box(west - 0.1, low - 0.1, east + 0.1, high + 0.1))
    for footprint in (None, around):
        assert inspect_items([replace(south, footprint=footprint)], ("B04", "SCL"), area, 1) == ()


def test_an_empty_file_is_found_whatever_its_footprint(real_data: Path, tmp_path: Path) -> None:
    folder = copied(real_data, Path("flanders-2019/sentinel-2-l2a"), CLEAR, tmp_path)
    rewritten(folder / "red.tif", np.zeros_like)
    (item,) = open_catalog(tmp_path).search("SENTINEL2_L2A", WORLD).items
    for footprint in (item.footprint, None):
        assert inspected([replace(item, footprint=footprint)]).kind == "empty"


def large_band(path: Path) -> None:
    """A COG of 1024 x 1024 distinct pixels, so that its parts are read one by one."""
    values = np.random.default_rng(5).integers(200, 3000, (1024, 1024)).astype(np.uint16)
    profile = {"driver": "COG", "dtype": "uint16", "count": 1, "width": 1024, "height": 1024, "nodata": 0}
    place = Affine(10, 0, 500000, 0, -10, 5600000)
    with rasterio.open(path, "w", **profile, crs="EPSG:32631", transform=place, blocksize=256) as file:
        file.write(values, 1)


def remote_item(folder: Path) -> Path:
    item = stac_item("S2A_31UES_20220601_0_L2A")
    blue = item["assets"]["blue"]
    blue.update({"href": "./blue.tif", "proj:shape": [1024, 1024]})
    large_band(folder / "blue.tif")
    (folder / "item.json").write_text(json.dumps(item))
    return folder / "blue.tif"


REMOTE_AREA = (2.98, 50.4, 3.16, 50.6)


def remote_problems(address: str) -> tuple[ItemProblem, ...]:
    items = open_catalog(f"{address}/item.json").search("SENTINEL2_L2A", WORLD, bands=("B02",)).items
    assert len(items) == 1
    return inspect_items(items, ("B02",), REMOTE_AREA, 1)


def test_a_whole_remote_file_costs_a_few_small_reads(tmp_path: Path) -> None:
    path = remote_item(tmp_path)
    with serving(folder_backend(tmp_path)) as server:
        assert remote_problems(server.address) == ()
        asked = server.asked("blue.tif")
    assert 1 <= len(asked) <= 6
    ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", r.headers["range"]) for r in asked]
    read = sum(int(m[2]) - int(m[1]) + 1 for m in ranges if m is not None)
    assert read < path.stat().st_size / 2


def test_a_remote_file_that_ends_early_is_found(tmp_path: Path) -> None:
    path = remote_item(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    with serving(folder_backend(tmp_path)) as server:
        (problem,) = remote_problems(server.address)
    assert (problem.asset, problem.kind) == ("B02", "truncated")


def test_an_error_page_with_status_200_is_no_image(tmp_path: Path) -> None:
    path = remote_item(tmp_path)
    path.write_text("<html><body>Sign in</body></html>")
    with serving(folder_backend(tmp_path)) as server:
        (problem,) = remote_problems(server.address)
    assert problem.kind == "not-an-image"
