"""A catalog read through its index: what was asked before is not asked again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from filelock import FileLock

from acreage.catalog.index.changes import Changes
from acreage.catalog.index.coverage import CELL_DEGREES, WORLD, Block, blocks_of, pieces
from acreage.catalog.index.documents import collection_as_kept, may_pass, prepare
from acreage.catalog.index.policy import DAY_MS, IndexPolicy, now_ms
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.query import matches
from acreage.catalog.sources import Document, ItemSource
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError
from acreage.core.temporal import format_instant

if TYPE_CHECKING:
    from acreage.catalog.index.store import CollectionStore

Told = Callable[[str, int, int], None]


class DocumentSource(ItemSource, Protocol):
    """A catalog whose answers can be kept.

    Attributes:
        whole: every search reads the whole collection, whatever area is asked.
    """

    whole: bool

    def documents(self, collection: str, bounds: Bounds, interval: Interval) -> Sequence[Document]:
        """Item documents that touch an area and a half-open interval.

        Raises:
            CatalogError: the answer is not complete.
        """
        ...


@dataclass(frozen=True)
class IndexReport:
    """What is kept of one collection.

    Attributes:
        collection: its id in the catalog.
        items: how many.
        degrees: square degrees of longitude and latitude that were asked for.
        whole: all of the collection was asked for.
        asked: first and last time it was asked, ms since 1970; None where it never was.
        size: bytes on disk.
        problems: what could not be used.
        folder: where it lies.
    """

    collection: str
    items: int
    degrees: float
    whole: bool
    asked: tuple[int, int] | None
    size: int
    problems: int
    folder: Path


class IndexedSource:
    """A catalog behind its index. Safe with several threads, and with several processes on one folder.

    Attributes:
        filters: False: what a filter leaves out is to be kept as well.

    Args:
        address: the catalog's.
        policy: where indexes lie and how old they may be.
        opener: opens the catalog itself; called only where the index does not suffice.
        server: what tells it from a catalog at the same address elsewhere, such as the endpoint of a bucket.
    """

    filters = False

    def __init__(
        self, address: str, policy: IndexPolicy, opener: Callable[[], DocumentSource], server: str = ""
    ) -> None:
        self._address = address
        self._policy = policy
        self._opener = opener
        self._inner: DocumentSource | None = None
        self._lock = threading.RLock()
        self._stores: dict[str, CollectionStore] = {}
        self._collections: Mapping[str, Json] | None = None
        self._asked_now = False
        self._incomplete: set[str] = set()  # catalogs read whole, of which some documents could not be had
        self.folder = policy.folder / slug(f"{server.rstrip('/')}/{address}" if server else address)

    @property
    def address(self) -> str:
        """The catalog's address."""
        return self._address

    def stac_collections(self) -> Mapping[str, Json]:
        """The STAC collection objects by id, as last asked."""
        with self._lock:
            if self._collections is None:
                self._collections = self._kept_collections() or self._ask_collections()
            return self._collections

    def age_of_collections(self) -> str:
        """When it was asked for its collections, for a person; empty where that is just now."""
        path = self.folder / "catalog.json"
        if self._asked_now or not path.exists():
            return ""
        age = _age_text((now_ms() - int(json.loads(path.read_text("utf-8"))["asked"])) / DAY_MS)
        return f"It was asked for them {age} ago; `acreage index --refresh` asks anew."

    def sample(self, collection: str) -> StacItem | None:
        """Any item, from the index where it has one."""
        return self._store(collection).any_item() or self.inner.sample(collection)

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """As `ItemSource.find`. The catalog is asked for what the index lacks, without the filters."""
        self.complete(collection, bounds, interval)
        store = self._store(collection)
        found = store.find(bounds, interval)
        problems = {p: None for block in blocks_of(bounds, interval) for p in store.problems(block)}
        return [item for item in found if not query or matches(item.properties, query)], list(problems)

    def notes(self, collection: str, bounds: Bounds, interval: Interval) -> tuple[str, ...]:
        """How old the answer about an area and interval is, for a person."""
        store = self._store(collection)
        times = [store.asked_at(block) for block in blocks_of(bounds, interval)]
        known = [t for t in times if t is not None]
        if not known:
            return ()
        age = (now_ms() - min(known)) / DAY_MS
        when = format_instant(np.datetime64(min(known), "ms"))
        return (
            f"{collection}: items from the index, asked of {self._address} {_age_text(age)} ago ({when}); "
            "`acreage index --refresh` asks anew",
        )

    def complete(
        self, collection: str, bounds: Bounds, interval: Interval, told: Told | None = None
    ) -> Changes:
        """Ask the catalog for what the index lacks.

        Args:
            collection: id in the catalog.
            bounds: west, south, east, north in degrees.
            interval: half-open.
            told: called with the collection, searches done and searches to do.

        Returns
        -------
        What became of the items.

        Raises:
            CatalogError: the catalog cannot be reached or gave no complete answer. What was answered before
                is kept, so that asking again goes on from there.
        """
        store, limit = self._store(collection), self._policy.not_before
        wanted = blocks_of(bounds, interval)
        changes = Changes()
        if collection in self._incomplete or not any(store.missing(block, limit) for block in wanted):
            return changes
        with self._lock, store.writing():
            stac = self.stac_collections().get(collection, {})
            if self.inner.whole:
                todo = [WORLD] if any(store.missing(block, limit) for block in wanted) else []
            else:
                todo = [p for block in wanted for m in store.missing(block, limit) for p in pieces(m)]
            try:
                for number, block in enumerate(todo):
                    if told is not None:
                        told(collection, number, len(todo))
                    at = now_ms()
                    documents = self.inner.documents(collection, block.bounds, block.interval)
                    rows, problems = prepare(documents)
                    if may_pass(documents):  # the next job asks again; this one has asked with patience
                        self._incomplete.add(collection)
                        changes += store.add_part(block, rows, problems, stac)
                    else:
                        changes += store.add(block, rows, problems, stac, at)
                    store.settle(stac)
            finally:
                if told is not None:
                    told(collection, len(todo), len(todo))
        return changes

    def report(self, collection: str) -> IndexReport:
        """What is kept of a collection."""
        store = self._store(collection)
        asked = store.manifest.asked
        cells = _area([a.block for a in asked])
        return IndexReport(
            collection=collection,
            items=store.count,
            degrees=cells * CELL_DEGREES**2,
            whole=any(a.block == WORLD for a in asked),
            asked=(min(a.at for a in asked), max(a.at for a in asked)) if asked else None,
            size=store.size,
            problems=len({p for p, _ in store.manifest.problems}),
            folder=store.folder,
        )

    def export(self, collection: str, folder: Path) -> int:
        """Write what is kept of a collection as `COLLECTION.parquet`; returns the number of items."""
        stac = self.stac_collections().get(collection, {})
        return self._store(collection).export(folder / f"{slug(collection)}.parquet", stac)

    @property
    def inner(self) -> DocumentSource:
        """The catalog itself, opened when first needed."""
        with self._lock:
            if self._inner is None:
                self._inner = self._opener()
            return self._inner

    def _store(self, collection: str) -> CollectionStore:
        # pyarrow and pandas are loaded here: most catalogs of files are read without an index.
        from acreage.catalog.index.store import CollectionStore

        with self._lock:
            if collection not in self._stores:
                self._stores[collection] = CollectionStore(self.folder / slug(collection), collection)
            return self._stores[collection]

    def _kept_collections(self) -> Mapping[str, Json] | None:
        path = self.folder / "catalog.json"
        try:
            kept = json.loads(path.read_text("utf-8"))
            found, asked = dict(kept["collections"]), int(kept["asked"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CatalogError(
                f"The index file {path} cannot be read: {error}.", hint="Remove it; it is written anew."
            ) from error
        limit = self._policy.not_before
        return found if limit is None or asked >= limit else None

    def _ask_collections(self) -> Mapping[str, Json]:
        asked = now_ms()
        self._asked_now = True
        stated = self.inner.stac_collections()
        found = {identifier: collection_as_kept(stac) for identifier, stac in stated.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            path = self.folder / "catalog.json"
            aside = path.with_suffix(".json.part")
            document = {"address": self._address, "asked": asked, "collections": found}
            aside.write_text(json.dumps(document), "utf-8")
            os.replace(aside, path)
        return found


def slug(text: str) -> str:
    """A folder name for an address or id: readable, and not that of another one."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"^[a-z]+://", "", text)).strip("._")[:60]
    if readable == text:
        return readable
    return f"{readable}-{hashlib.sha256(text.rstrip('/').encode()).hexdigest()[:8]}"


def _area(blocks: Sequence[Block]) -> int:
    """Cells that any of the blocks has."""
    cells = np.zeros((WORLD.y1, WORLD.x1), bool)
    for block in blocks:
        cells[block.y0 : block.y1, block.x0 : block.x1] = True
    return int(cells.sum())


def _age_text(days: float) -> str:
    if days >= 2:
        return f"{days:.0f} days"
    hours = days * 24
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
