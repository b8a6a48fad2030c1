"""Does an item's time agree with the times in its own names?

Names of products are made by the ground segment from the sensing times; a catalog's `datetime` passes through
many hands. Where the two disagree the item belongs to a time step that nobody can tell, so it is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from acreage.catalog.items import Interval, ItemProblem
from acreage.catalog.stac import StacItem
from acreage.core.errors import InvalidInput
from acreage.core.temporal import Instant, format_instant, parse_instant

# Real granules lie from 6 s before to 12 minutes after the start that their datatake's name gives (items of
# three catalogs); a datatake lasts less than one orbit (101 minutes).
_BEFORE = np.timedelta64(5, "m")
_DATATAKE = np.timedelta64(101, "m")
_AHEAD = np.timedelta64(1, "D")
_MADE_EARLY = np.timedelta64(1, "h")

_S2_DATATAKE = re.compile(r"(?<![A-Z0-9])GS2[A-D]_(\d{8}T\d{6})_")
_S2_PRODUCT = re.compile(r"(?<![A-Z0-9])S2[A-D]_MSIL[12][ABC]_(\d{8}T\d{6})_")
_S1_PRODUCT = re.compile(
    r"(?<![A-Z0-9])S1[A-D]_[A-Z0-9]{2}_[A-Z0-9_]{4}_[A-Z0-9]{4}_(\d{8}T\d{6})_(\d{8}T\d{6})(?![0-9])"
)
_NAMED_DAY = re.compile(r"(?<![A-Z0-9])S2[A-D]?_\d{1,2}[C-X][A-Z]{2}_(\d{8})_\d+_L[12]")
_PLATFORM = re.compile(r"(?:sentinel-?([12])|S([12]))-?([A-D])(?![a-z0-9])", re.IGNORECASE)

# Days of launch (ESA, mission pages of Sentinel-1 and Sentinel-2): nothing was sensed before.
LAUNCHES = {
    "S1A": np.datetime64("2014-04-03"),
    "S1B": np.datetime64("2016-04-25"),
    "S1C": np.datetime64("2024-12-05"),
    "S1D": np.datetime64("2025-11-04"),
    "S2A": np.datetime64("2015-06-23"),
    "S2B": np.datetime64("2017-03-07"),
    "S2C": np.datetime64("2024-09-05"),
}


@dataclass(frozen=True)
class Sensed:
    """When a name says that an item was sensed.

    Attributes:
        name: the name.
        earliest, latest: the item's time lies between them, both included.
    """

    name: str
    earliest: Instant
    latest: Instant


def present() -> Instant:
    """The present, UTC."""
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "ms")


def clock_fault(item: StacItem, now: Instant) -> str | None:
    """Why an item's time cannot be true, as a sentence; None where nothing contradicts it.

    Args:
        item: any item.
        now: the present, UTC.
    """
    start, end = _stated(item, "start_datetime"), _stated(item, "end_datetime")
    if start is not None and end is not None and end < start:
        return "its end_datetime lies before its start_datetime."
    shown = format_instant(item.start)
    if item.start > now + _AHEAD:
        return f"its time {shown} lies in the future."
    platform = platform_of(item)
    launch = LAUNCHES.get(platform or "")
    if launch is not None and item.start < launch:
        return f"its time {shown} lies before the launch of {platform} on {launch}."
    for sensed in sensing_times(item):
        if not sensed.earliest <= item.start <= sensed.latest:
            return f"its time {shown} contradicts its own name {sensed.name}."
    for key in ("s2:generation_time", "sentinel2:generation_time", "processing:datetime"):
        made = _stated(item, key)
        if made is not None and made < item.start - _MADE_EARLY:
            return f"its time {shown} lies after its {key} {format_instant(made)}."
    return None


def drop_clock_faults(items: Iterable[StacItem], now: Instant) -> tuple[list[StacItem], list[ItemProblem]]:
    """Items whose time may be true, and the problems of the others."""
    kept, problems = [], []
    for item in items:
        fault = clock_fault(item, now)
        if fault is None:
            kept.append(item)
        else:
            problems.append(ItemProblem(item.id, "", f"The item is not used: {fault}", "clock"))
    return kept, problems


def strays(items: Sequence[StacItem], interval: Interval, now: Instant) -> list[ItemProblem]:
    """Items that by their own name belong to an interval, but by their wrong time do not.

    Args:
        items: items of the area whose time lies outside of the interval.
        interval: [start, end); None leaves an end open.
        now: the present, UTC.
    """
    start, end = interval
    found = [
        item
        for item in items
        if any(
            (start is None or sensed.latest >= start) and (end is None or sensed.earliest < end)
            for sensed in sensing_times(item)
        )
    ]
    return drop_clock_faults(found, now)[1]


def sensing_times(item: StacItem) -> Iterator[Sensed]:
    """What the names in an item say of its time."""
    for name in _names(item):
        for pattern in (_S2_DATATAKE, _S2_PRODUCT):
            match = pattern.search(name)
            if match is not None and (begin := _moment(match[1])) is not None:
                yield Sensed(name, begin - _BEFORE, begin + _DATATAKE)
        match = _S1_PRODUCT.search(name)
        if match is not None:
            begin, finish = _moment(match[1]), _moment(match[2])
            if begin is not None and finish is not None:
                yield Sensed(name, begin - _BEFORE, finish + _BEFORE)
        match = _NAMED_DAY.search(name)
        if match is not None and (day := _moment(match[1] + "T000000")) is not None:
            # The day on which the datatake starts; its last granules may lie behind midnight.
            yield Sensed(name, day, day + np.timedelta64(86_400_000 - 1, "ms") + _DATATAKE)


def platform_of(item: StacItem) -> str | None:
    """Such as `S2A`, by the item's platform, else by its names; None where nothing says it."""
    for text in (item.properties.get("platform"), *_names(item)):
        match = _PLATFORM.search(text) if isinstance(text, str) else None
        if match is not None:
            return f"S{match[1] or match[2]}{match[3].upper()}"
    return None


def _names(item: StacItem) -> Iterator[str]:
    yield item.id
    for key in (
        "s2:product_uri",
        "s2:datatake_id",
        "eopf:datatake_id",
        "sentinel2:product_title",
        "s1:product_identifier",
    ):
        value = item.properties.get(key)
        if isinstance(value, str):
            yield value


def _moment(text: str) -> Instant | None:
    try:
        return parse_instant(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}Z")
    except InvalidInput:
        return None


def _stated(item: StacItem, key: str) -> Instant | None:
    value = item.properties.get(key)
    if not isinstance(value, str):
        return None
    try:
        return parse_instant(value)
    except InvalidInput:
        return None
