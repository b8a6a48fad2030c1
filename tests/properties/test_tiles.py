"""2 x 2 tiles == one job, bit for bit: what a tile computes does not depend on where its border lies."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from tests.support.engine_runs import assert_same_cube, run_cubes
from tests.support.random_archive import CENTRE
from tests.support.tiles import (
    Build,
    four_tiles,
    map_like,
    only,
    preprocessing,
    put_together,
    run_as_tiles,
)

from acreage.catalog.items import Catalog
from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings

GRID = Grid.snapped(3035, 10)
SEASON = Season(date(2019, 3, 1), date(2019, 5, 31))
# Small kernels, so that the buffer ends inside of the archive.
SETTINGS = CubeSettings(
    buffer=170.0,
    s2_bands=("B04", "B05"),
    scl_mask=(("kernel1_size", 7), ("kernel2_size", 21), ("erosion_kernel_size", 3)),
)
BUILDS = (preprocessing(SEASON, SETTINGS), map_like(SEASON, SETTINGS))


def centre() -> tuple[int, int]:
    """Pixel at the archive's centre."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True).transform(*CENTRE)
    return round(x / 10), round(-y / 10)


@st.composite
def areas(draw: st.DrawFn) -> tuple[Box, int, int]:
    """An area around the border of the zones, and where it is cut."""
    x, y = centre()
    x, y = x + draw(st.integers(-22, 4)), y + draw(st.integers(-18, 2))
    width, height = draw(st.integers(4, 24)), draw(st.integers(4, 20))
    area = Box(GRID, x, y, x + width, y + height)
    return area, draw(st.integers(1, width - 1)), draw(st.integers(1, height - 1))


def assert_tiles_are_one_job(build: Build, area: Box, column: int, row: int, catalog: Catalog) -> None:
    whole = only(run_cubes(build(area), catalog, 16))
    assert whole.meta.box == area
    bands = np.moveaxis(whole.validity(), whole.meta.axis("bands"), 0)
    assert all(band.any() for band in bands)
    tiles = run_as_tiles(build, four_tiles(area, column, row), catalog)
    assert_same_cube(whole, put_together(tiles, whole))


@pytest.mark.parametrize(
    "build", [preprocessing(SEASON, SETTINGS), map_like(SEASON, SETTINGS)], ids=["cube", "map"]
)
def test_tiles_are_one_job(build: Build, catalog: Catalog) -> None:
    @settings(max_examples=3, phases=[Phase.generate])
    @given(areas())
    def check(drawn: tuple[Box, int, int]) -> None:
        assert_tiles_are_one_job(build, *drawn, catalog)

    check()


@pytest.mark.proof
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "build", [preprocessing(SEASON, SETTINGS), map_like(SEASON, SETTINGS)], ids=["cube", "map"]
)
def test_tiles_are_one_job_wherever_they_are_cut(build: Build, catalog: Catalog) -> None:
    @settings(settings.get_profile("proof"), max_examples=200)
    @given(areas())
    def check(drawn: tuple[Box, int, int]) -> None:
        assert_tiles_are_one_job(build, *drawn, catalog)

    check()


def test_a_buffer_that_is_too_narrow_shows(catalog: Catalog) -> None:
    """The test above sees the border: without a buffer, dilated clouds stop at it."""
    x, y = centre()
    area = Box(GRID, x - 20, y - 16, x + 4, y + 4)
    build = preprocessing(SEASON, replace(SETTINGS, buffer=0.0))
    with pytest.raises(AssertionError):
        assert_tiles_are_one_job(build, area, 9, 8, catalog)
