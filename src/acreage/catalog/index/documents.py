"""Item documents on their way into the index: absolute addresses, no signatures, one digest each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from acreage.catalog.access.address import unsigned
from acreage.catalog.fetch import resolve
from acreage.catalog.items import ItemProblem
from acreage.catalog.properties import value_of
from acreage.catalog.sources import Document, features
from acreage.catalog.stac import Json, MalformedItem, StacItem, item_name, parse_item
from acreage.core.errors import CatalogError


@dataclass(frozen=True)
class Row:
    """An item ready to be kept.

    Attributes:
        item: as parsed.
        document: whole, addresses absolute and unsigned.
        content: its JSON.
        digest: of the content, to tell whether it changed.
        place: items of one place are kept together.
    """

    item: StacItem
    document: Json
    content: bytes
    digest: int
    place: str


def prepare(documents: Sequence[Document]) -> tuple[list[Row], list[ItemProblem]]:
    """Rows of all usable items, and what is wrong with the others. Of one id the latest `updated` is kept."""
    rows: dict[str, Row] = {}
    problems: list[ItemProblem] = []
    for document in documents:
        if isinstance(document.data, CatalogError):
            problems.append(ItemProblem(document.address, "", str(document.data)))
            continue
        for data in features(document.data):
            try:
                row = _row(data, document.address)
            except MalformedItem as error:
                name = item_name(data, document.address)
                problems.append(ItemProblem(name, "", f"The item is unusable: {error}"))
                continue
            before = rows.get(row.item.id)
            if before is None or _updated(row) > _updated(before):
                rows[row.item.id] = row
            if before is not None and before.digest != row.digest:
                reason = "The id is used by more than one item; only the one updated last is read."
                problems.append(ItemProblem(row.item.id, "", reason))
    return list(rows.values()), problems


def _row(data: Json, address: str) -> Row:
    item = parse_item(data, address)
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        **_without_signatures(data, address),
    }
    document["links"] = [
        *(
            link
            for link in document.get("links") or []
            if isinstance(link, Mapping) and link.get("rel") != "self"
        ),
        {"rel": "self", "href": item.href},
    ]
    document["bbox"] = list(item.bbox)
    content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)
    return Row(item, document, content, digest, _place(item))


def _without_signatures(value: Any, base: str, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {str(k): _without_signatures(v, base, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_signatures(v, base, key) for v in value]
    if key == "href" and isinstance(value, str):
        return unsigned(resolve(value, base))
    return value


def _place(item: StacItem) -> str:
    """The grid tile where one is stated, else the half degree of the middle."""
    tile = value_of(item.properties, "tileId")
    if isinstance(tile, str):
        return tile
    west, south, east, north = item.bbox
    east += 360.0 if west > east else 0.0
    return f"{np.floor(west + east):.0f},{np.floor(south + north):.0f}"


def _updated(row: Row) -> str:
    value = row.item.properties.get("updated") or row.item.properties.get("created")
    return value if isinstance(value, str) else ""
