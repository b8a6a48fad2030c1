"""What the pixels of an archive are: baselines, duplicates, swaths, overlaps, clouds, truth."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from tests.simulate.test_forms import Json, items_of

from acreage.core.errors import InvalidInput, OutputExists
from acreage.core.grid import Grid, transformer
from acreage.core.temporal import Season
from acreage.simulate.archive import Archive, open_archive, simulate_archive
from acreage.simulate.forward import Forward
from acreage.simulate.ground import points
from acreage.simulate.settings import ArchiveSettings
from acreage.simulate.surface import BANDS_10
from acreage.simulate.truth import reflectance

S2 = "sentinel-2-l2a"


def read(archive: Archive, item: Json, asset: str) -> NDArray[Any]:
    path = archive.folder / item["collection"] / item["id"] / item["assets"][asset]["href"]
    with rasterio.open(path) as source:
        return np.asarray(source.read(1))


def window(archive: Archive, item: Json, asset: str) -> tuple[rasterio.Affine, tuple[int, int]]:
    path = archive.folder / item["collection"] / item["id"] / item["assets"][asset]["href"]
    with rasterio.open(path) as source:
        return source.transform, source.shape


def reflectance_of(archive: Archive, item: Json, asset: str) -> NDArray[np.float64]:
    """Reflectance as a reader of this form has to compute it; NaN where there is none."""
    numbers = read(archive, item, asset).astype(np.float64)
    p = item["properties"]
    baseline = float(p.get("s2:processing_baseline") or p["processing:version"])
    offset = 0 if baseline < 4 or p.get("earthsearch:boa_offset_applied") is True else -1000
    return np.where(numbers == 0, np.nan, (numbers + offset) / 10_000)


def acquisition(item: Json) -> tuple[str, str]:
    """Datatake without the baseline, and tile."""
    p = item["properties"]
    take = p.get("s2:datatake_id") or p["eopf:datatake_id"]
    tile = p.get("s2:mgrs_tile") or p["grid:code"].removeprefix("MGRS-")
    return take[:-7], tile


def test_both_baselines_and_uncorrected_offsets_occur(archive: Archive) -> None:
    found = defaultdict(int)
    for item in items_of(archive, S2):
        p, band = item["properties"], item["assets"]["red"]["raster:bands"][0]
        found[p["s2:processing_baseline"], p["earthsearch:boa_offset_applied"], band["offset"]] += 1
    assert set(found) == {
        ("03.01", False, 0),
        ("04.00", True, -0.1),
        ("04.00", False, -0.1),
        ("05.00", True, -0.1),
    } | ({("05.00", False, -0.1)} & set(found))


@pytest.mark.parametrize(("form", "asset"), [("archive", "red"), ("planetary", "B04"), ("cdse", "B04_10m")])
def test_a_reprocessed_duplicate_holds_the_same_reflectance(
    form: str, asset: str, request: pytest.FixtureRequest
) -> None:
    archive: Archive = request.getfixturevalue(form)
    twice = defaultdict(list)
    for item in items_of(archive, S2):
        twice[acquisition(item)].append(item)
    pairs = [v for v in twice.values() if len(v) == 2]
    assert pairs
    assert {len(v) for v in twice.values()} == {1, 2}
    for one, other in pairs:
        values = [reflectance_of(archive, i, asset) for i in (one, other)]
        np.testing.assert_array_equal(*values)
        stated = {
            i["properties"].get("s2:generation_time") or i["properties"]["processing:datetime"]
            for i in (one, other)
        }
        assert len(stated) == 2


def test_all_forms_publish_the_same_reflectance(tiny: Archive, planetary: Archive, cdse: Archive) -> None:
    def by_acquisition(of: Archive, asset: str) -> dict[tuple[str, str], NDArray[np.float64]]:
        return {acquisition(i): reflectance_of(of, i, asset) for i in items_of(of, S2)}

    ours = by_acquisition(tiny, "nir08")
    for others in (by_acquisition(planetary, "B8A"), by_acquisition(cdse, "B8A_20m")):
        assert set(others) == set(ours)
        for key, values in ours.items():
            np.testing.assert_array_equal(values, others[key])


def test_granules_of_one_zone_hold_the_same_pixels_where_they_overlap(archive: Archive) -> None:
    tiles = {acquisition(i): i for i in items_of(archive, S2) if i["id"].split("_")[3] == "0"}
    compared = 0
    for (take, tile), upper in tiles.items():
        lower = tiles.get((take, {"31TGL": "31TGK", "32TKR": "32TKQ"}.get(tile, "")))
        if lower is None:
            continue
        a, b = reflectance_of(archive, upper, "nir"), reflectance_of(archive, lower, "nir")
        (ta, shape), (tb, _) = window(archive, upper, "nir"), window(archive, lower, "nir")
        # The lower granule begins further south.
        down, right = round((ta.f - tb.f) / 10), round((tb.c - ta.c) / 10)
        assert (right, down >= 0) == (0, True)
        rows = min(shape[0] - down, b.shape[0])
        np.testing.assert_array_equal(a[down : down + rows], b[:rows])
        compared += int(np.isfinite(b[:rows]).sum())
    assert compared > 100_000


def test_a_swath_ends_within_the_archive_and_the_footprint_says_where(archive: Archive) -> None:
    cut = 0
    for item in items_of(archive, S2):
        scl = read(archive, item, "scl")
        seen = scl != 0
        np.testing.assert_array_equal(seen, read(archive, item, "swir16") != 0)
        fine = np.repeat(np.repeat(seen, 2, axis=0), 2, axis=1)
        np.testing.assert_array_equal(fine, read(archive, item, "blue") != 0)
        missing = item["properties"]["s2:nodata_pixel_percentage"]
        assert missing == pytest.approx(100 * (1 - seen.mean()), abs=1e-4)
        footprint = shapely.geometry.shape(item["geometry"])
        assert footprint.is_valid
        if missing:
            cut += 1
            affine, shape = window(archive, item, "scl")
            forward = transformer("EPSG:4326", f"EPSG:{item['properties']['proj:epsg']}").transform
            outline = shapely.transform(footprint, lambda p, f=forward: np.column_stack(f(p[:, 0], p[:, 1])))
            rows, columns = np.indices(shape)
            x, y = affine * (columns + 0.5, rows + 0.5)
            inside = shapely.contains_xy(outline, x, y)
            assert (inside != seen).mean() < 0.01
    assert cut >= 2


def test_cloud_cover_is_what_the_scene_classification_says(archive: Archive) -> None:
    covers = []
    for item in items_of(archive, S2):
        scl = read(archive, item, "scl")
        stated = item["properties"]["eo:cloud_cover"]
        assert stated == pytest.approx(100 * np.isin(scl, (8, 9, 10)).sum() / (scl != 0).sum(), abs=1e-4)
        covers.append(stated)
    assert min(covers) < 20
    assert max(covers) > 60


def test_clear_pixels_are_near_the_truth_and_dates_differ(archive: Archive) -> None:
    clearest = min(items_of(archive, S2), key=lambda i: float(i["properties"]["eo:cloud_cover"]))
    affine, shape = window(archive, clearest, "red")
    grid = Grid.of_transform(f"EPSG:{clearest['properties']['proj:epsg']}", affine)
    box = grid.box_of_transform(affine, shape[1], shape[0])
    day = date.fromisoformat(clearest["properties"]["datetime"][:10])
    truth = reflectance(archive.settings, box, day)[BANDS_10.index("red")]
    seen = reflectance_of(archive, clearest, "red")
    good = np.isin(np.repeat(np.repeat(read(archive, clearest, "scl"), 2, 0), 2, 1), (4, 5))
    assert np.nanmedian(np.abs(seen - truth)[good]) < 0.03
    reds = [read(archive, i, "red") for i in items_of(archive, S2) if "31TGL" in i["id"] and "_0_" in i["id"]]
    assert len({r.tobytes() for r in reds}) == len(reds) > 5


def test_the_truth_lies_on_the_map_grid_and_agrees_with_parcels_and_points(archive: Archive) -> None:
    with rasterio.open(archive.truth) as source:
        truth, affine = source.read(1), source.transform
        assert (source.crs.to_epsg(), affine.a, affine.c % 10, affine.f % 10) == (3035, 10.0, 0, 0)
        assert source.shape == archive.settings.box.shape
    with rasterio.open(archive.landcover) as source:
        landcover = source.read(1)
    parcels, marked = gpd.read_file(archive.parcels), gpd.read_file(archive.points)
    assert set(parcels["split"]) == {"train", "test", ""}
    assert ((parcels["split"] != "") == (parcels["code"] > 0)).all()
    trained = parcels[parcels["split"] == "train"]
    assert len(trained) / (parcels["split"] != "").sum() == pytest.approx(0.5, abs=0.12)
    inside = marked.cx[slice(*archive.settings.area[::2]), slice(*archive.settings.area[1::2])]
    rows, columns = rasterio.transform.rowcol(affine, inside.geometry.x, inside.geometry.y)
    # A point lies in a parcel, and its pixel's middle at most 7 m away.
    assert (truth[rows, columns] == inside["code"].to_numpy()).mean() > 0.97
    assert set(np.unique(landcover[truth > 0])) <= {10, 20, 30, 40}
    assert set(marked["parcel_id"]) <= set(parcels["parcel_id"])
    frame = gpd.read_parquet(archive.folder / "points.parquet")
    assert (len(frame), frame.crs.to_epsg()) == (len(marked), 3035)


# East of the boundary of zones and of WorldCover's tiles, but within granules of both zones.
SMALL = ArchiveSettings.around(
    (6.008, 50.705), 0.3, season=Season(date(2019, 6, 1), date(2019, 6, 6)), margin_m=200.0
)


def pixels(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".tif", ".jp2"):
            with rasterio.open(path) as source:
                found[str(path.relative_to(folder))] = source.read().tobytes()
    return found


def test_the_same_settings_give_the_same_pixels_and_another_seed_others(tmp_path: Path) -> None:
    one = simulate_archive(tmp_path / "one", SMALL, threads=1)
    two = simulate_archive(tmp_path / "two", SMALL, threads=3)
    other = simulate_archive(tmp_path / "other.v1", replace(SMALL, seed=2, sensors=("sentinel-2",)))
    first, second, third = (pixels(a.folder) for a in (one, two, other))
    assert first == second
    assert {k.split("_")[1][:2] for k in first if k.startswith(S2)} == {"31", "32"}
    assert json.loads((one.folder / "archive.json").read_text())["simulated"] is True
    same = [k for k in first if k.startswith(S2) and third.get(k) == first[k]]
    assert set(first) & set(third)
    assert not same
    assert open_archive(one.folder) == one
    with pytest.raises(OutputExists):
        simulate_archive(tmp_path / "one", SMALL)


def test_an_area_is_part_of_a_larger_one(tmp_path: Path) -> None:
    west, south, east, north = SMALL.area
    larger = replace(SMALL, area=(west - 400, south - 400, east + 600, north + 200))
    small, large = Forward(SMALL), Forward(larger)
    x, y = points(SMALL.box)
    for name in ("parcel", "code", "landcover", "vigour"):
        np.testing.assert_array_equal(
            getattr(small.ground.at(x, y), name), getattr(large.ground.at(x, y), name)
        )


def test_a_folder_without_an_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no simulated archive"):
        open_archive(tmp_path)
    (tmp_path / "archive.json").write_text('{"simulated": true, "area": [0, 0, 10, 10]}')
    with pytest.raises(InvalidInput, match="holds no simulated archive"):
        open_archive(tmp_path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"form": "landsat"}, "the form 'landsat'"),
        ({"sensors": ("sentinel-3",)}, "sensors"),
        ({"area": (4_000_000.0, 3_000_000.0, 4_000_100.0, 3_000_100.0)}, "less than 160 m"),
        ({"area": (4_000_005.0, 3_000_000.0, 4_001_000.0, 3_001_000.0)}, "multiples of 20 m"),
        ({"area": (-3_000_000.0, 3_000_000.0, -2_999_000.0, 3_001_000.0)}, "outside Europe"),
        ({"looks": -1.0}, "looks"),
        ({"train_share": 1.0}, "training share"),
        ({"s2_every": 0}, "less than one"),
        ({"season": Season(date(2016, 5, 1), date(2016, 6, 1))}, "before both Sentinel-2"),
        ({"season": Season(date(2018, 5, 1), date(2020, 6, 1))}, "more than 400 days"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        replace(SMALL, **changes)
