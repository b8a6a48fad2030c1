"""Texts and dates."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import call, lists, pixels, scalars

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid

MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(
    lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000)
)


def text(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def test_texts_of_pixels_are_searched_one_by_one() -> None:
    data = Masked(np.array(["wheat", "oats", ""]), np.array([True, True, False]))
    assert lists(call("text_begins", data=data, pattern="wh")) == [True, False, None]
    assert lists(call("text_ends", data=data, pattern="TS", case_sensitive=False)) == [False, True, None]
    assert lists(call("text_contains", data=data, pattern="a")) == [True, True, None]
    assert lists(call("text_find", data=data, pattern="a")) == [3, 1, None]
    assert lists(call("text_find", data=data, pattern="h")) == [1, None, None]


def test_texts_are_joined_also_from_pixels() -> None:
    joined = call(
        "text_concat", data=[scalars([1, None], "uint8"), "m", scalars([True, False])], separator="-"
    )
    assert lists(joined) == ["1-m-true", "null-m-false"]
    assert lists(call("text_concat", data=pixels([["a"], ["b"]]))) == ["ab"]


@pytest.mark.parametrize(
    ("process_id", "arguments"),
    [
        ("text_begins", {"data": 1, "pattern": "a"}),
        ("text_find", {"data": "a", "pattern": None}),
        ("text_concat", {"data": "abc"}),
        ("text_concat", {"data": [["a"]]}),
        ("date_shift", {"date": "yesterday", "value": 1, "unit": "day"}),
        ("date_shift", {"date": "2021-02-30", "value": 1, "unit": "day"}),
        ("date_shift", {"date": "2021-02-03T24:00:00Z", "value": 1, "unit": "day"}),
        ("date_shift", {"date": "2021-02-03", "value": 1, "unit": "fortnight"}),
        ("date_shift", {"date": "2021-02-03", "value": 1.5, "unit": "day"}),
        ("date_shift", {"date": "9999-12-31", "value": 1, "unit": "day"}),
        ("date_between", {"x": "12:00:00", "min": "2020-01-01", "max": "2021-01-01"}),
        ("date_difference", {"date1": 5, "date2": "2020-01-01"}),
    ],
)
def test_bad_texts_and_dates_are_refused(process_id: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ProcessParameterInvalid):
        call(process_id, **arguments)


@given(moment=MOMENTS, value=st.integers(-500, 500), unit=st.sampled_from(["day", "week", "hour", "minute"]))
def test_shifting_by_fixed_units_equals_datetime(moment: dt.datetime, value: int, unit: str) -> None:
    shifted = moment + dt.timedelta(**{f"{unit}s": value})
    result = call("date_shift", date=text(moment), value=value, unit=unit)
    assert dt.datetime.fromisoformat(result) == shifted.replace(tzinfo=dt.UTC)


@given(moment=MOMENTS, value=st.integers(-30, 30), unit=st.sampled_from(["month", "year"]))
def test_shifting_by_months_keeps_the_day_or_takes_the_months_last(
    moment: dt.datetime, value: int, unit: str
) -> None:
    months = moment.year * 12 + moment.month - 1 + value * (12 if unit == "year" else 1)
    year, month = months // 12, months % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    expected = moment.replace(year=year, month=month, day=day, tzinfo=dt.UTC)
    result = call("date_shift", date=text(moment), value=value, unit=unit)
    assert dt.datetime.fromisoformat(result) == expected


def test_dates_of_pixels_are_shifted_compared_and_subtracted() -> None:
    dates = Masked(np.array(["2020-01-31", "2020-02-29"], "datetime64[ms]"), np.array([True, False]))
    shifted = call("date_shift", date=dates, value=1, unit="month")
    assert shifted.values[0] == np.datetime64("2020-02-29")
    assert shifted.validity().tolist() == [True, False]
    assert lists(call("date_between", x=dates, min="2020-01-31", max="2020-02-01")) == [True, None]
    assert lists(call("date_difference", date1="2020-01-30", date2=dates, unit="day")) == [1, None]


def test_a_leap_second_is_read_as_the_second_before() -> None:
    assert call("date_shift", date="2016-12-31T23:59:60Z", value=1, unit="minute") == "2017-01-01T00:00:59Z"


@pytest.mark.parametrize(
    ("x", "low", "high", "exclude", "expected"),
    [
        ("2020-01-01", "2020-01-01", "2020-01-02", False, True),
        ("2020-01-02", "2020-01-01", "2020-01-02", False, True),
        ("2020-01-02", "2020-01-01", "2020-01-02", True, False),
        ("2020-01-01", "2020-01-02", "2020-01-01", False, False),
        ("2020-01-01T00:30:00+01:00", "2020-01-01", "2020-01-02", False, False),
        ("12:00:00", "11:00:00", "12:00:00", False, True),
        ("12:00:01", "11:00:00", "12:00:00", False, False),
        (None, "2020-01-01", "2020-01-02", False, None),
    ],
)
def test_date_between(x: Any, low: str, high: str, exclude: bool, expected: bool | None) -> None:
    assert call("date_between", x=x, min=low, max=high, exclude_max=exclude) is expected


@pytest.mark.parametrize(
    ("start", "end", "unit", "expected"),
    [
        ("2020-01-01", "2020-03-01", "month", 2),
        ("2020-01-31", "2020-02-29", "month", 1),
        ("2020-01-01", "2020-02-15T12:00:00Z", "month", 1.5),
        ("2020-02-29", "2021-02-28", "year", 1),
        ("2019-01-01", "2019-07-02T12:00:00Z", "year", 0.5),
        ("2020-03-01", "2020-01-01", "month", -2),
        ("2020-01-15", "2020-01-01", "week", -2),
        ("2020-01-01T00:00:00.250Z", "2020-01-01", "millisecond", -250),
    ],
)
def test_date_difference_counts_whole_months_and_the_part_begun(
    start: str, end: str, unit: str, expected: float
) -> None:
    assert call("date_difference", date1=start, date2=end, unit=unit) == pytest.approx(expected, rel=1e-12)


@given(a=MOMENTS, b=MOMENTS, unit=st.sampled_from(["second", "day", "month", "year"]))
def test_differences_change_sign_with_their_order(a: dt.datetime, b: dt.datetime, unit: str) -> None:
    one = call("date_difference", date1=text(a), date2=text(b), unit=unit)
    assert call("date_difference", date1=text(b), date2=text(a), unit=unit) == -one
    if unit == "second":
        assert one == pytest.approx((b - a).total_seconds(), abs=1e-6)
