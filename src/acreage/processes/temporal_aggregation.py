"""aggregate_temporal and aggregate_temporal_period."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta, Dimension, Label
from acreage.core.errors import (
    DistinctDimensionLabelsRequired,
    LabelMismatch,
    ProcessParameterInvalid,
    TemporalExtentEmpty,
)
from acreage.core.temporal import PERIODS, Instant, periods
from acreage.processes.callback import Callback
from acreage.processes.convert import json_label
from acreage.processes.grouping import Groups, aggregate, aggregated
from acreage.processes.registry import cube_process
from acreage.processes.time_labels import instants, interval, temporal_dimension, temporal_label

_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})Z?")
_DAY_MS = 86_400_000


# --- aggregate_temporal_period ------------------------------------------------------------------------------


def groups_of(process_id: str, data: CubeMeta, arguments: Mapping[str, Any]) -> Groups:
    """Which dates either process puts together, and the new dimension (errors as the process)."""
    a = arguments
    if process_id == "aggregate_temporal_period":
        return period_groups(data, a["period"], a["dimension"])
    return interval_groups(data, a["intervals"], a["labels"], a["dimension"])


def period_groups(data: CubeMeta, period: str, dimension: str | None) -> Groups:
    """The dates of each calendar period that touches the filtered extent."""
    if period not in PERIODS:
        raise ProcessParameterInvalid(
            f"{period!r} is not a period that aggregate_temporal_period knows.",
            hint=f"Use one of {', '.join(PERIODS)}.",
        )
    dim = temporal_dimension(data, dimension)
    moments = instants(dim)
    span = _span(dim, moments)
    found = list(periods(period, *span)) if span is not None else []
    starts = np.array([start for _, start, _ in found], "datetime64[ms]")
    at = np.searchsorted(starts, np.array(moments, "datetime64[ms]"), side="right") - 1
    members: list[list[int]] = [[] for _ in found]
    for i, k in enumerate(at.tolist()):
        members[k].append(i)
    labels = tuple(label for label, _, _ in found)
    new = replace(dim, labels=labels, period=period)
    return Groups(new, tuple(tuple(m) for m in members))


def _span(dim: Dimension, moments: Sequence[Instant]) -> tuple[Instant, Instant] | None:
    """The extent that was filtered, widened to every label there is; None where there is neither."""
    starts, ends = list(moments), [m + np.timedelta64(1, "ms") for m in moments]
    if dim.extent is not None and dim.extent[0] < dim.extent[1]:
        starts.append(dim.extent[0])
        ends.append(dim.extent[1])
    return (min(starts), max(ends)) if starts else None


def _describe_period(
    *, data: CubeMeta, period: str, reducer: Callback, dimension: str | None, context: Any
) -> CubeMeta:
    groups = period_groups(data, period, dimension)
    return aggregated("aggregate_temporal_period", data, groups, reducer, context)


@cube_process("aggregate_temporal_period", describe=_describe_period)
def aggregate_temporal_period(
    *, data: Cube, period: str, reducer: Callback, dimension: str | None, context: Any, out: CubeMeta
) -> Cube:
    """The reducer on each calendar period, in UTC.

    Every period that touches the dimension's filtered extent gets a label, observed or not (the
    specification: from the first to the last observation, as is done where no extent is known); the reducer
    gets an empty array for a period without observations. Dekads count from 01; weeks are those of ISO 8601,
    in ISO's year.
    """
    return aggregate(data, period_groups(data.meta, period, dimension), reducer, context, out)


# --- aggregate_temporal -------------------------------------------------------------------------------------


def interval_groups(data: CubeMeta, intervals: Any, labels: Any, dimension: str | None) -> Groups:
    """The dates in each interval."""
    dim = temporal_dimension(data, dimension)
    if not isinstance(intervals, list | tuple) or not intervals:
        raise ProcessParameterInvalid(
            f"`intervals` must be an array of intervals, not {intervals!r}.",
            hint='For example [["2019-03-01", "2019-04-01"], ["2019-04-01", "2019-05-01"]].',
        )
    moments = np.array(instants(dim), "datetime64[ms]")
    members = tuple(tuple(np.flatnonzero(_inside(moments, item)).tolist()) for item in intervals)
    new = replace(dim, labels=_interval_labels(intervals, labels), period=None)
    return Groups(new, members)


def _inside(moments: Array, item: Any) -> BoolArray:
    if isinstance(item, list | tuple) and any(_is_time(v) for v in item):
        start, end = _times_of_day(item)
        of_day = moments.astype("datetime64[ms]").astype(np.int64) % _DAY_MS
        if start < end:
            return np.asarray((of_day >= start) & (of_day < end))
        return np.asarray((of_day >= start) | (of_day < end))  # over midnight
    first, last = interval(item, "intervals")
    after = np.ones(moments.shape, bool) if first is None else moments >= first
    before = np.ones(moments.shape, bool) if last is None else moments < last
    return np.asarray(after & before)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _times_of_day(item: Sequence[Any]) -> tuple[int, int]:
    """Milliseconds of the day of an interval between two times without date."""
    if len(item) != 2 or not all(map(_is_time, item)):
        raise ProcessParameterInvalid(
            f"The interval {item!r} mixes times of day with something else.",
            hint="Give two times (HH:MM:SS) or two dates.",
        )
    milliseconds = []
    for text in item:
        found = _TIME.fullmatch(text)
        assert found is not None
        hours, minutes, seconds = map(int, found.groups())
        if hours > 24 or minutes > 59 or seconds > 59 or hours * 3600 + minutes * 60 + seconds > 86_400:
            raise ProcessParameterInvalid(f"{text!r} is not a time of day.", hint="Write HH:MM:SS, in UTC.")
        milliseconds.append(((hours * 60 + minutes) * 60 + seconds) * 1000)
    if milliseconds[0] == milliseconds[1]:
        raise TemporalExtentEmpty(
            f"The interval {item[0]} to {item[1]} in `intervals` is empty.",
            hint="The end is excluded, so it must differ from the start.",
        )
    return milliseconds[0], milliseconds[1]


def _interval_labels(intervals: Sequence[Any], labels: Any) -> tuple[Label, ...]:
    if labels and len(labels) != len(intervals):
        raise LabelMismatch(
            f"aggregate_temporal has {len(labels)} labels for {len(intervals)} intervals.",
            hint="Give one label an interval, or none.",
        )
    if not labels and any(item[0] is None for item in intervals):
        raise DistinctDimensionLabelsRequired(
            "An interval has no start to be named after.", hint="Give a label for each interval in `labels`."
        )
    found = tuple(temporal_label(v) for v in labels or [item[0] for item in intervals])
    if len(set(found)) < len(found):
        shown = ", ".join(str(json_label(label)) for label in found)
        raise DistinctDimensionLabelsRequired(
            f"The labels of the intervals are not distinct: {shown}.",
            hint="Give distinct names in `labels`.",
        )
    dated = all(isinstance(label, np.datetime64) for label in found)
    return found if dated else tuple(json_label(label) for label in found)


def _describe_intervals(
    *, data: CubeMeta, intervals: Any, reducer: Callback, labels: Any, dimension: str | None, context: Any
) -> CubeMeta:
    groups = interval_groups(data, intervals, labels, dimension)
    return aggregated("aggregate_temporal", data, groups, reducer, context)


@cube_process("aggregate_temporal", describe=_describe_intervals)
def aggregate_temporal(
    *,
    data: Cube,
    intervals: Any,
    reducer: Callback,
    labels: Any,
    dimension: str | None,
    context: Any,
    out: CubeMeta,
) -> Cube:
    """The reducer on each interval, [start, end); intervals may overlap, and may be times of day (UTC).

    Labels that are dates become dates; the default label of an interval is its start.
    """
    return aggregate(data, interval_groups(data.meta, intervals, labels, dimension), reducer, context, out)
