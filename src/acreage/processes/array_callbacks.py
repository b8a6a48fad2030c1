"""Callbacks on every element of an array: array_apply and array_filter, and what count needs.

A callback is called once for all elements of all pixels. All pixels of an array have the same number of
elements; so where a condition looks at the values, the elements that meet it are moved to the front, nulls
follow, and labels, which would differ from pixel to pixel, are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.callback import BoundCallback, Callback, ParameterRef, as_masked
from acreage.processes.logic import true_where
from acreage.processes.operands import array, holds_pixels, stack
from acreage.processes.registry import array_process

_PLACES = frozenset({"index", "label"})


@array_process("array_apply")
def array_apply(data: Any, process: Any, context: Any = None) -> Any:
    """The callback's answer for every element (parameters x, index, label, context); labels are kept."""
    if not isinstance(data, Masked):
        answers = _each_item(process, data, context)
        return stack(answers) if holds_pixels(*answers) else answers
    return each(process, data, context)


@array_process("array_filter")
def array_filter(data: Any, condition: Any, context: Any = None) -> Any:
    """The elements for which the condition is true (parameters x, index, label, context).

    Arrays of pixels are really shortened where the condition looks at indices and labels only.
    """
    if not holds_pixels(data):
        verdicts = _each_item(condition, data, context)
        if not holds_pixels(*verdicts):
            return [v for v, keep in zip(data, verdicts, strict=True) if true_where(keep, ())]
    ready = array(data)
    bound = _bound(condition)
    if _looks_at_places_only(bound):
        kept = [bool(true_where(a, ())) for a in _answers_by_place(bound, ready, context)]
        labels = ready.labels and tuple(lb for lb, keep in zip(ready.labels, kept, strict=True) if keep)
        valid = None if ready.valid is None else ready.valid[kept]
        return Masked(ready.values[np.array(kept, bool)], valid, True, labels)
    answers = each(bound, ready, context)
    shape = np.broadcast_shapes(answers.values.shape, ready.values.shape)
    chosen = true_where(Masked(answers.values, answers.valid), shape)
    order = np.argsort(~chosen, axis=0, kind="stable")
    values = np.take_along_axis(np.broadcast_to(ready.values, shape), order, axis=0)
    valid = chosen if ready.valid is None else chosen & ready.valid
    return Masked(values, np.take_along_axis(valid, order, axis=0), True)


def each(process: Any, data: Any, context: Any, *, with_place: bool = True) -> Masked:
    """A callback's answers for the elements of an array, array axis first.

    Raises:
        ProcessParameterInvalid: the callback returns an array for a single element.
    """
    ready = array(data)
    if not isinstance(data, Masked):
        answers = _each_item(process, data, context, with_place=with_place)
        return stack(answers) if holds_pixels(*answers) else array(answers)
    parameters: dict[str, Any] = {"x": Masked(ready.values, ready.valid), "context": context}
    if with_place:
        column = (ready.length, *(1,) * (ready.values.ndim - 1))
        parameters["index"] = Masked(np.arange(ready.length, dtype=np.int32).reshape(column))
        parameters["label"] = None if ready.labels is None else Masked(np.array(ready.labels).reshape(column))
    answer = as_masked(_bound(process)(**parameters))
    if answer.is_array:
        raise ProcessParameterInvalid("The callback must return a single value for each element.")
    shape = np.broadcast_shapes(answer.values.shape, ready.values.shape)
    valid = None if answer.valid is None else np.broadcast_to(answer.valid, shape)
    return Masked(np.broadcast_to(answer.values, shape), valid, True, ready.labels)


def _bound(process: Any) -> BoundCallback:
    if isinstance(process, BoundCallback):
        return process
    if isinstance(process, Callback):
        return BoundCallback(process, {})
    raise ProcessParameterInvalid(f"A callback (an object with a process_graph) is needed, not {process!r}.")


def _each_item(process: Any, data: Any, context: Any, *, with_place: bool = True) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise ProcessParameterInvalid(f"Parameter 'data' must be an array, not {data!r}.")
    call = _bound(process)
    places = [{"index": i, "label": None} if with_place else {} for i in range(len(data))]
    return [call(x=x, context=context, **place) for x, place in zip(data, places, strict=True)]


def _answers_by_place(process: BoundCallback, data: Masked, context: Any) -> Iterator[Any]:
    for index in range(data.length):
        label = None if data.labels is None else data.labels[index]
        if isinstance(label, np.datetime64):
            label = Masked(np.array(label))
        yield process(x=None, index=index, label=label, context=context)


def _looks_at_places_only(bound: BoundCallback) -> bool:
    """Whether no parameter that the callback names holds pixels."""
    names = _named(bound.callback) - _PLACES
    return "x" not in names and not holds_pixels(*(bound.scope.get(n) for n in names))


def _named(value: Any) -> frozenset[str]:
    if isinstance(value, ParameterRef):
        return frozenset({value.name})
    if isinstance(value, Callback):
        inner = [_named(dict(node.arguments)) for node in value.nodes]
        return frozenset().union(*inner)
    if isinstance(value, Mapping):
        return frozenset().union(*map(_named, value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*map(_named, value))
    return frozenset()
