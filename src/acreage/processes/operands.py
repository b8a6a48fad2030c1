"""What array processes are given, made ready to compute with, and results in the form of the input.

Arguments are `Masked` (pixels) or JSON. Where only JSON goes in, JSON comes out, so a literal stays weak
through any number of processes. A JSON array may hold `Masked` scalars, which are then stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked, both_valid, from_list, null_like
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.dtypes import BOOL, DType, common, is_numeric


def holds_pixels(*values: Any) -> bool:
    """Whether a Masked is among the values, at any depth of lists."""
    return any(isinstance(v, Masked) or (isinstance(v, list | tuple) and holds_pixels(*v)) for v in values)


def plain(value: Masked) -> Any:
    """JSON of a small Masked: nested lists of Python scalars, None for null; dates as RFC 3339 text."""
    values = np.asarray(iso_dates(value.values) if value.values.dtype.kind == "M" else value.values)
    if value.valid is None:
        return values.tolist()
    cells = values.astype(object)
    cells[~value.valid] = None
    return cells.tolist()


def iso_dates(values: Array) -> Array:
    """RFC 3339 texts of datetime64 values, in UTC, with milliseconds only where there are any."""
    texts = [np.datetime_as_string(v, unit="ms") for v in np.ravel(values)]
    return np.array([t.removesuffix(".000") + "Z" for t in texts]).reshape(values.shape)


def operand(value: Any) -> Any:
    """An argument of an elementwise process: Masked, or a JSON scalar; arrays are made Masked."""
    return array(value) if isinstance(value, list | tuple) else value


def aligned(*operands: Any) -> list[Any]:
    """The operands with their array axes and pixel axes in the same places, so that they broadcast."""
    depth = max((o.values.ndim - o.is_array for o in operands if isinstance(o, Masked)), default=0)
    ready = []
    for one in operands:
        if isinstance(one, Masked) and one.is_array and one.values.ndim <= depth:
            shape = (one.length, *(1,) * (depth + 1 - one.values.ndim), *one.values.shape[1:])
            valid = None if one.valid is None else one.valid.reshape(shape)
            one = Masked(one.values.reshape(shape), valid, True, one.labels)
        ready.append(one)
    return ready


def array(value: Any, name: str = "data") -> Masked:
    """An array argument as a Masked with the array axis first.

    Raises:
        ProcessParameterInvalid: it is no array, or its elements cannot share one.
    """
    if isinstance(value, Masked) and value.is_array:
        return value
    if not isinstance(value, list | tuple):
        raise ProcessParameterInvalid(f"Parameter {name!r} must be an array, not {_describe(value)}.")
    if holds_pixels(*value):
        return stack(value)
    if any(isinstance(v, list | tuple | dict) for v in value):
        raise ProcessParameterInvalid(f"Parameter {name!r} must be an array of single values.")
    common(*value)
    return from_list(value)


def stack(items: Sequence[Any]) -> Masked:
    """An array of scalars, at least one of them Masked; in their common dtype and broadcast shape."""
    dtype = common(*items)
    shape = np.broadcast_shapes(*(i.values.shape for i in items if isinstance(i, Masked)))
    if any(isinstance(i, Masked) and i.is_array for i in items):
        raise ProcessParameterInvalid("An array cannot be an element of an array of pixels.")
    values = np.empty((len(items), *shape), dtype)
    valid = np.ones(values.shape, bool)
    for place, item in enumerate(items):
        values[place], valid[place] = cast(item, dtype), validity(item)
    return Masked(values, None if _never_null(items) else valid, is_array=True)


def concatenate(parts: Sequence[Masked], labels: tuple[Any, ...] | None = None) -> Masked:
    """Arrays one after the other, in their common dtype; pixel axes broadcast."""
    # An empty JSON array has no dtype of its own; an empty array of pixels (a period without dates) keeps
    # its.
    filled = [p.dtype for p in parts if p.length or p.values.ndim > 1 or p.labels is not None]
    dtype = common(*filled) if filled else parts[0].dtype
    pixels = np.broadcast_shapes(*(p.values.shape[1:] for p in parts))
    values = [np.broadcast_to(_aligned(p.values, pixels), (p.length, *pixels)) for p in parts]
    joined = np.concatenate([v.astype(dtype, copy=False) for v in values])
    if all(p.valid is None for p in parts):
        return Masked(joined, None, True, labels)
    masks = [np.broadcast_to(_aligned(p.validity(), pixels), (p.length, *pixels)) for p in parts]
    return Masked(joined, np.concatenate(masks), True, labels)


def element(data: Masked, place: int) -> Masked:
    """The element of an array at a place that is there."""
    valid = None if data.valid is None else np.asarray(data.valid[place])
    return Masked(np.asarray(data.values[place]), valid)


def cast(value: Any, dtype: DType) -> Array:
    """Values of an operand in a dtype; a null literal gives the dtype's null."""
    if isinstance(value, Masked):
        return value.values.astype(dtype, copy=False)
    return np.asarray(null_like(dtype) if value is None else value, dtype)


