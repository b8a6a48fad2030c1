"""Arrays: made, joined, changed, looked up.

JSON arrays stay JSON and may hold any mix of types; arrays of pixels have one dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Masked, from_list, null_like
from acreage.core.errors import (
    ArrayElementNotAvailable,
    ArrayElementParameterConflict,
    ArrayElementParameterMissing,
    ArrayLabelConflict,
    ArrayLengthMismatch,
    ArrayNotLabeled,
    LabelExists,
    ProcessParameterInvalid,
)
from acreage.processes.comparison import eq, same_value
from acreage.processes.dates import instants, is_date
from acreage.processes.dtypes import INT32, common
from acreage.processes.logic import true_where
from acreage.processes.operands import (
    aligned,
    array,
    concatenate,
    element,
    holds_pixels,
    iso_dates,
    stack,
    whole_number,
)
from acreage.processes.registry import array_process
from acreage.processes.sorting import take


@array_process("array_create")
def array_create(data: Any = (), repeat: Any = 1) -> Any:
    """An array of the given elements, `repeat` times over."""
    times = whole_number(repeat, "repeat")
    if times < 1:
        raise ProcessParameterInvalid(f"Parameter 'repeat' must be at least 1, not {times}.")
    if isinstance(data, Masked) and data.is_array:
        return data if times == 1 else concatenate([Masked(data.values, data.valid, True)] * times)
    items = list(data) if isinstance(data, list | tuple) else [data]
    return _built(items * times)


@array_process("array_create_labeled")
def array_create_labeled(data: Any, labels: Any) -> Masked:
    """An array with labels.

    Raises:
        ArrayLengthMismatch: there are not as many labels as values.
        ProcessParameterInvalid: a label is there twice.
    """
    ready = array(data)
    names = tuple(labels.values.tolist() if isinstance(labels, Masked) else labels)
    if len(names) != ready.length:
        raise ArrayLengthMismatch(
            f"array_create_labeled: {ready.length} values and {len(names)} labels.",
            hint="Give as many labels.",
        )
    if len(set(names)) != len(names):
        raise ProcessParameterInvalid("array_create_labeled: every label must be there only once.")
    return Masked(ready.values, ready.valid, True, names)


@array_process("array_labels")
def array_labels(data: Any) -> list[Any]:
    """The labels, or 0, 1, 2, ... where there are none; dates as texts."""
    if isinstance(data, list | tuple):
        return list(range(len(data)))
    ready = array(data)
    if ready.labels is None:
        return list(range(ready.length))
    return [str(iso_dates(np.array(lb))) if isinstance(lb, np.datetime64) else lb for lb in ready.labels]


@array_process("array_element")
def array_element(data: Any, index: Any = None, label: Any = None, return_nodata: bool = False) -> Any:
    """The element at an index or with a label.

    Args:
        data: an array.
        index: from 0; may differ from pixel to pixel.
        label: a label of a labelled array.
        return_nodata: null rather than an error where there is no such element.

    Raises:
        ArrayElementParameterMissing, ArrayElementParameterConflict, ArrayNotLabeled, ArrayElementNotAvailable
    """
    if index is None and label is None:
        raise ArrayElementParameterMissing("array_element needs the parameter index or label.")
    if index is not None and label is not None:
        raise ArrayElementParameterConflict("array_element takes an index or a label, not both.")
    if isinstance(index, Masked):
        return _element_by_pixel(array(data), index, return_nodata)
    length = len(data) if isinstance(data, list | tuple) else array(data).length
    place = _place_of(data, label) if index is None else whole_number(index, "index")
    if place is None or not 0 <= place < length:
        return _missing_element(
            data, f"index {index}" if label is None else f"label {label!r}", return_nodata
        )
    if isinstance(data, list | tuple):
        return data[place]
    return element(data, place)


@array_process("array_find")
def array_find(data: Any, value: Any, reverse: bool = False) -> Any:
    """Index (int32) of the first (last) element that equals the value by `eq`, null where there is none."""
    if not holds_pixels(data, value):
        places = [i for i, item in enumerate(data) if same_value(item, value)]
        return (places[-1 if reverse else 0]) if places else None
    found = _matches(data, value)
    length = len(found)
    if length == 0:
        return Masked(np.zeros(found.shape[1:], INT32), np.zeros(found.shape[1:], bool))
    offset = np.argmax(found[::-1] if reverse else found, axis=0)
    place = length - 1 - offset if reverse else offset
    return Masked(np.asarray(place).astype(INT32), np.asarray(found.any(axis=0)))


@array_process("array_contains")
def array_contains(data: Any, value: Any) -> Any:
    """Whether an element equals the value by `eq`; false for null."""
    if not holds_pixels(data, value):
        return any(same_value(item, value) for item in data)
    return Masked(np.asarray(_matches(data, value).any(axis=0)))


@array_process("array_find_label")
def array_find_label(data: Any, label: Any) -> int | None:
    """Index of a label, null where there is none."""
    if isinstance(data, list | tuple) or array(data).labels is None:
        return None
    return _label_place(data.labels, label)


@array_process("array_concat")
def array_concat(array1: Any, array2: Any) -> Any:
    """Both arrays, one after the other; labels are kept where both have them.

    A single value counts as an array of it: clients and openEO's own tests hand one over.

    Raises:
        ArrayLabelConflict: a label is in both.
    """
    array1, array2 = _at_least_an_array(array1), _at_least_an_array(array2)
    if isinstance(array1, list | tuple) and isinstance(array2, list | tuple):
        return _built([*array1, *array2])
    one = array(array1, "array1") if isinstance(array1, Masked) else _beside(array1, array2)
    two = array(array2, "array2") if isinstance(array2, Masked) else _beside(array2, array1)
    if one.labels is None or two.labels is None:
        return concatenate([one, two])
    return concatenate([one, two], _joined_labels(one.labels, two.labels))


def _at_least_an_array(value: Any) -> Any:
    if isinstance(value, Masked) and not value.is_array:
        return Masked(value.values[None], None if value.valid is None else value.valid[None], True)
    return [value] if isinstance(value, int | float | str | bool) else value


@array_process("array_append")
def array_append(data: Any, value: Any, label: Any = None) -> Any:
    """The array with one more element at its end.

    Raises:
        ArrayNotLabeled: a label for an array without labels.
        LabelExists: the label (or the next index, which stands for one that is not given) is there already.
    """
    labels = data.labels if isinstance(data, Masked) else None
    if labels is None and label is not None:
        raise ArrayNotLabeled("array_append: the array has no labels.", hint="Leave out the label.")
    if not isinstance(data, Masked):
        return _built([*_listed(data), value])
    ready = array(data)
    if labels is not None:
        new = ready.length if label is None else label
        if _label_place(labels, new) is not None:
            raise LabelExists(f"array_append: the array has an element with the label {new!r}.")
        labels = (*labels, new)
    return concatenate([ready, _beside([value], ready)], labels)


@array_process("array_modify")
def array_modify(data: Any, values: Any, index: Any, length: Any = 0) -> Any:
    """The array with `length` elements from `index` on replaced by the values.

    Labels are kept where both arrays have them or one of the two is empty.

    Raises:
        ArrayElementNotAvailable: the index is beyond the end of the array.
        ArrayLabelConflict: a label would be there twice.
    """
    start, removed = whole_number(index, "index"), whole_number(length, "length")
    size = len(data) if isinstance(data, list | tuple) else array(data).length
    if removed < 0 or not 0 <= start <= size:
        raise ArrayElementNotAvailable(
            f"array_modify: no element {start} (length {removed}) in an array of {size} elements."
        )
    stop = min(start + removed, size)
    if isinstance(data, list | tuple) and isinstance(values, list | tuple):
        return _built([*data[:start], *values, *data[stop:]])
    old = array(data) if isinstance(data, Masked) else _beside(data, values)
    new = array(values, "values") if isinstance(values, Masked) else _beside(values, data)
    before, after = _part(old, 0, start), _part(old, stop, size)
    return concatenate([before, new, after], _modified_labels(old, new, start, stop))


def _built(items: list[Any]) -> Any:
    return stack(items) if holds_pixels(*items) else items


def _listed(data: Any) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise ProcessParameterInvalid(f"Parameter 'data' must be an array, not {data!r}.")
    return list(data)


def _beside(values: Any, data: Masked) -> Masked:
    """A JSON array that joins an array of pixels; being literals, its elements are weak."""
    items = _listed(values)
    if holds_pixels(*items) or not items:
        return stack(items) if items else _part(data, 0, 0)
    ready = array(items)
    known = [v for v in items if v is not None]
    dtype = common(data.dtype, *known)
    valid = ready.validity()
    values = np.full(ready.values.shape, null_like(dtype), dtype)
    values[valid] = ready.values[valid]
    return Masked(values, ready.valid, True)


def _part(data: Masked, start: int, stop: int) -> Masked:
    return Masked(data.values[start:stop], None if data.valid is None else data.valid[start:stop], True)


def _place_of(data: Any, label: Any) -> int | None:
    if isinstance(data, list | tuple) or data.labels is None:
        raise ArrayNotLabeled("array_element: the array has no labels.", hint="Use the parameter index.")
    return _label_place(data.labels, label)


def _label_place(labels: tuple[Any, ...], label: Any) -> int | None:
    if isinstance(label, str) and is_date(label) and any(isinstance(lb, np.datetime64) for lb in labels):
        label = instants(np.array(label))[()]
    for place, known in enumerate(labels):
        # A number and a text are different labels, and so are 1 and true.
        if isinstance(known, str) == isinstance(label, str) and known == label:
            return place
    return None


def _joined_labels(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    joined = tuple(label for part in parts for label in part)
    twice = {label for label in joined if joined.count(label) > 1}
    if twice:
        raise ArrayLabelConflict(
            f"The label {sorted(map(str, twice))[0]} is in both arrays.", hint="Rename it in one of them."
        )
    return joined


def _modified_labels(old: Masked, new: Masked, start: int, stop: int) -> tuple[Any, ...] | None:
    if (old.labels is None and old.length) or (new.labels is None and new.length):
        return None
    kept, added = old.labels or (), new.labels or ()
    return _joined_labels(kept[:start], added, kept[stop:]) if kept or added else None


def _matches(data: Any, value: Any) -> Any:
    ready, value = aligned(array(data), value)
    answers = eq(Masked(ready.values, ready.valid), value)
    shape = np.broadcast_shapes(answers.values.shape, ready.values.shape)
    return true_where(answers, shape)


def _missing_element(data: Any, wanted: str, return_nodata: bool) -> Any:
    if not return_nodata:
        raise ArrayElementNotAvailable(
            f"array_element: the array has no element with {wanted}.", hint="Set return_nodata to get null."
        )
    if not holds_pixels(data):
        return None
    ready = array(data)
    shape = ready.values.shape[1:]
    return Masked(np.zeros(shape, ready.dtype), np.zeros(shape, bool))


def _element_by_pixel(data: Masked, index: Masked, return_nodata: bool) -> Masked:
    if return_nodata:
        there = (index.values >= 0) & (index.values < data.length)
        index = Masked(index.values, there if index.valid is None else there & index.valid)
    if data.length == 0:
        data = from_list([None])
    return take(data, index)
