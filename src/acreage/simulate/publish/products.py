"""What is published, before it takes the form of a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from acreage.core.grid import Box
from acreage.simulate.granules import Granule
from acreage.simulate.orbits import Pass

BANDS_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
# Their names in the forward model.
BANDS: Mapping[str, str] = {
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
}
# Classes of the SCL with their names in item properties (Sentinel-2 L2A product definition).
SCL_CLASSES: Mapping[int, str] = {
    1: "saturated_defective_pixel",
    2: "dark_features",
    3: "cloud_shadow",
    4: "vegetation",
    5: "not_vegetated",
    6: "water",
    7: "unclassified",
    8: "medium_proba_clouds",
    9: "high_proba_clouds",
    10: "thin_cirrus",
    11: "snow_ice",
}
CLOUD_CLASSES = (8, 9, 10)
BOA_OFFSET = 1000


@dataclass(frozen=True)
class Processing:
    """One processing of an acquisition.

    Attributes:
        baseline: as `04.00`.
        generated: when, UTC.
        facility: of the datastrip's and granule's name, as `2APS`.
        sequence: 0 for the first processing, 1 for the next.
    """

    baseline: str
    generated: datetime
    facility: str
    sequence: int

    @property
    def has_offset(self) -> bool:
        """Whether digital numbers of this baseline are 1000 higher."""
        return float(self.baseline) >= 4.0

    @property
    def offset(self) -> int:
        """What its digital numbers are too high by: 1000 or 0."""
        return BOA_OFFSET if self.has_offset else 0

    @property
    def number(self) -> str:
        """As in product names: `N0400`."""
        return f"N{self.baseline.replace('.', '')}"


@dataclass(frozen=True)
class OpticalProduct:
    """A Sentinel-2 granule of one acquisition in one processing.

    Attributes:
        seen: the pass.
        sensed: start of the datatake, UTC, which is part of every name.
        strip: start of the datastrip, UTC.
        moment: when the middle of the granule was seen, UTC.
        box: 10 m pixels of the files.
        footprint: valid part of the files, degrees.
        percentages: share of each SCL class among all pixels of the files in percent; class 0 is no data.
        offset_kept: True where a catalog that removes the offset failed to.
    """

    seen: Pass
    granule: Granule
    processing: Processing
    sensed: datetime
    strip: datetime
    moment: datetime
    box: Box
    footprint: BaseGeometry
    percentages: Mapping[int, float]
    offset_kept: bool

    @property
    def satellite(self) -> str:
        """As `Sentinel-2A`."""
        kind, number = self.seen.satellite.split("-")
        return f"{kind.capitalize()}-{number.upper()}"

    @property
    def safe(self) -> str:
        """Name of the product, without `.SAFE`."""
        p = self.processing
        return (
            f"{self.seen.letters}_MSIL2A_{compact(self.sensed)}_{p.number}_R{self.seen.relative_orbit:03d}"
            f"_T{self.granule.tile}_{compact(p.generated)}"
        )

    @property
    def datatake(self) -> str:
        """As `GS2A_20230818T100031_042590_N05.09`."""
        orbit = self.seen.absolute_orbit
        return f"G{self.seen.letters}_{compact(self.sensed)}_{orbit:06d}_N{self.processing.baseline}"

    @property
    def datastrip(self) -> str:
        """As `S2A_OPER_MSI_L2A_DS_2APS_20230818T143300_S20230818T100032_N05.09`."""
        p = self.processing
        return (
            f"{self.seen.letters}_OPER_MSI_L2A_DS_{p.facility}_{compact(p.generated)}_S{compact(self.strip)}"
            f"_N{p.baseline}"
        )

    @property
    def granule_id(self) -> str:
        """As `S2A_OPER_MSI_L2A_TL_2APS_20230818T143300_A042590_T33TWM_N05.09`."""
        p = self.processing
        return (
            f"{self.seen.letters}_OPER_MSI_L2A_TL_{p.facility}_{compact(p.generated)}"
            f"_A{self.seen.absolute_orbit:06d}_T{self.granule.tile}_N{p.baseline}"
        )

    @property
    def granule_folder(self) -> str:
        """Folder of the granule inside the SAFE."""
        return f"L2A_T{self.granule.tile}_A{self.seen.absolute_orbit:06d}_{compact(self.strip)}"

    @property
    def cloud_cover(self) -> float:
        """Percentage of clouds among the valid pixels."""
        valid = 100.0 - self.percentages.get(0, 0.0)
        cloudy = sum(self.percentages.get(c, 0.0) for c in CLOUD_CLASSES)
        return round(100.0 * cloudy / valid, 6) if valid > 0 else 0.0


@dataclass(frozen=True, eq=False)
class OpticalPixels:
    """Pixels of a granule: reflectance x 10000 without any offset, uint16, 0 for none; SCL at 20 m, uint8."""

    bands: Mapping[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]

    def digital_numbers(self, band: str, offset: int) -> NDArray[np.uint16]:
        """A band with an offset on all its valid pixels."""
        values = self.bands[band]
        return np.where(values > 0, values + np.uint16(offset), np.uint16(0)) if offset else values


@dataclass(frozen=True)
class RadarProduct:
    """A slice of a Sentinel-1 orbit, geocoded.

    Attributes:
        start, end: of the slice, UTC.
        take: number of the datatake.
        box: pixels of the files.
        footprint: of the slice within the files, degrees.
        number: of the slice, from 1.
    """

    seen: Pass
    start: datetime
    end: datetime
    take: int
    box: Box
    footprint: BaseGeometry
    number: int

    @property
    def name(self) -> str:
        """Name of the GRD that it was made from, without the last part."""
        return (
            f"{self.seen.letters}_IW_GRDH_1SDV_{compact(self.start)}_{compact(self.end)}"
            f"_{self.seen.absolute_orbit:06d}_{self.take:06X}"
        )


@dataclass(frozen=True)
class Published:
    """An item that was written: its collection, id, folder below the collection's and JSON."""

    collection: str
    item: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])


def compact(moment: datetime) -> str:
    """As in product names: `20230818T100031`."""
    return f"{moment:%Y%m%dT%H%M%S}"


def stamp(moment: datetime, digits: int = 6) -> str:
    """RFC 3339 with milli- or microseconds."""
    fraction = f"{moment.microsecond:06d}"[:digits]
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z"
