"""Groups of labels along a dimension, each reduced to one label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.processes.callback import Callback
from acreage.processes.convert import as_slice, check_dtype, owned
from acreage.processes.probing import null_array, reducer_dtype


class Reducer(Protocol):
    """From an array value to one value a pixel: a callback, or a function of our own."""

    def __call__(self, *, data: Masked, context: Any) -> Masked:
        """One value a pixel."""
        ...


@dataclass(frozen=True, slots=True)
class Groups:
    """Which labels of a dimension go together, and the dimension that comes of it.

    Attributes:
        dimension: the new dimension, named as the old one.
        members: positions in the old dimension, one tuple a new label; may be empty, may overlap.
    """

    dimension: Dimension
    members: tuple[tuple[int, ...], ...]


def aggregated(process_id: str, data: CubeMeta, groups: Groups, reducer: Callback, context: Any) -> CubeMeta:
    """Metadata of the reduced groups; the reducer is probed with the largest of them."""
    source = data.dim(groups.dimension.name)
    largest = max(groups.members, key=len, default=())
    labels = tuple(source.labels[i] for i in largest)
    dtype = reducer_dtype(process_id, reducer, null_array(data, len(labels), labels), context)
    out = data.with_dim(source.name, groups.dimension)
    return replace(out, dtype=dtype, nodata=None, may_be_null=True)


def aggregate(data: Cube, groups: Groups, reducer: Reducer, context: Any, out: CubeMeta) -> Cube:
    """The reducer on each group; a group of consecutive labels is a view, any other is copied once."""
    axis = data.meta.axis(groups.dimension.name)
    source = np.moveaxis(data.values, axis, 0)
    source_valid = None if data.valid is None else np.moveaxis(data.valid, axis, 0)
    values = np.empty(out.shape, out.dtype)
    valid = np.ones(out.shape, bool)
    target, target_valid = np.moveaxis(values, axis, 0), np.moveaxis(valid, axis, 0)
    labels = data.meta.dims[axis].labels
    for k, members in enumerate(groups.members):
        where = as_slice(list(members)) if members else slice(0, 0)
        array = Masked(
            source[where],
            None if source_valid is None else source_valid[where],
            is_array=True,
            labels=tuple(labels[i] for i in members),
        )
        result = reducer(data=array, context=context)
        check_dtype(result, out)
        target[k] = result.values
        if result.valid is not None:
            target_valid[k] = result.valid
    return owned(values, valid, out)
