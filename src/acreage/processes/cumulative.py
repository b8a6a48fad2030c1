"""Running sums, products and extremes: as long as the array; nulls are stepped over, or end it."""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Array, Masked
from acreage.processes.dtypes import DType, product_of, sum_of
from acreage.processes.operands import holds_pixels, number_array, plain
from acreage.processes.registry import array_process


@array_process("cumsum")
def cumsum(data: Any, ignore_nodata: bool = True) -> Any:
    """Sum of all elements so far."""
    ready = number_array(data)
    dtype = sum_of(ready.dtype)
    inner = np.dtype(np.float64) if dtype.kind == "f" else dtype
    return _running(data, ready, np.add, ready.values.astype(inner, copy=False), 0, dtype, ignore_nodata)


@array_process("cumproduct")
def cumproduct(data: Any, ignore_nodata: bool = True) -> Any:
    """Product of all elements so far."""
    ready = number_array(data)
    values = ready.values.astype(np.float64, copy=False)
    return _running(data, ready, np.multiply, values, 1, product_of(ready.dtype), ignore_nodata)


@array_process("cummin")
def cummin(data: Any, ignore_nodata: bool = True) -> Any:
    """Smallest element so far."""
    ready = number_array(data)
    neutral = _limits(ready.dtype)[1]
    return _running(data, ready, np.minimum, ready.values, neutral, ready.dtype, ignore_nodata)


@array_process("cummax")
def cummax(data: Any, ignore_nodata: bool = True) -> Any:
    """Largest element so far."""
    ready = number_array(data)
    neutral = _limits(ready.dtype)[0]
    return _running(data, ready, np.maximum, ready.values, neutral, ready.dtype, ignore_nodata)


def _running(
    data: Any, ready: Masked, step: np.ufunc, values: Array, neutral: Any, dtype: DType, ignore_nodata: bool
) -> Any:
    valid = ready.valid
    if valid is not None:
        values = np.where(valid, values, values.dtype.type(neutral))
        if not ignore_nodata:
            valid = np.logical_and.accumulate(valid, axis=0)
    with np.errstate(all="ignore"):
        result = step.accumulate(values, axis=0).astype(dtype, copy=False)
    answer = Masked(result, valid, True, ready.labels)
    return answer if holds_pixels(data) else plain(answer)


def _limits(dtype: DType) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    if dtype.kind == "b":
        return False, True
    info = np.iinfo(dtype)
    return info.min, info.max
