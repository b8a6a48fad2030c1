"""Temporal labels as instants: dates, period names, and the labels that people write."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from acreage.core.cube import CubeMeta, Dimension, Label
from acreage.core.errors import (
    DimensionNotAvailable,
    InvalidInput,
    ProcessParameterInvalid,
    TemporalExtentEmpty,
    TooManyDimensions,
)
from acreage.core.temporal import Instant, parse_instant, parse_period_label

_FULL_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?")


def temporal_dimension(meta: CubeMeta, name: str | None) -> Dimension:
    """The temporal dimension of this name, or the only one.

    Raises:
        DimensionNotAvailable: there is none, or none of this name.
        TooManyDimensions: there are several and no name was given.
        ProcessParameterInvalid: the dimension of this name is not temporal.
    """
    if name is not None:
        dim = meta.dim(name)
        if dim.type != "temporal":
            raise ProcessParameterInvalid(
                f"Dimension {name!r} is of type {dim.type!r}, not temporal.",
                hint="Name a temporal dimension, or leave `dimension` out.",
            )
        return dim
    found = [d for d in meta.dims if d.type == "temporal"]
    if not found:
        raise DimensionNotAvailable(
            f"The data cube has no temporal dimension; it has {', '.join(meta.names) or 'no dimensions'}."
        )
    if len(found) > 1:
        raise TooManyDimensions(
            f"The data cube has several temporal dimensions: {', '.join(d.name for d in found)}.",
            hint="Name one in the parameter `dimension`.",
        )
    return found[0]


def instants(dim: Dimension) -> tuple[Instant, ...]:
    """The labels of a temporal dimension as instants; a period's label is its first moment.

    Raises:
        ProcessParameterInvalid: a label is no point in time.
    """
    return tuple(_instant(dim, label) for label in dim.labels)


def _instant(dim: Dimension, label: Label) -> Instant:
    if isinstance(label, np.datetime64):
        return label
    if isinstance(label, str):
        if dim.period is not None:
            return parse_period_label(dim.period, label)
        if _FULL_DATE.fullmatch(label):
            return parse_instant(label)
    raise ProcessParameterInvalid(
        f"Label {label!r} of dimension {dim.name!r} is not a point in time.",
        hint="Rename the labels of this dimension to dates such as 2019-03-01 first (rename_labels).",
    )


def moment(value: Any, parameter: str) -> Instant:
    """A date or date-time as written in a graph.

    Raises:
        ProcessParameterInvalid: it is none.
    """
    if isinstance(value, np.datetime64):
        moment_in_ms: Instant = value.astype("datetime64[ms]")
        return moment_in_ms
    if not isinstance(value, str):
        raise ProcessParameterInvalid(
            f"{value!r} in `{parameter}` is not a date.",
            hint="Write dates as 2019-03-01 or 2019-03-01T00:00:00Z.",
        )
    try:
        return parse_instant(value)
    except InvalidInput as error:
        raise ProcessParameterInvalid(f"In `{parameter}`: {error.message}", hint=error.hint) from error


def interval(value: Any, parameter: str) -> tuple[Instant | None, Instant | None]:
    """A half-open temporal interval as written in a graph; null is an open end.

    Raises:
        ProcessParameterInvalid: not two dates, or both null.
        TemporalExtentEmpty: the end is not after the start.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ProcessParameterInvalid(
            f"`{parameter}` must be an array of two dates, not {value!r}.",
            hint='For example ["2019-03-01", "2019-11-01"]; the end is excluded, null is an open end.',
        )
    start, end = (None if v is None else moment(v, parameter) for v in value)
    if start is None and end is None:
        raise ProcessParameterInvalid(
            f"Both ends of `{parameter}` are null.", hint="Give at least one date, or leave the filter out."
        )
    if start is not None and end is not None and end <= start:
        raise TemporalExtentEmpty(
            f"The interval {value[0]} to {value[1]} in `{parameter}` is empty.",
            hint="The end is excluded, so it must lie after the start.",
        )
    return start, end


def temporal_label(value: Any) -> Label:
    """A label of a temporal dimension as written in a graph: full dates and date-times become instants."""
    if isinstance(value, str) and _FULL_DATE.fullmatch(value):
        return moment(value, "label")
    if not isinstance(value, str | int | float | np.datetime64):
        raise ProcessParameterInvalid(
            f"{value!r} cannot be a dimension label.", hint="Labels are strings or numbers."
        )
    return value


def dimension_label(dim: Dimension, value: Any) -> Label:
    """A label as written in a graph, in the form that labels of this dimension have."""
    return temporal_label(value) if dim.type == "temporal" else _plain(value)


def _plain(value: Any) -> Label:
    if not isinstance(value, str | int | float):
        raise ProcessParameterInvalid(
            f"{value!r} cannot be a dimension label.", hint="Labels are strings or numbers."
        )
    return value
