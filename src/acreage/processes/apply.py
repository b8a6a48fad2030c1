"""apply and apply_dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.callback import Callback
from acreage.processes.convert import aligned, from_result, inserted, to_array
from acreage.processes.probing import callback_meta, null_array, null_scalar, single_dtype
from acreage.processes.registry import Footprint, cube_process
from acreage.processes.spans import along


def _describe_apply(*, data: CubeMeta, process: Callback, context: Any) -> CubeMeta:
    found = callback_meta(process, {"x": null_scalar(data), "context": context})
    dtype = single_dtype("apply", process, found)
    return replace(data, dtype=dtype, nodata=None, may_be_null=True)


@cube_process("apply", describe=_describe_apply)
def apply(*, data: Cube, process: Callback, context: Any, out: CubeMeta) -> Cube:
    """The callback on every value."""
    result = process(x=Masked(data.values, data.valid), context=context)
    return from_result(result, out.shape, out)


# --- apply_dimension ----------------------------------------------------------------------------------------


def _describe_apply_dimension(
    *, data: CubeMeta, process: Callback, dimension: str, target_dimension: str | None, context: Any
) -> CubeMeta:
    length = data.shape[data.axis(dimension)]
    sample = null_array(data, length, data.labels_of(dimension))
    found = callback_meta(process, {"data": sample, "context": context})
    if not found.length:
        given = "a single value" if found.length is None else "an empty array"
        raise ProcessParameterInvalid(
            f"The callback of apply_dimension ({', '.join(process.process_ids)}) gives {given}, "
            "but must give an array of one value or more.",
            hint="Use reduce_dimension for reducers, or wrap the value in array_create.",
        )
    out = replace(data, dtype=found.dtype, nodata=None, may_be_null=True)
    if target_dimension is None or target_dimension == dimension:
        return _in_place(out, data.dim(dimension), length, found.length)
    return _moved(out, dimension, target_dimension, found.length)


def _in_place(meta: CubeMeta, dim: Dimension, length: int, count: int) -> CubeMeta:
    if count == length:
        return meta
    labels = tuple(range(count))
    if dim.type in ("x", "y", "geometry"):  # enumerated labels are neither pixels nor geometries any more
        return inserted(meta.without_dim(dim.name), Dimension(dim.name, "other", labels))
    return meta.with_dim(dim.name, Dimension(dim.name, dim.type, labels))


def _moved(meta: CubeMeta, source: str, target: str, count: int) -> CubeMeta:
    labels = tuple(range(count))
    if target not in meta.names:
        new = Dimension(target, "other", labels)
        if meta.dim(source).type in ("x", "y"):
            return inserted(meta.without_dim(source), new)
        kept = meta.without_dim(source)
        at = meta.axis(source)
        return replace(kept, dims=(*kept.dims[:at], new, *kept.dims[at:]))
    there = meta.dim(target)
    have = meta.shape[meta.axis(target)]
    if have != 1 or there.type in ("x", "y", "geometry"):
        raise ProcessParameterInvalid(
            f"The target dimension {target!r} of apply_dimension is of type {there.type!r} "
            f"and has {have} labels.",
            hint="Name a new dimension, or one of a single label that is neither spatial nor of geometries.",
        )
    kept = meta.without_dim(source)
    return kept.with_dim(target, Dimension(target, there.type, labels))


def _apply_dimension_footprints(
    *, data: CubeMeta, dimension: str, out: CubeMeta, **_: Any
) -> Mapping[str, Footprint]:
    return along(data, dimension, out)


@cube_process("apply_dimension", describe=_describe_apply_dimension, footprints=_apply_dimension_footprints)
def apply_dimension(
    *,
    data: Cube,
    process: Callback,
    dimension: str,
    target_dimension: str | None,
    context: Any,
    out: CubeMeta,
) -> Cube:
    """The callback on the array along a dimension; it gives an array, of the same length or another.

    Where the length changes, the labels are 0, 1, 2, ...; x, y and geometry dimensions are then of type
    other, for such labels are no places.
    """
    target = dimension if target_dimension is None else target_dimension
    array = to_array(data, dimension)
    result = process(data=array, context=context)
    others = array.values.shape[1:]
    result = aligned(result, array.values.ndim)
    axis = out.axis(target)
    if target in data.meta.names and target != dimension:
        # The target's single label goes, and the result takes its place.
        single = [n for n in data.meta.names if n != dimension].index(target)
        others = others[:single] + others[single + 1 :]
        result = replace(
            result,
            values=result.values.squeeze(single + 1),
            valid=None if result.valid is None else result.valid.squeeze(single + 1),
        )
    in_place = dimension == target and out.dim(target).type in ("x", "y")
    first = array.length if in_place else len(out.dim(target).labels)
    # Along x and y the callback ran over all of the axis, of which the piece may want a part.
    spanned = replace(out, box=data.meta.box) if in_place else out
    return _cut(from_result(result, (first, *others), spanned, axis), out)


def _cut(cube: Cube, out: CubeMeta) -> Cube:
    if cube.meta.box == out.box or out.box is None:
        return cube
    part = cube.crop(out.box)
    return Cube.of(part.values, part.valid, out)
