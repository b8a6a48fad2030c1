"""aggregate_temporal_period and aggregate_temporal against pandas' calendar and xarray's groupby."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import (
    DimensionNotAvailable,
    DistinctDimensionLabelsRequired,
    InvalidInput,
    LabelMismatch,
    ProcessParameterInvalid,
    TemporalExtentEmpty,
)
from acreage.core.temporal import PERIODS, parse_period_label, period_label, period_start, to_datetime
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
    valid_count,
    window_sizes,
)

MEAN = callback(null_mean, "data", "context")
COUNT = callback(valid_count, "data")


def pandas_labels(period: str, times: pd.DatetimeIndex) -> list[str]:
    """openEO's period labels by pandas."""
    match period:
        case "hour" | "day" | "week" | "month" | "year":
            formats = {
                "hour": "%Y-%m-%d-%H",
                "day": "%Y-%j",
                "week": "%G-%V",
                "month": "%Y-%m",
                "year": "%Y",
            }
            return list(times.strftime(formats[period]))
        case "dekad":
            third = np.minimum(np.ceil(times.day / 10), 3).astype(int)
            return [
                f"{y}-{(m - 1) * 3 + d:02d}" for y, m, d in zip(times.year, times.month, third, strict=True)
            ]
        case "season":
            quarters = times.to_period(
                "Q-NOV"
            )  # the year that ends in November: December begins its first quarter
            return [f"{q.qyear}-{('djf', 'mam', 'jja', 'son')[q.quarter - 1]}" for q in quarters]
        case "tropical-season":
            return [
                f"{y}-mjjaso" if 5 <= m <= 10 else f"{y + (m > 10)}-ndjfma"
                for y, m in zip(times.year, times.month, strict=True)
            ]
        case "decade":
            return [f"{y // 10}0" for y in times.year]
    return [f"{(y - 1) // 10}1" for y in times.year]


def _index(*moments: np.datetime64) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.array(moments, "datetime64[ns]"))


def _cube_of(labels: tuple[np.datetime64, ...], extent: Any, seed: int) -> Cube:
    return fill(raster_meta(t=labels, bands=("a", "b"), width=3, height=2, extent=extent), seed)


SPANS = {"hour": 3, "day": 40, "week": 800, "dekad": 800, "month": 1500, "season": 1500}


@given(period=st.sampled_from(PERIODS), data=st.data())
def test_every_period_agrees_with_pandas_and_xarray(period: str, data: st.DataObject) -> None:
    days = SPANS.get(period, 15_000)
    # Around the turn of a leap year and of a year of 53 ISO weeks.
    start = np.datetime64(
        data.draw(st.sampled_from(["2015-12-20", "2020-02-10", "2019-12-28", "1999-06-01"])), "ms"
    )
    minutes = sorted(data.draw(st.sets(st.integers(0, days * 1440 - 1), min_size=1, max_size=12)))
    labels = tuple(start + np.timedelta64(m, "m") for m in minutes)
    extent = (start, start + np.timedelta64(days, "D")) if data.draw(st.booleans()) else None
    cube = _cube_of(labels, extent, data.draw(st.integers(0, 99)))
    out = run_eager("aggregate_temporal_period", data=cube, period=period, reducer=MEAN)

    first, last = (
        (labels[0], labels[-1]) if extent is None else (extent[0], extent[1] - np.timedelta64(1, "ms"))
    )
    every = pd.date_range(first, last, freq="h").append(_index(last))
    expected = list(dict.fromkeys(pandas_labels(period, every)))
    assert out.meta.dims[0] == Dimension("t", "temporal", tuple(expected), extent, period)

    stack = xr.DataArray(np.where(cube.validity(), cube.values, np.nan), dims=cube.meta.names)
    groups = xr.DataArray(pandas_labels(period, _index(*labels)), dims="t", name="group")
    means = stack.astype("f8").groupby(groups).mean("t").reindex(group=expected)
    np.testing.assert_allclose(
        np.where(out.validity(), out.values, np.nan), means.transpose("group", ...), rtol=1e-6
    )


@given(
    cube=cubes(t=True),
    sizes=window_sizes,
    period=st.sampled_from(["day", "week", "dekad", "month", "season"]),
)
def test_periods_are_the_same_in_windows(cube: Cube, sizes: Any, period: str) -> None:
    args = {"data": cube, "period": period, "reducer": MEAN}
    assert_same(
        run_eager("aggregate_temporal_period", **args),
        run_windowed("aggregate_temporal_period", *sizes, **args),
    )


