"""merge_cubes against xarray, against a plain loop, and by windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, box

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import CubesNotCompatible, IncompatibleGeometryTypes, OverlapResolverMissing
from acreage.core.grid import Grid
from support.harness import (
    GRID,
    assert_same,
    callback,
    dates,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

T = dates("2019-03-01", "2019-03-11", "2019-03-21", "2019-04-01")


def first_known(x: Masked, y: Masked, context: Any = None) -> Masked:
    """float64: x, else y, plus the context."""
    values = np.where(x.validity(), x.values, y.values).astype(np.float64) + (context or 0)
    return Masked(values, np.broadcast_to(x.validity() | y.validity(), values.shape))


RESOLVER = callback(first_known, "x", "y", "context")


def as_xarray(cube: Cube) -> xr.DataArray:
    values = np.where(cube.validity(), cube.values.astype(np.float64), np.nan)
    coords = {n: list(cube.meta.labels_of(n)) for n in cube.meta.names}
    return xr.DataArray(values, dims=cube.meta.names, coords=coords)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Cube, Cube]:
    """Two cubes on one grid whose labels and areas may overlap, and of which one may lack dimensions."""
    made = []
    lacking = draw(st.sampled_from([(), ("t",), ("bands",), ("t", "bands")]))
    side = draw(st.integers(0, 1))
    for i in range(2):
        drop = lacking if i == side else ()
        labels = sorted(draw(st.sets(st.sampled_from(T), min_size=1, max_size=3)))
        names = draw(st.permutations(["A", "B", "C"]))[: draw(st.integers(1, 2))]
        meta = raster_meta(
            t=None if "t" in drop else tuple(labels),
            bands=None if "bands" in drop else tuple(names),
            width=draw(st.integers(1, 6)),
            height=draw(st.integers(1, 6)),
            at=(draw(st.integers(-4, 4)), draw(st.integers(-4, 4))),
            dtype=draw(st.sampled_from(["uint8", "int16", "float32"])),
        )
        made.append(fill(meta, draw(st.integers(0, 999)), draw(st.sampled_from([0.0, 0.3]))))
    return made[0], made[1]


@given(pairs())
def test_merging_is_what_xarray_combines(pair: tuple[Cube, Cube]) -> None:
    made = run_eager("merge_cubes", cube1=pair[0], cube2=pair[1], overlap_resolver=RESOLVER)
    spread = [as_xarray(c) for c in pair]
    # A missing dimension is repeated at the other cube's labels.
    for i, other in ((0, 1), (1, 0)):
        for name in pair[other].meta.names:
            if name not in pair[i].meta.names:
                spread[i] = spread[i].expand_dims({name: spread[other][name].values})
    expected = spread[0].combine_first(spread[1]).transpose(*made.meta.names)
    expected = expected.reindex({n: list(made.meta.labels_of(n)) for n in made.meta.names})
    xr.testing.assert_allclose(as_xarray(made), expected)


@given(pairs(), window_sizes)
def test_merging_by_windows_is_the_whole_cube(pair: tuple[Cube, Cube], size: tuple[int, int]) -> None:
    arguments = {"cube1": pair[0], "cube2": pair[1], "overlap_resolver": RESOLVER, "context": 2.5}
    assert_same(run_windowed("merge_cubes", *size, **arguments), run_eager("merge_cubes", **arguments))


@given(pairs(), window_sizes, st.sampled_from(["x", "y"]))
def test_a_cube_without_an_axis_is_repeated_along_it(
    pair: tuple[Cube, Cube], size: tuple[int, int], axis: str
) -> None:
    one, two = pair
    if not set(two.meta.names) <= set(one.meta.names):
        one, two = two, one
    two = Cube.of(
        two.values.take(0, two.meta.axis(axis)),
        None if two.valid is None else two.valid.take(0, two.meta.axis(axis)),
        two.meta.without_dim(axis),
    )
    arguments = {"cube1": one, "cube2": two, "overlap_resolver": RESOLVER}
    assert_same(run_windowed("merge_cubes", *size, **arguments), run_eager("merge_cubes", **arguments))


def test_bands_of_two_sensors_need_no_resolver_and_keep_their_type() -> None:
    one = fill(raster_meta(t=T, bands=("B04", "B08"), dtype=np.uint16, may_be_null=False), 1, 0.0)
    two = fill(raster_meta(t=T, bands=("VV",), dtype=np.uint16, may_be_null=False), 2, 0.0)
    made = run_eager("merge_cubes", cube1=one, cube2=two)
    assert made.meta.dim("bands").labels == ("B04", "B08", "VV")
    assert made.values.dtype == np.uint16
    assert not made.meta.may_be_null
    np.testing.assert_array_equal(made.values, np.concatenate([one.values, two.values], axis=1))


def test_an_elevation_model_without_time_becomes_a_band_at_every_date() -> None:
    season = fill(raster_meta(t=T, bands=("B04",), dtype=np.uint16), 1)
    terrain = fill(raster_meta(bands=("DEM",), dtype=np.float32), 2)
    made = run_eager("merge_cubes", cube1=season, cube2=terrain)
    assert made.meta.shape == (4, 2, 5, 7)
    assert made.values.dtype == np.float32
    for at in range(4):
        np.testing.assert_array_equal(made.values[at, 1], terrain.values[0])


def test_dates_are_sorted_and_bands_are_not() -> None:
    one = fill(raster_meta(t=(T[1], T[3]), bands=("Z",)))
    two = fill(raster_meta(t=(T[0], T[2]), bands=("A",)))
    made = run_eager("merge_cubes", cube1=one, cube2=two)
    assert made.meta.dim("t").labels == T
    assert made.meta.dim("bands").labels == ("Z", "A")
    assert not made.validity()[0, 0].any()  # no cube has Z at the first date


def test_an_overlap_without_a_resolver_is_refused_by_name() -> None:
    one, two = raster_meta(bands=("B04", "B08")), raster_meta(bands=("B08", "B11"))
    with pytest.raises(OverlapResolverMissing, match=r"overlap in bands \(B08\)"):
        describe("merge_cubes", cube1=one, cube2=two)


def test_areas_side_by_side_need_no_resolver() -> None:
    one, two = fill(raster_meta(width=3, at=(0, 0))), fill(raster_meta(width=4, at=(3, 0)), 1)
    made = run_eager("merge_cubes", cube1=one, cube2=two)
    np.testing.assert_array_equal(made.values, np.concatenate([one.values, two.values], axis=1))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Grid(GRID.crs, 10.0, 10.0, 5.0, 0.0), r"shifted by 0\.5 pixels in x and 0 in y"),
        (Grid(GRID.crs, 10.0, 10.0, 9.0, 2.5), r"shifted by -0\.1 pixels in x and -0\.25 in y"),
        (Grid(GRID.crs, 20.0, 20.0), "pixels of 10 x 10, the other of 20 x 20"),
        (Grid("EPSG:3035", 10.0, 10.0), "one is in EPSG:32631, the other in EPSG:3035"),
    ],
)
def test_other_grids_are_refused_and_never_doubled(other: Grid, why: str) -> None:
    one, two = raster_meta(bands=("A",)), raster_meta(bands=("B",), grid=other)
    with pytest.raises(CubesNotCompatible, match=why) as error:
        describe("merge_cubes", cube1=one, cube2=two)
    assert "resample_cube_spatial" in error.value.hint


def test_a_grid_that_differs_by_rounding_is_the_same_grid() -> None:
    nearly = Grid(GRID.crs, 10.0, 10.0, 10.0 - 1e-9, 1e-9)
    one = fill(raster_meta(bands=("A",), at=(0, 0)))
    two = fill(raster_meta(bands=("B",), at=(0, 0), grid=nearly))
    assert run_eager("merge_cubes", cube1=one, cube2=two).meta.shape == (2, 5, 7)


def test_cubes_that_each_lack_a_dimension_of_the_other_are_refused() -> None:
    with pytest.raises(CubesNotCompatible, match="one has the dimensions t, y, x, the other bands, y, x"):
        describe("merge_cubes", cube1=raster_meta(t=T), cube2=raster_meta(bands=("A",)))


def test_dates_and_period_labels_do_not_mix() -> None:
    period = raster_meta(bands=("B",), t=("2019-03", "2019-04"))
    with pytest.raises(CubesNotCompatible, match="labels of different kinds"):
        describe("merge_cubes", cube1=raster_meta(t=T, bands=("A",)), cube2=period)


# --- vector cubes -------------------------------------------------------------------------------------------


def vector(labels: tuple[str, ...], shapes: tuple[Any, ...], bands: tuple[str, ...], seed: int = 0) -> Cube:
    dims = (Dimension("bands", "bands", bands), Dimension("geometry", "geometry", labels))
    return fill(CubeMeta(dims, np.dtype(np.float32), geometries=Geometries("EPSG:4326", shapes)), seed)


def test_vector_cubes_merge_by_geometry() -> None:
    a, b, c = box(0, 0, 1, 1), box(1, 0, 2, 1), box(2, 0, 3, 1)
    one, two = vector(("a", "b"), (a, b), ("B04",)), vector(("b", "c"), (b, c), ("B08",), 1)
    made = run_eager("merge_cubes", cube1=one, cube2=two)
    assert made.meta.geometries is not None
    assert made.meta.geometries.shapes == (a, b, c)
    np.testing.assert_array_equal(made.validity()[0], [*one.validity()[0], False])
    np.testing.assert_array_equal(made.validity()[1], [False, *two.validity()[0]])


def test_vector_cubes_that_do_not_go_together_are_refused() -> None:
    one = vector(("a",), (box(0, 0, 1, 1),), ("B04",))
    with pytest.raises(IncompatibleGeometryTypes, match="Point, Polygon"):
        describe("merge_cubes", cube1=one.meta, cube2=vector(("b",), (Point(0, 0),), ("B08",)).meta)
    with pytest.raises(CubesNotCompatible, match="'a' differs"):
        describe("merge_cubes", cube1=one.meta, cube2=vector(("a",), (box(0, 0, 2, 2),), ("B08",)).meta)
    moved = replace(one.meta, geometries=Geometries("EPSG:3035", (box(0, 0, 1, 1),)))
    with pytest.raises(CubesNotCompatible, match="different CRS"):
        describe("merge_cubes", cube1=one.meta, cube2=moved)
    with pytest.raises(CubesNotCompatible, match="raster cube and a vector cube"):
        describe("merge_cubes", cube1=one.meta, cube2=raster_meta(bands=("B08",)))
