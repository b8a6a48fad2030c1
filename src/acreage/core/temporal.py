"""Instants, intervals, dekads and the other calendar periods, all in UTC.

Instants are `numpy.datetime64[ms]`. Intervals are half-open, `[start, end)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from acreage.core.errors import InvalidInput

Instant = np.datetime64
PERIODS = (
    "hour",
    "day",
    "week",
    "dekad",
    "month",
    "season",
    "tropical-season",
    "year",
    "decade",
    "decade-ad",
)


def instant(value: datetime | date) -> Instant:
    """datetime64[ms] of a datetime (naive is UTC) or of a date's first moment."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(value, "ms")


def to_datetime(value: Instant) -> datetime:
    """Naive UTC datetime of an instant."""
    result = value.astype("datetime64[ms]").astype(datetime)
    assert isinstance(result, datetime)
    return result


def parse_instant(text: str) -> Instant:
    """An RFC 3339 date, date-time, year-month or year, as an instant (its first moment).

    Raises:
        InvalidInput: the text is none of these.
    """
    text = text.strip()
    if re.fullmatch(r"\d{4}", text):
        text += "-01-01"
    elif re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    try:
        return instant(datetime.fromisoformat(text.replace("Z", "+00:00")))
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is not a date.", hint="Write dates as 2019-03-01 or 2019-03-01T00:00:00Z."
        ) from error


def format_instant(value: Instant) -> str:
    """RFC 3339 in UTC, without milliseconds where there are none."""
    moment = to_datetime(value)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds") + "Z"


@dataclass(frozen=True, slots=True)
class Season:
    """A season with both days included, as people say it."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InvalidInput(f"The season ends ({self.last}) before it starts ({self.first}).")

    @staticmethod
    def parse(text: str) -> Season:
        """From `2019-03-01/2019-10-31`.

        Raises:
            InvalidInput: not two dates, or in the wrong order.
        """
        parts = text.split("/")
        try:
            first, last = (date.fromisoformat(p.strip()) for p in parts)
        except ValueError as error:
            raise InvalidInput(
                f"{text!r} is not a season.", hint="Write it as 2019-03-01/2019-10-31, both days included."
            ) from error
        return Season(first, last)

    @property
    def interval(self) -> tuple[Instant, Instant]:
        """[start, end): the end is the day after the last."""
        return instant(self.first), instant(self.last + timedelta(days=1))

    def __str__(self) -> str:
        return f"{self.first.isoformat()}/{self.last.isoformat()}"


def period_start(period: str, moment: datetime) -> datetime:
    """First moment of the calendar period that holds a moment (periods of `aggregate_temporal_period`)."""
    day = datetime(moment.year, moment.month, moment.day)
    match period:
        case "hour":
            return day + timedelta(hours=moment.hour)
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "dekad":
            return day.replace(day=min((day.day - 1) // 10, 2) * 10 + 1)
        case "month":
            return day.replace(day=1)
        case "season":  # December to February is one season, named after the year it ends in
            month = day.month - day.month % 3
            return datetime(day.year - 1, 12, 1) if month == 0 else datetime(day.year, month, 1)
        case "tropical-season":  # November to April, May to October
            if 5 <= day.month <= 10:
                return datetime(day.year, 5, 1)
            return datetime(day.year if day.month >= 11 else day.year - 1, 11, 1)
        case "year":
            return datetime(day.year, 1, 1)
        case "decade":
            return datetime(day.year - day.year % 10, 1, 1)
        case "decade-ad":
            return datetime(day.year - (day.year - 1) % 10, 1, 1)
    raise InvalidInput(f"{period!r} is not a period.", hint=f"Use one of {', '.join(PERIODS)}.")


def next_period(period: str, start: datetime) -> datetime:
    """First moment of the period after the one that starts at `start`."""
    match period:
        case "hour":
            return start + timedelta(hours=1)
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case "dekad":
            return start + timedelta(days=10) if start.day < 21 else _add_months(start.replace(day=1), 1)
        case "month":
            return _add_months(start, 1)
        case "season":
            return _add_months(start, 3)
        case "tropical-season":
            return _add_months(start, 6)
        case "year":
            return start.replace(year=start.year + 1)
        case "decade" | "decade-ad":
            return start.replace(year=start.year + 10)
    raise InvalidInput(f"{period!r} is not a period.", hint=f"Use one of {', '.join(PERIODS)}.")


def _add_months(start: datetime, months: int) -> datetime:
    index = start.year * 12 + start.month - 1 + months
    return start.replace(year=index // 12, month=index % 12 + 1)


def period_label(period: str, start: datetime) -> str:
    """openEO's label of the period that starts at `start`, `2019-07` for July 2019 as well as
    for the seventh dekad of 2019 (1 to 10 March).
    """
    year = f"{start.year:04d}"
    match period:
        case "hour":
            return start.strftime("%Y-%m-%d-%H")
        case "day":
            return f"{year}-{start.timetuple().tm_yday:03d}"
        case "week":
            iso = start.isocalendar()
            return f"{iso.year:04d}-{iso.week:02d}"
        case "dekad":
            return f"{year}-{(start.month - 1) * 3 + (start.day - 1) // 10 + 1:02d}"
        case "month":
            return f"{year}-{start.month:02d}"
        case "season":
            names = {12: "djf", 3: "mam", 6: "jja", 9: "son"}
            return f"{start.year + (start.month == 12):04d}-{names[start.month]}"
        case "tropical-season":
            return f"{start.year + (start.month == 11):04d}-{'mjjaso' if start.month == 5 else 'ndjfma'}"
        case "year":
            return year
        case "decade" | "decade-ad":
            return year
    raise InvalidInput(f"{period!r} is not a period.", hint=f"Use one of {', '.join(PERIODS)}.")


def periods(period: str, start: Instant, end: Instant) -> Iterator[tuple[str, Instant, Instant]]:
    """Every period that touches `[start, end)`: (label, first moment, first moment after), in order."""
    at = period_start(period, to_datetime(start))
    stop = to_datetime(end)
    while at < stop:
        following = next_period(period, at)
        yield period_label(period, at), instant(at), instant(following)
        at = following


_SEASON_MONTHS = {"djf": 12, "mam": 3, "jja": 6, "son": 9, "ndjfma": 11, "mjjaso": 5}


def parse_period_label(period: str, label: str) -> Instant:
    """First moment of the period that a label names: the inverse of `period_label`.

    Raises:
        InvalidInput: the label is not one of this kind of period.
    """
    year, _, rest = label.partition("-")
    try:
        match period:
            case "hour":
                start = datetime.strptime(label, "%Y-%m-%d-%H")
            case "day":
                start = datetime(int(year), 1, 1) + timedelta(days=int(rest) - 1)
            case "week":
                start = datetime.fromisocalendar(int(year), int(rest), 1)
            case "dekad":
                start = datetime(int(year), (int(rest) - 1) // 3 + 1, (int(rest) - 1) % 3 * 10 + 1)
            case "month":
                start = datetime(int(year), int(rest), 1)
            case "season" | "tropical-season":
                month = _SEASON_MONTHS[rest]
                start = datetime(int(year) - (month > 10), month, 1)
            case _:
                start = datetime(int(year), 1, 1)
        if period_label(period, start) != label:
            raise ValueError(label)
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{label!r} is not the label of a {period}.") from error
    return instant(start)
