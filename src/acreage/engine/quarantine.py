"""Products that are out for every job: a journal on disk that many processes share.

One JSON line an event, appended under a lock and never changed: what failed in which job, and what a person
decided. The state of a product follows from its events in order. A line that a killed process left half
written is passed over, and counted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from acreage.core.errors import InvalidInput, WriteFailed
from acreage.core.faults import FaultKind
from acreage.core.inputs import InputAsset

JOURNAL, LOCK = "quarantine.jsonl", "quarantine.lock"
# A network's bad day must not put products away: what could not be reached is put away by the third job only.
JOBS_FOR_UNREADABLE = 3
FILE_FAULTS = frozenset[FaultKind](
    ("unreadable", "not-an-image", "truncated", "wrong-grid", "nodata", "empty", "implausible")
)
State = Literal["proposed", "quarantined"]
EntryKey = tuple[str, str, str]


@dataclass(frozen=True)
class QuarantineEntry:
    """One product in the journal.

    Attributes:
        collection: openEO collection id.
        item: STAC item id.
        href: address of the item's JSON; empty for every copy of the item.
        state: `quarantined`: no job uses it. `proposed`: it made a job fail, and waits for a decision.
        kind: the fault, or `added` where a person put it there.
        reason: a sentence.
        since: RFC 3339, UTC, when it was first met.
        job: the first job that met it.
        jobs: names of all jobs that met it.
        by: `run` or `person`, whoever decided last.
    """

    collection: str
    item: str
    href: str
    state: State
    kind: str
    reason: str
    since: str
    job: str
    jobs: frozenset[str] = frozenset()
    by: str = "run"

    @property
    def key(self) -> EntryKey:
        """Collection, item and address."""
        return self.collection, self.item, self.href

    @property
    def told(self) -> str:
        """One line for people."""
        return f"{self.kind}, since {self.since}: {self.reason}"


@dataclass(frozen=True)
class QuarantineList:
    """The state of all products at one moment.

    Attributes:
        entries: by collection, item and address.
        damaged: lines of the journal that could not be read.
    """

    entries: Mapping[EntryKey, QuarantineEntry] = field(default_factory=dict)
    damaged: int = 0

    def find(self, collection: str, item: str, href: str) -> QuarantineEntry | None:
        """The entry that keeps this copy of an item out of jobs, or None."""
        for key in ((collection, item, href), (collection, item, "")):
            entry = self.entries.get(key)
            if entry is not None and entry.state == "quarantined":
                return entry
        return None

    def named(self, item: str, collection: str | None = None) -> tuple[QuarantineEntry, ...]:
        """Entries of an item id."""
        return tuple(
            e for e in self.entries.values() if e.item == item and collection in (None, e.collection)
        )


NOTHING = QuarantineList()


def lost(failed: Sequence[InputAsset], job: str) -> dict[EntryKey, QuarantineEntry]:
    """Products that failed, as entries that keep them out of what else is run now."""
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: dict[EntryKey, QuarantineEntry] = {}
    for a in sorted(failed):
        key = (a.collection, a.item, a.item_href)
        found.setdefault(key, QuarantineEntry(*key, "quarantined", a.kind, a.reason, when, job))
    return found


class Quarantine:
    """The journal in a folder; safe to use from many processes at once.

    Args:
        folder: made when something is written first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> QuarantineList:
        """The state now; empty where nothing was written yet.

        Raises:
            InvalidInput: the journal is there and cannot be read.
        """
        try:
            content = (self.folder / JOURNAL).read_bytes()
        except FileNotFoundError:
            return NOTHING
        except OSError as error:
            raise InvalidInput(
                f"The quarantine {self.folder / JOURNAL} cannot be read: {error.strerror or error}.",
                hint="Name its folder in ACREAGE_QUARANTINE.",
            ) from error
        return _folded(content)

    def record(self, failed: Sequence[InputAsset], *, tolerated: bool, job: str) -> None:
        """Write down what failed in a job: out for all where the job allowed it, else proposed.

        One entry an item, by the fault of its first band; what is `unreadable` is out only when
        `JOBS_FOR_UNREADABLE` jobs have met it and the last of them allowed it. What is wrong with metadata
        is not written down: every search tells it anew, and other jobs may not need that band.

        Raises:
            WriteFailed: the journal cannot be written.
        """
        first: dict[EntryKey, InputAsset] = {}
        for asset in sorted(a for a in failed if a.kind in FILE_FAULTS and a.item_href):
            first.setdefault((asset.collection, asset.item, asset.item_href), asset)
        self._append(
            _event("failed", key, kind=a.kind, reason=a.reason, job=job, tolerated=tolerated)
            for key, a in first.items()
        )

    def add(self, collection: str, item: str, reason: str, href: str = "") -> None:
        """Put a product away; without `href` every copy of it."""
        self._append([_event("added", (collection, item, href), reason=reason)])

    def accept(self, item: str, collection: str | None = None) -> tuple[QuarantineEntry, ...]:
        """Put proposed products of an item id away; answers with them.

        Raises:
            InvalidInput: there are none.
        """
        return self._decide("accepted", item, collection)

    def release(self, item: str, collection: str | None = None) -> tuple[QuarantineEntry, ...]:
        """Take the products of an item id out, proposed ones too; answers with them.

        Raises:
            InvalidInput: there are none.
        """
        return self._decide("released", item, collection)

    def _decide(self, what: str, item: str, collection: str | None) -> tuple[QuarantineEntry, ...]:
        known = self.read()
        found = known.named(item, collection)
        if not found:
            listed = sorted({e.item for e in known.entries.values()})
            raise InvalidInput(
                f"{item} is not in the quarantine{f' for {collection}' if collection else ''}.",
                hint=f"In it: {', '.join(listed[:10]) or 'nothing'}{', ...' if len(listed) > 10 else ''}.",
            )
        self._append(_event(what, e.key) for e in found)
        return found

    def _append(self, events: Iterable[Mapping[str, Any]]) -> None:
        lines = "".join(json.dumps(e, ensure_ascii=False, sort_keys=True) + "\n" for e in events).encode()
        if not lines:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder / LOCK), (self.folder / JOURNAL).open("ab+") as journal:
                if journal.tell() > 0:
                    journal.seek(-1, os.SEEK_END)
                    if journal.read(1) != b"\n":  # a killed process left half a line
                        lines = b"\n" + lines
                journal.write(lines)
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise WriteFailed(
                f"The quarantine {self.folder / JOURNAL} cannot be written: {error.strerror or error}.",
                hint="Name another folder in ACREAGE_QUARANTINE.",
            ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


def _event(what: str, key: EntryKey, **more: Any) -> dict[str, Any]:
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"event": what, "collection": key[0], "item": key[1], "href": key[2], "when": when, **more}


