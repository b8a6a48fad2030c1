"""The kept items of one collection: parts on disk, a manifest that says which hold, what was asked and when.

A folder holds `manifest.json`, and for each part `NNNNNN.parquet` (stac-geoparquet) and `NNNNNN.rows`. Files
are written aside and moved into place; the manifest last, so that a reader has either the old or the new
state. Whoever writes holds the file lock `lock`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from filelock import FileLock
from shapely.geometry.base import BaseGeometry

from acreage.catalog.index.changes import Changes
from acreage.catalog.index.coverage import WORLD, Asked, Block, missing, oldest, with_asked
from acreage.catalog.index.documents import Row, of_content
from acreage.catalog.index.exchange import documents_to_table, joined, write_items
from acreage.catalog.index.manifest import Manifest, PartEntry
from acreage.catalog.index.policy import now_ms
from acreage.catalog.index.rows import RowFile, order, readable, to_table, write_rows
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.properties import value_of
from acreage.catalog.sources import touches
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError

T = TypeVar("T")
_Stamp = tuple[int, int, int]  # of a file: time of change, size, number
_MANY_PARTS = 8
_LARGE_PART = 16_384
# Servers and we may differ about an item that only grazes a block's border: it does not count as vanished.
_GRAZING = 0.01


@dataclass
class CollectionStore:
    """Kept items of one collection. Readers need no lock.

    Args:
        folder: where its files are.
        collection: id in the catalog.
    """

    folder: Path
    collection: str
    _state: Manifest = field(default_factory=Manifest, repr=False)
    _stamp: _Stamp | None = field(default=None, repr=False)
    _files: dict[str, tuple[_Stamp, RowFile]] = field(default_factory=dict, repr=False)
    _ids: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict, repr=False)

    @property
    def manifest(self) -> Manifest:
        """The present state.

        Raises:
            CatalogError: the manifest cannot be read or is not one.
        """
        path = self.folder / "manifest.json"
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._state, self._stamp = Manifest.of_json(path.read_bytes()), stamp
                names = {part.name for part in self._state.parts}
                self._files = {name: file for name, file in self._files.items() if name in names}
        except FileNotFoundError:
            self._state, self._stamp = Manifest(), None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CatalogError(
                f"The index at {self.folder} cannot be read: {error}.",
                hint="Remove that folder; it is built anew when it is next needed.",
            ) from error
        return self._state

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield

    def missing(self, block: Block, not_before: int | None) -> list[Block]:
        """What of a block is yet to be asked."""
        return missing(self.manifest.asked, block, now_ms(), not_before)

    def asked_at(self, block: Block) -> int | None:
        """When the part of a block asked longest ago was asked."""
        return oldest(self.manifest.asked, block)

    def find(self, bounds: Bounds, interval: Interval) -> list[StacItem]:
        """Items that touch the bounds and the half-open interval."""
        found = self._reading(lambda: self._hits(bounds, interval))
        return [item for item in found if touches(item, bounds)]

    def problems(self, block: Block) -> list[ItemProblem]:
        """What could not be used of the answers about a block."""
        return [problem for problem, where in self.manifest.problems if where.touches(block)]

    def any_item(self) -> StacItem | None:
        """An item, None where there is none."""

        def first() -> StacItem | None:
            for part in self.manifest.parts:
                rows = np.setdiff1d(np.arange(part.rows), part.dropped)[:1]
                if len(rows):
                    return self._file(part.name).items(rows)[0]
            return None

        return self._reading(first)

    def export(self, path: Path, stac: Json) -> int:
        """Write all that is kept into one stac-geoparquet file; returns the number of items."""

        def read() -> list[pa.Table]:
            return [self._items(part) for part in self.manifest.parts]

        tables = [table for table in self._reading(read) if len(table)]
        if not tables:
            return 0
        whole = joined(tables)
        if whole is None:
            rows = [self._file(p.name).table().take(_kept(p)) for p in self.manifest.parts]
            contents = pa.concat_tables(rows)["item"].to_pylist()
            whole = documents_to_table([of_content(content) for content in contents])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_items(whole, _aside(path), self.collection, stac)
        os.replace(_aside(path), path)
        return len(whole)

    @property
    def count(self) -> int:
        """Number of items."""
        return sum(part.rows - len(part.dropped) for part in self.manifest.parts)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(p.stat().st_size for p in self.folder.iterdir()) if self.folder.is_dir() else 0

    # --- writing, with the lock held --------------------------------------------------------------------

    def add(
        self, block: Block, rows: Sequence[Row], problems: Iterable[ItemProblem], stac: Json, at: int
    ) -> Changes:
        """Take the complete answer about a block: new and changed items in, vanished ones out."""
        vanished = self._vanished(self.manifest, block, {row.item.id for row in rows})
        return self._take(block, rows, problems, stac, vanished, Asked(block, at))

    def add_part(
        self, block: Block, rows: Sequence[Row], problems: Iterable[ItemProblem], stac: Json
    ) -> Changes:
        """Take an answer that lacks items: nothing vanishes, and the block is to be asked again."""
        return self._take(block, rows, problems, stac, {}, None)

    def _take(
        self,
        block: Block,
        rows: Sequence[Row],
        problems: Iterable[ItemProblem],
        stac: Json,
        vanished: Mapping[str, tuple[str, int]],
        asked: Asked | None,
    ) -> Changes:
        state = self.manifest
        known = self._known(state, [row.item.id for row in rows])
        new = [row for row in rows if row.item.id not in known]
        changed = [row for row in rows if row.item.id in known and known[row.item.id][2] != row.digest]
        before = {row.item.id: self._one(known[row.item.id]) for row in changed}
        parts = state.parts_without([known[row.item.id][:2] for row in changed] + list(vanished.values()))
        number = state.next
        if new or changed:
            parts = (*parts, self._write(number, [*new, *changed], stac))
            number += 1
        kept = tuple((p, b) for p, b in state.problems if not block.holds(b))
        self._save(
            Manifest(
                parts,
                state.asked if asked is None else tuple(with_asked(state.asked, asked)),
                (*kept, *((problem, block) for problem in problems)),
                number,
            )
        )
        return Changes(
            tuple(sorted(row.item.id for row in new)),
            tuple(sorted(vanished)),
            tuple(sorted(_change(row.item, before[row.item.id]) for row in changed)),
        )

    def settle(self, stac: Json) -> None:
        """Join small parts and write those anew that hold dropped rows; remove files that nothing names."""
        state = self.manifest
        small = sorted((p for p in state.parts if p.rows < _LARGE_PART), key=lambda p: p.rows)
        chosen = [p for p in state.parts if p.dropped]
        if len(small) >= _MANY_PARTS:
            total = np.cumsum([p.rows for p in small])
            chosen += [p for p, n in zip(small, total, strict=True) if n <= 2 * _LARGE_PART and not p.dropped]
        if chosen:
            others = tuple(p for p in state.parts if p not in chosen)
            joined_part = self._join(state.next, chosen, stac)
            parts = others if joined_part is None else (*others, joined_part)
            self._save(Manifest(parts, state.asked, state.problems, state.next + 1))
        names = {p.name for p in self.manifest.parts}
        for path in self.folder.iterdir():
            if path.suffix in (".parquet", ".rows", ".part") and path.stem not in names:
                path.unlink(missing_ok=True)

    def _known(self, state: Manifest, wanted: Sequence[str]) -> dict[str, tuple[str, int, int]]:
        """Part, row and digest of those of the ids that are kept."""
        names = {part.name for part in state.parts}
        self._ids = {name: ids for name, ids in self._ids.items() if name in names}
        for part in state.parts:
            file = self._file(part.name)
            if part.name not in self._ids:
                table = file.columns("id", "digest")
                pairs = zip(table["id"].to_pylist(), table["digest"].to_pylist(), strict=True)
                self._ids[part.name] = {i: (row, digest) for row, (i, digest) in enumerate(pairs)}
        known: dict[str, tuple[str, int, int]] = {}
        for part in state.parts:
            ids, gone = self._ids[part.name], set(part.dropped)
            for identifier in wanted:
                at = ids.get(identifier)
                if at is not None and at[0] not in gone:
                    known[identifier] = (part.name, *at)
        return known

    def _vanished(self, state: Manifest, block: Block, answered: set[str]) -> dict[str, tuple[str, int]]:
        """Items that the answer about a block should have, were they still there.

        Servers differ about a period that only reaches into the block, and about footprints over the
        antimeridian; one that cannot be told for sure stays.
        """
        west, south, east, north = block.bounds
        inner = (west + _GRAZING, south + _GRAZING, east - _GRAZING, north - _GRAZING)
        area = shapely.box(*inner)
        gone: dict[str, tuple[str, int]] = {}
        for part in state.parts:
            file = self._file(part.name)
            rows = np.setdiff1d(file.boxes.hits(inner, block.interval), part.dropped)
            if not len(rows):
                continue
            ids = file.columns("id")["id"].take(pa.array(rows)).to_pylist()
            rows = rows[[identifier not in answered for identifier in ids]]
            for row, item in zip(rows.tolist(), file.items(rows), strict=True):
                if block == WORLD or (block.lasts(item.start, item.end) and _surely_in(item, area)):
                    gone[item.id] = (part.name, row)
        return gone

    def _one(self, at: tuple[str, int, int]) -> StacItem:
        return self._file(at[0]).items(np.array([at[1]]))[0]

    def _write(self, number: int, rows: Sequence[Row], stac: Json) -> PartEntry:
        table = to_table(rows)
        ranked = order(table)
        items = documents_to_table([rows[n].document for n in ranked])
        return self._put(number, table.take(pa.array(ranked)), items, stac)

    def _join(self, number: int, parts: Sequence[PartEntry], stac: Json) -> PartEntry | None:
        table = pa.concat_tables([self._file(p.name).table().take(_kept(p)) for p in parts])
        if not len(table):
            return None
        ranked = pa.array(order(table))
        items = joined([self._items(p) for p in parts])
        if items is None:
            items = documents_to_table([of_content(v) for v in table["item"].to_pylist()])
        return self._put(number, table.take(ranked), items.take(ranked), stac)

    def _items(self, part: PartEntry) -> pa.Table:
        path = self.folder / f"{part.name}.parquet"
        with readable(path):
            return pq.read_table(path, partitioning=None).take(_kept(part))

    def _put(self, number: int, rows: pa.Table, items: pa.Table, stac: Json) -> PartEntry:
        name = f"{number:06d}"
        self.folder.mkdir(parents=True, exist_ok=True)
        exchange, searched = self.folder / f"{name}.parquet", self.folder / f"{name}.rows"
        write_items(items, _aside(exchange), self.collection, stac)
        write_rows(rows, _aside(searched))
        for path in (exchange, searched):
            os.replace(_aside(path), path)
        return PartEntry(name, len(rows))

    def _save(self, state: Manifest) -> None:
        path = self.folder / "manifest.json"
        _aside(path).write_bytes(state.to_json())
        os.replace(_aside(path), path)

    # --- reading ----------------------------------------------------------------------------------------

    def _hits(self, bounds: Bounds, interval: Interval) -> list[StacItem]:
        found: list[StacItem] = []
        for part in self.manifest.parts:
            file = self._file(part.name)
            rows: npt.NDArray[np.intp] = file.boxes.hits(bounds, interval)
            if part.dropped:
                rows = np.setdiff1d(rows, part.dropped)
            found += file.items(rows)
        return found

    def _reading(self, read: Callable[[], T]) -> T:
        """Read; once more where another process joined parts meanwhile."""
        for _ in range(5):
            try:
                return read()
            except FileNotFoundError:
                self._stamp = None
                self._files.clear()
        raise CatalogError(
            f"The index at {self.folder} lacks files that its manifest names.",
            hint="Remove that folder; it is built anew when it is next needed.",
        )

    def _file(self, name: str) -> RowFile:
        path = self.folder / f"{name}.rows"
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._files.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        # Of an index that was removed and built anew, parts have the same names again.
        self._ids.pop(name, None)
        file = RowFile(path)
        self._files[name] = stamp, file
        return file


def _surely_in(item: StacItem, area: BaseGeometry) -> bool:
    """True where any server would say that the item touches the area."""
    if item.bbox[0] > item.bbox[2]:
        parts = [] if item.geometry is None else getattr(item.geometry, "geoms", [])
        return any(p.intersects(area) and p.bounds[2] - p.bounds[0] < 180.0 for p in parts)
    return item.geometry is None or bool(item.geometry.intersects(area))


def _kept(part: PartEntry) -> pa.Array:
    """Numbers of the rows that hold."""
    return pa.array(np.setdiff1d(np.arange(part.rows), part.dropped))


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _change(now: StacItem, before: StacItem) -> str:
    old, new = (value_of(item.properties, "s2:processing_baseline") for item in (before, now))
    return f"{now.id} (baseline {old} -> {new})" if old != new else now.id
