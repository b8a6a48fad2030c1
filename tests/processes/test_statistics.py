"""Statistics against Python's statistics module and NumPy, pixel by pixel."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import CONTEXT, X, call, callback, columns, lists, masked, pixels, scalars

from acreage.core.arrays import Masked
from acreage.core.errors import (
    AscendingProbabilitiesRequired,
    ProcessParameterInvalid,
    QuantilesParameterConflict,
    QuantilesParameterMissing,
)

ORACLES: dict[str, tuple[Callable[[list[Any]], Any], int]] = {
    "min": (min, 1),
    "max": (max, 1),
    "sum": (math.fsum, 1),
    "product": (math.prod, 1),
    "mean": (statistics.fmean, 1),
    "median": (statistics.median, 1),
    "variance": (statistics.variance, 2),
    "sd": (statistics.stdev, 2),
    "first": (lambda v: v[0], 1),
    "last": (lambda v: v[-1], 1),
}


def expected(oracle: Callable[[list[Any]], Any], needed: int, column: list[Any], ignore: bool) -> Any:
    known = [float(v) for v in column if v is not None]
    if len(known) < needed or (not ignore and len(known) < len(column)):
        return None
    return oracle(known)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("process_id", sorted(set(ORACLES) - {"first", "last"}))
@given(data=st.data(), ignore=st.booleans())
def test_reducers_equal_pythons_statistics(
    process_id: str, dtype: str, data: st.DataObject, ignore: bool
) -> None:
    array = data.draw(masked(dtype))
    result = call(process_id, data=array, ignore_nodata=ignore)
    oracle, needed = ORACLES[process_id]
    wanted = [expected(oracle, needed, c, ignore) for c in columns(array) or [[]] * array.values.shape[1]]
    tolerance = 3e-7 if dtype == "float32" or result.dtype == np.float32 else 1e-12
    for one, other in zip(lists(result), wanted, strict=True):
        if other is None:
            assert one is None
        else:
            # Deviations from a rounded mean: the scale of the data bounds the error.
            assert one == pytest.approx(other, rel=tolerance, abs=1e-9)


@pytest.mark.parametrize("process_id", ["first", "last"])
@given(data=st.data())
def test_first_and_last_skip_nulls_unless_told_not_to(process_id: str, data: st.DataObject) -> None:
    array = data.draw(masked("int16", minimum=1))
    end = 0 if process_id == "first" else -1
    known = [[v for v in c if v is not None] for c in columns(array)]
    assert lists(call(process_id, data=array)) == [k[end] if k else None for k in known]
    assert lists(call(process_id, data=array, ignore_nodata=False)) == [c[end] for c in columns(array)]


@given(n=st.integers(1, 75), seed=st.integers(0, 2**32 - 1))
def test_median_of_integers_is_exact_with_halves_for_any_number_of_elements(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**16, (n, 300)).astype(np.uint16)
    valid = rng.random(values.shape) < 0.8
    result = call("median", data=Masked(values, valid, True))
    assert result.dtype == np.float32
    for pixel in range(300):
        known = values[valid[:, pixel], pixel]
        if known.size:
            assert result.values[pixel] == np.median(known.astype(np.float64))
        assert result.validity()[pixel] == bool(known.size)


def test_median_holds_where_values_equal_the_dtypes_largest() -> None:
    data = pixels([[65535, 65535], [65535, 1], [1, None], [None, None]], "uint16")
    assert lists(call("median", data=data)) == [65535, 32768]


@given(data=masked("float32", nan=True, minimum=1))
def test_nan_is_a_value_that_makes_the_result_nan(data: Masked) -> None:
    for process_id in ("min", "max", "median", "mean", "sum", "product"):
        result = lists(call(process_id, data=data))
        for column, one in zip(columns(data), result, strict=True):
            known = [v for v in column if v is not None]
            assert (one is not None and math.isnan(one)) == any(math.isnan(v) for v in known)


@given(
    data=masked("uint16"),
    places=st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_quantiles_equal_numpys_linear_ones(data: Masked, places: list[float]) -> None:
    result = call("quantiles", data=data, probabilities=places)
    assert result.is_array
    for column, values in zip(columns(data), np.array(lists(result), object).T, strict=False):
        known = [v for v in column if v is not None]
        if known:
            np.testing.assert_allclose(values.astype(float), np.quantile(known, places), rtol=1e-6)
        else:
            assert list(values) == [None] * len(places)


def test_quantiles_by_number_of_intervals_and_their_errors() -> None:
    data = [1, 2, 3, 4, 5]
    assert call("quantiles", data=data, q=4) == [2, 3, 4]
    assert call("quantiles", data=data, probabilities=4) == [2, 3, 4]
    with pytest.raises(QuantilesParameterMissing):
        call("quantiles", data=data)
    with pytest.raises(QuantilesParameterConflict):
        call("quantiles", data=data, probabilities=[0.5], q=2)
    with pytest.raises(AscendingProbabilitiesRequired):
        call("quantiles", data=data, probabilities=[0.5, 0.1])
    for bad in ([0.5, 1.5], 1, 2.5, ["a"]):
        with pytest.raises(ProcessParameterInvalid):
            call("quantiles", data=data, probabilities=bad)


@given(data=masked("int16"))
def test_extrema_are_min_and_max(data: Masked) -> None:
    both = call("extrema", data=data)
    assert both.is_array
    assert lists(both) == [lists(call("min", data=data)), lists(call("max", data=data))]


@given(data=masked("float32", nan=True), limit=st.integers(-100, 100))
def test_count_of_valid_all_and_matching_elements(data: Masked, limit: int) -> None:
    every = columns(data) or [[]] * data.values.shape[1]
    finite = [[v for v in c if v is not None and math.isfinite(v)] for c in every]
    condition = callback("gt", x=X, y=CONTEXT)
    assert lists(call("count", data=data)) == [len(c) for c in finite]
    assert lists(call("count", data=data, condition=True)) == [len(c) for c in every]
    matching = [sum(v > limit for v in c) for c in finite]
    assert lists(call("count", data=data, condition=condition, context=limit)) == matching


def test_count_of_json_and_its_errors() -> None:
    assert call("count", data=[1, "a", None, [], math.nan]) == 3
    assert call("count", data=[1, 5, None], condition=callback("gt", x=X, y=2)) == 1
    with pytest.raises(ProcessParameterInvalid, match="condition"):
        call("count", data=[1], condition=False)
    with pytest.raises(ProcessParameterInvalid, match="array"):
        call("count", data=scalars([1, 2]))


def test_lists_of_scalars_are_stacked_and_literals_take_part() -> None:
    x, y = scalars([1, 8], "uint8"), scalars([4, None], "uint8")
    assert lists(call("max", data=[x, y, 3])) == [4, 8]
    assert lists(call("min", data=[x, y, None], ignore_nodata=False)) == [None, None]
    assert lists(call("mean", data=[x, y])) == [2.5, 8]


@pytest.mark.parametrize("process_id", sorted(ORACLES))
def test_every_pixel_shape_is_kept(process_id: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 50, (5, 2, 3, 4)).astype(np.uint8)
    whole = call(process_id, data=Masked(values, values > 10, True))
    assert whole.values.shape == (2, 3, 4)
    part = call(process_id, data=Masked(values[:, :, 1:, 2:], values[:, :, 1:, 2:] > 10, True))
    np.testing.assert_array_equal(
        np.where(whole.validity(), whole.values, 0)[:, 1:, 2:], np.where(part.validity(), part.values, 0)
    )


def test_arrays_of_texts_have_no_statistics() -> None:
    with pytest.raises(ProcessParameterInvalid, match="numbers"):
        call("mean", data=["a", "b"])
    assert call("first", data=["a", None]) == "a"


def test_quantiles_reach_infinity_where_the_formula_of_type_7_has_no_number() -> None:
    data = [1.5, -math.inf, 5.75, -1.25]
    # (1 - g) x[j] + g x[j + 1], of which x[j] + g (x[j + 1] - x[j]) is not a number.
    assert call("quantiles", data=data, probabilities=[0, 0.25, 0.5, 1]) == [
        -math.inf,
        -math.inf,
        0.125,
        5.75,
    ]
    assert call("quantiles", data=[1.0, math.inf], probabilities=[0, 0.5, 1]) == [1.0, math.inf, math.inf]
    assert math.isnan(call("quantiles", data=[-math.inf, math.inf], probabilities=[0.5])[0])
