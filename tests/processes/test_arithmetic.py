"""Arithmetic, rounding and trigonometry against Python's own numbers and numpy.ma."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import call, lists, masked, pixels, scalars

from acreage.core.arrays import Masked
from acreage.core.errors import MinMaxSwapped, ProcessParameterInvalid

NAN, INF = math.nan, math.inf


def ma(data: Masked, dtype: Any = np.float64) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.MaskedArray(data.values.astype(dtype), ~data.validity())


def assert_is(result: Masked, expected: np.ma.MaskedArray[Any, Any], tolerance: float = 0) -> None:
    mask = np.broadcast_to(np.ma.getmaskarray(expected), result.values.shape)
    np.testing.assert_array_equal(result.validity(), ~mask)
    np.testing.assert_allclose(result.values[~mask], expected.data[~mask], rtol=tolerance, atol=0)


@given(a=masked("uint16", minimum=1), b=st.integers(-500, 500))
def test_integers_with_a_literal_equal_exact_arithmetic(a: Masked, b: int) -> None:
    assert_is(call("add", x=a, y=b), ma(a, np.int64) + b)
    assert_is(call("subtract", x=b, y=a), b - ma(a, np.int64))
    assert_is(call("multiply", x=a, y=b), ma(a, np.int64) * b)


@given(data=st.data())
def test_null_on_either_side_gives_null(data: st.DataObject) -> None:
    a = data.draw(masked("float32", minimum=1, maximum=1))
    b = Masked(a.values[::-1, ::-1].copy(), None if a.valid is None else a.valid[:, ::-1].copy(), True)
    for process_id, exact in (("add", np.ma.add), ("subtract", np.ma.subtract), ("multiply", np.ma.multiply)):
        expected = exact(ma(a, np.float32), ma(b, np.float32))
        assert_is(call(process_id, x=a, y=b), expected)
        assert not np.asarray(call(process_id, x=a, y=None).validity()).any()


@pytest.mark.parametrize(
    ("process_id", "arguments", "expected"),
    [
        ("divide", {"x": [1, -1, 0, 6], "y": [0, 0, 0, 4]}, [INF, -INF, NAN, 1.5]),
        ("mod", {"x": [1, -1, 0, -7, 7, -7], "y": [0, 0, 0, 3, -3, -3]}, [INF, -INF, NAN, 2, -2, -1]),
        ("mod", {"x": [2, -2, 2, INF, 0], "y": [INF, INF, -INF, INF, -INF]}, [2, -2, 2, NAN, 0]),
        ("ln", {"x": [0, -1, 1]}, [-INF, NAN, 0]),
        ("sqrt", {"x": [-4, 0, 16]}, [NAN, 0, 4]),
        ("artanh", {"x": [1, -1, 2]}, [INF, -INF, NAN]),
        ("arcosh", {"x": [0, 1]}, [NAN, 0]),
        ("arcsin", {"x": [2, 0]}, [NAN, 0]),
        ("sgn", {"x": [-2.5, 0.0, 9.0, NAN]}, [-1, 0, 1, NAN]),
        ("int", {"x": [-1.5, 1.5, INF]}, [-1, 1, INF]),
        ("round", {"x": [0.5, 1.5, 2.5, -0.5, -1.5]}, [0, 2, 2, 0, -2]),
        ("round", {"x": [250, 350, 251, -250], "p": -2}, [200, 400, 300, -200]),
        ("log", {"x": [1000, 0.001, 0], "base": 10}, [3, -3, -INF]),
        ("log", {"x": [8, 1024, 0.5], "base": 2}, [3, 10, -1]),
        ("linear_scale_range", {"x": [-5, 5, 20], "inputMin": 0, "inputMax": 10}, [0, 0.5, 1]),
        (
            "linear_scale_range",
            {"x": [0, 2, 10], "inputMin": 0, "inputMax": 10, "outputMin": 1, "outputMax": -1},
            [1, 0.6, -1],
        ),
        ("clip", {"x": [-5, 5, 20], "min": 0, "max": 10}, [0, 5, 10]),
        ("normalized_difference", {"x": [3, 0, 1], "y": [1, 0, -1]}, [0.5, NAN, INF]),
        ("power", {"base": [2, 0, 9, -8], "p": [10, 0, 0.5, 1 / 3]}, [1024, 1, 3, NAN]),
        ("arctan2", {"y": [1, -1, 0], "x": [0, 0, -1]}, [math.pi / 2, -math.pi / 2, math.pi]),
    ],
)
def test_special_values_as_the_specification_has_them(
    process_id: str, arguments: dict[str, Any], expected: list[float]
) -> None:
    ready = {k: scalars(v, np.float64) if isinstance(v, list) else v for k, v in arguments.items()}
    np.testing.assert_allclose(call(process_id, **ready).values, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("process_id", "exact"),
    [
        ("sin", math.sin), ("cos", math.cos), ("tan", math.tan), ("arctan", math.atan), ("sinh", math.sinh),
        ("cosh", math.cosh), ("tanh", math.tanh), ("arsinh", math.asinh),
    ],
)  # fmt: skip
@given(data=masked("float32", minimum=1))
def test_float32_trigonometry_is_float64_trigonometry_rounded_once(
    process_id: str, exact: Callable[[float], float], data: Masked
) -> None:
    small = Masked(data.values / np.float32(100), data.valid, True)
    result = call(process_id, x=small)
    for value, expected in zip(lists(result), lists(small), strict=True):
        for one, source in zip(value, expected, strict=True):
            if source is None:
                assert one is None
            else:
                assert one == pytest.approx(float(np.float32(exact(float(source)))), rel=2e-7)


@given(data=masked("int16", minimum=1))
def test_rounding_to_tens_equals_pythons_rounding(data: Masked) -> None:
    result = call("round", x=data, p=-1)
    expected = [[None if v is None else round(v, -1) for v in row] for row in lists(data)]
    assert lists(result) == expected


@given(data=st.data())
def test_normalized_difference_of_integers_is_rounded_once(data: st.DataObject) -> None:
    x = data.draw(masked("uint16", minimum=1))
    y = Masked(x.values[:, ::-1] * 3 + 1, None, True)
    a, b = x.values.astype(np.float64), y.values.astype(np.float64)
    result = call("normalized_difference", x=x, y=y)
    np.testing.assert_array_equal(result.values, ((a - b) / (a + b)).astype(np.float32))
    quotient = call("divide", x=x, y=y)
    np.testing.assert_array_equal(quotient.values, (a / b).astype(np.float32))


def test_scalars_broadcast_against_arrays_and_labels_stay() -> None:
    array = pixels([[1, 2], [3, None]], "uint8", labels=("a", "b"))
    result = call("multiply", x=array, y=scalars([10, 100], "uint8"))
    assert result.is_array
    assert result.labels == ("a", "b")
    assert lists(result) == [[10, 200], [30, None]]


def test_clip_refuses_swapped_bounds() -> None:
    with pytest.raises(MinMaxSwapped, match="min"):
        call("clip", x=1, min=2, max=1)


@pytest.mark.parametrize("bad", ["1", [1, "a"], {"a": 1}])
def test_what_is_no_number_is_refused(bad: Any) -> None:
    with pytest.raises(ProcessParameterInvalid):
        call("add", x=bad, y=1)


def test_constants() -> None:
    assert call("pi") == math.pi
    assert call("e") == math.e
    assert math.isnan(call("nan"))
    assert call("constant", x={"any": ["thing"]}) == {"any": ["thing"]}
    assert call("floor", x=-1.5) == -2
    assert isinstance(call("ceil", x=1.5), int)


def test_int_of_nan_is_null() -> None:
    assert call("int", x=math.nan) is None
    assert lists(call("int", x=scalars([1.5, math.nan, None, -2.5]))) == [1, None, None, -2]
