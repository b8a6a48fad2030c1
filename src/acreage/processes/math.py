"""Arithmetic: elementwise, null in any operand gives null. Static dtypes by `dtypes`."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.arrays import Array, Masked
from acreage.core.errors import MinMaxSwapped
from acreage.processes.dtypes import FLOAT64, arithmetic, bounded, common, float_for, magnitude
from acreage.processes.operands import elementwise, numbers, whole_number
from acreage.processes.registry import array_process


@array_process("add")
def add(x: Any, y: Any) -> Any:
    """x + y."""
    return _arithmetic(np.add, operator.add, x, y)


@array_process("subtract")
def subtract(x: Any, y: Any) -> Any:
    """x - y."""
    return _arithmetic(np.subtract, operator.sub, x, y)


@array_process("multiply")
def multiply(x: Any, y: Any) -> Any:
    """x * y."""
    return _arithmetic(np.multiply, operator.mul, x, y)


@array_process("divide")
def divide(x: Any, y: Any) -> Any:
    """x / y; by zero ±infinity, 0 / 0 NaN."""
    x, y = numbers(x=x, y=y)
    return elementwise(np.divide, [x, y], float_for(x, y))


@array_process("mod")
def mod(x: Any, y: Any) -> Any:
    """Remainder of x / y with the sign of y; for y = 0 ±infinity by the sign of x, NaN for x = 0.

    For an infinite y it is x, the only remainder of which x = 0 · y + x holds; so openEO's examples have it.
    """
    return _real(_mod, x=x, y=y)


@array_process("power")
def power(base: Any, p: Any) -> Any:
    """base ** p."""
    return _real(np.power, base=base, p=p)


@array_process("absolute")
def absolute(x: Any) -> Any:
    """|x|."""
    (x,) = numbers(x=x)
    return elementwise(np.absolute, [x], magnitude(common(x)))


@array_process("sqrt")
def sqrt(x: Any) -> Any:
    """Square root, NaN below zero."""
    (x,) = numbers(x=x)
    return elementwise(np.sqrt, [x], float_for(x))


@array_process("exp")
def exp(p: Any) -> Any:
    """e ** p."""
    return _real(np.exp, p=p)


@array_process("ln")
def ln(x: Any) -> Any:
    """Natural logarithm; -infinity for zero, NaN below."""
    return _real(np.log, x=x)


@array_process("log")
def log(x: Any, base: Any) -> Any:
    """Logarithm to a base; exact powers of 2 and 10 give whole numbers."""
    exact: dict[Any, Callable[..., Array]] = {2: np.log2, 10: np.log10}
    if not isinstance(base, Masked) and base in exact:
        return _real(exact[base], x=x)
    return _real(lambda a, b: np.log(a) / np.log(b), x=x, base=base)


@array_process("floor")
def floor(x: Any) -> Any:
    """Largest whole number that is not above x, in the dtype of x."""
    return _to_whole(np.floor, x)


@array_process("ceil")
def ceil(x: Any) -> Any:
    """Smallest whole number that is not below x, in the dtype of x."""
    return _to_whole(np.ceil, x)


@array_process("int")
def int_(x: Any) -> Any:
    """x without its fraction, in the dtype of x; null for NaN, of which there is no whole number."""
    whole = _to_whole(np.trunc, x)
    if isinstance(whole, Masked) and whole.dtype.kind == "f":
        return replace(whole, valid=whole.validity() & ~np.isnan(whole.values))
    return None if isinstance(whole, float) and np.isnan(whole) else whole


@array_process("round")
def round_(x: Any, p: Any = 0) -> Any:
    """x rounded to p decimals, halves to the even neighbour.

    Integers stay as they are for p >= 0. For p < 0 they get the dtype of an addition: 250 may become 300.
    """
    (x,) = numbers(x=x)
    digits = whole_number(p, "p")
    dtype = common(x)
    if dtype.kind in "biu":
        if digits >= 0:
            return x
        dtype = arithmetic(operator.add, x, x)
    return elementwise(lambda a: np.asarray(np.round(a, digits)), [x], dtype)


@array_process("sgn")
def sgn(x: Any) -> Any:
    """Sign of x: -1, 0 or 1 (NaN for NaN); int8 for integers."""
    (x,) = numbers(x=x)
    dtype = common(x)
    if isinstance(x, Masked) and dtype.kind in "biu":
        return elementwise(lambda a: (a > 0).astype(np.int8) - (a < 0), [x], np.dtype(np.int8), inner=dtype)
    return elementwise(np.sign, [x], dtype)


@array_process("clip")
def clip(x: Any, min: Any, max: Any) -> Any:
    """x limited to [min, max]; keeps an integer dtype where the bounds allow it.

    Raises:
        MinMaxSwapped: constant bounds with min above max.
    """
    x, low, high = numbers(x=x, min=min, max=max)
    if _swapped(low, high):
        raise MinMaxSwapped(f"clip: min ({low}) is above max ({high}).", hint="Swap them.")
    if not isinstance(x, Masked):
        return elementwise(np.clip, [x, low, high], common(x, low, high))
    dtype = bounded(x.dtype, low, high)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (
            b if isinstance(b, Masked | None) else builtins.min(builtins.max(b, int(info.min)), int(info.max))
            for b in (low, high)
        )
    return elementwise(np.clip, [x, low, high], dtype)


@array_process("linear_scale_range")
def linear_scale_range(x: Any, inputMin: Any, inputMax: Any, outputMin: Any = 0, outputMax: Any = 1) -> Any:
    """x clipped to the input range and mapped linearly onto the output range."""
    return _real(_scaled, x=x, inputMin=inputMin, inputMax=inputMax, outputMin=outputMin, outputMax=outputMax)


@array_process("normalized_difference")
def normalized_difference(x: Any, y: Any) -> Any:
    """(x - y) / (x + y)."""
    x, y = numbers(x=x, y=y)
    dtype = float_for(x, y)
    # Sums of integers of 16 bits are exact in float32, so that only the division rounds.
    exact = all(isinstance(o, Masked) and o.dtype.kind in "biu" for o in (x, y))
    return elementwise(lambda a, b: (a - b) / (a + b), [x, y], dtype, inner=dtype if exact else FLOAT64)


def _arithmetic(function: Callable[..., Array], exact: Callable[[int, int], int], x: Any, y: Any) -> Any:
    x, y = numbers(x=x, y=y)
    return elementwise(function, [x, y], arithmetic(exact, x, y))


def _real(function: Callable[..., Array], **arguments: Any) -> Any:
    operands = numbers(**arguments)
    return elementwise(function, operands, float_for(*operands), inner=FLOAT64)


def _to_whole(function: Callable[..., Array], x: Any) -> Any:
    (x,) = numbers(x=x)
    if isinstance(x, Masked):
        return x if x.dtype.kind in "biu" else elementwise(function, [x], x.dtype)
    result = elementwise(function, [x], FLOAT64)
    return int(result) if isinstance(result, float) and np.isfinite(result) else result


def _mod(x: Array, y: Array) -> Array:
    remainder = np.where(np.isinf(y) & np.isfinite(x), x, np.mod(x, y))
    return np.where(y == 0, x / np.abs(y), remainder)


def _scaled(x: Array, low: Array, high: Array, out_low: Array, out_high: Array) -> Array:
    inside = np.clip(x, np.minimum(low, high), np.maximum(low, high))
    scaled: Array = (inside - low) / (high - low) * (out_high - out_low) + out_low
    return np.asarray(np.clip(scaled, np.minimum(out_low, out_high), np.maximum(out_low, out_high)))


def _swapped(low: Any, high: Any) -> bool:
    constant = [b for b in (low, high) if b is not None and not isinstance(b, Masked)]
    return len(constant) == 2 and constant[0] > constant[1]
