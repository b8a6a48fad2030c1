"""Reading the fields of STAC items, in the spellings of STAC 1.0 and 1.1.

Documents from the wild are read leniently field by field: whatever is malformed counts as absent or raises
`MalformedItem`, which the callers turn into an `ItemProblem`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from shapely.errors import ShapelyError
from shapely.geometry import shape as to_shape
from shapely.geometry.base import BaseGeometry

from acreage.catalog.access import split_signature
from acreage.catalog.definition import NAN
from acreage.catalog.fetch import resolve
from acreage.catalog.items import Bounds
from acreage.core.errors import AcreageError, InvalidInput
from acreage.core.faults import FaultKind
from acreage.core.temporal import parse_instant

Json = Mapping[str, Any]
_NODATA_WORDS = {"nan": NAN, "inf": math.inf, "-inf": -math.inf}


class MalformedItem(AcreageError):
    """An item that lacks what every item must have.

    Args:
        kind: which fault it is.
    """

    code = "CatalogInvalid"
    http_status = 502

    def __init__(self, message: str, *, hint: str = "", kind: FaultKind = "malformed") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


@dataclass(frozen=True)
class StacItem:
    """A STAC item as read.

    Attributes:
        id: item id.
        address: where it was read; base of relative hrefs.
        href: its self link where that is an absolute address, else `address`.
        start, end: the instants it covers, both included; equal for a single instant.
        bbox: west, south, east, north in degrees; west > east over the antimeridian.
        geometry: footprint in degrees where one is given and usable.
        properties: as read.
        assets: asset objects by key.
    """

    id: str
    address: str
    href: str
    start: np.datetime64
    end: np.datetime64
    bbox: Bounds
    geometry: BaseGeometry | None
    properties: Json
    assets: Mapping[str, Json]


def item_name(data: Json, address: str) -> str:
    """The id of an item, or its address where it has none."""
    value = data.get("id")
    return value if isinstance(value, str) and value else split_signature(address)[0]


def parse_item(data: Json, address: str, defaults: Json | None = None) -> StacItem:
    """Read an item's own fields.

    Args:
        data: parsed JSON of the item.
        address: path or address at which it was read.
        defaults: properties for where the item has none.

    Raises:
        MalformedItem: no id, no usable datetime, no footprint or no assets.
    """
    identifier = data.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise MalformedItem("it has no id.")
    properties = data.get("properties")
    if not isinstance(properties, Mapping):
        raise MalformedItem("it has no properties.")
    properties = {**(defaults or {}), **properties}
    assets = data.get("assets")
    if not isinstance(assets, Mapping) or not assets:
        raise MalformedItem("it has no assets.")
    start, end = _instants(properties)
    geometry = _geometry(data.get("geometry"))
    return StacItem(
        id=identifier,
        address=address,
        href=_self_link(data, address),
        start=start,
        end=end,
        bbox=_bbox(data.get("bbox"), geometry),
        geometry=geometry,
        properties=properties,
        assets={str(key): asset for key, asset in assets.items() if isinstance(asset, Mapping)},
    )


def _self_link(data: Json, address: str) -> str:
    links = data.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return split_signature(resolve(link["href"], address))[0]
    return split_signature(address)[0]


def _instants(properties: Json) -> tuple[np.datetime64, np.datetime64]:
    def read(key: str) -> np.datetime64 | None:
        value = properties.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise MalformedItem(f"its {key} is {value!r}, not a date.")
        try:
            return parse_instant(value)
        except InvalidInput as error:
            raise MalformedItem(f"its {key} is {value!r}, not a date.") from error

    at = read("datetime")
    if at is not None:
        return at, at
    start, end = read("start_datetime"), read("end_datetime")
    if start is None or end is None:
        raise MalformedItem("it has no datetime, nor start_datetime and end_datetime.")
    if end < start:
        raise MalformedItem("its end_datetime lies before its start_datetime.", kind="clock")
    return start, end


def _geometry(value: object) -> BaseGeometry | None:
    if not isinstance(value, Mapping):
        return None
    try:
        geometry = to_shape(dict(value))
    except (ShapelyError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None
    return None if geometry.is_empty else geometry


def _bbox(value: object, geometry: BaseGeometry | None) -> Bounds:
    if isinstance(value, list | tuple) and len(value) in (4, 6) and all(map(_is_number, value)):
        half = len(value) // 2
        box = (float(value[0]), float(value[1]), float(value[half]), float(value[half + 1]))
        if box[1] <= box[3] and all(map(math.isfinite, box)):
            return box
    if geometry is not None:
        west, south, east, north = geometry.bounds
        return (west, south, east, north)
    raise MalformedItem("it has neither a usable bbox nor a geometry.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- assets -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AssetFacts:
    """What an item says about one band of one asset; None where it does not.

    Attributes:
        crs: as `parse_crs` takes it.
        transform: pixel to CRS.
        shape: (rows, columns).
        dtype: numpy dtype name.
        nodata: null value; meaningless unless `has_nodata`.
        has_nodata: True where the item says what the null value is.
        scale, offset: physical = DN * scale + offset.
    """

    crs: str | int | None
    transform: Affine | None
    shape: tuple[int, int] | None
    dtype: str | None
    nodata: float | None
    has_nodata: bool
    scale: float | None
    offset: float | None


def asset_facts(item: StacItem, asset: Json, band_index: int = 1) -> AssetFacts:
    """What an item says about a band: the band's own fields, then the asset's, then the item's."""
    band = _band(asset, band_index)
    levels: tuple[Json, ...] = (band, asset, item.properties)
    nodata, has_nodata = _nodata(levels[:2])
    return AssetFacts(
        crs=_crs(levels),
        transform=_transform(_first(levels, "proj:transform")),
        shape=_shape(_first(levels, "proj:shape")),
        dtype=_dtype(_first(levels[:2], "data_type")),
        nodata=nodata,
        has_nodata=has_nodata,
        scale=_finite(_first(levels[:2], "scale", "raster:scale")),
        offset=_finite(_first(levels[:2], "offset", "raster:offset")),
    )


