"""climatological_normal and anomaly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from acreage.core.arrays import Masked, both_valid
from acreage.core.cube import Cube, CubeMeta, Dimension, Label
from acreage.core.errors import CubesNotCompatible, LabelNotAvailable, ProcessParameterInvalid
from acreage.core.temporal import PERIODS, instant, period_label, period_start, to_datetime
from acreage.processes.convert import owned
from acreage.processes.grouping import Groups, aggregate
from acreage.processes.registry import POINTWISE, Footprint, cube_process
from acreage.processes.time_labels import instants, temporal_dimension

_NORMAL_LABELS: Mapping[str, tuple[str, ...]] = {
    "day": tuple(f"{i:03d}" for i in range(1, 366)),
    "month": tuple(f"{i:02d}" for i in range(1, 13)),
    "season": ("djf", "mam", "jja", "son"),
    "tropical-season": ("ndjfma", "mjjaso"),
    "climatology-period": ("climatology-period",),
}
_SINGLE = ("single-period", "climatology-period")
_YEARS = ("year", "decade", "decade-ad")


# --- climatological_normal ----------------------------------------------------------------------------------


def _years(value: Any) -> tuple[int, int]:
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(isinstance(y, int) for y in value)
        or not 1 <= value[0] <= value[1] < 9999
    ):
        raise ProcessParameterInvalid(
            f"`climatology_period` is {value!r}, not two years.",
            hint="Give first and last year, as [1991, 2020].",
        )
    return value[0], value[1]


def _normal_groups(data: CubeMeta, period: str, climatology_period: Any) -> Groups:
    if period not in _NORMAL_LABELS:
        raise ProcessParameterInvalid(
            f"{period!r} is not a period of climatological_normal.",
            hint=f"Use one of {', '.join(_NORMAL_LABELS)}.",
        )
    first, last = _years(climatology_period)
    dim = temporal_dimension(data, None)
    moments = [to_datetime(m) for m in instants(dim)]
    _check_span(dim, moments, first, last)
    begins = min(moments) if dim.extent is None else to_datetime(dim.extent[0])
    labels = _NORMAL_LABELS[period]
    members: dict[str, list[int]] = {label: [] for label in labels}
    for i, moment in enumerate(moments):
        label = _normal_label(period, moment, first, last, begins)
        if label in members:
            members[label].append(i)
    new = Dimension(dim.name, "temporal", labels)
    return Groups(new, tuple(tuple(m) for m in members.values()))


def _check_span(dim: Dimension, moments: list[datetime], first: int, last: int) -> None:
    years = {m.year for m in moments}
    if dim.extent is not None:
        start, end = dim.extent
        covered = bool(start <= instant(datetime(first, 1, 1)) and end >= instant(datetime(last + 1, 1, 1)))
    else:
        covered = bool(years) and min(years) <= first and max(years) >= last
    if not covered or not moments:
        has = f"{min(years)} to {max(years)}" if years else "nothing"
        raise ProcessParameterInvalid(
            f"The data cube does not span the climatology period {first} to {last}; it holds {has}.",
            hint="Load a longer period, or choose another `climatology_period`.",
        )


def _normal_label(period: str, moment: datetime, first: int, last: int, begins: datetime) -> str | None:
    """The normal that a moment counts for; None where it counts for none.

    A season counts for the year it ends in: the first one where the data begin early enough, never the one
    that is cut off by the end of the last year.
    """
    if period in ("season", "tropical-season"):
        start = period_start(period, moment)
        year, _, name = period_label(period, start).partition("-")
        if not first <= int(year) <= last or (start.year < first and begins > start):
            return None
        return name
    if not first <= moment.year <= last:
        return None
    if period == "climatology-period":
        return period
    return period_label(period, moment).partition("-")[2]


def _mean(*, data: Masked, context: Any) -> Masked:
    """float32 mean without nulls, null where there are none; summed in float64 in the order of the labels."""
    shape = data.values.shape[1:]
    total, count = np.zeros(shape, np.float64), np.zeros(shape, np.int64)
    for values, valid in zip(data.values, data.validity(), strict=True):
        np.add(total, values, out=total, where=valid)
        count += valid
    return Masked((total / np.maximum(count, 1)).astype(np.float32), count > 0)


def _describe_normal(*, data: CubeMeta, period: str, climatology_period: Any) -> CubeMeta:
    groups = _normal_groups(data, period, climatology_period)
    out = data.with_dim(groups.dimension.name, groups.dimension)
    return replace(out, dtype=np.dtype(np.float32), nodata=None, may_be_null=True)


@cube_process("climatological_normal", describe=_describe_normal)
def climatological_normal(*, data: Cube, period: str, climatology_period: Any, out: CubeMeta) -> Cube:
    """The mean (float32) of each period over the years of the climatology period, both included.

    The 366th day of leap years, for which the specification has no label, counts for no day.
    """
    return aggregate(data, _normal_groups(data.meta, period, climatology_period), _mean, None, out)


# --- anomaly ------------------------------------------------------------------------------------------------


def _normal_positions(data: CubeMeta, normals: CubeMeta, period: str) -> list[int]:
    """For each label of the data, the position of its normal.

    Raises:
        ProcessParameterInvalid: no such period, or labels that do not name one.
        LabelNotAvailable: the normals lack one that is needed.
    """
    if period not in (*PERIODS, *_SINGLE):
        raise ProcessParameterInvalid(
            f"{period!r} is not a period of anomaly.", hint=f"Use one of {', '.join((*PERIODS, *_SINGLE))}."
        )
    dim, normal = temporal_dimension(data, None), temporal_dimension(normals, None)
    if period in _SINGLE:
        if len(normal.labels) != 1:
            raise ProcessParameterInvalid(
                f"The normals of a {period} must have one label, but have {len(normal.labels)}.",
                hint="Choose the period that the normals were computed for.",
            )
        return [0] * len(dim.labels)
    if dim.period not in (None, period):
        raise ProcessParameterInvalid(
            f"The data are aggregated by {dim.period}, and anomaly was asked for {period}.",
            hint="Aggregate both by the same period.",
        )
    where = {str(label): i for i, label in enumerate(normal.labels)}
    found = []
    for label in dim.labels:
        name = _name_in_normals(period, label)
        if name not in where:
            raise LabelNotAvailable(
                f"The normals have no {period} {name!r}; they have {', '.join(list(where)[:20])}.",
                hint="Compute the normals for the same period.",
            )
        found.append(where[name])
    return found


def _name_in_normals(period: str, label: Label) -> str:
    if not isinstance(label, str):
        raise ProcessParameterInvalid(
            f"Label {label!r} is not the name of a {period}.", hint="Use aggregate_temporal_period first."
        )
    return label if period in _YEARS else label.rpartition("-")[2]


def _describe_anomaly(*, data: CubeMeta, normals: CubeMeta, period: str) -> CubeMeta:
    _normal_positions(data, normals, period)
    t, other = temporal_dimension(data, None), temporal_dimension(normals, None)
    mine = [d for d in data.dims if d.name != t.name]
    theirs = [d for d in normals.dims if d.name != other.name]
    if mine != theirs or data.axis(t.name) != normals.axis(other.name):
        raise CubesNotCompatible(
            f"Data ({', '.join(data.names)}) and normals ({', '.join(normals.names)}) differ beyond time.",
            hint="Both need the same dimensions, bands and order.",
        )
    if data.box is not None and normals.box is not None:
        if not data.box.grid.aligned_with(normals.box.grid):
            raise CubesNotCompatible(
                "Data and normals lie on different grids.",
                hint="Use resample_cube_spatial on the normals first.",
            )
        if not normals.box.contains(data.box):
            raise CubesNotCompatible(
                "The normals do not cover the data.", hint="Compute the normals for the same area."
            )
    dtype = np.result_type(data.dtype, normals.dtype, np.float32)
    return replace(data, dtype=dtype, nodata=None, may_be_null=True)


def _anomaly_footprints(**_: Any) -> Mapping[str, Footprint]:
    return {"data": POINTWISE, "normals": POINTWISE}


@cube_process("anomaly", describe=_describe_anomaly, footprints=_anomaly_footprints)
def anomaly(*, data: Cube, normals: Cube, period: str, out: CubeMeta) -> Cube:
    """Each value minus the normal of its period, at least float32; null where either is null."""
    axis = data.meta.axis(temporal_dimension(data.meta, None).name)
    where = _normal_positions(data.meta, normals.meta, period)
    base = np.take(normals.values, where, axis)
    valid = both_valid(data.valid, None if normals.valid is None else np.take(normals.valid, where, axis))
    return owned(data.values.astype(out.dtype) - base.astype(out.dtype), valid, out)
