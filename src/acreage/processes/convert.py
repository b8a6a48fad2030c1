"""Between cubes and the masked arrays of callbacks, without copies where numpy can do without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension, Label
from acreage.core.temporal import format_instant

_RANK = {"temporal": 0, "bands": 1, "y": 3, "x": 4}


def to_array(cube: Cube, dimension: str) -> Masked:
    """The values along a dimension as an array value: that axis first, the others as in the cube (a view)."""
    axis = cube.meta.axis(dimension)
    valid = None if cube.valid is None else np.moveaxis(cube.valid, axis, 0)
    labels = cube.meta.labels_of(dimension)
    return Masked(np.moveaxis(cube.values, axis, 0), valid, is_array=True, labels=labels)


def pixels(cube: Cube) -> Masked:
    """All pixels of a raster cube as one array value, shape (rows * columns, ...): unlabelled, row by row.

    A view where the cube's memory is contiguous.
    """
    axes = [i for i, d in enumerate(cube.dims) if d.type in ("y", "x")]
    others = [i for i in range(len(cube.dims)) if i not in axes]
    order = [*others, *axes]

    def flat(array: Array) -> Array:
        moved = np.transpose(array, order)
        return np.moveaxis(moved.reshape(*moved.shape[: len(others)], -1), -1, 0)

    return Masked(flat(cube.values), None if cube.valid is None else flat(cube.valid), is_array=True)


def owned(values: Array, valid: BoolArray | None, meta: CubeMeta) -> Cube:
    """A cube of arrays that nobody else holds: nulls are normalised in place, without `Cube.of`'s copy."""
    if valid is None or valid.all():
        return Cube(values, None, meta)
    np.copyto(values, null_like(values.dtype), where=~valid)
    return Cube(values, valid, meta)


def from_result(result: Masked, shape: tuple[int, ...], meta: CubeMeta, axis: int | None = None) -> Cube:
    """A cube of a callback's result.

    Args:
        result: values that broadcast to `shape`.
        shape: of the callback's result; the array axis, if any, first.
        meta: of the cube, whose dtype was found by probing.
        axis: where the first axis goes in the cube; None where there is no array axis.

    Raises:
        TypeError: the callback computed another dtype than when it was probed (an error in an array process).
    """
    check_dtype(result, meta)
    if axis is not None:
        result = aligned(result, len(shape))
    values = np.broadcast_to(result.values, shape)
    valid = None if result.valid is None else np.broadcast_to(result.valid, shape)
    if axis is not None:
        values = np.moveaxis(values, 0, axis)
        valid = None if valid is None else np.moveaxis(valid, 0, axis)
    if result.normal:
        return Cube(values, None if valid is None or valid.all() else valid, meta)
    return Cube.of(values, valid, meta)


def check_dtype(result: Masked, meta: CubeMeta) -> None:
    """Raise TypeError where a callback computed another dtype than it did when it was probed."""
    if result.dtype != meta.dtype:
        raise TypeError(f"a callback gave {result.dtype}, and {meta.dtype} when it was probed")


def aligned(result: Masked, ndim: int) -> Masked:
    """An array result that is the same for all pixels, shape (n,), given pixel axes of length one."""
    if result.values.ndim != 1:
        return result
    shape = (-1,) + (1,) * (ndim - 1)
    valid = None if result.valid is None else result.valid.reshape(shape)
    return replace(result, values=result.values.reshape(shape), valid=valid)


def positions(dim: Dimension, wanted: Sequence[Label]) -> list[int] | slice:
    """Where labels stand in a dimension; a slice (hence a view) where they are consecutive."""
    index = {label: i for i, label in enumerate(dim.labels)}
    return as_slice([index[label] for label in wanted])


def as_slice(found: list[int]) -> list[int] | slice:
    """Positions as a slice where they are consecutive and ascending."""
    if found and found == list(range(found[0], found[0] + len(found))):
        return slice(found[0], found[0] + len(found))
    return found


def pick(cube: Cube, dimension: str, where: list[int] | slice, meta: CubeMeta) -> Cube:
    """Labels picked along a dimension; `meta` is the result's."""
    index = (slice(None),) * cube.meta.axis(dimension) + (where,)
    valid = None if cube.valid is None else cube.valid[index]
    return Cube(cube.values[index], valid, meta)


def inserted(meta: CubeMeta, new: Dimension) -> CubeMeta:
    """The metadata with a dimension more, in the order (t, bands, others, y, x)."""
    rank = _RANK.get(new.type, 2)
    at = 0
    for i, dim in enumerate(meta.dims):
        if _RANK.get(dim.type, 2) <= rank:
            at = i + 1
    before_space = next((i for i, d in enumerate(meta.dims) if d.type in ("y", "x")), len(meta.dims))
    at = min(at, before_space)
    return replace(meta, dims=(*meta.dims[:at], new, *meta.dims[at:]))


def json_label(label: Any) -> Any:
    """A label as JSON has it: instants in RFC 3339, numbers and strings as they are."""
    return format_instant(label) if isinstance(label, np.datetime64) else label
