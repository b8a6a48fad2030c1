"""Arrays of pixels for the tests of array processes, and the way they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acreage.core.arrays import Masked
from acreage.processes.callback import BoundCallback, Callback, CallbackNode, ParameterRef
from acreage.processes.registry import array_processes


def call(process_id: str, **arguments: Any) -> Any:
    """A process, called as the evaluator calls it."""
    return array_processes()[process_id].function(**arguments)


def pixels(values: Any, dtype: Any = None, *, labels: tuple[Any, ...] | None = None) -> Masked:
    """An array of pixels from nested lists with None for null; axis 0 is the array's axis."""
    cells = np.array(values, object)
    known = np.not_equal(cells, None).astype(bool)
    filled = np.where(known, cells, 0)
    array = np.array(filled.tolist(), dtype).reshape(cells.shape)
    return Masked(array, None if known.all() else known, True, labels)


def scalars(values: Any, dtype: Any = None) -> Masked:
    """One openEO scalar a pixel."""
    array = pixels(values, dtype)
    return Masked(array.values, array.valid)


def callback(process_id: str, **arguments: Any) -> BoundCallback:
    """A callback of one process; write parameters as ParameterRef."""
    node = CallbackNode("only", process_id, arguments)
    return BoundCallback(Callback((node,), 0, (array_processes()[process_id].function,)), {})


X, INDEX, LABEL, CONTEXT = (ParameterRef(n) for n in ("x", "index", "label", "context"))


def lists(result: Masked) -> Any:
    """Nested lists with None for null."""
    cells = np.array(result.values).astype(object)
    cells[~np.array(result.validity())] = None
    return cells.tolist()


def columns(data: Masked) -> list[list[Any]]:
    """The array of every pixel of (n, p) data, None for null."""
    return [list(column) for column in zip(*lists(data), strict=True)] if data.length else []


@st.composite
def masked(draw: st.DrawFn, dtype: Any, *, minimum: int = 0, maximum: int = 9, nan: bool = False) -> Masked:
    """Arrays of shape (n, p) with nulls, or without any."""
    dtype = np.dtype(dtype)
    shape = (draw(st.integers(minimum, maximum)), draw(st.integers(1, 4)))
    if dtype.kind == "f":
        size = 8 * dtype.itemsize
        elements: Any = st.floats(-1000, 1000, width=size, allow_nan=False, allow_subnormal=False)
        elements = elements | st.just(float("nan")) if nan else elements
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        info = np.iinfo(dtype)
        elements = st.integers(max(int(info.min), -1000), min(int(info.max), 1000))
    values = draw(hnp.arrays(dtype, shape, elements=elements))
    valid = draw(st.none() | hnp.arrays(bool, shape))
    return Masked(values, valid, True)
