"""Sorting, running totals and interpolation along arrays."""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import call, columns, lists, masked, pixels

from acreage.core.arrays import Masked
from acreage.core.errors import ArrayElementNotAvailable, ProcessParameterInvalid


@given(data=masked("uint8"), asc=st.booleans(), nodata=st.sampled_from([None, True, False]))
def test_order_and_sort_equal_pythons_stable_sort(data: Masked, asc: bool, nodata: bool | None) -> None:
    ties = Masked(data.values % 5, data.valid, True)
    order = call("order", data=ties, asc=asc, nodata=nodata)
    ordered = call("sort", data=ties, asc=asc, nodata=nodata)
    for column, places, result in zip(columns(ties), columns(order), columns(ordered), strict=True):
        known = sorted(
            (i for i, v in enumerate(column) if v is not None), key=column.__getitem__, reverse=False
        )
        if not asc:
            known = sorted((i for i, v in enumerate(column) if v is not None), key=lambda i: -column[i])
        nulls = [i for i, v in enumerate(column) if v is None]
        expected = known + nulls if nodata is not False else nulls + known
        in_json = call("order", data=column, asc=asc, nodata=nodata)
        assert in_json == (known if nodata is None else expected)
        assert result == [column[i] for i in expected]
        if nodata is None:
            expected = known + [None] * len(nulls)
        assert places == expected


def test_dates_are_sorted_in_time_and_other_texts_refused() -> None:
    dates = ["2020-01-01T12:00:00+02:00", "2020-01-01T11:00:00Z", "2019-12-31"]
    assert call("sort", data=dates) != sorted(dates)
    assert call("order", data=dates) == [2, 0, 1]
    with pytest.raises(ProcessParameterInvalid, match="sorted"):
        call("order", data=["a", "b"])


@given(data=masked("int16"))
def test_rearranging_by_the_order_sorts(data: Masked) -> None:
    order = call("order", data=data, nodata=True)
    assert lists(call("rearrange", data=data, order=order)) == lists(call("sort", data=data, nodata=True))


def test_rearranging_by_a_constant_takes_labels_along() -> None:
    data = pixels([[1], [2], [None]], "uint8", labels=("a", "b", "c"))
    result = call("rearrange", data=data, order=[2, 0])
    assert lists(result) == [[None], [1]]
    assert result.labels == ("c", "a")
    for bad in ([3], [-1]):
        with pytest.raises(ArrayElementNotAvailable):
            call("rearrange", data=data, order=bad)


@pytest.mark.parametrize(
    ("process_id", "step"),
    [("cumsum", operator.add), ("cumproduct", operator.mul), ("cummin", min), ("cummax", max)],
)
@given(data=masked("int16"), ignore=st.booleans())
def test_running_results_equal_itertools_accumulate(
    process_id: str, step: Any, data: Masked, ignore: bool
) -> None:
    small = Masked(data.values % 50, data.valid, True)
    result = call(process_id, data=small, ignore_nodata=ignore)
    for column, after in zip(columns(small), columns(result), strict=True):
        known = [v for v in column if v is not None]
        running = itertools.accumulate(map(int, known), step)
        expected: list[Any] = [None if v is None else next(running) for v in column]
        if not ignore and None in column:
            cut = column.index(None)
            expected = expected[:cut] + [None] * (len(column) - cut)
        assert after == expected


def gaps_filled(column: list[float | None], places: list[float]) -> list[float | None]:
    known = [i for i, v in enumerate(column) if v is not None and not math.isnan(v)]
    if len(known) < 2:
        return column
    inside = range(known[0], known[-1] + 1)
    x, y = [places[i] for i in known], [column[i] for i in known]
    return [
        float(np.interp(places[i], x, np.array(y, float))) if i in inside else v for i, v in enumerate(column)
    ]


def assert_same(result: list[Any], expected: list[Any], dtype: Any) -> None:
    for one, other in zip(result, expected, strict=True):
        if other is None or one is None:
            assert one is None
            assert other is None
        else:
            np.testing.assert_array_max_ulp(dtype(one), dtype(other), 1 if dtype == np.float32 else 4)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@given(data=st.data(), labelled=st.sampled_from(["none", "numbers", "dates", "periods", "descending"]))
def test_gaps_equal_numpy_interp_and_ends_stay(dtype: str, data: st.DataObject, labelled: str) -> None:
    array = data.draw(masked(dtype, nan=True))
    n = array.length
    steps = data.draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))
    places: list[float] = [float(s) for s in itertools.accumulate(steps)]
    labels: Any = {
        "none": None,
        "numbers": tuple(places),
        "dates": tuple(np.datetime64("2019-03-01", "ms") + np.timedelta64(int(p), "D") for p in places),
        "periods": tuple(f"2019-{p:03.0f}" for p in places),
        "descending": tuple(-p for p in places),
    }[labelled]
    if labelled in ("none", "periods"):
        places = [float(i) for i in range(n)]
    result = call("array_interpolate_linear", data=Masked(array.values, array.valid, True, labels))
    assert result.labels == labels
    assert result.normal
    assert result.valid is None or np.isnan(result.values[~result.valid]).all()
    for column, after in zip(columns(array), columns(result), strict=True):
        assert_same(after, gaps_filled(column, places), np.float64 if dtype == "float64" else np.float32)


def test_infinity_beside_a_gap_is_treated_as_numpy_interp_does() -> None:
    data = pixels([[1.0, math.inf], [None, None], [math.inf, math.inf]])
    result = call("array_interpolate_linear", data=data)
    expected = [np.interp(1, [0, 2], [1, math.inf]), np.interp(1, [0, 2], [math.inf, math.inf])]
    np.testing.assert_array_equal(result.values[1], expected)


def test_interpolation_refuses_labels_out_of_order() -> None:
    for labels in ((1, 3, 2), (1, 1, 2)):
        with pytest.raises(ProcessParameterInvalid, match="order"):
            call("array_interpolate_linear", data=pixels([[1], [None], [3]], labels=labels))
