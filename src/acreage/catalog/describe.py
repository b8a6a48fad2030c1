"""What users and the engine are told of a collection: its definition, with what the catalog states of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acreage.catalog.definition import BandDefinition, CollectionDefinition
from acreage.catalog.items import BandInfo, Bounds, CollectionInfo, Interval
from acreage.catalog.sources import UNDATED, ItemIndex, overall_bounds
from acreage.catalog.stac import Json
from acreage.core.errors import InvalidInput
from acreage.core.temporal import parse_instant

_WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)


def described(
    collection_id: str,
    source_id: str,
    definition: CollectionDefinition,
    stac: Json,
    items: ItemIndex | None,
) -> CollectionInfo:
    """A collection as it is shown.

    Args:
        collection_id: openEO collection id.
        source_id: its id in the catalog.
        definition: of the collection, with those bands only that the catalog has.
        stac: the catalog's STAC collection.
        items: its items where they are at hand; they tell the extent that the catalog does not state.
    """
    return CollectionInfo(
        id=collection_id,
        title=definition.title or _string(stac, "title") or collection_id,
        description=definition.description or _string(stac, "description"),
        bands=tuple(_band_info(band) for band in definition.bands),
        bboxes=_bboxes(stac, items),
        interval=_interval(stac, items),
        mosaic=definition.mosaic,
        mosaic_reference=_reference(definition),
        attributes=definition.attributes_for(source_id),
        license=definition.license if definition.license != "other" else _string(stac, "license") or "other",
        providers=definition.providers or _mappings(stac.get("providers")),
        keywords=definition.keywords or _strings(stac.get("keywords")),
        source_collection=source_id,
        cell_degrees=definition.cell_degrees,
    )


def _band_info(band: BandDefinition) -> BandInfo:
    return BandInfo(
        name=band.name,
        common_name=band.common_name,
        dtype=band.dtype,
        nodata=band.nodata,
        scale=band.scale,
        offset=band.offset,
        gsd=band.gsd,
        unit=band.unit,
        categorical=band.categorical,
        description=band.description,
    )


def _bboxes(stac: Json, items: ItemIndex | None) -> tuple[Bounds, ...]:
    """The extents that the collection states, else the items', else the world."""
    try:
        stated = [tuple(map(float, b)) for b in stac["extent"]["spatial"]["bbox"]]
        boxes = [(b[0], b[1], b[len(b) // 2], b[len(b) // 2 + 1]) for b in stated if len(b) in (4, 6)]
    except (KeyError, TypeError, ValueError):
        boxes = []
    if boxes:
        return tuple(boxes)
    measured = overall_bounds(items.items) if items is not None else None
    return (measured or _WORLD,)


def _interval(stac: Json, items: ItemIndex | None) -> Interval:
    """The first and last instant that the collection states, else the items'."""
    stated = stated_interval(stac)
    if stated != (None, None) or items is None:
        return stated
    dated = [i for i in items.items if not i.properties.get(UNDATED)]
    return (min(i.start for i in dated), max(i.end for i in dated)) if dated else (None, None)


def stated_interval(stac: Json) -> Interval:
    """The overall interval that a STAC collection states, open where it does not."""
    try:
        start, end = stac["extent"]["temporal"]["interval"][0]
        return _instant(start), _instant(end)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, InvalidInput):
        return None, None


def _instant(value: str | None) -> np.datetime64 | None:
    return None if value is None else parse_instant(value)


def _reference(definition: CollectionDefinition) -> str | None:
    """The reference band where the catalog has it."""
    names = {band.name for band in definition.bands}
    return definition.mosaic_reference if definition.mosaic_reference in names else None


def _string(stac: Json, key: str) -> str:
    value = stac.get(key)
    return value if isinstance(value, str) else ""


def _strings(value: object) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _mappings(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(v for v in value if isinstance(v, Mapping)) if isinstance(value, list) else ()
