"""Three-valued logic: null means that a truth value is not known, and only matters where it could decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked
from acreage.processes.dtypes import BOOL, common
from acreage.processes.operands import (
    aligned,
    array,
    booleans,
    cast,
    elementwise,
    finish,
    holds_pixels,
    operand,
    plain,
    validity,
)
from acreage.processes.registry import array_process


@array_process("and")
def and_(x: Any, y: Any) -> Any:
    """True where both are, false where one is false, else null."""
    x, y = booleans(x=x, y=y)
    (true_x, false_x), (true_y, false_y) = _certain(x), _certain(y)
    return _decided(true_x & true_y, false_x | false_y, x, y)


@array_process("or")
def or_(x: Any, y: Any) -> Any:
    """True where one is, false where both are false, else null."""
    x, y = booleans(x=x, y=y)
    (true_x, false_x), (true_y, false_y) = _certain(x), _certain(y)
    return _decided(true_x | true_y, false_x & false_y, x, y)


@array_process("xor")
def xor(x: Any, y: Any) -> Any:
    """True where exactly one is; null where either is null."""
    x, y = booleans(x=x, y=y)
    return elementwise(np.logical_xor, [x, y], BOOL)


@array_process("not")
def not_(x: Any) -> Any:
    """The opposite; null stays null."""
    (x,) = booleans(x=x)
    return elementwise(np.logical_not, [x], BOOL)


@array_process("if")
def if_(value: Any, accept: Any, reject: Any = None) -> Any:
    """`accept` where the value is true, `reject` where it is false or null; their common dtype."""
    (value,) = booleans(value=value)
    if not isinstance(value, Masked):
        return accept if value is True else reject
    value, accept, reject = aligned(value, operand(accept), operand(reject))
    dtype = common(accept, reject)
    chosen = _certain(value)[0]
    values = np.where(chosen, cast(accept, dtype), cast(reject, dtype))
    valid = np.where(chosen, validity(accept), validity(reject))
    never_null = validity(accept) is True and validity(reject) is True
    mask = None if never_null else np.broadcast_to(valid, values.shape)
    return finish(values, mask, [value, accept, reject])


@array_process("all")
def all_(data: Any, ignore_nodata: bool = True) -> Any:
    """Whether all elements are true; nulls do not count, or make true null. True for an empty array."""
    return _reduce(data, ignore_nodata, decisive=False)


@array_process("any")
def any_(data: Any, ignore_nodata: bool = True) -> Any:
    """Whether an element is true; nulls do not count, or make false null. False for an empty array."""
    return _reduce(data, ignore_nodata, decisive=True)


def true_where(value: Any, shape: tuple[int, ...]) -> BoolArray:
    """Where a condition's answer is true (not null), of the given shape.

    Raises:
        ProcessParameterInvalid: the answer is not boolean.
    """
    (value,) = booleans(condition=value)
    return np.broadcast_to(_certain(value)[0], shape)


def _certain(value: Any) -> tuple[Array, Array]:
    """Where it is certainly true, and where certainly false."""
    known, values = np.asarray(validity(value)), cast(value, BOOL)
    return values & known, ~values & known


def _decided(true: Array, false: Array, *operands: Any) -> Any:
    never_null = all(validity(o) is True for o in operands)
    return finish(true, None if never_null else true | false, operands)


def _reduce(data: Any, ignore_nodata: bool, *, decisive: bool) -> Any:
    (ready,) = booleans(data=_known_booleans(data))
    deciding = _certain(ready)[0 if decisive else 1].any(axis=0)
    result = deciding if decisive else ~deciding
    settled = None if ignore_nodata or ready.valid is None else deciding | ready.valid.all(axis=0)
    answer = Masked(np.asarray(result), None if settled is None else np.asarray(settled))
    return answer if holds_pixels(data) else plain(answer)


def _known_booleans(data: Any) -> Masked:
    ready = array(data)
    nothing_known = not holds_pixels(data) and all(v is None for v in data)
    return Masked(ready.values.astype(bool), ready.valid, True) if nothing_known else ready
