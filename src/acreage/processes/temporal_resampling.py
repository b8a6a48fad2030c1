"""resample_cube_temporal: the nearest neighbour in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import DimensionMismatch, ProcessParameterInvalid
from acreage.core.temporal import Instant
from acreage.processes.convert import as_slice, owned, pick
from acreage.processes.registry import Footprint, cube_process
from acreage.processes.resampling import NoPixels
from acreage.processes.time_labels import instants

_DAY = 86_400_000  # milliseconds


def _shared(data: CubeMeta, target: CubeMeta, dimension: str | None) -> list[str]:
    """Names of the temporal dimensions to resample.

    Raises:
        DimensionNotAvailable: the named one is missing in one of the cubes.
        DimensionMismatch: the named one is not temporal in both, or the cubes share none.
    """
    if dimension is not None:
        for cube, name in ((data, "data"), (target, "target")):
            if cube.dim(dimension).type != "temporal":
                raise DimensionMismatch(
                    f"Dimension {dimension!r} of `{name}` is {cube.dim(dimension).type!r}, not temporal.",
                    hint="Name a dimension that is temporal in both cubes.",
                )
        return [dimension]
    temporal = {d.name for d in target.dims if d.type == "temporal"}
    found = [d.name for d in data.dims if d.type == "temporal" and d.name in temporal]
    if not found:
        raise DimensionMismatch(
            "The two data cubes share no temporal dimension: `data` has "
            f"{', '.join(data.names) or 'none'}, `target` has {', '.join(target.names) or 'none'}.",
            hint="Rename one of them with rename_dimension.",
        )
    return found


def _describe(
    *, data: CubeMeta, target: CubeMeta, dimension: str | None, valid_within: float | None
) -> CubeMeta:
    if valid_within is not None and not valid_within >= 0:
        raise ProcessParameterInvalid(
            f"`valid_within` is {valid_within}.", hint="Give a number of days, 0 or more, or null."
        )
    out = data
    for name in _shared(data, target, dimension):
        if not data.dim(name).labels:
            raise DimensionMismatch(
                f"Dimension {name!r} of `data` has no labels to resample.", hint="Widen its temporal extent."
            )
        for cube in (data, target):
            instants(cube.dim(name))
        out = out.with_dim(name, replace(target.dim(name), name=name))
    return out if valid_within is None else replace(out, may_be_null=True)


def _footprints(**_: Any) -> Mapping[str, Footprint]:
    return {"target": NoPixels()}


@cube_process("resample_cube_temporal", describe=_describe, footprints=_footprints)
def resample_cube_temporal(
    *, data: Cube, target: Cube, dimension: str | None, valid_within: float | None, out: CubeMeta
) -> Cube:
    """The values nearest in time to the target's labels, the earlier one of two that are as near.

    With `valid_within`, the nearest that is neither null nor NaN and less than so many days away, else null.
    Periods count by their first moment. No pixel of the target is read.
    """
    for name in _shared(data.meta, target.meta, dimension):
        new = out.dim(name)
        meta = data.meta.with_dim(name, new)
        order = _nearest(instants(data.meta.dim(name)), instants(new))
        if valid_within is None:
            where = as_slice([candidates[0][0] for candidates in order])
            data = pick(data, name, where, meta)
        else:
            data = _nearest_valid(data, name, order, valid_within * _DAY, replace(meta, may_be_null=True))
    return data


def _nearest(given: tuple[Instant, ...], wanted: tuple[Instant, ...]) -> list[list[tuple[int, int]]]:
    """For each wanted instant all given ones, nearest first: (position, distance in ms)."""
    times = np.array(given, "datetime64[ms]").astype(np.int64)
    found = []
    for moment in np.array(wanted, "datetime64[ms]").astype(np.int64):
        distance = np.abs(times - moment)
        nearest = np.lexsort((times, distance))
        found.append([(int(i), int(distance[i])) for i in nearest])
    return found


def _nearest_valid(
    data: Cube, name: str, order: list[list[tuple[int, int]]], within: float, meta: CubeMeta
) -> Cube:
    axis = data.meta.axis(name)
    values = np.moveaxis(data.values, axis, 0)
    known = np.moveaxis(data.validity(), axis, 0)
    if values.dtype.kind == "f":
        known = known & ~np.isnan(values)
    result = np.zeros(meta.shape, meta.dtype)
    valid = np.zeros(meta.shape, bool)
    target, target_valid = np.moveaxis(result, axis, 0), np.moveaxis(valid, axis, 0)
    for k, candidates in enumerate(order):
        for position, distance in candidates:
            if distance >= within or target_valid[k].all():
                break
            take = known[position] & ~target_valid[k]
            np.copyto(target[k], values[position], where=take)
            target_valid[k] |= take
    return owned(result, valid, meta)
