"""Statistics over an array: nulls do not count, or make the result null where `ignore_nodata` is false.

Null where there is no value at all. NaN is a value and makes the result NaN. The variance of a sample of one
is not defined, hence null.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked
from acreage.core.errors import (
    AscendingProbabilitiesRequired,
    ProcessParameterInvalid,
    QuantilesParameterConflict,
    QuantilesParameterMissing,
)
from acreage.processes import kernels
from acreage.processes.array_callbacks import each
from acreage.processes.callback import BoundCallback, Callback
from acreage.processes.comparison import is_valid
from acreage.processes.dtypes import INT32, DType, float_for, product_of, sum_of
from acreage.processes.logic import true_where
from acreage.processes.operands import array, element, holds_pixels, number_array, plain, whole_number
from acreage.processes.registry import array_process


@array_process("min")
def min_(data: Any, ignore_nodata: bool = True) -> Any:
    """Smallest value, in the dtype of the data."""
    return _form(data, _extremes(number_array(data), ignore_nodata)[0])


@array_process("max")
def max_(data: Any, ignore_nodata: bool = True) -> Any:
    """Largest value, in the dtype of the data."""
    return _form(data, _extremes(number_array(data), ignore_nodata)[1])


@array_process("extrema")
def extrema(data: Any, ignore_nodata: bool = True) -> Any:
    """Array of the smallest and the largest value."""
    low, high = _extremes(number_array(data), ignore_nodata)
    both = Masked(np.stack([low.values, high.values]), np.stack([low.validity(), high.validity()]), True)
    return _form(data, both)


@array_process("sum")
def sum_(data: Any, ignore_nodata: bool = True) -> Any:
    """Sum."""
    ready = number_array(data)
    dtype = sum_of(ready.dtype)
    total, count = _totals(ready, np.dtype(np.float64) if dtype.kind == "f" else dtype)
    return _form(data, _answer(ready, total.astype(dtype, copy=False), count, ignore_nodata))


@array_process("product")
def product(data: Any, ignore_nodata: bool = True) -> Any:
    """Product."""
    ready = number_array(data)
    values, valid, masked = kernels.flat(ready)
    total, count = np.ones(values.shape[1]), np.zeros(values.shape[1], np.int32)
    with np.errstate(all="ignore"):
        kernels.products(values, valid, masked, total, count)
        result = total.astype(product_of(ready.dtype))
    return _form(data, _answer(ready, result, count, ignore_nodata))


@array_process("mean")
def mean(data: Any, ignore_nodata: bool = True) -> Any:
    """Arithmetic mean."""
    ready = number_array(data)
    values, count = _means(ready)
    return _form(data, _answer(ready, values.astype(float_for(ready.dtype)), count, ignore_nodata))


@array_process("variance")
def variance(data: Any, ignore_nodata: bool = True) -> Any:
    """Sample variance (divided by the number of values less one)."""
    return _form(data, _spread(number_array(data), ignore_nodata, np.positive))


@array_process("sd")
def sd(data: Any, ignore_nodata: bool = True) -> Any:
    """Sample standard deviation."""
    return _form(data, _spread(number_array(data), ignore_nodata, np.sqrt))


@array_process("median")
def median(data: Any, ignore_nodata: bool = True) -> Any:
    """Median; of an even number of values the average of the two in the middle."""
    ready = number_array(data)
    values, valid, masked = kernels.flat(_numeric(ready))
    out = np.full(values.shape[1], np.nan, float_for(ready.dtype))
    out_valid = np.zeros(values.shape[1], bool)
    network = kernels.sorting_network(len(values))
    kernels.medians(values, valid, masked, ignore_nodata, _top(values.dtype), network, out, out_valid)
    return _form(data, _scalar(ready, out, out_valid, always=not masked and len(values) > 0))


@array_process("quantiles")
def quantiles(data: Any, probabilities: Any = None, q: Any = None, ignore_nodata: bool = True) -> Any:
    """Array of quantiles by type 7 of Hyndman and Fan (1996).

    Args:
        data: numbers.
        probabilities: ascending, each in [0, 1]; or the number of intervals.
        q: the number of intervals (the older form).
        ignore_nodata: whether nulls do not count.

    Raises:
        QuantilesParameterMissing, QuantilesParameterConflict: not exactly one of probabilities and q.
        AscendingProbabilitiesRequired: probabilities out of order.
        ProcessParameterInvalid: a probability or number of intervals out of range.
    """
    places = _probabilities(probabilities, q)
    ready = number_array(data)
    values, valid, masked = kernels.flat(_numeric(ready))
    out = np.full((len(places), values.shape[1]), np.nan, float_for(ready.dtype))
    out_valid = np.zeros(out.shape, bool)
    network = kernels.sorting_network(len(values))
    kernels.quantiles(
        values, valid, masked, ignore_nodata, _top(values.dtype), network, places, out, out_valid
    )
    shape = (len(places), *ready.values.shape[1:])
    return _form(data, Masked(out.reshape(shape), out_valid.reshape(shape), True))


@array_process("count")
def count(data: Any, condition: Any = None, context: Any = None) -> Any:
    """Number of elements that are valid, that meet a condition, or (condition `true`) of all elements; int32.

    Raises:
        ProcessParameterInvalid: the condition is neither a callback, null nor true.
    """
    if condition is None and not holds_pixels(data):
        return len([v for v in _items(data) if is_valid(v)])
    if condition is True:
        if not holds_pixels(data):
            return len(_items(data))
        ready = array(data)
        return Masked(np.full(ready.values.shape[1:], ready.length, INT32))
    if condition is None:
        ready = array(data)
        chosen = is_valid(Masked(ready.values, ready.valid)).values
    elif isinstance(condition, Callback | BoundCallback):
        answers = each(condition, data, context, with_place=False)
        chosen = true_where(answers, answers.values.shape)
    else:
        raise ProcessParameterInvalid(
            f"Parameter 'condition' of count must be a callback, null or true, not {condition!r}."
        )
    return _form(data, Masked(np.asarray(np.count_nonzero(chosen, axis=0)).astype(INT32), None))


@array_process("first")
def first(data: Any, ignore_nodata: bool = True) -> Any:
    """First element (that is not null)."""
    return _end(data, ignore_nodata, last=False)


@array_process("last")
def last(data: Any, ignore_nodata: bool = True) -> Any:
    """Last element (that is not null)."""
    return _end(data, ignore_nodata, last=True)


def _items(data: Any) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise ProcessParameterInvalid(f"Parameter 'data' must be an array, not {data!r}.")
    return list(data)


def _form(data: Any, result: Masked) -> Any:
    return result if holds_pixels(data) else plain(result)


def _numeric(data: Masked) -> Masked:
    return Masked(data.values.view(np.uint8), data.valid, True) if data.dtype == bool else data


def _top(dtype: DType, sign: int = 1) -> Any:
    """Largest value of a dtype (smallest for sign -1), as a scalar of it."""
    if dtype.kind == "f":
        return dtype.type(sign * np.inf)
    return dtype.type(np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min)


def _scalar(data: Masked, values: Array, valid: BoolArray, *, always: bool) -> Masked:
    shape = data.values.shape[1:]
    return Masked(values.reshape(shape), None if always else valid.reshape(shape))


def _answer(data: Masked, values: Array, count: Array, ignore_nodata: bool, needed: int = 1) -> Masked:
    valid = np.asarray(count >= needed) if ignore_nodata else (count == data.length) & (count >= needed)
    return _scalar(data, values, valid, always=data.valid is None and data.length >= needed)


def _totals(data: Masked, dtype: DType) -> tuple[Array, Array]:
    values, valid, masked = kernels.flat(data)
    total, count = np.zeros(values.shape[1], dtype), np.zeros(values.shape[1], np.int32)
    kernels.sums(values, valid, masked, total, count)
    return total, count


def _means(data: Masked) -> tuple[Array, Array]:
    exact = data.dtype.kind != "f" and data.dtype.itemsize <= 4
    total, count = _totals(data, np.dtype(np.int64 if exact else np.float64))
    with np.errstate(all="ignore"):
        return total / count, count


def _spread(data: Masked, ignore_nodata: bool, transform: Callable[..., Array]) -> Masked:
    averages, count = _means(data)
    values, valid, masked = kernels.flat(_numeric(data))
    total = np.zeros(values.shape[1])
    kernels.squared_deviations(values, valid, masked, averages, total)
    with np.errstate(all="ignore"):
        result = transform(total / (count - 1)).astype(float_for(data.dtype))
    return _answer(data, result, count, ignore_nodata, needed=2)


def _extremes(data: Masked, ignore_nodata: bool) -> tuple[Masked, Masked]:
    values, valid, masked = kernels.flat(_numeric(data))
    pixels = values.shape[1]
    bottom, top = _top(values.dtype, -1), _top(values.dtype)
    low, high = np.full(pixels, top, values.dtype), np.full(pixels, bottom, values.dtype)
    count = np.zeros(pixels, np.int32)
    kernels.extremes(values, valid, masked, bottom, top, low, high, count)
    low, high = low.astype(data.dtype, copy=False), high.astype(data.dtype, copy=False)
    return _answer(data, low, count, ignore_nodata), _answer(data, high, count, ignore_nodata)


_MOST_INTERVALS = 10_000  # each is a value in every pixel


def _probabilities(probabilities: Any, q: Any) -> Array:
    if probabilities is None and q is None:
        raise QuantilesParameterMissing("quantiles needs the parameter probabilities (or q).")
    if probabilities is not None and q is not None:
        raise QuantilesParameterConflict("quantiles takes probabilities or q, not both.")
    given = q if probabilities is None else probabilities
    if isinstance(given, Masked) and given.is_array:
        given = plain(given)
    if not isinstance(given, list | tuple):
        intervals = whole_number(given, "probabilities" if q is None else "q")
        if not 2 <= intervals <= _MOST_INTERVALS:
            raise ProcessParameterInvalid(
                f"quantiles takes 2 to {_MOST_INTERVALS} intervals, not {intervals:.15g}."
            )
        return np.arange(1, intervals) / intervals
    if not all(isinstance(p, int | float) and 0 <= p <= 1 for p in given):
        raise ProcessParameterInvalid(f"Probabilities must be numbers from 0 to 1, not {given}.")
    if any(a >= b for a, b in pairwise(given)):
        raise AscendingProbabilitiesRequired(f"Probabilities must be in ascending order, not {given}.")
    return np.array(given, np.float64)


def _end(data: Any, ignore_nodata: bool, *, last: bool) -> Any:
    if not holds_pixels(data):
        known = [v for v in _items(data) if v is not None or not ignore_nodata]
        return known[-1 if last else 0] if known else None
    ready = array(data)
    shape = ready.values.shape[1:]
    if ready.length == 0:
        return Masked(np.zeros(shape, ready.dtype), np.zeros(shape, bool))
    place = ready.length - 1 if last else 0
    if ready.valid is None or not ignore_nodata:
        return element(ready, place)
    offset = np.argmax(ready.valid[::-1] if last else ready.valid, axis=0)[None]
    index = ready.length - 1 - offset if last else offset
    values = np.take_along_axis(ready.values, index, axis=0)[0]
    return Masked(values, np.asarray(ready.valid.any(axis=0)))