def _band(asset: Json, band_index: int) -> Json:
    """The band object: `raster:bands` of STAC 1.0 under `bands` of 1.1."""
    merged: dict[str, Any] = {}
    for key in ("raster:bands", "bands"):
        bands = asset.get(key)
        if (
            isinstance(bands, list)
            and len(bands) >= band_index
            and isinstance(bands[band_index - 1], Mapping)
        ):
            merged.update(bands[band_index - 1])
    return merged


def _first(levels: tuple[Json, ...], *keys: str) -> Any:
    for level in levels:
        for key in keys:
            if level.get(key) is not None:
                return level[key]
    return None


def _crs(levels: tuple[Json, ...]) -> str | int | None:
    for level in levels:
        code = level.get("proj:code")
        if isinstance(code, str) and code:
            return code
        epsg = level.get("proj:epsg")
        if isinstance(epsg, int) and not isinstance(epsg, bool):
            return epsg
        wkt = level.get("proj:wkt2")
        if isinstance(wkt, str) and wkt:
            return wkt
    return None


def _transform(value: object) -> Affine | None:
    if not isinstance(value, list) or len(value) not in (6, 9):
        return None
    numbers = [n for n in map(_finite, value) if n is not None]
    return Affine(*numbers[:6]) if len(numbers) == len(value) else None


def _shape(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) and n > 0 for n in value):
        return value[0], value[1]
    return None


def _dtype(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return _dtype_name(value)


@lru_cache(maxsize=64)
def _dtype_name(text: str) -> str | None:
    try:
        return np.dtype(text).name
    except TypeError:
        return None


def _nodata(levels: tuple[Json, ...]) -> tuple[float | None, bool]:
    for level in levels:
        value = level.get("nodata")
        if isinstance(value, str) and value.lower() in _NODATA_WORDS:
            return _NODATA_WORDS[value.lower()], True
        number = _number(value)
        if number is not None:
            return number, True
    return None, False


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return NAN if math.isnan(value) else float(value)
    return None


def _finite(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None
