"""Static STAC: catalogs, collections and items as JSON documents in files or at addresses."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acreage.catalog.fetch import Fetcher, resolve
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.query import matches
from acreage.catalog.sources import Document, ItemIndex, features, parse_documents
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError

_MAX_CATALOGS = 10_000


@dataclass
class StaticCollection:
    """A collection and where its items are.

    Attributes:
        stac: the STAC collection object.
        item_addresses: items that are yet to be read.
        documents: items that were read already.
    """

    stac: Json
    item_addresses: list[str] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


class StaticSource:
    """A static catalog. Collections are known at once; their items are read once, when first asked for.

    Attributes:
        whole: every search reads all items of a collection.
        filters: as `ItemSource` says.
    """

    whole = True
    filters = False

    def __init__(self, address: str, collections: Mapping[str, StaticCollection], fetcher: Fetcher) -> None:
        self._address = address
        self._collections = dict(collections)
        self._fetcher = fetcher
        self._read: dict[str, tuple[ItemIndex, list[ItemProblem]]] = {}
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where it was opened."""
        return self._address

    def stac_collections(self) -> Mapping[str, Json]:
        """The STAC collection objects by id."""
        return {identifier: collection.stac for identifier, collection in self._collections.items()}

    def sample(self, collection: str) -> StacItem | None:
        """The first item, None where there is none."""
        items = self.index(collection)[0].items
        return items[0] if items else None

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """As `ItemSource.find`. What could not be read may lie anywhere, so every search reports it."""
        index, problems = self.index(collection)
        found = index.find(bounds, interval)
        return [item for item in found if not query or matches(item.properties, query)], list(problems)

    def index(self, collection: str) -> tuple[ItemIndex, list[ItemProblem]]:
        """The items of a collection, with what could not be read of it."""
        with self._lock:
            if collection not in self._read:
                items, problems = parse_documents(self._documents(collection))
                self._read[collection] = ItemIndex(items), problems
            return self._read[collection]

    def documents(self, collection: str, bounds: Bounds, interval: Interval) -> Sequence[Document]:
        """All item documents of a collection, whatever area and interval are asked."""
        return self._documents(collection)

    def _documents(self, collection: str) -> list[Document]:
        found = self._collections[collection]
        answers = self._fetcher.read_many(found.item_addresses)
        new = [Document(a, d) for a, d in zip(found.item_addresses, answers, strict=True)]
        return [*found.documents, *new]


def open_static(address: str, root: Json, fetcher: Fetcher) -> StaticSource:
    """Open a static catalog from its root document: a catalog, a collection, an item or a feature collection.

    Raises:
        CatalogError: a document that it links as a child cannot be read, or an id is used twice.
    """
    if root.get("type") in ("Feature", "FeatureCollection"):
        return StaticSource(address, group_documents([Document(address, root)], {}), fetcher)
    collections: dict[str, StaticCollection] = {}
    pending: list[tuple[str, Json, str | None]] = [(address, root, None)]
    seen = {address}
    while pending:
        children: dict[str, str | None] = {}
        for at, document, above in pending:
            owner = _collect(at, document, above, collections)
            children.update((child, owner) for child in _links(document, at, "child") if child not in seen)
        seen.update(children)
        if len(seen) > _MAX_CATALOGS:
            raise CatalogError(
                f"{address} has more than {_MAX_CATALOGS} catalogs below it.",
                hint="Open one of its collections.",
            )
        answers = fetcher.read_many(children)
        pending = [
            (at, _or_raise(answer), owner)
            for (at, owner), answer in zip(children.items(), answers, strict=True)
        ]
    if not collections:
        raise CatalogError(
            f"{address} holds no collections.", hint="Give a STAC catalog with child collections."
        )
    return StaticSource(address, collections, fetcher)


def _or_raise(answer: Mapping[str, Any] | CatalogError) -> Json:
    if isinstance(answer, CatalogError):
        raise answer
    return answer


def _collect(at: str, document: Json, above: str | None, into: dict[str, StaticCollection]) -> str | None:
    """Take a document's item links for the collection that it is or stands below; return that one's id.

    Items of a plain catalog below no collection stand under the catalog's own id.
    """
    kind, identifier = document.get("type"), document.get("id")
    if kind not in ("Catalog", "Collection"):
        raise CatalogError(
            f"{at} is not STAC: its type is {kind!r}, not Catalog, Collection or Feature.",
            hint="Give a catalog.json, a collection.json or an item.",
        )
    if not isinstance(identifier, str) or not identifier:
        raise CatalogError(f"{at} has no id, which every STAC {kind} needs.")
    items = _links(document, at, "item")
    if kind == "Collection":
        if identifier in into:
            raise CatalogError(f"{at}: the collection id {identifier!r} is used twice in this catalog.")
        into[identifier] = StaticCollection(document, items)
        return identifier
    if items and above is None:
        into.setdefault(
            identifier, StaticCollection({**document, "type": "Collection"})
        ).item_addresses += items
    elif items and above is not None:
        into[above].item_addresses += items
    return above


def _links(document: Json, at: str, relation: str) -> list[str]:
    links = document.get("links")
    return [
        resolve(link["href"], at)
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, Mapping) and link.get("rel") == relation and isinstance(link.get("href"), str)
    ]


def group_documents(
    documents: Sequence[Document], collections: Mapping[str, Json]
) -> dict[str, StaticCollection]:
    """Loose items sorted into collections by their `collection` field; those without one are under `items`.

    Raises:
        CatalogError: a document could not be read, so that nobody can say to which collection it belongs.
    """
    grouped = {identifier: StaticCollection(stac) for identifier, stac in collections.items()}
    for document in documents:
        if isinstance(document.data, CatalogError):
            raise document.data
        for member in features(document.data):
            named = member.get("collection")
            identifier = named if isinstance(named, str) and named else "items"
            home = grouped.setdefault(identifier, StaticCollection({"type": "Collection", "id": identifier}))
            home.documents.append(Document(document.address, member))
    return grouped
