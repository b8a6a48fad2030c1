"""resample_spatial and resample_cube_spatial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from acreage.core.cube import Cube
from acreage.core.errors import DimensionNotAvailable, ProcessParameterInvalid
from acreage.core.grid import Box, Grid
from acreage.processes.resampling import ALIGNMENTS, cube_target_grid, target_grid
from support.harness import (
    GRID,
    assert_same,
    cubes,
    dates,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

FLANDERS = (54000, -565000)
ARGUMENTS: list[dict[str, Any]] = [
    {"resolution": 10, "method": "bilinear"},
    {"resolution": 20, "method": "average"},
    {"resolution": [5, 30], "method": "cubic"},
    {"resolution": 25, "method": "bilinear"},
    {"resolution": 10, "projection": 3035, "method": "bilinear"},
    {"resolution": 20, "projection": 3035, "method": "near"},
    {"projection": 32632, "method": "near"},
    {"resolution": 0.0003, "projection": 4326, "method": "max"},
]


def moved(cube: Cube) -> Cube:
    """The cube at a place where the projections are made for."""
    box = cube.meta.grid
    x, y = FLANDERS
    place = Box(box, x, y, x + cube.meta.shape[-1], y + cube.meta.shape[-2])
    return Cube(cube.values, cube.valid, cube.meta.with_box(place))


@given(cubes(dtypes=("uint8", "int16", "float32")), st.sampled_from(ARGUMENTS), window_sizes)
def test_resample_spatial_by_windows_is_the_whole_cube(
    cube: Cube, arguments: dict[str, Any], size: tuple[int, int]
) -> None:
    data = moved(cube)
    whole = run_eager("resample_spatial", data=data, **arguments)
    assert_same(run_windowed("resample_spatial", *size, data=data, **arguments), whole)


@given(cubes(dtypes=("uint8", "float32")), window_sizes, st.sampled_from(["near", "bilinear", "average"]))
def test_resample_cube_spatial_by_windows_is_the_whole_cube(
    cube: Cube, size: tuple[int, int], method: str
) -> None:
    data = moved(cube)
    target = fill(raster_meta(grid=Grid(GRID.crs, 15.0, 15.0, 4.0, 3.0), dtype=np.uint8))
    whole = run_eager("resample_cube_spatial", data=data, target=target, method=method)
    assert whole.meta.grid == target.meta.grid
    assert_same(run_windowed("resample_cube_spatial", *size, data=data, target=target, method=method), whole)


def test_new_grids_lie_on_multiples_of_the_resolution_whatever_the_area_was() -> None:
    for at in ((54000, -565000), (54007, -564991)):
        data = raster_meta(at=at, width=20, height=20)
        box = describe("resample_spatial", data=data, resolution=30, projection=3035).box
        assert box is not None
        assert box.grid == Grid("EPSG:3035", 30.0, 30.0)
        assert all(edge % 30 == 0 for edge in box.bounds)


def test_everything_but_pixels_is_kept() -> None:
    data = fill(raster_meta(t=dates("2019-03-01", "2019-03-11"), bands=("B04", "B08"), dtype=np.uint16))
    made = run_eager("resample_spatial", data=data, resolution=5)
    assert made.dims == data.dims
    assert made.meta.dtype == data.meta.dtype
    np.testing.assert_array_equal(made.values[..., ::2, ::2], data.values)
    np.testing.assert_array_equal(made.values[..., 1::2, 1::2], data.values)


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_all_corners_of_a_snapped_grid_give_the_same_pixels(align: str) -> None:
    data = fill(raster_meta())
    plain = run_eager("resample_spatial", data=data, resolution=20, method="average")
    assert_same(run_eager("resample_spatial", data=data, resolution=20, method="average", align=align), plain)


def test_a_resolution_of_zero_keeps_the_lattice_of_its_own_projection() -> None:
    shifted = Grid(GRID.crs, 10.0, 20.0, 3.0, 4.0)
    assert target_grid(shifted, resolution=0, projection=32631) == (shifted, "near")
    kept, _ = target_grid(shifted, resolution=[0, 10], projection=None)
    assert kept == Grid(GRID.crs, 10.0, 10.0, 3.0, 0.0)
    assert target_grid(shifted, resolution=0, projection=3035, method="cubic") == (
        Grid("EPSG:3035", 10.0, 20.0),
        "cubic",
    )
    data = fill(raster_meta(grid=shifted))
    assert_same(run_eager("resample_spatial", data=data, projection=32631), data)


def test_a_projection_may_be_wkt() -> None:
    grid, _ = target_grid(GRID, resolution=10, projection=CRS(3035).to_wkt())
    assert grid.crs == "EPSG:3035"


def test_the_target_of_a_deferred_grid_is_the_targets_grid() -> None:
    assert cube_target_grid(raster_meta(), "cubic") == (GRID, "cubic")
    assert cube_target_grid(GRID) == (GRID, "near")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither a resolution nor a projection"),
        ({"resolution": -1}, "not a resolution"),
        ({"resolution": [1, 2, 3]}, "not a resolution"),
        ({"projection": 4326}, "cannot be kept from EPSG:32631"),
        ({"projection": 999999, "resolution": 1}, "In `projection`"),
        ({"projection": 4978, "resolution": 1}, "not a CRS for maps"),
        ({"resolution": 20, "method": "geocode"}, "not a resampling method"),
        ({"resolution": 20, "align": "middle"}, "not an alignment"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProcessParameterInvalid, match=message):
        describe("resample_spatial", data=raster_meta(), **arguments)


def test_a_cube_without_columns_cannot_be_resampled() -> None:
    with pytest.raises(DimensionNotAvailable, match="needs the dimensions x and y"):
        describe("resample_spatial", data=raster_meta().without_dim("x"), resolution=20)