def test_day_eleven_begins_the_second_dekad_and_february_ends_where_it_ends() -> None:
    labels = dates(
        "2020-02-10T23:59:59.999", "2020-02-11", "2020-02-20", "2020-02-21", "2020-02-29T23:59", "2020-03-01"
    )
    cube = fill(raster_meta(t=labels), nulls=0)
    out = run_eager("aggregate_temporal_period", data=cube, period="dekad", reducer=COUNT)
    assert out.meta.dims[0].labels == ("2020-04", "2020-05", "2020-06", "2020-07")
    assert out.values[:, 0, 0].tolist() == [1, 2, 2, 1]


def test_every_dekad_of_a_season_has_a_label_observed_or_not() -> None:
    meta = raster_meta(t=dates("2019-05-05", "2019-05-06"), extent=dates("2019-03-01", "2019-11-01"))
    out = run_eager("aggregate_temporal_period", data=fill(meta, nulls=0), period="dekad", reducer=MEAN)
    assert out.meta.dims[0].labels == tuple(f"2019-{i:02d}" for i in range(7, 31))
    assert out.validity()[:, 0, 0].tolist() == [i == 6 for i in range(24)]


def test_the_reducer_gets_an_empty_array_for_a_period_without_observations() -> None:
    meta = raster_meta(t=dates("2019-01-05"), extent=dates("2019-01-01", "2019-02-01"), bands=("a",))
    seen: list[tuple[Any, ...]] = []

    def look(data: Masked) -> Masked:
        seen.append((data.length, data.labels))
        return valid_count(data)

    out = run_eager(
        "aggregate_temporal_period", data=fill(meta, nulls=0), period="dekad", reducer=callback(look, "data")
    )
    assert seen[1:] == [(1, meta.dims[0].labels), (0, ()), (0, ())]
    assert out.values[:, 0, 0, 0].tolist() == [1, 0, 0]


def test_dekads_can_be_aggregated_again_to_months() -> None:
    meta = raster_meta(
        t=dates("2019-03-05", "2019-03-25", "2019-04-02"), extent=dates("2019-03-01", "2019-05-01")
    )
    dekads = run_eager("aggregate_temporal_period", data=fill(meta, nulls=0), period="dekad", reducer=MEAN)
    months = run_eager("aggregate_temporal_period", data=dekads, period="month", reducer=COUNT)
    assert months.meta.dims[0].labels == ("2019-03", "2019-04")
    assert months.values[:, 0, 0].tolist() == [2, 1]


def test_labels_out_of_order_are_grouped_in_their_own_order() -> None:
    labels = dates("2019-02-20", "2019-01-05", "2019-02-01")
    cube = fill(raster_meta(t=labels), nulls=0)
    last = callback(lambda data: Masked(data.values[-1]), "data")
    one = cube.take("t", [0, 1, 2], Dimension("t", "temporal", labels))
    out = run_eager("aggregate_temporal_period", data=one, period="month", reducer=last)
    np.testing.assert_array_equal(out.values, cube.values[[1, 2]])


def test_a_time_dimension_without_labels_gives_none() -> None:
    out = run_eager("aggregate_temporal_period", data=fill(raster_meta(t=())), period="month", reducer=MEAN)
    assert out.meta.dims[0].labels == ()


def test_periods_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ProcessParameterInvalid, match="fortnight"):
        describe("aggregate_temporal_period", data=raster_meta(t=()), period="fortnight", reducer=MEAN)
    with pytest.raises(DimensionNotAvailable):
        describe("aggregate_temporal_period", data=raster_meta(), period="day", reducer=MEAN)
    enumerated = raster_meta(t=(0, 1))
    with pytest.raises(ProcessParameterInvalid, match="rename_labels"):
        describe("aggregate_temporal_period", data=enumerated, period="day", reducer=MEAN)


@given(period=st.sampled_from(PERIODS), hours=st.integers(0, 24 * 366 * 40))
def test_a_period_label_reads_back_as_its_first_moment(period: str, hours: int) -> None:
    moment = to_datetime(np.datetime64("1995-01-01", "ms") + np.timedelta64(hours, "h"))
    start = period_start(period, moment)
    assert to_datetime(parse_period_label(period, period_label(period, start))) == start
    with pytest.raises(InvalidInput, match=period):
        parse_period_label(period, "2019-xyz")