def _folded(content: bytes) -> QuarantineList:
    entries: dict[EntryKey, QuarantineEntry] = {}
    damaged = 0
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            key = (str(event["collection"]), str(event["item"]), str(event["href"]))
            after = _after(entries.get(key), key, event)
        except (ValueError, KeyError, TypeError):
            damaged += 1
            continue
        if after is None:
            entries.pop(key, None)
        else:
            entries[key] = after
    return QuarantineList(dict(sorted(entries.items())), damaged)


def _after(entry: QuarantineEntry | None, key: EntryKey, event: Mapping[str, Any]) -> QuarantineEntry | None:
    """The state of a product behind an event; None where it is in no list."""
    what, when = event["event"], str(event["when"])
    if what == "released":
        return None
    if what == "accepted":
        return None if entry is None else replace(entry, state="quarantined", by="person")
    if what == "added":
        since = when if entry is None else entry.since
        return QuarantineEntry(*key, "quarantined", "added", str(event["reason"]), since, "", by="person")
    if what != "failed":
        raise KeyError(what)
    kind, reason, job = str(event["kind"]), str(event["reason"]), str(event["job"])
    before = entry or QuarantineEntry(*key, "proposed", kind, reason, when, job)
    jobs = before.jobs | {job}
    out = bool(event["tolerated"]) and (kind != "unreadable" or len(jobs) >= JOBS_FOR_UNREADABLE)
    state: State = "quarantined" if out or before.state == "quarantined" else "proposed"
    return replace(before, state=state, kind=kind, reason=reason, jobs=jobs)
