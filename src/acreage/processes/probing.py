"""What a callback's result looks like, found by calling it on tiny null arrays before any pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.arrays import Masked, null_like
from acreage.core.cube import CubeMeta
from acreage.core.errors import ProcessGraphError, ProcessParameterInvalid
from acreage.processes.callback import Callback

_CUBE_KINDS = "biuf"


@dataclass(frozen=True, slots=True)
class CallbackMeta:
    """What is known of a callback's result.

    Attributes:
        dtype: static dtype.
        length: number of elements of an array result, None for a scalar one.
        labels: the labels of an array result, where it has any.
    """

    dtype: np.dtype[Any]
    length: int | None
    labels: tuple[Any, ...] | None


def callback_meta(callback: Callback, parameters: Mapping[str, Any]) -> CallbackMeta:
    """The dtype, length and labels of a callback's result for parameters like these (null arrays do).

    Raises:
        ProcessGraphError: the callback is a run_udf, which only the engine can run.
        ProcessParameterInvalid: it is no callback, or it gives neither numbers nor booleans.
    """
    if not isinstance(callback, Callback):
        raise ProcessParameterInvalid(
            f"A process graph is needed here, not {callback!r}.",
            hint='Give an object with a "process_graph".',
        )
    if callback.udf is not None:
        raise ProcessGraphError(
            "A run_udf callback reached a process that computes on its own.",
            hint="Only the engine runs user-defined functions; use run_udf as the only node of the callback.",
        )
    with np.errstate(all="ignore"):
        result = callback(**parameters)
    if result.dtype.kind not in _CUBE_KINDS:
        raise ProcessParameterInvalid(
            f"The callback ({', '.join(callback.process_ids)}) gives {result.dtype} values.",
            hint="Data cubes hold numbers and booleans; let the callback return one of these.",
        )
    return CallbackMeta(
        result.dtype, result.length if result.is_array else None, result.labels if result.is_array else None
    )


def null_array(meta: CubeMeta, length: int, labels: tuple[Any, ...] | None) -> Masked:
    """An array of nulls like the ones a callback gets: that many elements, one pixel."""
    shape = (length,) + (1,) * max(len(meta.dims) - 1, 0)
    values = np.full(shape, null_like(meta.dtype), meta.dtype)
    return Masked(values, np.zeros(shape, bool), is_array=True, labels=labels)


def null_scalar(meta: CubeMeta) -> Masked:
    """A null like the values that `apply` passes: one pixel."""
    shape = (1,) * len(meta.dims)
    return Masked(np.full(shape, null_like(meta.dtype), meta.dtype), np.zeros(shape, bool))


def reducer_dtype(process_id: str, callback: Callback, data: Masked, context: Any) -> np.dtype[Any]:
    """dtype of a callback that must give one value.

    Raises:
        ProcessParameterInvalid: it gives an array; and as `callback_meta`.
    """
    found = callback_meta(callback, {"data": data, "context": context})
    return single_dtype(process_id, callback, found)


def single_dtype(process_id: str, callback: Callback, found: CallbackMeta) -> np.dtype[Any]:
    """dtype of a probed callback that must give one value.

    Raises:
        ProcessParameterInvalid: it gives an array.
    """
    if found.length is not None:
        raise ProcessParameterInvalid(
            f"The callback of {process_id} ({', '.join(callback.process_ids)}) gives an array of "
            f"{found.length} values, but must give one value.",
            hint="Use apply_dimension for callbacks that return arrays.",
        )
    return found.dtype
