"""Cube processes with the registered array processes as callbacks: equal in windows of a single pixel too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.cube import Cube
from support.harness import (
    assert_same,
    cubes,
    dates,
    fill,
    official,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

REDUCERS = ("mean", "median", "min", "max", "sum", "sd", "variance", "count", "first", "last", "product")
NUMBERS = ("uint8", "int16", "uint16", "float32", "float64")


@given(
    cube=cubes(t=True, bands=True, dtypes=NUMBERS),
    sizes=window_sizes,
    reducer=st.sampled_from(REDUCERS),
    dimension=st.sampled_from(["t", "bands", "x", "y"]),
)
def test_reducers_give_the_same_in_windows(cube: Cube, sizes: Any, reducer: str, dimension: str) -> None:
    args = {"data": cube, "reducer": official(reducer, data="@data"), "dimension": dimension}
    assert_same(run_eager("reduce_dimension", **args), run_windowed("reduce_dimension", *sizes, **args))


@pytest.mark.parametrize("reducer", ["mean", "sum", "sd", "variance", "median"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [(1, 1), (1, 64), (64, 1), (3, 2)])
def test_long_sums_do_not_depend_on_the_window(reducer: str, dtype: str, window: tuple[int, int]) -> None:
    # NumPy adds pairwise along contiguous memory and one by one elsewhere, which differs in the last bit.
    t = tuple(np.datetime64("2019-01-01", "ms") + np.timedelta64(i, "D") for i in range(150))
    cube = fill(raster_meta(t=t, width=6, height=4, dtype=dtype), 3, nulls=0.1)
    args = {"data": cube, "reducer": official(reducer, data="@data"), "dimension": "t"}
    assert_same(run_eager("reduce_dimension", **args), run_windowed("reduce_dimension", *window, **args))
    periods = {"data": cube, "reducer": official(reducer, data="@data"), "period": "month"}
    assert_same(
        run_eager("aggregate_temporal_period", **periods),
        run_windowed("aggregate_temporal_period", *window, **periods),
    )


@pytest.mark.parametrize("reducer", ["mean", "median", "min", "max", "sd", "first", "last"])
def test_a_dekad_without_observations_is_null(reducer: str) -> None:
    cube = fill(raster_meta(t=dates("2019-03-01", "2019-03-25"), dtype=np.uint16), nulls=0)
    out = run_eager(
        "aggregate_temporal_period", data=cube, period="dekad", reducer=official(reducer, data="@data")
    )
    assert not out.validity()[1].any()


def test_a_median_of_integers_keeps_its_halves() -> None:
    meta = raster_meta(t=dates("2019-03-01", "2019-03-02"), width=1, height=1, dtype=np.uint16)
    cube = Cube(np.array([3, 4], np.uint16).reshape(2, 1, 1), None, meta)
    out = run_eager(
        "aggregate_temporal_period", data=cube, period="dekad", reducer=official("median", data="@data")
    )
    assert out.values.dtype == np.float32
    assert out.values.item() == 3.5


@given(cube=cubes(t=True, dtypes=NUMBERS), sizes=window_sizes)
def test_gaps_between_dekads_are_interpolated_by_their_order(cube: Cube, sizes: Any) -> None:
    dekads = run_eager(
        "aggregate_temporal_period", data=cube, period="dekad", reducer=official("median", data="@data")
    )
    args = {"data": dekads, "process": official("array_interpolate_linear", data="@data"), "dimension": "t"}
    out = run_eager("apply_dimension", **args)
    assert out.meta.dims == dekads.meta.dims
    assert_same(out, run_windowed("apply_dimension", *sizes, **args))
    flat, known = (
        dekads.values.reshape(len(dekads.values), -1),
        dekads.validity().reshape(len(dekads.values), -1),
    )
    after, there = out.values.reshape(flat.shape), out.validity().reshape(flat.shape)
    steps = np.arange(len(flat))
    for j in range(flat.shape[1]):
        at = np.flatnonzero(known[:, j])
        if not at.size:
            assert not there[:, j].any()
            continue
        inner = (steps >= at[0]) & (steps <= at[-1])
        np.testing.assert_array_equal(there[:, j], inner)
        expected = np.interp(steps[inner], at, flat[at, j].astype("f8"))
        np.testing.assert_allclose(after[inner, j], expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("process", "arguments"),
    [
        ("gt", {"x": "@x", "y": 10}),
        ("linear_scale_range", {"x": "@x", "inputMin": 0, "inputMax": 100, "outputMin": 0, "outputMax": 1}),
        ("is_nodata", {"x": "@x"}),
    ],
)
@given(cube=cubes(dtypes=NUMBERS), sizes=window_sizes)
def test_apply_gives_the_same_in_windows(process: str, arguments: Any, cube: Cube, sizes: Any) -> None:
    args = {"data": cube, "process": official(process, **arguments)}
    assert_same(run_eager("apply", **args), run_windowed("apply", *sizes, **args))


def test_labels_are_filtered_by_text_and_by_date() -> None:
    cube = fill(raster_meta(t=dates("2019-03-01", "2019-03-25"), bands=("S2-B02", "S1-VV", "S2-B03")))
    condition = official("text_begins", data="@value", pattern="S2-")
    out = run_eager("filter_labels", data=cube, condition=condition, dimension="bands")
    assert out.meta.dim("bands").labels == ("S2-B02", "S2-B03")
    between = official("date_between", x="@value", min="2019-03-10", max="2019-04-01")
    out = run_eager("filter_labels", data=cube, condition=between, dimension="t")
    assert out.meta.dim("t").labels == dates("2019-03-25")
    east = official("gte", x="@value", y=0)
    out = run_eager("filter_labels", data=cube, condition=east, dimension="x")
    assert out.meta.shape[-1] == 4
