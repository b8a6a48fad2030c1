"""resample_cube_temporal, climatological_normal and anomaly against brute force, pandas and xarray."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.cube import Cube
from acreage.core.errors import (
    CubesNotCompatible,
    DimensionMismatch,
    DimensionNotAvailable,
    LabelNotAvailable,
    ProcessParameterInvalid,
)
from support.harness import (
    assert_same,
    callback,
    cubes,
    dates,
    describe,
    fill,
    null_mean,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

START = np.datetime64("2019-02-10", "ms")


def _days(values: Any) -> tuple[np.datetime64, ...]:
    return tuple(START + np.timedelta64(d, "D") for d in sorted(values))


@given(
    cube=cubes(t=True),
    wanted=st.sets(st.integers(0, 110), min_size=1, max_size=5),
    sizes=window_sizes,
    within=st.sampled_from([None, 0, 5, 30]),
)
def test_the_nearest_in_time_the_earlier_of_two(cube: Cube, wanted: Any, sizes: Any, within: Any) -> None:
    target = fill(
        raster_meta(t=_days(wanted), bands=("z",), at=(100, 100))
    )  # elsewhere: its pixels do not count
    args = {"data": cube, "target": target, "valid_within": within}
    out = run_eager("resample_cube_temporal", **args)
    times = [t.astype(np.int64) for t in cube.meta.dims[0].labels]
    limit = np.inf if within is None else within * 86_400_000
    for k, label in enumerate(target.meta.dims[0].labels):
        moment = label.astype(np.int64)
        order = sorted(range(len(times)), key=lambda i: (abs(times[i] - moment), times[i]))
        values, valid = np.zeros(out.values.shape[1:], out.values.dtype), np.zeros(out.values.shape[1:], bool)
        for i in order if within is not None else order[:1]:
            if abs(times[i] - moment) < limit:
                take = cube.validity()[i] & ~valid
                values[take], valid = cube.values[i][take], valid | take
        np.testing.assert_array_equal(out.validity()[k], valid)
        np.testing.assert_array_equal(out.values[k][valid], values[valid])
    assert out.meta.dims[0] == target.meta.dims[0]
    assert_same(out, run_windowed("resample_cube_temporal", *sizes, **args))


def test_nan_is_not_a_valid_neighbour() -> None:
    meta = raster_meta(t=dates("2019-03-01", "2019-03-05"), width=1, height=1)
    cube = Cube(np.array([np.nan, 4], np.float32).reshape(2, 1, 1), None, meta)
    target = raster_meta(t=dates("2019-03-02"))
    out = run_eager("resample_cube_temporal", data=cube, target=fill(target), valid_within=10)
    assert out.values.item() == 4


def test_cubes_that_share_no_time_are_refused() -> None:
    data = raster_meta(t=dates("2019-03-01"), bands=("a",))
    with pytest.raises(DimensionMismatch, match="share no temporal"):
        describe("resample_cube_temporal", data=data, target=raster_meta())
    with pytest.raises(DimensionMismatch, match="not temporal"):
        describe("resample_cube_temporal", data=data, target=data, dimension="bands")
    with pytest.raises(DimensionNotAvailable):
        describe("resample_cube_temporal", data=data, target=raster_meta(), dimension="t")
    with pytest.raises(DimensionMismatch, match="no labels"):
        describe("resample_cube_temporal", data=raster_meta(t=()), target=data)
    with pytest.raises(ProcessParameterInvalid, match="valid_within"):
        describe("resample_cube_temporal", data=data, target=data, valid_within=-1)


# --- climatology --------------------------------------------------------------------------------------------


def _daily(first: str, last: str, step: int, seed: int = 0) -> Cube:
    labels = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D"), step).astype("datetime64[ms]")
    return fill(raster_meta(t=tuple(labels), bands=("a",), width=2, height=2), seed)


@pytest.mark.parametrize(("period", "form"), [("day", "%j"), ("month", "%m")])
def test_normals_are_the_means_over_the_years(period: str, form: str) -> None:
    cube = _daily("1999-01-01", "2005-01-01", 3)
    out = run_eager("climatological_normal", data=cube, period=period, climatology_period=[2000, 2003])
    times = pd.DatetimeIndex(np.array(cube.meta.dims[0].labels, "datetime64[ns]"))
    stack = xr.DataArray(
        np.where(cube.validity(), cube.values, np.nan).astype("f8"),
        dims=cube.meta.names,
        coords={"t": times, "name": ("t", times.strftime(form))},
    ).sel(t=slice("2000", "2003"))
    expected = stack.groupby("name").mean("t").reindex(name=list(out.meta.dims[0].labels))
    np.testing.assert_allclose(
        np.where(out.validity(), out.values, np.nan), expected.transpose("name", ...), rtol=1e-5
    )
    args = {"data": cube, "period": period, "climatology_period": [2000, 2003]}
    assert_same(out, run_windowed("climatological_normal", 1, 2, **args))


def _season_counts(first: str, period: str = "season") -> list[int]:
    cube = _daily(first, "2003-01-01", 1)
    ones = Cube(np.ones_like(cube.values), None, cube.meta)
    seen: list[int] = []
    labels = describe("climatological_normal", data=ones.meta, period=period, climatology_period=[2001, 2002])
    for k in range(len(labels.dims[0].labels)):
        # The mean of the day number tells which days were counted.
        days = np.array(cube.meta.dims[0].labels).astype("datetime64[D]").astype(np.float64)
        numbered = Cube(
            np.broadcast_to(days[:, None, None, None], cube.meta.shape).astype(np.float32), None, cube.meta
        )
        out = run_eager(
            "climatological_normal", data=numbered, period=period, climatology_period=[2001, 2002]
        )
        seen.append(round(float(out.values[k, 0, 0, 0])))
    return seen


def _middle(*spans: tuple[str, str]) -> int:
    days = np.concatenate([np.arange(np.datetime64(a), np.datetime64(b)) for a, b in spans])
    return round(float(days.astype(np.float64).mean()))


def test_a_winter_counts_for_the_year_it_ends_in_and_only_whole() -> None:
    summer = _middle(("2001-06-01", "2001-09-01"), ("2002-06-01", "2002-09-01"))
    whole = _middle(("2000-12-01", "2001-03-01"), ("2001-12-01", "2002-03-01"))
    assert _season_counts("2000-06-01")[::2] == [whole, summer]
    assert _season_counts("2001-01-01")[::2] == [_middle(("2001-12-01", "2002-03-01")), summer]
    assert _season_counts("2000-06-01", "tropical-season") == [
        _middle(("2000-11-01", "2001-05-01"), ("2001-11-01", "2002-05-01")),
        _middle(("2001-05-01", "2001-11-01"), ("2002-05-01", "2002-11-01")),
    ]


def test_normals_need_data_of_the_whole_climatology_period() -> None:
    cube = _daily("2001-01-01", "2003-01-01", 10)
    with pytest.raises(ProcessParameterInvalid, match="1981 to 2010"):
        run_eager("climatological_normal", data=cube, period="month")
    with pytest.raises(ProcessParameterInvalid, match="two years"):
        run_eager("climatological_normal", data=cube, period="month", climatology_period=[2002, 2001])
    with pytest.raises(ProcessParameterInvalid, match="dekad"):
        run_eager("climatological_normal", data=cube, period="dekad", climatology_period=[2001, 2002])
    out = run_eager(
        "climatological_normal", data=cube, period="climatology-period", climatology_period=[2001, 2002]
    )
    assert out.meta.dims[0].labels == ("climatology-period",)


@given(sizes=window_sizes, seed=st.integers(0, 99))
def test_an_anomaly_is_the_difference_to_its_normal(sizes: Any, seed: int) -> None:
    cube = _daily("2001-01-01", "2003-01-01", 9, seed)
    normals = run_eager("climatological_normal", data=cube, period="month", climatology_period=[2001, 2002])
    months = run_eager(
        "aggregate_temporal_period", data=cube, period="month", reducer=callback(null_mean, "data", "context")
    )
    args = {"data": months, "normals": normals, "period": "month"}
    out = run_eager("anomaly", **args)
    assert out.meta.dims == months.meta.dims
    base, known = np.concatenate([normals.values] * 2), np.concatenate([normals.validity()] * 2)
    valid = months.validity() & known
    np.testing.assert_array_equal(out.validity(), valid)
    np.testing.assert_array_equal(out.values[valid], (months.values - base)[valid])
    assert_same(out, run_windowed("anomaly", *sizes, **args))
    single = run_eager(
        "filter_labels", data=normals, condition=callback(lambda value: value == "03", "value"), dimension="t"
    )
    against = run_eager("anomaly", data=months, normals=single, period="single-period")
    valid = months.validity() & single.validity()
    np.testing.assert_array_equal(against.values[valid], (months.values - single.values)[valid])


def test_anomalies_need_normals_that_fit() -> None:
    months = raster_meta(t=("2001-01", "2001-02"))
    normals = raster_meta(t=("01", "02"))
    assert describe("anomaly", data=months, normals=normals, period="month").dtype == np.float32
    with pytest.raises(LabelNotAvailable, match="02"):
        describe("anomaly", data=months, normals=raster_meta(t=("01", "03")), period="month")
    with pytest.raises(CubesNotCompatible, match="cover"):
        describe("anomaly", data=months, normals=raster_meta(t=("01", "02"), width=2), period="month")
    with pytest.raises(CubesNotCompatible, match="beyond time"):
        describe("anomaly", data=months, normals=raster_meta(t=("01", "02"), bands=("a",)), period="month")
    with pytest.raises(ProcessParameterInvalid, match="aggregate_temporal_period"):
        describe("anomaly", data=raster_meta(t=dates("2001-01-01")), normals=normals, period="month")
    with pytest.raises(ProcessParameterInvalid, match="one label"):
        describe("anomaly", data=months, normals=normals, period="single-period")
