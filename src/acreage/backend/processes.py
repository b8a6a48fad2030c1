"""Processes that users store, and those that a node names by an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from acreage.backend.database.tables import ProcessRow
from acreage.backend.errors import PredefinedProcessExists, ProcessGraphNotFound, ProcessInvalid
from acreage.backend.jobs.store import now
from acreage.core.database import Database
from acreage.engine.parser import unwrap
from acreage.engine.user_processes import Lookup
from acreage.processes.registry import process_ids

_ID = re.compile(r"[\w\-]{1,200}", re.ASCII)


@dataclass(frozen=True)
class StoredProcesses:
    """Processes of all users.

    Attributes:
        database: of the server.
        fetch: the JSON document under an address that a node names.
    """

    database: Database
    fetch: Callable[[str], Any]

    def put(self, user_id: str, process_id: str, document: Mapping[str, Any]) -> None:
        """Store a process, in the place of one with the same id.

        Raises:
            ProcessInvalid, PredefinedProcessExists
            ProcessGraphMissing: it has no graph.
        """
        if not _ID.fullmatch(process_id):
            raise ProcessInvalid(
                f"{process_id!r} cannot be the id of a process.", hint="Use letters, digits, _ and -."
            )
        if process_id in process_ids():
            raise PredefinedProcessExists(f"{process_id!r} is a predefined process.")
        unwrap(document)
        kept = {k: v for k, v in document.items() if k != "id"}
        with self.database.write() as session:
            row = session.get(ProcessRow, (user_id, process_id), with_for_update=True)
            if row is None:
                row = ProcessRow(user_id=user_id, id=process_id, public=False)
                session.add(row)
            row.document, row.updated = kept, now()
            row.public = bool(document.get("public", False))

    def get(self, user_id: str, process_id: str) -> dict[str, Any]:
        """A user's process.

        Raises:
            ProcessGraphNotFound
        """
        with self.database.read() as session:
            row = session.get(ProcessRow, (user_id, process_id))
        if row is None:
            raise ProcessGraphNotFound(f"There is no stored process {process_id!r}.")
        return {"id": row.id, **row.document}

    def listed(
        self, user_id: str, limit: int | None, after: str | None, *, public: bool = False
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of a user's processes by id, and the id after which the next page begins."""
        query = select(ProcessRow).where(ProcessRow.user_id == user_id).order_by(ProcessRow.id)
        if public:
            query = query.where(ProcessRow.public.is_(True))
        if after is not None:
            query = query.where(ProcessRow.id > after)
        if limit is not None:
            query = query.limit(limit + 1)
        with self.database.read() as session:
            rows = list(session.scalars(query))
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        return [{"id": r.id, **r.document} for r in rows], rows[-1].id if more else None

    def delete(self, user_id: str, process_id: str) -> None:
        """Forget a process.

        Raises:
            ProcessGraphNotFound
        """
        with self.database.write() as session:
            row = session.get(ProcessRow, (user_id, process_id))
            if row is None:
                raise ProcessGraphNotFound(f"There is no stored process {process_id!r}.")
            session.delete(row)

    def lookup(self, user_id: str) -> Lookup:
        """Finds what the nodes of a user's graphs call: own processes, and those under an address."""

        def find(process_id: str, namespace: str | None) -> Mapping[str, Any] | None:
            if namespace in (None, "user"):
                with self.database.read() as session:
                    row = session.get(ProcessRow, (user_id, process_id))
                return None if row is None else row.document
            if namespace.startswith(("http://", "https://")):
                return _of_address(self.fetch(namespace), process_id)
            if namespace.startswith("@"):
                with self.database.read() as session:
                    row = session.get(ProcessRow, (namespace[1:], process_id))
                return row.document if row is not None and row.public else None
            return None

        return find


def _of_address(document: Any, process_id: str) -> Mapping[str, Any] | None:
    """A process, or the one of that id in a list of processes."""
    if isinstance(document, Mapping) and isinstance(document.get("processes"), list):
        found = [p for p in document["processes"] if isinstance(p, Mapping) and p.get("id") == process_id]
        return found[0] if found else None
    good = isinstance(document, Mapping) and document.get("id", process_id) == process_id
    return document if good else None
