"""Texts: searching and joining. Null is passed through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from acreage.core.arrays import Array, Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.dtypes import BOOL, INT32, DType
from acreage.processes.operands import (
    array,
    element,
    finish,
    holds_pixels,
    joint_validity,
    operand,
    plain,
    validity,
)
from acreage.processes.registry import array_process


@array_process("text_begins")
def text_begins(data: Any, pattern: str, case_sensitive: bool = True) -> Any:
    """Whether the text begins with the pattern."""
    return _search(data, pattern, case_sensitive, str.startswith, BOOL)


@array_process("text_ends")
def text_ends(data: Any, pattern: str, case_sensitive: bool = True) -> Any:
    """Whether the text ends with the pattern."""
    return _search(data, pattern, case_sensitive, str.endswith, BOOL)


@array_process("text_contains")
def text_contains(data: Any, pattern: str, case_sensitive: bool = True) -> Any:
    """Whether the pattern is in the text."""
    return _search(data, pattern, case_sensitive, str.__contains__, BOOL)


@array_process("text_find")
def text_find(data: Any, pattern: str, case_sensitive: bool = True) -> Any:
    """Place of the first character of the pattern's first occurrence, null where there is none."""
    found = _search(data, pattern, case_sensitive, str.find, INT32)
    if not isinstance(found, Masked):
        return None if found == -1 else found
    there = found.values >= 0
    valid = there if found.valid is None else there & found.valid
    return Masked(found.values, valid, found.is_array, found.labels)


@array_process("text_concat")
def text_concat(data: Any, separator: Any = "") -> Any:
    """The elements as texts, one after the other with the separator between; null is written `null`."""
    glue = _written(separator)
    if not holds_pixels(data):
        if not isinstance(data, list | tuple):
            raise ProcessParameterInvalid(f"Parameter 'data' must be an array, not {data!r}.")
        return glue.join(map(_written, data))
    parts = list(data) if isinstance(data, list | tuple) else [element(data, i) for i in range(data.length)]
    shape = np.broadcast_shapes(*(p.values.shape for p in parts if isinstance(p, Masked)))
    columns = [np.broadcast_to(_texts(p), shape).ravel() for p in parts]
    joined = [glue.join(row) for row in zip(*columns, strict=True)]
    return Masked(np.array(joined, str).reshape(shape))


def _search(
    data: Any, pattern: Any, case_sensitive: bool, method: Callable[[str, str], Any], dtype: DType
) -> Any:
    if not isinstance(pattern, str):
        raise ProcessParameterInvalid(f"Parameter 'pattern' must be a text, not {pattern!r}.")
    data = operand(data)
    if data is None:
        return None
    is_text = data.dtype.kind == "U" if isinstance(data, Masked) else isinstance(data, str)
    if not is_text:
        raise ProcessParameterInvalid(f"Parameter 'data' must be a text, not {data!r}.")
    values = data.values if isinstance(data, Masked) else np.array(data)
    wanted = pattern if case_sensitive else pattern.lower()
    texts = (str(t) if case_sensitive else str(t).lower() for t in values.ravel())
    answers: Array = np.array([method(t, wanted) for t in texts], dtype).reshape(values.shape)
    return finish(answers, joint_validity([data], values.shape), [data])


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict):
        raise ProcessParameterInvalid(f"text_concat joins single values, not {value!r}.")
    return json.dumps(value)


def _texts(part: Any) -> Array:
    if not isinstance(part, Masked):
        return np.array(_written(part), object)
    flat = array([]) if part.values.size == 0 else Masked(part.values.ravel(), _flat_validity(part), True)
    return np.array([_written(v) for v in plain(flat)], object).reshape(part.values.shape)


def _flat_validity(part: Masked) -> Any:
    mask = validity(part)
    return None if mask is True else np.ravel(mask)
