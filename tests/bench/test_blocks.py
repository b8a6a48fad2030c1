"""Needed blocks on an archive of 64 x 64 pixels, worked out by hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from acreage.bench.blocks import DEM, S1, S2, WORLDCOVER, Blocks, blocks_of
from acreage.bench.decode import decode
from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season

# Files are in the map's own CRS, so that pixel positions can be told by heart: pixel (16, 16) of a 10 m file
# is the area's first. Blocks are 16 x 16 pixels.
WEST, NORTH = 4_000_000.0, 3_000_000.0
GRID = Grid.snapped(3035, 10.0)
AREA = GRID.box_of_transform(Affine(10, 0, WEST + 160, 0, -10, NORTH - 160), 32, 32)
SEASON = Season(date(2019, 3, 1), date(2019, 3, 31))


def _write(path: Path, values: NDArray[Any], resolution: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "tiled": True, "blockxsize": 16, "blockysize": 16}
    transform = Affine(resolution, 0, WEST, 0, -resolution, NORTH)
    height, width = values.shape
    with rasterio.open(
        path,
        "w",
        width=width,
        height=height,
        dtype=values.dtype,
        crs="EPSG:3035",
        transform=transform,
        **profile,
    ) as file:
        file.write(values, 1)


def _describe(home: Path, **properties: Any) -> None:
    (home / f"{home.name}.json").write_text(json.dumps({"properties": properties}))


def _optical(archive: Path, name: str, day: str, scl: int) -> None:
    home = archive / S2 / name
    _write(home / "SCL.tif", np.full((32, 32), scl, np.uint8), 20)
    _write(home / "B02.tif", np.ones((64, 64), np.uint16), 10)
    _write(home / "B11.tif", np.ones((32, 32), np.uint16), 20)
    _describe(
        home, datetime=f"{day}T10:50:00Z", **{"s2:datatake_id": f"GS2A_{day.replace('-', '')}T105000_1"}
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Blocks]:
    archive = tmp_path_factory.mktemp("archive")
    landcover = np.full((64, 64), 30, np.uint8)
    landcover[16:20, 28:32] = 40  # the area's rows 0 to 3, columns 12 to 15
    _write(archive / WORLDCOVER / "ESA_2021_v2" / "ESA_2021_v2_Map.tif", landcover, 10)
    _write(archive / DEM / "dem" / "dem.tif", np.ones((64, 64), np.float32), 10)
    _optical(archive, "clear", "2019-03-05", 4)
    _optical(archive, "cloudy", "2019-03-10", 9)
    _optical(archive, "empty", "2019-03-15", 0)
    _optical(archive, "late", "2019-04-05", 4)
    home = archive / S1 / "radar"
    for name in ("vv.tif", "vh.tif"):
        _write(home / name, np.ones((32, 32), np.float32), 20)
    _describe(home, datetime="2019-03-05T17:00:00Z")
    return archive, blocks_of(archive, AREA, SEASON)


def _numbers(blocks: Blocks, path: Path, which: str) -> list[tuple[int, int]]:
    return [tuple(v) for v in np.argwhere(getattr(blocks, which)[str(path)]).tolist()]


def test_bands_need_the_blocks_that_two_by_two_pixels_of_kept_pixels_touch(
    found: tuple[Path, Blocks],
) -> None:
    archive, blocks = found
    clear = archive / S2 / "clear"
    # Columns 28 to 31 with the one behind, 32, which lies in the next block; rows 16 to 20 in one.
    assert _numbers(blocks, clear / "B02.tif", "needed") == [(1, 1), (1, 2)]
    # At 20 m they lie at 14.25 to 15.75: columns 13 to 16 in two blocks, rows 7 to 10 in one.
    assert _numbers(blocks, clear / "B11.tif", "needed") == [(0, 0), (0, 1)]
    # The whole area: rows and columns 16 to 47, and 48 of the next block.
    assert _numbers(blocks, clear / "B02.tif", "all") == [(r, c) for r in (1, 2, 3) for c in (1, 2, 3)]


@pytest.mark.parametrize("name", ["cloudy", "empty"])
def test_nothing_of_a_date_without_a_kept_pixel_is_needed_but_its_classification(
    found: tuple[Path, Blocks], name: str
) -> None:
    archive, blocks = found
    home = archive / S2 / name
    assert _numbers(blocks, home / "B02.tif", "needed") == []
    # Masks depend on classes up to 390 m away, here the whole file.
    assert _numbers(blocks, home / "SCL.tif", "needed") == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_radar_needs_what_cropland_touches_and_elevation_and_land_cover_everything(
    found: tuple[Path, Blocks],
) -> None:
    archive, blocks = found
    for name in ("vv.tif", "vh.tif"):
        path = archive / S1 / "radar" / name
        assert _numbers(blocks, path, "needed") == [(0, 0), (0, 1)]
        assert _numbers(blocks, path, "all") == [(0, 0), (0, 1), (1, 0), (1, 1)]
    dem = archive / DEM / "dem" / "dem.tif"
    assert _numbers(blocks, dem, "needed") == [(r, c) for r in (1, 2, 3) for c in (1, 2, 3)]
    landcover = archive / WORLDCOVER / "ESA_2021_v2" / "ESA_2021_v2_Map.tif"
    assert _numbers(blocks, landcover, "needed") == [(r, c) for r in (1, 2) for c in (1, 2)]


def test_dates_outside_of_the_season_are_not_asked_for(found: tuple[Path, Blocks]) -> None:
    archive, blocks = found
    assert not [name for name in blocks.all if str(archive / S2 / "late") in name]


def test_the_decoder_reads_every_block_of_the_list_once(found: tuple[Path, Blocks]) -> None:
    _, blocks = found
    windows = blocks.windows(blocks.needed)
    told = decode({path: [list(w) for w in boxes] for path, boxes in windows.items()})
    count = sum(int(flags.sum()) for flags in blocks.needed.values())
    assert (told["blocks"], told["pixels"]) == (count, 256 * count)


def test_a_block_at_the_edge_is_as_large_as_the_file_leaves_it(tmp_path: Path) -> None:
    _write(tmp_path / DEM / "d" / "d.tif", np.ones((40, 40), np.float32), 10)
    (tmp_path / WORLDCOVER).mkdir()
    (tmp_path / S2).mkdir()
    (tmp_path / S1).mkdir()
    blocks = blocks_of(tmp_path, Box(GRID, AREA.x0 + 20, AREA.y0, AREA.x0 + 24, AREA.y0 + 4), SEASON)
    assert blocks.windows(blocks.all) == {str(tmp_path / DEM / "d" / "d.tif"): [(32, 16, 8, 16)]}
