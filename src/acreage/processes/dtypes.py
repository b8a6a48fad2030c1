"""The static dtypes of array processes: the one place with the rules (docs/decisions/0008-static-dtypes.md).

The dtype of a result follows from the dtypes of the inputs and from constants of the graph, never from
pixels: the planner learns it by running a callback on a few nulls. JSON literals are weak, as in NumPy 2.

| processes                                  | integers <= 16 bit, bool| other integers | float32 | float64 |
|--------------------------------------------|-------------------------|----------------|---------|---------|
| add, subtract, multiply                    | int32 or int64 (1)      | int64          | float32 | float64 |
| divide, mod, power, roots, logarithms,     | float32                 | float64        | float32 | float64 |
| trigonometry, scaling, mean, median,       |                         |                |         |         |
| quantiles, sd, variance, interpolation     |                         |                |         |         |
| min, max, first, last, sort, floor, clip   | kept (2)                | kept (2)       | float32 | float64 |
| if, array_create, array_concat and the like| common dtype            | common dtype   | common  | common  |
| sum, cumsum                                | int64                   | int64          | float32 | float64 |
| product, cumproduct                        | float64                 | float64        | float32 | float64 |
| count, order, array_find                   | int32                   | int32          | int32   | int32   |
| comparisons, logic, checks                 | bool                    | bool           | bool    | bool    |

(1) The smaller one that holds every possible result of these dtypes and literals; two float32-sized operands
of which one is a float give float32. (2) `clip` widens for bounds outside of the dtype that it can return.

Float results that take more than one operation are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid

DType = np.dtype[Any]

BOOL: Final[DType] = np.dtype(np.bool_)
INT32: Final[DType] = np.dtype(np.int32)
INT64: Final[DType] = np.dtype(np.int64)
FLOAT32: Final[DType] = np.dtype(np.float32)
FLOAT64: Final[DType] = np.dtype(np.float64)

_INT64_RANGE = (-(2**63), 2**63 - 1)
_INT32_RANGE = (-(2**31), 2**31 - 1)


def is_numeric(dtype: DType) -> bool:
    """Whether arithmetic is defined on it: booleans count as 0 and 1."""
    return dtype.kind in "biuf"


def float_for(*operands: Any) -> DType:
    """Float dtype of a result: float32 where every array fits it, else float64 (also for literals alone).

    Args:
        operands: Masked, dtypes, or JSON literals (which have no say beside an array).
    """
    dtypes = [d for d in map(_dtype, operands) if d is not None]
    if not dtypes:
        return FLOAT64
    return FLOAT32 if all(_fits_float32(d) for d in dtypes) else FLOAT64


def arithmetic(operation: Callable[[int, int], int], x: Any, y: Any) -> DType:
    """Dtype of add, subtract and multiply.

    Integers give the smaller of int32 and int64 that holds every possible result. Where not even int64 does,
    it is int64 for arrays (it wraps, as in NumPy) and float64 for literals and uint64.
    """
    if _is_float(x) or _is_float(y) or (x is None and y is None):
        return float_for(x, y)
    ends = [operation(a, b) for a in _range(x) for b in _range(y)]
    low, high = min(ends), max(ends)
    if _within(low, high, _INT32_RANGE) and (isinstance(x, Masked) or isinstance(y, Masked)):
        return INT32
    if _within(low, high, _INT64_RANGE):
        return INT64
    wide = [d for d in map(_dtype, (x, y)) if d is not None]
    if wide and all(d != np.uint64 for d in wide) and _literals_fit(x, y):
        return INT64
    return FLOAT64


def common(*operands: Any) -> DType:
    """Dtype that holds all operands side by side (arrays made of parts, the two ways of an `if`).

    Nulls have no say; literals alone give NumPy's defaults.

    Raises:
        ProcessParameterInvalid: texts or dates would have to share an array with something else.
    """
    dtypes = [d for d in map(_dtype, operands) if d is not None]
    literals = [o for o in operands if o is not None and not isinstance(o, Masked | np.dtype)]
    kinds = {_kind(d) for d in dtypes} | {_literal_kind(v) for v in literals}
    if len(kinds) > 1:
        raise ProcessParameterInvalid(
            f"Values of different types ({', '.join(sorted(kinds))}) cannot be in one array of pixels.",
            hint="Use values of one type.",
        )
    if not dtypes:
        return np.asarray(literals).dtype if literals else FLOAT32
    if kinds == {"text"}:
        return np.result_type(*dtypes, *(np.asarray(v).dtype for v in literals))
    out = dtypes[0]
    for dtype in dtypes[1:]:
        out = _join(out, dtype)
    for value in literals:
        out = _join_literal(out, value)
    return out


def sum_of(dtype: DType) -> DType:
    """Dtype of sum and cumsum; accumulated in int64 or float64."""
    if dtype.kind == "f":
        return float_for(dtype)
    return FLOAT64 if dtype == np.uint64 else INT64


def product_of(dtype: DType) -> DType:
    """Dtype of product and cumproduct: a product of a few integers leaves int64, so integers give float64."""
    return float_for(dtype) if dtype.kind == "f" else FLOAT64


def magnitude(dtype: DType) -> DType:
    """Dtype of absolute: the smallest integer of a signed dtype has no counterpart in it."""
    if dtype.kind != "i":
        return dtype
    return INT32 if dtype.itemsize <= 2 else INT64


def bounded(dtype: DType, low: Any, high: Any) -> DType:
    """Dtype of clip: kept where bounds that the result can take fit it, else widened."""
    if any(isinstance(b, Masked | float) for b in (low, high)) or dtype.kind not in "iu":
        return common(dtype, low, high)
    info = np.iinfo(dtype)
    reachable = [low] if low > info.max else [high] if high < info.min else []
    return common(dtype, *reachable)


def _dtype(operand: Any) -> DType | None:
    if isinstance(operand, Masked):
        return operand.dtype
    return operand if isinstance(operand, np.dtype) else None


def _fits_float32(dtype: DType) -> bool:
    return dtype.itemsize <= 2 or dtype == FLOAT32


def _is_float(operand: Any) -> bool:
    dtype = _dtype(operand)
    return isinstance(operand, float) if dtype is None else dtype.kind == "f"


def _range(operand: Any) -> tuple[int, int]:
    dtype = _dtype(operand)
    if dtype is None:
        value = 0 if operand is None else int(operand)
        return value, value
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _within(low: int, high: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= low and high <= limits[1]


def _literals_fit(*operands: Any) -> bool:
    return all(_within(*_range(o), _INT64_RANGE) for o in operands if _dtype(o) is None)


def _kind(dtype: DType) -> str:
    if is_numeric(dtype):
        return "number"
    return "date" if dtype.kind == "M" else "text"


def _literal_kind(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def _join(a: DType, b: DType) -> DType:
    if "f" in (a.kind, b.kind):
        return float_for(a, b)
    return np.result_type(a, b)


def _join_literal(dtype: DType, value: Any) -> DType:
    if isinstance(value, bool) or dtype.kind == "f":
        return dtype
    if isinstance(value, float):
        return float_for(dtype)
    if dtype.kind == "b":
        return np.result_type(np.uint8, np.min_scalar_type(value))
    info = np.iinfo(dtype)
    if info.min <= value <= info.max:
        return dtype
    smallest = np.min_scalar_type(value)
    return FLOAT64 if smallest.kind == "O" else np.result_type(dtype, smallest)
