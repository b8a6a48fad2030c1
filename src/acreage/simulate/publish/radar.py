"""Calibrated Sentinel-1: sigma0 in linear power or decibels, and radiometrically terrain corrected gamma0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acreage.simulate.publish import stac
from acreage.simulate.publish.products import Published, RadarProduct, stamp
from acreage.simulate.publish.rasters import write_cog
from acreage.simulate.settings import Radar

RTC_NODATA = -32768.0
COLLECTIONS: Mapping[Radar, str] = {
    "sigma0": "sentinel-1-sigma0",
    "sigma0-db": "sentinel-1-sigma0-db",
    "rtc": "sentinel-1-rtc",
}
DESCRIPTIONS: Mapping[Radar, str] = {
    "sigma0": "Sentinel-1 IW, terrain geocoded sigma0 in linear power, VV and VH, no data NaN",
    "sigma0-db": "Sentinel-1 IW, terrain geocoded sigma0 in decibels (unit dB), VV and VH, no data NaN",
    "rtc": "Sentinel-1 IW, terrain corrected gamma0 in linear power, VV and VH, no data -32768",
}
_DESIGNATORS = {"sentinel-1a": "2014-016A", "sentinel-1b": "2016-025A"}
EXTENSIONS = ("sar/v1.0.0", "sat/v1.0.0", "projection/v1.0.0", "raster/v1.1.0", "processing/v1.1.0")


def resolution(radar: Radar) -> int:
    """Pixel size of a collection in metres."""
    return 10 if radar == "rtc" else 20


def publish_radar(
    folder: Path,
    radar: Radar,
    product: RadarProduct,
    pixels: Mapping[str, NDArray[np.float32]],
    software: str,
) -> Published:
    """Write a slice below `folder` (the archive's) and return its item.

    `pixels`: linear power for `vv` and `vh`, float32, NaN where nothing was seen. `software`: version of the
    processor.
    """
    collection = COLLECTIONS[radar]
    name = f"{product.name}_rtc" if radar == "rtc" else f"{product.name}_{radar.replace('-', '_')}"
    nodata = RTC_NODATA if radar == "rtc" else float("nan")
    band = {
        "nodata": RTC_NODATA if radar == "rtc" else "nan",
        "data_type": "float32",
        "spatial_resolution": float(resolution(radar)),
    }
    if radar == "sigma0-db":
        band["unit"] = "dB"
    assets: dict[str, stac.Json] = {}
    for key, power in pixels.items():
        write_cog(folder / collection / name / f"{key}.tif", _values(power, radar), product.box, nodata)
        assets[key] = {
            "href": f"./{key}.tif",
            "type": stac.COG,
            "title": f"{key.upper()}: {DESCRIPTIONS[radar].split(',')[1].strip()}",
            **stac.grid_fields(product.box),
            "raster:bands": [dict(band)],
            "roles": ["data"],
        }
    properties = _properties(product, software)
    return stac.item(collection, name, product.footprint, properties, assets, EXTENSIONS)


def _values(power: NDArray[np.float32], radar: Radar) -> NDArray[np.float32]:
    if radar == "sigma0-db":
        return np.asarray(10.0 * np.log10(power), np.float32)
    if radar == "rtc":
        return np.asarray(np.where(np.isnan(power), np.float32(RTC_NODATA), power), np.float32)
    return power


def _properties(product: RadarProduct, software: str) -> stac.Json:
    seen = product.seen
    middle = product.start + (product.end - product.start) / 2
    return {
        "datetime": stamp(middle),
        "start_datetime": stamp(product.start),
        "end_datetime": stamp(product.end),
        "platform": seen.satellite,
        "constellation": "sentinel-1",
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:observation_direction": "right",
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sat:platform_international_designator": _DESIGNATORS[seen.satellite],
        "sat:orbit_state": seen.direction,
        "sat:absolute_orbit": seen.absolute_orbit,
        "sat:relative_orbit": seen.relative_orbit,
        "s1:datatake_id": str(product.take),
        "s1:slice_number": str(product.number),
        "s1:processing_level": "1",
        "processing:software": {"Sentinel-1 IPF": software},
        "proj:epsg": int(product.box.grid.crs.removeprefix("EPSG:")),
        "proj:bbox": list(product.box.bounds),
        **stac.grid_fields(product.box),
    }
