"""Values known while planning, as JSON and as cubes."""

from __future__ import annotations

from typing import Any

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.processes.callback import as_masked


def plain_json(value: Masked) -> Any:
    """A masked value as JSON: None for null."""
    valid = value.validity()
    if value.values.ndim == 0:
        return value.values.item() if bool(valid) else None
    return [v if ok else None for v, ok in zip(value.values.tolist(), valid.tolist(), strict=True)]


def constant_cube(value: Any) -> Cube:
    """A number or an array as a cube without geography."""
    masked = as_masked(value)
    dims = tuple(
        Dimension(f"array{n or ''}", "other", tuple(range(k))) for n, k in enumerate(masked.values.shape)
    )
    return Cube.of(masked.values, masked.valid, CubeMeta(dims, masked.dtype))