# --- aggregate_temporal -------------------------------------------------------------------------------------

DAYS = dates("2019-03-01", "2019-03-05T06:00", "2019-03-10T18:00", "2019-03-11")


@given(
    cube=cubes(t=True),
    sizes=window_sizes,
    cuts=st.lists(
        st.tuples(st.integers(-5, 95), st.integers(1, 50)), min_size=1, max_size=4, unique_by=lambda c: c[0]
    ),
)
def test_intervals_are_left_closed_and_may_overlap(cube: Cube, sizes: Any, cuts: Any) -> None:
    origin = np.datetime64("2019-02-20", "D")
    intervals = [[str(origin + a), str(origin + a + n)] for a, n in cuts]
    args = {"data": cube, "intervals": intervals, "reducer": COUNT}
    out = run_eager("aggregate_temporal", **args)
    t = np.array(cube.meta.dims[0].labels)
    expected = [cube.validity()[(t >= origin + a) & (t < origin + a + n)].sum(axis=0) for a, n in cuts]
    np.testing.assert_array_equal(out.values, np.stack(expected))
    assert out.meta.dims[0].labels == dates(*(i[0] for i in intervals))
    assert_same(out, run_windowed("aggregate_temporal", *sizes, **args))


def test_intervals_may_be_open_and_have_names() -> None:
    cube = fill(raster_meta(t=DAYS, extent=dates("2019-03-01", "2019-04-01")), nulls=0)
    out = run_eager(
        "aggregate_temporal",
        data=cube,
        intervals=[[None, "2019-03-05"], ["2019-03-05", None]],
        labels=["before", "after"],
        reducer=COUNT,
    )
    assert out.meta.dims[0] == Dimension("t", "temporal", ("before", "after"), cube.meta.dims[0].extent)
    assert out.values[:, 0, 0].tolist() == [1, 3]


def test_intervals_of_the_day_wrap_over_midnight() -> None:
    cube = fill(raster_meta(t=DAYS), nulls=0)
    out = run_eager(
        "aggregate_temporal",
        data=cube,
        intervals=[["06:00:00", "18:00:00"], ["18:00:00", "06:00:00"]],
        reducer=COUNT,
    )
    assert out.meta.dims[0].labels == ("06:00:00", "18:00:00")
    assert out.values[:, 0, 0].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"intervals": [["2019-03-02", "2019-03-02"]]}, TemporalExtentEmpty),
        ({"intervals": [["06:00:00", "06:00:00"]]}, TemporalExtentEmpty),
        ({"intervals": [["06:00:00", "2019-03-02"]]}, ProcessParameterInvalid),
        ({"intervals": [["26:00:00", "27:00:00"]]}, ProcessParameterInvalid),
        ({"intervals": []}, ProcessParameterInvalid),
        ({"intervals": [[None, "2019-03-02"]]}, DistinctDimensionLabelsRequired),
        (
            {"intervals": [["2019-03-01", "2019-03-02"], ["2019-03-01", "2019-03-03"]]},
            DistinctDimensionLabelsRequired,
        ),
        ({"labels": ["a"]}, LabelMismatch),
        ({"labels": ["a", "a"]}, DistinctDimensionLabelsRequired),
    ],
)
def test_intervals_that_cannot_be_used_are_refused(change: Any, error: type[Exception]) -> None:
    arguments = {
        "intervals": [["2019-03-01", "2019-03-02"], ["2019-03-02", "2019-03-03"]],
        "labels": [],
        **change,
    }
    with pytest.raises(error):
        describe("aggregate_temporal", data=raster_meta(t=DAYS), reducer=COUNT, **arguments)


def test_aggregation_of_a_cube_without_pixels() -> None:
    meta = CubeMeta(
        (Dimension("bands", "bands", ("a", "b")), Dimension("t", "temporal", DAYS)), np.dtype(np.int16)
    )
    cube = fill(meta, nulls=0)
    out = run_eager("aggregate_temporal_period", data=cube, period="month", reducer=MEAN)
    np.testing.assert_allclose(out.values, cube.values.mean(axis=1, keepdims=True, dtype="f4"), rtol=1e-6)
    renamed = replace(meta, dims=(meta.dims[0], replace(meta.dims[1], name="when")))
    out = run_eager(
        "aggregate_temporal",
        data=fill(renamed),
        intervals=[["2019-03-01", "2020-03-01"]],
        reducer=COUNT,
        dimension="when",
    )
    assert out.meta.names == ("bands", "when")
