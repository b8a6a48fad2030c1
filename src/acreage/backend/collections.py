"""Collections as STAC and openEO describe them."""

from __future__ import annotations

from typing import Any

from acreage.catalog.items import BandInfo, CollectionInfo
from acreage.core.temporal import format_instant

_DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
_EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
_RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
_CUBE_CRS = 4326
_TYPES = {"u1": "uint8", "u2": "uint16", "i2": "int16", "f4": "float32", "f8": "float64"}
_QUERYABLE: dict[str, dict[str, Any]] = {
    "eo:cloud_cover": {"type": "number", "minimum": 0, "maximum": 100},
    "sat:orbit_state": {"type": "string", "enum": ["ascending", "descending", "geostationary"]},
    "sat:relative_orbit": {"type": "integer"},
    "platform": {"type": "string"},
    "grid:code": {"type": "string"},
}


def collection_document(info: CollectionInfo) -> dict[str, Any]:
    """A STAC collection with its cube's dimensions; `links` hold a license where there is one to link."""
    document: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [_DATACUBE, _EO, _RASTER],
        "id": info.id,
        "title": info.title,
        "description": info.description or info.title,
        "keywords": list(info.keywords),
        "license": info.license,
        "providers": [dict(p) for p in info.providers],
        "extent": {
            "spatial": {"bbox": [list(b) for b in info.bboxes]},
            "temporal": {"interval": [_interval(info)]},
        },
        "cube:dimensions": _dimensions(info),
        "summaries": _summaries(info),
        "links": [],
    }
    return document


def queryables_document(info: CollectionInfo, address: str) -> dict[str, Any]:
    """What items can be filtered by; other properties of the items can be named as well."""
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": address,
        "type": "object",
        "title": info.title,
        "properties": {name: dict(schema) for name, schema in _QUERYABLE.items()},
        "additionalProperties": True,
    }


def _interval(info: CollectionInfo) -> list[str | None]:
    return [None if moment is None else format_instant(moment) for moment in info.interval]


def _dimensions(info: CollectionInfo) -> dict[str, Any]:
    west, south, east, north = info.bboxes[0]
    dimensions: dict[str, Any] = {
        "x": {"type": "spatial", "axis": "x", "extent": [west, east], "reference_system": _CUBE_CRS},
        "y": {"type": "spatial", "axis": "y", "extent": [south, north], "reference_system": _CUBE_CRS},
        "t": {"type": "temporal", "extent": _interval(info)},
        "bands": {"type": "bands", "values": list(info.band_names)},
    }
    return dimensions


def _summaries(info: CollectionInfo) -> dict[str, Any]:
    sizes = sorted({b.gsd for b in info.bands if b.gsd is not None})
    found: dict[str, Any] = {
        "eo:bands": [_eo_band(b) for b in info.bands],
        "raster:bands": [_raster_band(b) for b in info.bands],
    }
    if sizes:
        found["gsd"] = sizes
    for name, value in info.attributes.items():
        found[name] = [value]
    return found


def _eo_band(band: BandInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"name": band.name}
    if band.common_name:
        found["common_name"] = band.common_name
    if band.description:
        found["description"] = band.description
    if band.gsd is not None:
        found["gsd"] = band.gsd
    return found


def _raster_band(band: BandInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"data_type": str(_TYPES.get(str(band.dtype), band.dtype))}
    if band.nodata is not None:
        found["nodata"] = "nan" if band.nodata != band.nodata else band.nodata
    if band.scale != 1:
        found["scale"] = band.scale
    if band.offset:
        found["offset"] = band.offset
    if band.unit:
        found["unit"] = band.unit
    if band.gsd is not None:
        found["spatial_resolution"] = band.gsd
    return found
