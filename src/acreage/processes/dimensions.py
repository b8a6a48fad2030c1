"""rename_labels, rename_dimension, add_dimension, drop_dimension, dimension_labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.cube import Cube, CubeMeta, Dimension, DimensionType, Label
from acreage.core.errors import (
    DimensionExists,
    DimensionLabelCountMismatch,
    LabelExists,
    LabelMismatch,
    LabelsNotEnumerated,
    ProcessParameterInvalid,
)
from acreage.processes.bands import renamed_attributes
from acreage.processes.convert import inserted, json_label
from acreage.processes.registry import WHOLE, Footprint, array_process, cube_process
from acreage.processes.time_labels import dimension_label

_ADDABLE: Mapping[str, DimensionType] = {"bands": "bands", "temporal": "temporal", "other": "other"}


# --- rename_labels ------------------------------------------------------------------------------------------


def _renames(dim: Dimension, target: Any, source: Any) -> dict[Label, Label]:
    """Old to new label.

    Raises:
        LabelMismatch, LabelsNotEnumerated, LabelNotAvailable, LabelExists: as the specification has them.
    """
    new = [dimension_label(dim, v) for v in target]
    if not source:
        if dim.labels != tuple(range(len(dim.labels))):
            raise LabelsNotEnumerated(
                f"The labels of {dim.name!r} are not 0, 1, 2, ..., but {_listed(dim.labels)}.",
                hint="Give the old labels in `source`.",
            )
        old: list[Label] = list(dim.labels[: len(new)])  # the others keep their numbers
    else:
        old = [dimension_label(dim, v) for v in source]
    if len(old) != len(new):
        raise LabelMismatch(
            f"{len(new)} new labels for {len(old)} old ones of dimension {dim.name!r}.",
            hint="Give `source` and `target` the same length.",
        )
    for label in old:
        dim.index(label)
    if len(set(old)) < len(old):
        raise LabelMismatch(f"`source` names a label twice: {_listed(old)}.", hint="Name each label once.")
    return dict(zip(old, new, strict=True))


def _listed(labels: Any) -> str:
    shown = [str(json_label(label)) for label in labels]
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "") or "none"


def _describe_rename_labels(*, data: CubeMeta, dimension: str, target: Any, source: Any) -> CubeMeta:
    dim = data.dim(dimension)
    if dim.type in ("x", "y"):
        raise ProcessParameterInvalid(
            f"The labels of {dimension!r} are pixel coordinates and cannot be renamed.",
            hint="Use resample_spatial to put the cube on another grid.",
        )
    renames = _renames(dim, target, source)
    labels = tuple(renames.get(label, label) for label in dim.labels)
    twice = [label for label, n in Counter(labels).items() if n > 1]
    if twice:
        raise LabelExists(
            f"Dimension {dimension!r} would have the label {_listed(twice)} twice.",
            hint="Choose a name that no other label has.",
        )
    period = dim.period if labels == dim.labels else None
    renamed = data.with_dim(dimension, replace(dim, labels=labels, period=period))
    if dim.type == "bands":
        renamed = renamed_attributes(renamed, {str(o): str(n) for o, n in renames.items() if o != n})
    return renamed


@cube_process("rename_labels", describe=_describe_rename_labels, grid_transparent=True)
def rename_labels(*, data: Cube, dimension: str, target: Any, source: Any, out: CubeMeta) -> Cube:
    """New labels for old ones; the data stay as they are.

    A target may be the name of a label that is itself renamed (swaps and identities are fine), which the
    specification does not say.
    """
    return Cube(data.values, data.valid, out)


# --- rename_dimension ---------------------------------------------------------------------------------------


def _describe_rename_dimension(*, data: CubeMeta, source: str, target: str) -> CubeMeta:
    dim = data.dim(source)
    if target in data.names and target != source:
        raise DimensionExists(
            f"The data cube has a dimension {target!r} already.", hint="Choose another name for the target."
        )
    return data.with_dim(source, replace(dim, name=target))


@cube_process("rename_dimension", describe=_describe_rename_dimension, grid_transparent=True)
def rename_dimension(*, data: Cube, source: str, target: str, out: CubeMeta) -> Cube:
    """A new name for a dimension; its type, labels and data stay."""
    return Cube(data.values, data.valid, out)


# --- add_dimension ------------------------------------------------------------------------------------------


def _describe_add_dimension(*, data: CubeMeta, name: str, label: Any, type: str) -> CubeMeta:
    if name in data.names:
        raise DimensionExists(f"The data cube has a dimension {name!r} already.", hint="Choose another name.")
    if type == "spatial" and {"x", "y"} <= {d.type for d in data.dims}:
        type = "other"  # the third spatial axis is a dimension like any other here
    if type not in _ADDABLE:
        raise ProcessParameterInvalid(
            f"A dimension of type {type!r} cannot be added to this data cube.",
            hint="Add one of type bands, temporal or other; pixels and geometries come from load processes.",
        )
    kind = _ADDABLE[type]
    new = Dimension(name, kind)
    return inserted(data, replace(new, labels=(dimension_label(new, label),)))


@cube_process("add_dimension", describe=_describe_add_dimension, grid_transparent=True)
def add_dimension(*, data: Cube, name: str, label: Any, type: str, out: CubeMeta) -> Cube:
    """A dimension of one label more, in the order (t, bands, others, y, x)."""
    axis = out.axis(name)
    valid = None if data.valid is None else np.expand_dims(data.valid, axis)
    return Cube(np.expand_dims(data.values, axis), valid, out)


# --- drop_dimension -----------------------------------------------------------------------------------------


def _describe_drop_dimension(*, data: CubeMeta, name: str) -> CubeMeta:
    count = data.shape[data.axis(name)]
    if count != 1:
        raise DimensionLabelCountMismatch(
            f"Dimension {name!r} has {count} labels; only a dimension of one label can be dropped.",
            hint="Filter it to one label, or use reduce_dimension.",
        )
    return data.without_dim(name)


def _drop_footprints(*, data: CubeMeta, name: str, out: CubeMeta) -> Mapping[str, Footprint]:
    return {"data": WHOLE} if out.box is None else {}


@cube_process("drop_dimension", describe=_describe_drop_dimension, footprints=_drop_footprints)
def drop_dimension(*, data: Cube, name: str, out: CubeMeta) -> Cube:
    """The cube without a dimension that has one label only."""
    axis = data.meta.axis(name)
    valid = None if data.valid is None else data.valid.squeeze(axis)
    return Cube(data.values.squeeze(axis), valid, out)


# --- dimension_labels ---------------------------------------------------------------------------------------


@array_process("dimension_labels")
def dimension_labels(*, data: Any, dimension: str) -> Any:
    """The labels of a dimension of a cube or of its metadata, as a JSON array.

    Dates are in RFC 3339, x and y are pixel centres. No pixel is needed, so a planner can answer it.
    """
    meta = data.meta if isinstance(data, Cube) else data
    if not isinstance(meta, CubeMeta):
        raise ProcessParameterInvalid("dimension_labels needs a data cube in `data`.")
    return [json_label(label) for label in meta.labels_of(dimension)]
