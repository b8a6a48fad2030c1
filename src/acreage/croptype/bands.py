"""Names of bands that the workflow shares with its UDF, for what does not load PyTorch.

The UDF's file is complete in itself and has them too; a test holds both equal.
"""

from __future__ import annotations

import re

OUTPUT_BANDS = ("class", "confidence")
STATIC_SENSORS = ("DEM",)


def sensor_of(band: str) -> str:
    """The sensor whose observations a band shares: a step of a sensor is observed whole or not at all.

    Raises:
        ValueError: the band belongs to no known sensor.
    """
    if re.fullmatch(r"B\d[\dA]", band):
        return "S2"
    if band in ("VV", "VH", "HH", "HV"):
        return "S1"
    if band in STATIC_SENSORS:
        return band
    raise ValueError(f"band {band!r} belongs to no known sensor; known: B01..B12, B8A, VV, VH, HH, HV, DEM")
