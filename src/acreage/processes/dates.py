"""Dates and times: RFC 3339 texts, dates, times of day, datetime64 arrays (UTC); leap seconds read as :59."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from acreage.core.arrays import Array, Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.dtypes import BOOL, FLOAT64, DType
from acreage.processes.operands import elementwise, iso_dates, operand, whole_number
from acreage.processes.registry import array_process

MOMENT: Final[DType] = np.dtype("datetime64[ms]")

_DATE: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<minute>\d{2}:\d{2}):(?P<second>\d{2})(?P<fraction>\.\d+)?(?P<zone>[Zz]|[+-]\d{2}:\d{2}))?"
)
_TIME: Final = re.compile(r"\d{2}:\d{2}:\d{2}")
_MILLISECONDS: Final[dict[str, int]] = {
    "millisecond": 1,
    "second": 1000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
}
_MONTHS: Final[dict[str, int]] = {"month": 1, "year": 12}
_YEARS: Final = (np.datetime64("0001-01-01", "ms"), np.datetime64("9999-12-31T23:59:59.999", "ms"))


@array_process("date_shift")
def date_shift(date: Any, value: Any, unit: str) -> Any:
    """The date a number of units later (earlier for negative values), in the form that was given.

    A month or year later is the same day of the month, or its last day where there is no such day.

    Raises:
        ProcessParameterInvalid: no date, no whole number, an unknown unit, or a date outside years 1 to 9999.
    """
    _check_unit(unit)
    steps = whole_number(value, "value")
    if date is None:
        return None
    if isinstance(date, Masked):
        return elementwise(lambda a: _shift(a, steps, unit), [_moments(date)], MOMENT)
    local, zone = _parse(date)
    shifted = _shift(np.array(local), steps, unit)
    if not _YEARS[0] <= shifted <= _YEARS[1]:
        raise ProcessParameterInvalid(f"{date} shifted by {steps} {unit} leaves the years 1 to 9999.")
    text = str(iso_dates(shifted))
    return text[:10] if zone is None else text.removesuffix("Z") + zone


@array_process("date_between")
def date_between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> Any:
    """Whether min <= x <= max (x < max where `exclude_max`) in time; false for swapped bounds.

    Raises:
        ProcessParameterInvalid: an argument is neither a date nor a time of day, or both kinds are mixed.
    """
    if len({_is_time_of_day(v) for v in (x, min, max) if v is not None}) > 1:
        raise ProcessParameterInvalid("date_between: dates cannot be compared with times of day.")

    def inside(a: Array, low: Array, high: Array) -> Array:
        return np.asarray((low <= a) & ((a < high) if exclude_max else (a <= high)))

    return elementwise(inside, [_moments(v) for v in (x, min, max)], BOOL, inner=MOMENT)


@array_process("date_difference")
def date_difference(date1: Any, date2: Any, unit: str = "second") -> Any:
    """date2 - date1 in the unit, with a fraction; negative where date2 is earlier. Always float64.

    Months and years are counted whole from the earlier date; the fraction is the part of the one begun.

    Raises:
        ProcessParameterInvalid: an argument is no date, or the unit is unknown.
    """
    _check_unit(unit)
    moments = [_moments(v) for v in (date1, date2)]
    return elementwise(lambda a, b: _difference(a, b, unit), moments, FLOAT64, inner=MOMENT)


def moment(text: Any) -> np.datetime64:
    """A date, date-time or time of day in UTC, as datetime64[ms] (times of day on 1970-01-01).

    Raises:
        ProcessParameterInvalid: the text is neither.
    """
    if isinstance(text, str) and _TIME.fullmatch(text):
        local, zone = _parse(f"1970-01-01T{text}Z")
    else:
        local, zone = _parse(text)
    if zone in (None, "Z", "z"):
        return local
    sign = 1 if zone[0] == "+" else -1
    offset = sign * (int(zone[1:3]) * 60 + int(zone[4:6]))
    shifted: np.datetime64 = local - np.timedelta64(offset * 60_000, "ms")
    return shifted


def instants(texts: Array) -> Array:
    """Dates of texts, datetime64[ms]; NaT for a text that is no date."""
    found = [moment(t) if _DATE.fullmatch(t) else np.datetime64("NaT") for t in map(str, texts.ravel())]
    return np.array(found, MOMENT).reshape(texts.shape)


def is_date(text: str) -> bool:
    """Whether a text has the form of a date or date-time."""
    return _DATE.fullmatch(text) is not None


def _parse(text: Any) -> tuple[np.datetime64, str | None]:
    """Local date and time, and the zone where the text has a time."""
    found = _DATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ProcessParameterInvalid(
            f"{text!r} is no date.", hint="Write it as 2021-03-31 or 2021-03-31T12:00:00Z."
        )
    try:
        if found["minute"] is None:
            return np.datetime64(found["day"], "ms"), None
        # Leap seconds are not counted: 23:59:60 is read as 23:59:59.
        second = min(int(found["second"]), 59) if found["second"] == "60" else int(found["second"])
        fraction = (found["fraction"] or ".0")[:4]
        time = f"{found['day']}T{found['minute']}:{second:02d}{fraction}"
        return np.datetime64(time, "ms"), found["zone"]
    except ValueError:
        raise ProcessParameterInvalid(f"{text!r} is no date: it is not in the calendar.") from None


def _moments(value: Any) -> Any:
    value = operand(value)
    if value is None:
        return None
    if not isinstance(value, Masked):
        return moment(value)
    if value.dtype.kind == "M":
        return Masked(value.values.astype(MOMENT), value.valid, value.is_array, value.labels)
    if value.dtype.kind != "U":
        raise ProcessParameterInvalid(f"Dates are needed here, not {value.dtype} values.")
    known = value.validity()
    dates = instants(value.values)
    if np.isnat(dates[known]).any():
        bad = value.values[known][np.isnat(dates[known])].ravel()[0]
        raise ProcessParameterInvalid(f"{str(bad)!r} is no date.")
    return Masked(dates, value.valid, value.is_array, value.labels)


def _is_time_of_day(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _check_unit(unit: Any) -> None:
    if unit not in _MILLISECONDS and unit not in _MONTHS:
        units = ", ".join((*_MILLISECONDS, *_MONTHS))
        raise ProcessParameterInvalid(f"Parameter 'unit' must be one of {units}, not {unit!r}.")


def _shift(dates: Array, steps: int, unit: str) -> Array:
    if unit in _MONTHS:
        return _shift_months(dates, steps * _MONTHS[unit])
    return np.asarray(dates + np.timedelta64(steps * _MILLISECONDS[unit], "ms"))


def _shift_months(dates: Array, months: Any) -> Array:
    month, day = dates.astype("datetime64[M]"), dates.astype("datetime64[D]")
    target = month + np.asarray(months).astype("timedelta64[M]")
    first, following = target.astype("datetime64[D]"), (target + 1).astype("datetime64[D]")
    offset = np.minimum(day - month.astype("datetime64[D]"), following - first - np.timedelta64(1, "D"))
    return np.asarray((first + offset).astype(MOMENT) + (dates - day.astype(MOMENT)))


def _difference(start: Array, end: Array, unit: str) -> Array:
    if unit not in _MONTHS:
        return np.asarray((end - start) / np.timedelta64(_MILLISECONDS[unit], "ms"))
    low, high = np.minimum(start, end), np.maximum(start, end)
    step = _MONTHS[unit]
    months = (high.astype("datetime64[M]") - low.astype("datetime64[M]")).astype(np.int64)
    whole = months // step
    whole = whole - (_shift_months(low, whole * step) > high)
    begun, complete = _shift_months(low, whole * step), _shift_months(low, (whole + 1) * step)
    sign = np.where(end >= start, 1.0, -1.0)
    return np.asarray(sign * (whole + (high - begun) / (complete - begun)))
