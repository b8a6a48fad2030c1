"""Comparisons and checks: boolean, null for null; types are compared strictly, NaN as IEEE 754 has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.dates import instants
from acreage.processes.dtypes import BOOL, common
from acreage.processes.logic import and_
from acreage.processes.math import absolute, subtract
from acreage.processes.operands import aligned, cast, elementwise, finish, joint_validity, operand
from acreage.processes.registry import array_process

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@array_process("eq")
def eq(x: Any, y: Any, delta: Any = None, case_sensitive: bool = True) -> Any:
    """Whether x and y have the same type and value.

    Args:
        x, y: any scalars. A text beside dates is read as a date.
        delta: numbers count as equal where they differ by no more.
        case_sensitive: whether `A` and `a` are different texts.

    Raises:
        ProcessParameterInvalid: delta is not above zero.
    """
    x, y = aligned(operand(x), operand(y))
    kinds = {_type(x), _type(y)}
    if "null" in kinds:
        return _constant(False, x, y)
    if kinds == {"date", "text"}:
        x, y = _as_dates(x), _as_dates(y)
    elif len(kinds) > 1:
        return _constant(False, x, y)
    elif kinds == {"text"} and not case_sensitive:
        x, y = _folded(x), _folded(y)
    elif kinds == {"number"} and delta is not None:
        if isinstance(delta, Masked | bool) or not delta > 0:
            raise ProcessParameterInvalid(f"Parameter 'delta' must be a number above 0, not {delta!r}.")
        return _compare(np.less_equal, absolute(subtract(x, y)), delta)
    return _compare(np.equal, x, y)


@array_process("neq")
def neq(x: Any, y: Any, delta: Any = None, case_sensitive: bool = True) -> Any:
    """Whether x and y differ in type or value; see `eq`."""
    same = eq(x, y, delta, case_sensitive)
    return elementwise(np.logical_not, [same], BOOL)


@array_process("gt")
def gt(x: Any, y: Any) -> Any:
    """x > y; false where either is no number."""
    return _ordered(np.greater, x, y)


@array_process("gte")
def gte(x: Any, y: Any) -> Any:
    """x >= y; for anything but numbers, whether they are equal."""
    return _ordered(np.greater_equal, x, y, otherwise=eq)


@array_process("lt")
def lt(x: Any, y: Any) -> Any:
    """x < y; false where either is no number."""
    return _ordered(np.less, x, y)


@array_process("lte")
def lte(x: Any, y: Any) -> Any:
    """x <= y; for anything but numbers, whether they are equal."""
    return _ordered(np.less_equal, x, y, otherwise=eq)


@array_process("between")
def between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> Any:
    """Whether min <= x <= max (x < max where `exclude_max`); false for swapped bounds and JSON arrays."""
    if isinstance(x, list | tuple):
        return False
    return and_(gte(x, min), lt(x, max) if exclude_max else lte(x, max))


@array_process("is_nan")
def is_nan(x: Any) -> Any:
    """Whether it is the value NaN; false for null and for everything that is no number."""
    return _check(x, lambda values, valid: np.isnan(values) & valid, other=False)


@array_process("is_infinite")
def is_infinite(x: Any) -> Any:
    """Whether it is ±infinity."""
    return _check(x, lambda values, valid: np.isinf(values) & valid, other=False)


@array_process("is_valid")
def is_valid(x: Any) -> Any:
    """Whether it is a finite number, or anything else that is not null."""
    return _check(x, lambda values, valid: np.isfinite(values) & valid, other=True)


@array_process("is_nodata")
def is_nodata(x: Any) -> Any:
    """Whether it is null. NaN is a value, unless the cube's metadata made it null on loading."""
    return elementwise(np.logical_not, [_check(x, lambda values, valid: valid, other=True)], BOOL)


def same_value(x: Any, y: Any) -> bool:
    """Whether two JSON values are equal scalars by `eq`; arrays, objects and null equal nothing."""
    if any(isinstance(v, list | tuple | dict) for v in (x, y)):
        return False
    return eq(x, y) is True


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Masked):
        kind = value.dtype.kind
        return {"b": "boolean", "U": "text", "M": "date"}.get(kind, "number")
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    raise ProcessParameterInvalid(f"Only numbers, booleans and texts can be compared, not {value!r}.")


def _as_dates(value: Any) -> Any:
    if isinstance(value, Masked) and value.dtype.kind == "M":
        return value
    if isinstance(value, str):
        return Masked(instants(np.array(value)))
    return Masked(instants(value.values), value.valid, value.is_array, value.labels)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    texts = np.array([str(t).casefold() for t in value.values.ravel()], str).reshape(value.values.shape)
    return Masked(texts, value.valid, value.is_array, value.labels)


def _compare(function: Callable[..., Array], x: Any, y: Any) -> Any:
    # Literals go in as they are: NumPy compares them exactly with integers and as float32 with float32.
    with np.errstate(invalid="ignore"):
        values = np.asarray(function(_bare(x), _bare(y)))
    return finish(values, joint_validity([x, y], values.shape), [x, y])


def _bare(value: Any) -> Any:
    if isinstance(value, Masked):
        return value.values
    # A literal that float32 cannot hold would overflow beside float32 values; a NumPy scalar widens them.
    if isinstance(value, float) and math.isfinite(value) and abs(value) > _FLOAT32_MAX:
        return np.float64(value)
    return value


def _constant(answer: bool, *operands: Any) -> Any:
    shape = np.broadcast_shapes(*(o.values.shape for o in operands if isinstance(o, Masked)))
    values = np.full(shape, answer)
    return finish(values, joint_validity(operands, shape), operands)


def _ordered(
    function: Callable[..., Array], x: Any, y: Any, otherwise: Callable[..., Any] | None = None
) -> Any:
    x, y = aligned(operand(x), operand(y))
    if {_type(x), _type(y)} <= {"number"}:
        return _compare(function, x, y)
    return otherwise(x, y) if otherwise else _constant(False, x, y)


def _check(x: Any, numeric: Callable[[Array, Any], BoolArray], *, other: bool) -> Any:
    """`numeric` for floats; for all else `other` where it is not null."""
    if isinstance(x, list | tuple | dict):
        return other
    if isinstance(x, Masked) and x.is_array:
        return Masked(np.full(x.values.shape[1:], other))
    if isinstance(x, Masked) and x.dtype.kind != "f":
        values = np.full(x.values.shape, other) if x.valid is None else x.valid & other
        return finish(values, None, [x])
    if x is None or not isinstance(x, Masked | float):
        return other and x is not None
    dtype = common(x)
    valid = np.True_ if not isinstance(x, Masked) or x.valid is None else x.valid
    values = np.broadcast_to(numeric(cast(x, dtype), valid), np.shape(_bare(x)))
    return finish(values, None, [x])
