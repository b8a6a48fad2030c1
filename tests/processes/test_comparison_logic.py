"""Comparisons and three-valued logic against Python's own, value by value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import call, columns, lists, masked, pixels, scalars

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid

TRUTH = (True, False, None)
NAN, INF = math.nan, math.inf


def kleene_and(x: bool | None, y: bool | None) -> bool | None:
    """The smaller of false < unknown < true."""
    return {0: False, 1: None, 2: True}[min(rank(x), rank(y))]


def kleene_or(x: bool | None, y: bool | None) -> bool | None:
    return {0: False, 1: None, 2: True}[max(rank(x), rank(y))]


def rank(value: bool | None) -> int:
    return 1 if value is None else 2 * value


def exclusive(x: bool | None, y: bool | None) -> bool | None:
    return None if x is None or y is None else x != y


@pytest.mark.parametrize(
    ("process_id", "table"), [("and", kleene_and), ("or", kleene_or), ("xor", exclusive)]
)
def test_truth_tables(process_id: str, table: Callable[..., bool | None]) -> None:
    pairs = list(itertools.product(TRUTH, repeat=2))
    expected = [table(x, y) for x, y in pairs]
    assert [call(process_id, x=x, y=y) for x, y in pairs] == expected
    x, y = (scalars([p[i] for p in pairs], bool) for i in (0, 1))
    assert lists(call(process_id, x=x, y=y)) == expected
    assert [lists(call(process_id, x=x, y=v)) for v in TRUTH] == [
        [table(p[0], v) for p in pairs] for v in TRUTH
    ]


def test_not_passes_null_through() -> None:
    assert lists(call("not", x=scalars(TRUTH, bool))) == [False, True, None]


@given(data=masked("bool"), ignore=st.booleans())
def test_all_and_any_fold_their_truth_tables(data: Masked, ignore: bool) -> None:
    for process_id, table, start in (("all", kleene_and, True), ("any", kleene_or, False)):
        expected = []
        for column in columns(data) or [[]] * data.values.shape[1]:
            outcome: bool | None = start
            for value in column:
                outcome = outcome if ignore and value is None else table(outcome, value)
            expected.append(outcome)
        assert lists(call(process_id, data=data, ignore_nodata=ignore)) == expected
        assert [call(process_id, data=c, ignore_nodata=ignore) for c in columns(data)] == expected[
            : len(columns(data))
        ]


@pytest.mark.parametrize("bad", [1, "true", scalars([0, 1], "uint8")])
def test_only_booleans_have_a_truth_value(bad: Any) -> None:
    for process_id, arguments in (
        ("and", {"x": bad, "y": True}),
        ("not", {"x": bad}),
        ("if", {"value": bad, "accept": 1}),
    ):
        with pytest.raises(ProcessParameterInvalid, match="boolean"):
            call(process_id, **arguments)


def test_if_chooses_by_pixel_and_null_rejects() -> None:
    value = scalars([True, False, None, True], bool)
    accept = scalars([1, 2, 3, None], "uint8")
    assert lists(call("if", value=value, accept=accept, reject=9)) == [1, 9, 9, None]
    assert lists(call("if", value=value, accept=accept)) == [1, None, None, None]
    chosen = call("if", value=value, accept=pixels([[1, 2, 3, 4], [5, 6, 7, 8]]), reject=[0, None])
    assert chosen.is_array
    assert lists(chosen) == [[1, 0, 0, 4], [5, None, None, 8]]


OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


@pytest.mark.parametrize("process_id", sorted(OPERATORS))
@given(x=masked("float32", minimum=1, nan=True), y=st.sampled_from([0, 3, -2.5, 1e9, NAN, INF, None]))
def test_comparisons_with_a_number_equal_pythons(process_id: str, x: Masked, y: float | None) -> None:
    result = call(process_id, x=x, y=y)
    expected = [
        [None if v is None or y is None else OPERATORS[process_id](v, y) for v in row] for row in lists(x)
    ]
    assert result.dtype == bool
    assert lists(result) == expected


@pytest.mark.parametrize("process_id", sorted(OPERATORS))
def test_unsigned_numbers_compare_with_any_literal(process_id: str) -> None:
    x = scalars([0, 255], "uint8")
    for literal in (-1, 0, 255, 256, 0.5):
        expected = [OPERATORS[process_id](v, literal) for v in (0, 255)]
        assert lists(call(process_id, x=x, y=literal)) == expected


@pytest.mark.parametrize(
    ("x", "y", "equal"),
    [
        (True, 1, False),
        (False, 0, False),
        ("1", 1, False),
        (1, 1.0, True),
        (scalars([True]), 1, [False]),
        (scalars([1]), "1", [False]),
        (scalars([1], "float32"), True, [False]),
        (pixels(["a", "B"]), "b", [False, False]),
        (scalars([None, 1], "uint8"), "a", [None, False]),
    ],
)
def test_types_are_compared_strictly(x: Any, y: Any, equal: Any) -> None:
    same, other = call("eq", x=x, y=y), call("neq", x=x, y=y)
    if isinstance(x, Masked):
        same, other = lists(same), lists(other)
        assert other == [None if v is None else not v for v in equal]
    else:
        assert other is not equal
    assert same == equal


def test_eq_ignores_case_and_reads_dates_beside_dates() -> None:
    assert lists(call("eq", x=pixels(["Äb", "x"]), y="äB", case_sensitive=False)) == [True, False]
    dates = Masked(np.array(["2020-01-01", "2020-01-02"], "datetime64[ms]"))
    assert lists(call("eq", x=dates, y="2020-01-02T01:00:00+01:00")) == [False, True]
    assert lists(call("eq", x=dates, y="spring")) == [False, False]


def test_delta_does_not_wrap_unsigned_numbers_and_must_be_positive() -> None:
    x, y = scalars([3, 200], "uint8"), scalars([5, 5], "uint8")
    assert lists(call("eq", x=x, y=y, delta=2)) == [True, False]
    assert lists(call("neq", x=x, y=y, delta=2)) == [False, True]
    with pytest.raises(ProcessParameterInvalid, match="delta"):
        call("eq", x=1, y=2, delta=0)


def test_only_numbers_are_in_order() -> None:
    for process_id in ("gt", "lt"):
        assert call(process_id, x="b", y="a") is False
        assert call(process_id, x=True, y=False) is False
        assert call(process_id, x=None, y="a") is None
    for process_id in ("gte", "lte"):
        assert call(process_id, x="a", y="a") is True
        assert call(process_id, x="b", y="a") is False


@given(
    x=masked("int16", minimum=1), low=st.integers(-20, 20), high=st.integers(-20, 20), exclude=st.booleans()
)
def test_between_equals_two_comparisons(x: Masked, low: int, high: int, exclude: bool) -> None:
    def inside(v: int) -> bool:
        return low <= v < high if exclude else low <= v <= high

    expected = [[None if v is None else inside(v) for v in row] for row in lists(x)]
    assert lists(call("between", x=x, min=low, max=high, exclude_max=exclude)) == expected


@pytest.mark.parametrize(
    ("process_id", "of_pixels", "of_json"),
    [
        ("is_nan", [False, True, False, False], [False, True, False, False, False]),
        ("is_nodata", [False, False, False, True], [False, False, False, True, False]),
        ("is_valid", [True, False, False, False], [True, False, False, False, True]),
        ("is_infinite", [False, False, True, False], [False, False, True, False, False]),
    ],
)
def test_checks_tell_null_nan_and_infinity_apart(process_id: str, of_pixels: Any, of_json: Any) -> None:
    result = call(process_id, x=scalars([1.5, NAN, INF, None], "float32"))
    assert result.valid is None
    assert lists(result) == of_pixels
    assert [call(process_id, x=v) for v in (1.5, NAN, INF, None, "text")] == of_json
    nullable = scalars([1, None], "uint8")
    assert lists(call(process_id, x=nullable)) == [of_json[0], of_json[3]]


def test_an_array_is_a_valid_value_whatever_is_in_it() -> None:
    array = pixels([[None, None], [1, 2]])
    assert lists(call("is_valid", x=array)) == [True, True]
    assert lists(call("is_nodata", x=array)) == [False, False]
    assert lists(call("is_nan", x=array)) == [False, False]


@pytest.mark.parametrize(("process_id", "expected"), [("gt", True), ("eq", False), ("lte", False)])
def test_a_literal_beyond_float32_is_compared_as_it_is(process_id: str, expected: bool) -> None:
    pixels_of_float32 = Masked(np.array([897.2, np.float32(3.4e38)], np.float32))
    found = call(process_id, x=6.1e38, y=pixels_of_float32)
    assert found.values.tolist() == [expected, expected]
