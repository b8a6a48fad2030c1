"""Sentinel-1: decibels or linear power, and which products carry noise along the edge of their swath."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from acreage.catalog.definition import BandDefinition, BorderNoiseDefinition, CollectionDefinition
from acreage.catalog.items import BorderNoise, Raster
from acreage.catalog.stac import StacItem
from acreage.core.errors import InvalidInput
from acreage.core.temporal import parse_instant

_POLARISATIONS = frozenset({"VV", "VH", "HH", "HV"})
_NAMED = 5  # items that a note names
_DECIBEL = frozenset({"db", "decibel", "decibels"})
_VERSION = re.compile(r"(\d+)\.(\d+)")


def as_radar(
    raster: Raster, item: StacItem, band: BandDefinition, definition: CollectionDefinition
) -> Raster:
    """The raster with what an item says of decibels and, for old products, of noise along its swath's edge.

    Rasters of other sensors come back as they are.
    """
    decibels = band.stored == "dB"
    stated = _unit(item, band)
    if stated is not None:
        decibels = stated in _DECIBEL
    noise = definition.border_noise
    border = border_noise(noise, raster) if noise is not None and has_border_noise(item, noise) else None
    return replace(raster, db=decibels, border=border) if decibels or border is not None else raster


def of_polarisations(
    items: Sequence[StacItem], definition: CollectionDefinition
) -> tuple[list[StacItem], tuple[str, ...]]:
    """The items that a radar collection can use, and a note on those that state other polarisations.

    A product of HH and HV, or of one polarisation alone, is whole: it is no part of a collection of VV and
    VH, and no fault. An item that states no polarisations (`sar:polarizations`) is kept.
    """
    wanted = {band.name for band in definition.bands} & _POLARISATIONS
    if not wanted:
        return list(items), ()
    kept: list[StacItem] = []
    others: list[StacItem] = []
    for item in items:
        stated = item.properties.get("sar:polarizations")
        has = {str(p).upper() for p in stated} if isinstance(stated, list) and stated else wanted
        (kept if wanted <= has else others).append(item)
    if not others:
        return kept, ()
    named = ", ".join(item.id for item in others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    bands = " and ".join(sorted(wanted, reverse=True))
    return kept, (f"{definition.id}: {len(others)} items are not of {bands} and are left out: {named}",)


def border_noise(noise: BorderNoiseDefinition, raster: Raster) -> BorderNoise:
    """The rule in pixels of a raster and in linear power."""
    size = raster.box.grid.res_y * (111_320.0 if raster.box.grid.is_geographic else 1.0)
    return BorderNoise(max(1, round(noise.metres / size)), 10.0 ** (noise.floor_db / 10.0))


def has_border_noise(item: StacItem, noise: BorderNoiseDefinition) -> bool:
    """True where an item says that a processor made it that left noise along the swath's edge.

    The processor's version decides (`processing:software`), else the day of processing
    (`s1:processing_datetime`, `processing:datetime`). An item that states neither is taken for a newer one.
    """
    version = processor_version(item)
    if version is not None:
        match = _VERSION.fullmatch(noise.before_ipf)
        assert match is not None
        return version < _comparable(match)
    for key in ("s1:processing_datetime", "processing:datetime"):
        value = item.properties.get(key)
        if isinstance(value, str):
            try:
                made: np.datetime64 = parse_instant(value)
            except InvalidInput:
                continue
            return bool(made < parse_instant(noise.before_processing))
    return False


def processor_version(item: StacItem) -> tuple[int, int] | None:
    """Version of the Sentinel-1 instrument processing facility (IPF): `002.84` is (2, 84), `2.9` is (2, 90).

    None where the item does not state it.
    """
    software = item.properties.get("processing:software")
    named = software.items() if isinstance(software, Mapping) else ()
    for name, value in named:
        if "ipf" in str(name).lower() or "sentinel-1" in str(name).lower():
            match = _VERSION.search(str(value))
            if match is not None:
                return _comparable(match)
    return None


def _comparable(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2].ljust(2, "0"))


def _unit(item: StacItem, band: BandDefinition) -> str | None:
    """The unit that an item states for a band, in small letters."""
    asset: Mapping[str, Any] = next((item.assets[key] for key in band.assets if key in item.assets), {})
    levels: list[Mapping[str, Any]] = []
    for key in ("bands", "raster:bands"):
        bands = asset.get(key)
        if isinstance(bands, list) and len(bands) >= band.band_index:
            level = bands[band.band_index - 1]
            if isinstance(level, Mapping):
                levels.append(level)
    for level in (*levels, asset, item.properties):
        for key in ("unit", "raster:unit", "sar:unit"):
            value = level.get(key)
            if isinstance(value, str) and value:
                return value.lower()
    return None
