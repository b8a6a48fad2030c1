"""Which items make one time step, which of them wins, and which are replaced by a newer processing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from acreage.catalog import sentinel2
from acreage.catalog.items import MosaicRule
from acreage.catalog.stac import StacItem
from acreage.core.errors import InvalidInput
from acreage.core.temporal import parse_instant, to_datetime

_S1_PRODUCT = re.compile(
    r"S1([A-D])_[A-Z0-9]{2}_[A-Z0-9_]{4}_[A-Z0-9]{4}_\d{8}T\d{6}_\d{8}T\d{6}_(\d{6})(?![0-9])"
)
# Two processings of one acquisition differ by seconds at most in their stated time.
_SAME_ACQUISITION = np.timedelta64(60, "s")


def longitude(item: StacItem) -> float:
    """Longitude of the middle of its bounds, in [-180, 180]."""
    west, _, east, _ = item.bbox
    middle = (west + east + (360.0 if west > east else 0.0)) / 2
    return middle - 360.0 if middle > 180.0 else middle


def solar_day(item: StacItem) -> str:
    """Date by the mean sun at the item's longitude: UTC plus an hour for every 15 degrees east."""
    return (to_datetime(item.start) + timedelta(hours=longitude(item) / 15.0)).date().isoformat()


def group_of(item: StacItem, rule: MosaicRule) -> str:
    """The mosaic group of an item.

    `solar-day-datatake`: the datatake, which lies in one solar day; where nothing states it, platform,
    relative orbit and solar day. `absolute-orbit`: platform and orbit number; where nothing states it,
    platform, orbit direction, relative orbit and solar day. `static`: one group for all. `item`: one group
    for each item.
    """
    if rule == "static":
        return "static"
    if rule == "item":
        return item.id
    if rule == "solar-day-datatake":
        known = sentinel2.datatake(item) or _orbit(item)
        return known or f"{_platform(item)}{_relative_orbit(item)} {solar_day(item)}"
    return _orbit(item) or f"{_platform(item)}{_direction(item)}{_relative_orbit(item)} {solar_day(item)}"


def _platform(item: StacItem) -> str:
    value = item.properties.get("platform") or item.properties.get("constellation")
    return value.lower() if isinstance(value, str) else item.id.split("_")[0].lower()


def _orbit(item: StacItem) -> str | None:
    for key in ("sat:absolute_orbit", "sentinel2:absolute_orbit_number"):
        number = item.properties.get(key)
        if isinstance(number, int) and not isinstance(number, bool):
            return f"{_platform(item)} orbit {number:06d}"
    for text in (item.id, item.properties.get("s1:product_identifier")):
        match = _S1_PRODUCT.search(text) if isinstance(text, str) else None
        if match:
            return f"sentinel-1{match[1].lower()} orbit {match[2]}"
    return None


def _relative_orbit(item: StacItem) -> str:
    number = item.properties.get("sat:relative_orbit")
    return f" R{number:03d}" if isinstance(number, int) else ""


def _direction(item: StacItem) -> str:
    value = item.properties.get("sat:orbit_state")
    return f" {value.lower()}" if isinstance(value, str) else ""


def rank_of(item: StacItem) -> tuple[float, float, float, str]:
    """Order inside a group, best first: newest baseline, highest sequence, latest made, then id."""
    version = sentinel2.baseline(item)
    return (0.0 - (version or 0.0), 0.0 - _sequence(item), 0.0 - _made(item), item.id)


def _sequence(item: StacItem) -> float:
    value = item.properties.get("s2:sequence")
    return float(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0.0


def _made(item: StacItem) -> float:
    """Seconds since 1970 at which the product was made, 0 where nothing states it."""
    for key in ("s2:generation_time", "sentinel2:generation_time", "processing:datetime", "created"):
        value: Any = item.properties.get(key)
        if isinstance(value, str):
            try:
                return float(parse_instant(value).astype(np.int64)) / 1000.0
            except InvalidInput:
                continue
    return 0.0


def drop_superseded(items: Sequence[StacItem], rule: MosaicRule) -> tuple[list[StacItem], list[str]]:
    """Keep the best ranked of all processings of one acquisition.

    One acquisition: same group, same granule, same datastrip start where it is stated, and times at most a
    minute apart. Items whose granule nothing states are all kept.

    Returns
    -------
    The items kept, in the order given, and the ids of the others, sorted.
    """
    if rule != "solar-day-datatake":
        return list(items), []
    acquisitions: dict[tuple[str, str, str], list[StacItem]] = defaultdict(list)
    for item in items:
        granule = sentinel2.granule(item)
        if granule is not None:
            key = (group_of(item, rule), granule, sentinel2.datastrip(item) or "")
            acquisitions[key].append(item)
    dropped: set[str] = set()
    for versions in acquisitions.values():
        for cluster in _clusters(versions):
            best = min(cluster, key=rank_of)
            dropped.update(item.id for item in cluster if item is not best)
    return [item for item in items if item.id not in dropped], sorted(dropped)


def _clusters(items: Sequence[StacItem]) -> list[list[StacItem]]:
    """Runs of items whose times lie at most a minute after the run's first."""
    clusters: list[list[StacItem]] = []
    for item in sorted(items, key=lambda i: (i.start, i.id)):
        if clusters and item.start - clusters[-1][0].start <= _SAME_ACQUISITION:
            clusters[-1].append(item)
        else:
            clusters.append([item])
    return clusters