def validity(value: Any) -> BoolArray | bool:
    """Validity of an operand, as it broadcasts."""
    if isinstance(value, Masked):
        return True if value.valid is None else value.valid
    return value is not None


def joint_validity(operands: Sequence[Any], shape: tuple[int, ...]) -> BoolArray | None:
    """Validity of a result that is null where any operand is."""
    if any(o is None for o in operands):
        return np.zeros(shape, bool)
    mask = both_valid(*(o.valid for o in operands if isinstance(o, Masked)))
    return mask if mask is None or mask.shape == shape else np.broadcast_to(mask, shape)


def elementwise(
    function: Callable[..., Array], operands: Sequence[Any], dtype: DType, *, inner: DType | None = None
) -> Any:
    """Call a NumPy function on operands element by element; null where any operand is null.

    Args:
        function: takes one array an operand, all of dtype `inner`.
        operands: Masked or JSON scalars.
        dtype: of the result.
        inner: to compute in; `dtype` where None.

    Returns:
        Masked, or a JSON scalar where no operand is Masked.
    """
    with np.errstate(all="ignore"):
        raw = np.asarray(function(*(cast(o, inner or dtype) for o in operands)))
        values = raw.astype(dtype, copy=False)
    return finish(values, joint_validity(operands, values.shape), operands)


def finish(values: Array, valid: BoolArray | None, operands: Sequence[Any]) -> Any:
    """An elementwise result in the form of its operands: array with labels, scalar, or JSON."""
    arrays = [o for o in operands if isinstance(o, Masked) and o.is_array]
    labels = next((a.labels for a in arrays if a.labels is not None), None)
    # NumPy makes scalars of results without axes; Masked holds arrays.
    result = Masked(np.asarray(values), None if valid is None else np.asarray(valid), bool(arrays), labels)
    return result if any(isinstance(o, Masked) for o in operands) else plain(result)


def numbers(**arguments: Any) -> list[Any]:
    """Arguments of an elementwise process on numbers.

    Raises:
        ProcessParameterInvalid: an argument is a text, a date or an object.
    """
    ready = []
    for name, value in arguments.items():
        value = operand(value)
        is_number = is_numeric(value.dtype) if isinstance(value, Masked) else isinstance(value, int | float)
        if value is not None and not is_number:
            raise ProcessParameterInvalid(f"Parameter {name!r} must be a number, not {_describe(value)}.")
        ready.append(value)
    return aligned(*ready)


def booleans(**arguments: Any) -> list[Any]:
    """Arguments of an elementwise process on booleans.

    Raises:
        ProcessParameterInvalid: an argument is neither boolean nor null.
    """
    ready = []
    for name, value in arguments.items():
        value = operand(value)
        is_boolean = value.dtype == BOOL if isinstance(value, Masked) else isinstance(value, bool)
        if value is not None and not is_boolean:
            raise ProcessParameterInvalid(
                f"Parameter {name!r} must be a boolean, not {_describe(value)}.",
                hint="Make one by a comparison such as neq or gt.",
            )
        ready.append(value)
    return aligned(*ready)


def number_array(data: Any) -> Masked:
    """An array of numbers.

    Raises:
        ProcessParameterInvalid: no array, or not of numbers.
    """
    result = array(data)
    if not is_numeric(result.dtype):
        raise ProcessParameterInvalid(
            f"Parameter 'data' must be an array of numbers, not of {_describe(result)}."
        )
    return result


def whole_number(value: Any, name: str) -> int:
    """A constant integer argument, such as a count.

    Raises:
        ProcessParameterInvalid: not an integer, or one that differs from pixel to pixel.
    """
    if isinstance(value, Masked) and value.values.ndim == 0 and value.valid is None:
        value = value.values.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProcessParameterInvalid(f"Parameter {name!r} must be an integer, not {_describe(value)}.")
    return value


def _aligned(values: Array, pixels: tuple[int, ...]) -> Array:
    missing = len(pixels) - (values.ndim - 1)
    return values.reshape(values.shape[0], *(1,) * missing, *values.shape[1:])


def _never_null(items: Sequence[Any]) -> bool:
    return all(validity(i) is True for i in items)


def _describe(value: Any) -> str:
    if isinstance(value, Masked):
        return {"U": "texts", "M": "dates", "b": "booleans"}.get(value.dtype.kind, str(value.dtype))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
