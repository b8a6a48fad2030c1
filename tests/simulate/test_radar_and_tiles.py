"""Sentinel-1 slices and units, and the tiles of the DEM and of WorldCover."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import from_bounds
from tests.simulate.test_archive import read
from tests.simulate.test_forms import items_of

from acreage.core.grid import transformer
from acreage.core.temporal import Season
from acreage.simulate.archive import Archive
from acreage.simulate.forward import WORLDCOVER_ERRORS, Forward
from acreage.simulate.publish.radar import RTC_NODATA
from acreage.simulate.publish.static import dem_columns, dem_name, dem_tile, worldcover_name, worldcover_tile
from acreage.simulate.schedule import slices
from acreage.simulate.sensors import Places, radar_box, radar_pixels
from acreage.simulate.settings import ArchiveSettings


def test_linear_decibels_and_terrain_corrected_radar_are_published_as_they_say(
    tiny: Archive, planetary: Archive, cdse: Archive
) -> None:
    decibels = {i["id"]: i for i in items_of(cdse, "sentinel-1-sigma0-db")}
    for item in items_of(tiny, "sentinel-1-sigma0"):
        other = decibels[item["id"] + "_db"]
        for key in ("vv", "vh"):
            power, level = read(tiny, item, key), read(cdse, other, key)
            np.testing.assert_allclose(level, 10 * np.log10(power), rtol=1e-5)
        assert other["assets"]["vv"]["raster:bands"][0]["unit"] == "dB"
        levels = 10 * np.log10(read(tiny, item, "vh"))
        assert -35 < np.nanmedian(levels) < -8
    for item in items_of(planetary, "sentinel-1-rtc"):
        values = read(planetary, item, "vv")
        assert not np.isnan(values).any()
        assert ((values > 0) | (values == RTC_NODATA)).all()
        assert item["assets"]["vv"]["proj:transform"][0] == 10


def test_slices_of_one_orbit_meet_over_the_area_and_hold_the_same_pixels_where_they_overlap() -> None:
    settings = ArchiveSettings.around(
        (5.985, 45.108), 3.2, season=Season(date(2019, 3, 1), date(2019, 5, 31))
    )
    forward = Forward(settings)
    places = Places(forward.ground)
    of_orbit = defaultdict(list)
    for cut in slices(settings):
        of_orbit[cut.seen].append(cut)
    overlaps = gaps = 0
    for cuts in (c for c in of_orbit.values() if len(c) == 2):
        box = radar_box(settings.published, cuts[0], 20)
        found = [radar_pixels(forward, places, c, box, terrain_corrected=False) for c in cuts]
        if None in found:
            continue
        masks, values = [], []
        for part in found:
            assert part is not None
            tight, pixels, inside = part
            whole, power = np.zeros(box.shape, bool), np.full(box.shape, np.nan, np.float32)
            whole[tight.slices_in(box)], power[tight.slices_in(box)] = inside, pixels["vv"]
            masks.append(whole)
            values.append(power)
        both = masks[0] & masks[1]
        np.testing.assert_array_equal(values[0][both], values[1][both])
        overlaps += bool(both.any())
        gaps += bool((~(masks[0] | masks[1])).any())
    assert overlaps > 2
    assert gaps >= 1


def test_border_noise_lies_along_the_edge_of_old_products_only() -> None:
    # At 46.0 N on 6 degrees east the swath of relative orbit 37 ends.
    settings = ArchiveSettings.around(
        (6.0, 46.0),
        4.0,
        season=Season(date(2019, 3, 1), date(2019, 10, 31)),
        s1_directions=("descending",),
        s1_orbits=2,
        s1_every=4,
    )
    forward = Forward(settings)
    places = Places(forward.ground)
    seen = set()
    for cut in slices(settings):
        if cut.seen.relative_orbit != 37 or cut.software in seen:
            continue
        found = radar_pixels(forward, places, cut, radar_box(settings.published, cut, 20), False)
        if found is None or found[2].all():
            continue
        seen.add(cut.software)
        share = float((found[1]["vv"][found[2]] < 1e-3).mean())
        assert (share > 0.01) == cut.has_border_noise
    assert seen == {"002.84", "003.10"}


def test_speckle_has_the_looks_that_were_asked_for() -> None:
    settings = ArchiveSettings.around((5.985, 45.108), 2.0, looks=5.0)
    cut = slices(settings)[0]
    values = []
    for looks in (5.0, 0.0):
        forward = Forward(replace(settings, looks=looks))
        found = radar_pixels(
            forward,
            Places(forward.ground),
            replace(cut, software="003.10"),
            radar_box(settings.area, cut, 20),
            False,
        )
        assert found is not None
        values.append(found[1]["vv"])
    factor = values[0] / values[1]
    assert np.nanmean(factor) == pytest.approx(1.0, abs=0.02)
    assert np.nanvar(factor) == pytest.approx(1 / 5.0, rel=0.1)


def test_tiles_have_the_grids_of_genuine_ones(real_data: Path) -> None:
    with rasterio.open(real_data / "dem-worldcover/Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif") as source:
        tile = dem_tile(6, 0)
        assert tile.shape == source.shape
        assert tuple(tile.affine)[:6] == pytest.approx(tuple(source.transform)[:6], abs=1e-12)
        assert Path(source.name).stem == dem_name(6, 0)
    with rasterio.open(real_data / "dem-worldcover/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif") as source:
        tile = worldcover_tile(6, 0)
        assert tile.shape == source.shape
        assert tuple(tile.affine)[:6] == pytest.approx(tuple(source.transform)[:6], abs=1e-12)
        assert Path(source.name).stem == f"{worldcover_name(2021, 6, 0)}_Map"
    # proj:shape and proj:transform of Copernicus_DSM_COG_10_N53_00_W115_00_DEM.stac.json
    assert dem_tile(-115, 53).shape == (3600, 2400)
    assert dem_tile(-115, 53).affine.c == pytest.approx(-115.00020833333333, abs=1e-12)
    assert dem_name(-115, 53) == "Copernicus_DSM_COG_10_N53_00_W115_00_DEM"
    assert [dem_columns(n) for n in (49, 50, 59, 60, 69, 70, 75, 80)] == [
        3600, 2400, 2400, 1800, 1800, 1200, 720, 360,
    ]  # fmt: skip


def test_the_tiles_hold_the_ground_and_take_little_space(archive: Archive) -> None:
    forward = Forward(archive.settings)
    west, south, east, north = archive.bbox
    back = transformer("EPSG:4326", "EPSG:3035").transform
    names = {p.name for p in (archive.folder / "esa-worldcover").iterdir() if p.is_dir()}
    assert names == {worldcover_name(y, e, 45) for y in (2020, 2021) for e in (3, 6)}
    for path in archive.folder.glob("esa-worldcover/*/*_Map.tif"):
        assert path.stat().st_size < 2_000_000
        with rasterio.open(path) as source:
            assert (source.shape, source.nodata) == ((36_000, 36_000), 0)
            assert source.overviews(1) == [2, 4, 8, 16, 32, 64]
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            bounds = (max(west, source.bounds.left), south, min(east, source.bounds.right), north)
            window = from_bounds(*bounds, source.transform).round_offsets().round_lengths()
            codes = source.read(1, window=window)
            x, y = source.window_transform(window) * np.meshgrid(
                np.arange(codes.shape[1]) + 0.5, np.arange(codes.shape[0]) + 0.5
            )
        truth = forward.ground.at(*map(np.asarray, back(x, y))).landcover
        year = int(path.name.split("_")[3])
        # Single parcels are wrong, so the share varies with their size.
        assert (codes != truth).mean() < 4 * WORLDCOVER_ERRORS[year]
    for path in archive.folder.glob("cop-dem-glo-30/*/*.tif"):
        with rasterio.open(path) as source:
            assert (source.shape, source.nodata) == ((3600, 3600), None)
            assert source.tags()["AREA_OR_POINT"] == "Point"
            bounds = (max(west, source.bounds.left), south, min(east, source.bounds.right), north)
            window = from_bounds(*bounds, source.transform).round_offsets().round_lengths()
            heights = source.read(1, window=window)
            x, y = source.window_transform(window) * np.meshgrid(
                np.arange(heights.shape[1]) + 0.5, np.arange(heights.shape[0]) + 0.5
            )
        np.testing.assert_allclose(heights, forward.ground.elevation(*map(np.asarray, back(x, y))), atol=0.05)
