"""The preprocessing graph on the real site: tiles are one job, and the command line writes the cube."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer
from tests.support.engine_runs import assert_same_cube, run_cubes
from tests.support.tiles import four_tiles, map_like, only, preprocessing, put_together, run_as_tiles
from typer.testing import CliRunner

from acreage.catalog.items import Catalog
from acreage.cli.main import app
from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings, preprocess, to_graph

GRID = Grid.snapped(3035, 10)
SEASON = Season(date(2019, 3, 1), date(2019, 10, 31))
SPRING = Season(date(2019, 4, 1), date(2019, 5, 31))
# Small kernels, so that the buffer ends inside of the 640 m of the site.
SETTINGS = CubeSettings(
    buffer=130.0, scl_mask=(("kernel1_size", 7), ("kernel2_size", 15), ("erosion_kernel_size", 3))
)
BUILDS = (preprocessing(SPRING, SETTINGS), map_like(SPRING, SETTINGS))


@pytest.fixture(scope="module")
def area(site_catalog: Catalog) -> Box:
    """The site's own pixels on the European grid."""
    bounds = site_catalog.search("ESA_WORLDCOVER_10M_2021_V2", (4, 50, 5, 51)).items[0].bbox
    return GRID.box_covering(*_projected(bounds))


def _projected(bounds: tuple[float, ...]) -> tuple[float, float, float, float]:
    to = Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True)
    west, south, east, north = to.transform_bounds(*bounds, densify_pts=21)
    return west, south, east, north


@pytest.mark.parametrize(
    "build", [preprocessing(SPRING, SETTINGS), map_like(SPRING, SETTINGS)], ids=["cube", "map"]
)
def test_four_tiles_are_one_job(build: object, area: Box, site_catalog: Catalog) -> None:
    assert callable(build)
    inner = area.expand(-18, -18)
    whole = only(run_cubes(build(inner), site_catalog, 32, threads=2))
    assert whole.meta.box == inner
    assert whole.validity().mean() > 0.2
    tiles = run_as_tiles(build, four_tiles(inner, 13, 19), site_catalog)
    assert_same_cube(whole, put_together(tiles, whole))


def test_four_tiles_with_the_workflows_own_settings_are_one_job(area: Box, site_catalog: Catalog) -> None:
    build = preprocessing(SPRING, CubeSettings())
    whole = only(run_cubes(build(area), site_catalog, 64, threads=2))
    tiles = run_as_tiles(build, four_tiles(area, 40, 25), site_catalog)
    assert_same_cube(whole, put_together(tiles, whole))


def test_the_command_line_writes_the_cube_of_the_season(area: Box, site: Path, tmp_path: Path) -> None:
    settings = CubeSettings(buffer=0.0)
    graph, out = tmp_path / "graph.json", tmp_path / "cube.nc"
    graph.write_text(json.dumps(to_graph(preprocess(area, SEASON, settings).cube, "netCDF")))
    arguments = ["execute", graph, "--catalog", site / "catalog.json", "--out", out]
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"TERM": "dumb", "COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    with xr.open_dataset(out, engine="netcdf4") as cube:
        assert dict(cube.sizes) == {"t": 24, "y": area.height, "x": area.width}
        assert {*settings.s2_bands, *settings.s1_bands, "DEM", "CROPLAND"} <= set(cube.data_vars)
        np.testing.assert_array_equal(cube.x, area.x_centres())
        np.testing.assert_array_equal(cube.y, area.y_centres())
        # openEO counts the dekads of the year: the 7th begins on 1 March, the 30th on 21 October.
        assert cube["t"].values.tolist() == [f"2019-{n:02d}" for n in range(7, 31)]
        kept = cube["CROPLAND"].isel(t=0).values == 1
        red = cube["B04"].values
        assert np.isfinite(red[:, kept]).mean() > 0.5
        assert not np.isfinite(red[:, ~kept]).any()
