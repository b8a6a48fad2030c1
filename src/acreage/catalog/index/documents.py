"""Item documents on their way into the index: absolute addresses, no signatures, one digest each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from shapely.geometry.base import BaseGeometry

from acreage.catalog.access.address import is_remote, split_signature, unsigned
from acreage.catalog.access.model import AccessFailed
from acreage.catalog.fetch import resolve
from acreage.catalog.items import Bounds, ItemProblem
from acreage.catalog.properties import value_of
from acreage.catalog.sources import Document, features
from acreage.catalog.stac import Json, MalformedItem, StacItem, item_name, parse_item
from acreage.core.errors import CatalogError

_GONE = (404, 410)


@dataclass(frozen=True)
class Row:
    """An item ready to be kept.

    Attributes:
        item: as parsed.
        document: whole, addresses absolute and unsigned.
        content: it as `to_content` writes it.
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
            problems.append(ItemProblem(document.name, "", str(document.data), "unreadable"))
            continue
        for data in features(document.data):
            try:
                row = _row(data, document.address)
            except MalformedItem as error:
                name = item_name(data, document.address)
                problems.append(ItemProblem(name, "", f"The item is unusable: {error}", error.kind))
                continue
            before = rows.get(row.item.id)
            if before is None or _updated(row) > _updated(before):
                rows[row.item.id] = row
            if before is not None and before.digest != row.digest:
                reason = "The id is used by more than one item; none is used."
                problems.append(ItemProblem(row.item.id, "", reason, "duplicate-id"))
    return list(rows.values()), problems


def may_pass(documents: Sequence[Document]) -> bool:
    """True where a document could not be had for a reason that may pass, such as a busy server."""
    return any(
        isinstance(d.data, AccessFailed) and d.data.kind == "unreadable" and d.data.status not in _GONE
        for d in documents
    )


def to_content(document: Json) -> bytes:
    """The JSON of an item as rows keep it: each asset is a text of its own, parsed when it is asked for."""
    assets = {
        key: orjson.dumps(asset, option=orjson.OPT_SORT_KEYS).decode()
        for key, asset in document["assets"].items()
        if isinstance(asset, Mapping)
    }
    return orjson.dumps({**document, "assets": assets}, option=orjson.OPT_SORT_KEYS)


def of_content(content: bytes) -> dict[str, Any]:
    """The whole item document of a row."""
    document: dict[str, Any] = orjson.loads(content)
    document["assets"] = {key: orjson.loads(text) for key, text in document["assets"].items()}
    return document


class LazyAssets(Mapping[str, Json]):
    """Assets by key, each parsed when it is first asked for: a job reads a dozen of an item's many."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._parsed: dict[str, Json] = {}

    def __getitem__(self, key: str) -> Json:
        """The asset of a key."""
        if key not in self._parsed:
            self._parsed[key] = orjson.loads(self._texts[key])
        return self._parsed[key]

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._texts)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._texts)

    def __contains__(self, key: object) -> bool:
        """True where there is one of this key."""
        return key in self._texts

    def __repr__(self) -> str:
        """The keys, for messages."""
        return f"LazyAssets({sorted(self._texts)})"


def item_of(
    content: bytes,
    geometry: BaseGeometry | None,
    bbox: Bounds,
    start: np.datetime64,
    end: np.datetime64,
) -> StacItem:
    """The item in a row; its address is its self link."""
    document = orjson.loads(content)
    address = document["links"][-1]["href"]
    return StacItem(
        id=document["id"],
        address=address,
        href=address,
        start=start,
        end=end,
        bbox=bbox,
        geometry=geometry,
        properties=document["properties"],
        assets=LazyAssets(document["assets"]),
    )


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
    content = to_content(document)
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)
    return Row(item, document, content, digest, _place(item))


def collection_as_kept(stac: Json) -> dict[str, Any]:
    """A STAC collection without what signs its addresses."""
    cleaned: dict[str, Any] = _with_hrefs(stac, _without_signature)
    return cleaned


def _without_signature(href: str) -> str:
    if is_remote(href):
        return split_signature(href)[0]
    base = "https://here.invalid/"  # a relative address is signed as another is
    return split_signature(base + href)[0].removeprefix(base)


def _without_signatures(data: Json, base: str) -> dict[str, Any]:
    cleaned: dict[str, Any] = _with_hrefs(data, lambda href: unsigned(resolve(href, base)))
    return cleaned


def _with_hrefs(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {str(k): _with_hrefs(v, change, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_hrefs(v, change, key) for v in value]
    return change(value) if key == "href" and isinstance(value, str) else value


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
