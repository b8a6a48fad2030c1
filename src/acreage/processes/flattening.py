"""flatten_dimensions and unflatten_dimension."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import LabelExists, ProcessParameterInvalid, TargetDimensionExists
from acreage.processes.convert import inserted, json_label
from acreage.processes.registry import cube_process


def _free(data: CubeMeta, name: str) -> None:
    if name in data.names:
        raise TargetDimensionExists(
            f"The data cube has a dimension {name!r} already.", hint="Choose another name for the target."
        )


def _not_pixels(data: CubeMeta, name: str) -> Dimension:
    dim = data.dim(name)
    if dim.type in ("x", "y"):
        raise ProcessParameterInvalid(
            f"Dimension {name!r} has pixels as labels, which cannot be merged with others or split.",
            hint="Use aggregate_spatial or vector_to_regular_points to make a vector data cube first.",
        )
    return dim


# --- flatten_dimensions -------------------------------------------------------------------------------------


def _describe_flatten(
    *, data: CubeMeta, dimensions: Sequence[str], target_dimension: str, label_separator: str
) -> CubeMeta:
    if len(set(dimensions)) != len(dimensions) or not dimensions:
        raise ProcessParameterInvalid(
            f"flatten_dimensions was given the dimensions {', '.join(dimensions) or 'none'}.",
            hint="Name one dimension or more, each once.",
        )
    _free(data, target_dimension)
    parts = [[str(json_label(v)) for v in _not_pixels(data, name).labels] for name in dimensions]
    labels = tuple(label_separator.join(combination) for combination in product(*parts))
    if len(set(labels)) < len(labels):
        raise LabelExists(
            "flatten_dimensions would give two elements one label.",
            hint="Choose a `label_separator` that is in none of the labels.",
        )
    left = data
    for name in dimensions:
        left = left.without_dim(name)
    return inserted(left, Dimension(target_dimension, "other", labels))


@cube_process("flatten_dimensions", describe=_describe_flatten)
def flatten_dimensions(
    *, data: Cube, dimensions: Sequence[str], target_dimension: str, label_separator: str, out: CubeMeta
) -> Cube:
    """Dimensions made one, of type other; the last that is named changes fastest, labels are joined."""

    def flat(array: Array) -> Array:
        kept = [n for n in data.meta.names if n not in dimensions]
        moved = np.transpose(array, [data.meta.axis(n) for n in (*kept, *dimensions)])
        joined = moved.reshape(*moved.shape[: len(kept)], -1)
        return np.moveaxis(joined, -1, out.axis(target_dimension))

    return Cube(flat(data.values), None if data.valid is None else flat(data.valid), out)


# --- unflatten_dimension ------------------------------------------------------------------------------------


def _split(dim: Dimension, count: int, separator: str) -> list[tuple[str, ...]]:
    """The labels of a dimension, each in so many parts.

    Raises:
        ProcessParameterInvalid: a label has another number of parts, or a combination of parts is missing.
    """
    parts = [tuple(str(json_label(label)).split(separator)) for label in dim.labels]
    for label, found in zip(dim.labels, parts, strict=True):
        if len(found) != count:
            raise ProcessParameterInvalid(
                f"The label {str(label)!r} of dimension {dim.name!r} has {len(found)} parts where "
                f"{count} dimensions are asked for.",
                hint=f"The labels are split at {separator!r}.",
            )
    return parts


def _describe_unflatten(
    *, data: CubeMeta, dimension: str, target_dimensions: Sequence[str], label_separator: str
) -> CubeMeta:
    dim = _not_pixels(data, dimension)
    for name in target_dimensions:
        _free(data, name)
    parts = _split(dim, len(target_dimensions), label_separator)
    columns = [tuple(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
    missing = sorted(set(product(*columns)) - set(parts))
    if missing or len(set(parts)) < len(parts):
        which = label_separator.join(missing[0]) if missing else "one of them twice"
        raise ProcessParameterInvalid(
            f"The labels of dimension {dimension!r} are not all combinations of their parts: {which!r}"
            f"{' is missing' if missing else ''}.",
            hint="Filter the labels first.",
        )
    left = data.without_dim(dimension)
    for name, labels in zip(target_dimensions, columns, strict=True):
        left = inserted(left, Dimension(name, "other", labels))
    return left


@cube_process("unflatten_dimension", describe=_describe_unflatten)
def unflatten_dimension(
    *, data: Cube, dimension: str, target_dimensions: Sequence[str], label_separator: str, out: CubeMeta
) -> Cube:
    """A dimension made several, of type other, by the parts of its labels, each in order of appearance."""
    dim = data.meta.dim(dimension)
    place = {parts: i for i, parts in enumerate(_split(dim, len(target_dimensions), label_separator))}
    columns = [out.dim(name).labels for name in target_dimensions]
    order = [place[tuple(map(str, combination))] for combination in product(*columns)]
    axis = data.meta.axis(dimension)

    def split(array: Array) -> Array:
        taken = np.moveaxis(np.take(array, order, axis=axis), axis, -1)
        apart = taken.reshape(*taken.shape[:-1], *map(len, columns))
        names = [*(n for n in data.meta.names if n != dimension), *target_dimensions]
        return np.transpose(apart, [names.index(n) for n in out.names])

    return Cube(split(data.values), None if data.valid is None else split(data.valid), out)
