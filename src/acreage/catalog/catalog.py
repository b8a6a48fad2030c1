"""The catalog that the engine sees: openEO collections over one or more published catalogs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acreage.catalog.access import EVERYWHERE, Reach, is_remote
from acreage.catalog.clock import drop_clock_faults, present, strays
from acreage.catalog.definition import CollectionDefinition
from acreage.catalog.derive import derive_definition
from acreage.catalog.describe import described
from acreage.catalog.grouping import drop_superseded
from acreage.catalog.headers import HeaderCache
from acreage.catalog.index import Changes, IndexedSource, IndexReport
from acreage.catalog.index.source import Told
from acreage.catalog.items import (
    Bounds,
    CollectionInfo,
    Interval,
    ItemProblem,
    Search,
)
from acreage.catalog.query import check_known, check_query, matches, pushable
from acreage.catalog.radar import of_polarisations
from acreage.catalog.rasters import resolve_items
from acreage.catalog.sources import UNDATED, ItemIndex, ItemSource, is_geoparquet
from acreage.catalog.stac import StacItem
from acreage.catalog.static import StaticSource
from acreage.core.errors import CollectionNotFound, InvalidInput, LabelNotAvailable


def not_found(
    collection_id: str, available: Sequence[str], where: str, source: ItemSource | None = None
) -> CollectionNotFound:
    """The error for a collection that a catalog does not have; `source` is asked how old its list is."""
    listed = ", ".join(sorted(available)) or "none"
    age = source.age_of_collections() if isinstance(source, IndexedSource) else ""
    return CollectionNotFound(
        f"There is no collection {collection_id!r} in {where}.", hint=f"It has: {listed}. {age}".rstrip()
    )


@dataclass(frozen=True)
class Entry:
    """An openEO collection and where it comes from.

    Attributes:
        source_id: id in the published catalog.
        definition: names and rules; None where it is to be derived from the STAC metadata.
        reach: how its files are reached.
    """

    source_id: str
    definition: CollectionDefinition | None
    reach: Reach = EVERYWHERE


class SourceCatalog:
    """openEO collections over one published catalog.

    Args:
        source: the published catalog.
        entries: openEO collection id -> where it comes from.
    """

    def __init__(self, source: ItemSource, entries: Mapping[str, Entry]) -> None:
        self._source = source
        self._entries = dict(entries)
        self._headers = HeaderCache()
        self._definitions: dict[str, CollectionDefinition] = {}
        self._samples: dict[str, StacItem | None] = {}
        self._lock = threading.Lock()

    def collections(self) -> tuple[str, ...]:
        """As `Catalog.collections`."""
        return tuple(self._entries)

    def describe(self, collection_id: str) -> CollectionInfo:
        """As `Catalog.describe`."""
        entry, definition = self._entry(collection_id)
        stac = self._source.stac_collections().get(entry.source_id, {})
        items = _local_items(self._source, entry.source_id)
        return described(collection_id, entry.source_id, definition, stac, items)

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        """As `Catalog.search`."""
        entry, definition = self._entry(collection_id)
        _check_bounds(bounds)
        check_query(query or {})
        wanted = [b for b in definition.bands if bands is None or b.name in bands]
        unknown = [name for name in bands or () if name not in {b.name for b in wanted}]
        if unknown:
            raise LabelNotAvailable(
                f"Collection {collection_id!r} has no band {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(b.name for b in definition.bands)}."
            )
        interval = _span(interval, definition)
        static = definition.mosaic == "static"
        found, problems = self._source.find(
            entry.source_id, bounds, interval, self._pushed(entry, definition, query or {})
        )
        found = [_with_defaults(item, definition) for item in found]
        found, single = of_polarisations(found, definition)
        undated: list[ItemProblem] = []
        if not static:
            found, undated = _dated(found)
            found, wrong = drop_clock_faults(found, present())
            undated += [*wrong, *self._strays(entry.source_id, bounds, interval)]
        kept, superseded = drop_superseded(found, definition.mosaic)
        check_known(query or {}, [item.properties for item in kept], collection_id)
        passing = [item for item in kept if matches(item.properties, query or {})]
        items, faults = resolve_items(passing, definition, wanted, self._headers, reach=entry.reach)
        usable = {item.id for item in items}
        return Search(
            items=tuple(sorted(items, key=lambda i: (i.datetime, i.group, i.rank, i.id))),
            problems=tuple(sorted([*problems, *undated, *faults], key=lambda p: (p.item, p.asset, p.reason))),
            superseded=tuple(superseded),
            filtered=tuple(sorted({item.id for item in kept} - {item.id for item in passing})),
            notes=(*self._notes(entry, bounds, interval), *single),
            lost=tuple(item.bbox for item in passing if item.id not in usable),
        )

    def _strays(self, source_id: str, bounds: Bounds, interval: Interval) -> list[ItemProblem]:
        """Items whose wrong time hides them from a search, where the source's items are all at hand."""
        items = _local_items(self._source, source_id)
        if items is None or interval == (None, None):
            return []
        inside = {item.id for item in items.find(bounds, interval)}
        return strays([i for i in items.find(bounds) if i.id not in inside], interval, present())

    def gather(
        self, collection_id: str, bounds: Bounds, interval: Interval, told: Told | None = None
    ) -> tuple[Changes, IndexReport]:
        """Fill the index for an area and interval, as a search would.

        Args:
            collection_id: openEO collection id.
            bounds: west, south, east, north in degrees.
            interval: half-open.
            told: called with the collection, searches done and searches to do.

        Returns
        -------
        What became of the items, and what the index holds now.

        Raises:
            CollectionNotFound: it is not in this catalog.
            InvalidInput: the catalog is not read through an index.
            CatalogError: the catalog cannot be reached or gave no complete answer.
        """
        entry, definition = self._entry(collection_id)
        _check_bounds(bounds)
        source = self._indexed()
        changes = source.complete(entry.source_id, bounds, _span(interval, definition), told)
        return changes, source.report(entry.source_id)

    def indexed(self, collection_id: str) -> IndexReport:
        """What the index holds of a collection.

        Raises:
            CollectionNotFound: it is not in this catalog.
            InvalidInput: the catalog is not read through an index.
        """
        return self._indexed().report(self._entry(collection_id)[0].source_id)

    def export(self, collection_id: str, folder: Path) -> int:
        """Write what the index holds of a collection as stac-geoparquet; returns the number of items.

        Raises:
            CollectionNotFound: it is not in this catalog.
            InvalidInput: the catalog is not read through an index.
        """
        return self._indexed().export(self._entry(collection_id)[0].source_id, folder)

    def _indexed(self) -> IndexedSource:
        if isinstance(self._source, IndexedSource):
            return self._source
        if not is_remote(self._source.address) and is_geoparquet(Path(self._source.address)):
            raise InvalidInput(
                f"{self._source.address} is stac-geoparquet, which is searched as it is: it needs no index.",
                hint="Name other collections with --collections, where the catalog has such.",
            )
        raise InvalidInput(
            f"{self._source.address} is read without an index.",
            hint="Set ACREAGE_INDEX_USE=always to keep one for catalogs at hand as well.",
        )

    def _notes(self, entry: Entry, bounds: Bounds, interval: Interval) -> tuple[str, ...]:
        if not isinstance(self._source, IndexedSource):
            return ()
        return self._source.notes(entry.source_id, bounds, interval)

    def _pushed(
        self, entry: Entry, definition: CollectionDefinition, query: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """What a catalog may filter by itself; never by what items are given here where they lack it.

        Elsewhere all items are at hand, and those left out are to be listed.
        """
        if not query or not self._source.filters:
            return None
        with self._lock:
            if entry.source_id not in self._samples:
                self._samples[entry.source_id] = self._source.sample(entry.source_id)
            sample = self._samples[entry.source_id]
        if sample is None:
            return None
        known = {k: v for k, v in sample.properties.items() if k not in definition.properties}
        return pushable(query, known, supersedes=definition.mosaic == "solar-day-datatake") or None

    def _entry(self, collection_id: str) -> tuple[Entry, CollectionDefinition]:
        entry = self._entries.get(collection_id)
        if entry is None:
            raise not_found(collection_id, self.collections(), self._source.address, self._source)
        with self._lock:
            if collection_id not in self._definitions:
                self._definitions[collection_id] = self._define(collection_id, entry)
            return entry, self._definitions[collection_id]

    def _define(self, collection_id: str, entry: Entry) -> CollectionDefinition:
        """The definition, derived where there is none, with those bands only that the catalog has."""
        stac = self._source.stac_collections().get(entry.source_id, {})
        if entry.definition is None:
            return derive_definition(collection_id, stac, lambda: self._source.sample(entry.source_id))
        items = _local_items(self._source, entry.source_id)
        if items is not None:
            keys = {key for item in items.items for key in item.assets}
        else:
            keys = set(stac["item_assets"]) if isinstance(stac.get("item_assets"), Mapping) else set()
        definition = entry.definition.for_source(entry.source_id)
        offered = tuple(band for band in definition.bands if keys & set(band.assets))
        return definition.model_copy(update={"bands": offered}) if offered else definition


class CompositeCatalog:
    """Several catalogs as one; each collection comes from exactly one of them.

    Args:
        where: what it was opened from, for messages.
        parts: openEO collection id -> its catalog, which knows it under the same id.
    """

    def __init__(self, where: str, parts: Mapping[str, SourceCatalog]) -> None:
        self._where = where
        self._parts = dict(parts)

    def collections(self) -> tuple[str, ...]:
        """As `Catalog.collections`."""
        return tuple(self._parts)

    def describe(self, collection_id: str) -> CollectionInfo:
        """As `Catalog.describe`."""
        return self._part(collection_id).describe(collection_id)

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        """As `Catalog.search`."""
        return self._part(collection_id).search(collection_id, bounds, interval, bands, query)

    def gather(
        self, collection_id: str, bounds: Bounds, interval: Interval, told: Told | None = None
    ) -> tuple[Changes, IndexReport]:
        """As `SourceCatalog.gather`."""
        return self._part(collection_id).gather(collection_id, bounds, interval, told)

    def indexed(self, collection_id: str) -> IndexReport:
        """As `SourceCatalog.indexed`."""
        return self._part(collection_id).indexed(collection_id)

    def export(self, collection_id: str, folder: Path) -> int:
        """As `SourceCatalog.export`."""
        return self._part(collection_id).export(collection_id, folder)

    def _part(self, collection_id: str) -> SourceCatalog:
        if collection_id not in self._parts:
            raise not_found(collection_id, self.collections(), self._where)
        return self._parts[collection_id]


def _check_bounds(bounds: Bounds) -> None:
    west, south, east, north = bounds
    if (
        not all(map(np.isfinite, bounds))
        or south > north
        or min(west, east) < -180.001
        or max(west, east) > 180.001
    ):
        raise InvalidInput(
            f"{bounds} are not bounds in degrees.",
            hint="Give west, south, east, north; longitudes -180 to 180.",
        )


def _span(interval: Interval, definition: CollectionDefinition) -> Interval:
    """The interval that is searched: a layer without time has all that belongs to it."""
    return definition.window if definition.mosaic == "static" else _cut(interval, definition.window)


def _cut(interval: Interval, window: Interval) -> Interval:
    """The common part of two intervals."""
    starts = [s for s in (interval[0], window[0]) if s is not None]
    ends = [e for e in (interval[1], window[1]) if e is not None]
    return (max(starts) if starts else None, min(ends) if ends else None)


def _with_defaults(item: StacItem, definition: CollectionDefinition) -> StacItem:
    if not definition.properties:
        return item
    return StacItem(**{**vars(item), "properties": {**definition.properties, **item.properties}})


def _dated(items: Sequence[StacItem]) -> tuple[list[StacItem], list[ItemProblem]]:
    reason = "Its name holds no date."
    problems = [ItemProblem(item.id, "", reason) for item in items if item.properties.get(UNDATED)]
    return [item for item in items if not item.properties.get(UNDATED)], problems


def _local_items(source: ItemSource, source_id: str) -> ItemIndex | None:
    """Items that are at hand without a search."""
    return source.index(source_id)[0] if isinstance(source, StaticSource) else None
