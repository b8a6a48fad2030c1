"""Values known while planning: JSON and labelled arrays, and both as cubes."""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.processes.callback import as_masked
from acreage.processes.operands import plain

ARRAY = "array"
"""What the dimensions of an array without geography are called; the second is `array1`, and so on."""


def constant_value(result: Any) -> Any:
    """What a process made of constants, as it is kept: a labelled array as it is, all else as JSON."""
    if isinstance(result, Masked) and result.labels is None:
        return plain(result)
    if isinstance(result, np.generic):
        return result.item()
    return result


def constant_json(value: Any) -> Any:
    """A constant as JSON, which has no labels."""
    return plain(value) if isinstance(value, Masked) else value


def constant_cube(value: Any) -> Cube:
    """A constant as a cube without geography.

    Arrays of one kind of value (numbers, booleans or texts) have a dimension `array`, labelled where they
    are. Anything else that JSON holds is one value of dtype object.
    """
    if not _is_uniform(value):
        held = np.empty((), object)
        held[()] = value
        return Cube(held, None, CubeMeta((), held.dtype, may_be_null=False))
    masked = as_masked(value)
    labels = [tuple(range(n)) for n in masked.values.shape]
    if masked.labels is not None:
        labels[0] = masked.labels
    dims = tuple(Dimension(f"{ARRAY}{n or ''}", "other", own) for n, own in enumerate(labels))
    return Cube.of(masked.values, masked.valid, CubeMeta(dims, masked.dtype))


def _is_uniform(value: Any) -> bool:
    """Whether a value is one of a kind that an array holds, or a list of such."""
    if isinstance(value, Masked):
        return True
    items = value if isinstance(value, list | tuple) else [value]
    kinds = {_kind(v) for v in items if v is not None}
    return len(kinds) <= 1 and "other" not in kinds


def _kind(value: Any) -> str:
    for kind, types in (("boolean", bool), ("number", int | float), ("text", str)):
        if isinstance(value, types):
            return kind
    return "other"
