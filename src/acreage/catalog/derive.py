"""Definitions for collections that nobody wrote one for, from their STAC metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acreage.catalog.definition import BandDefinition, CollectionDefinition
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError

_RASTER_TYPES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff")
_NOT_DATA = {"thumbnail", "overview", "metadata", "visual"}


def derive_definition(
    collection_id: str, stac: Json, sample: Callable[[], StacItem | None]
) -> CollectionDefinition:
    """Bands of a collection from its `item_assets`, else from one of its items.

    An asset with one band is a band of the asset's name; one with several gives a band for each, named as the
    band is, or `ASSET_n`. Items stand alone: none is mosaicked with another.

    Raises:
        CatalogError: there is no raster asset to be seen.
    """
    assets = stac.get("item_assets")
    bands = _bands(assets) if isinstance(assets, Mapping) else ()
    if not bands:
        item = sample()
        bands = _bands(item.assets) if item is not None else ()
    if not bands:
        raise CatalogError(
            f"Collection {collection_id!r} shows no raster assets.",
            hint="Describe its bands in a catalog configuration (docs/catalogs.md).",
        )
    return CollectionDefinition(id=collection_id, bands=bands, mosaic="item")


def _bands(assets: Mapping[str, Any]) -> tuple[BandDefinition, ...]:
    found: dict[str, BandDefinition] = {}
    for key, asset in assets.items():
        if not key or not isinstance(asset, Mapping) or not _is_raster(asset):
            continue
        inner = _inner_bands(asset)
        for index, band in enumerate(inner, start=1):
            name = key if len(inner) == 1 else str(band.get("name") or f"{key}_{index}")
            if name not in found:
                found[name] = _band(name, key, index, asset, band)
    return tuple(found.values())


def _is_raster(asset: Json) -> bool:
    roles = asset.get("roles")
    if isinstance(roles, list) and _NOT_DATA & set(map(str, roles)):
        return False
    media = str(asset.get("type", "")).split(";")[0].strip().lower()
    if media:
        return media in _RASTER_TYPES
    return isinstance(roles, list) and "data" in roles


def _inner_bands(asset: Json) -> list[Json]:
    """Band objects of STAC 1.0 and 1.1, merged by position; one empty object where there are none."""
    merged: list[dict[str, Any]] = []
    for key in ("eo:bands", "raster:bands", "bands"):
        bands = asset.get(key)
        for index, band in enumerate(bands if isinstance(bands, list) else ()):
            if index == len(merged):
                merged.append({})
            if isinstance(band, Mapping):
                merged[index].update(band)
    return list(merged) or [{}]


def _band(name: str, key: str, index: int, asset: Json, band: Json) -> BandDefinition:
    def field(*names: str) -> Any:
        return next((level[n] for level in (band, asset) for n in names if level.get(n) is not None), None)

    gsd = field("gsd", "spatial_resolution", "raster:spatial_resolution")
    return BandDefinition(
        name=name,
        assets=(key,),
        band_index=index,
        common_name=str(field("eo:common_name", "common_name") or ""),
        dtype=_dtype(field("data_type")),
        nodata=_number(field("nodata")),
        scale=_number(field("scale", "raster:scale")) or 1.0,
        offset=_number(field("offset", "raster:offset")) or 0.0,
        gsd=gsd if _number(gsd) and gsd > 0 else None,
        unit=str(field("unit") or ""),
        categorical=field("classification:classes") is not None,
        description=str(field("description", "title") or ""),
    )


def _dtype(value: object) -> str:
    try:
        return np.dtype(value).name if isinstance(value, str) else "float32"
    except TypeError:
        return "float32"


def _number(value: object) -> float | None:
    if isinstance(value, str) and value.lower() == "nan":
        return float("nan")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
