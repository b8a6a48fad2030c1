"""The history of a ledger: events are written with the changes that they tell of, and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from acreage.production.ledger.schema import EventRow
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import Event

_PAGE = 1000


def note(ledger: Ledger, event: Event) -> None:
    """Write what happened without a change of a tile: paused, a back end answered nonsense."""
    with ledger.database.write() as session:
        add_event(session, event)


def add_event(session: Session, event: Event) -> None:
    """Write an event in the transaction of its change."""
    session.add(
        EventRow(
            at=event.at,
            tile=event.tile,
            attempt=event.attempt,
            backend=event.backend,
            kind=event.kind,
            text=event.text,
            data=dict(event.data),
        )
    )


def history(ledger: Ledger, tile: str) -> tuple[Event, ...]:
    """All events of a tile, oldest first."""
    with ledger.database.read() as session:
        rows = session.scalars(select(EventRow).where(EventRow.tile == tile).order_by(EventRow.id))
        return tuple(_event(row) for row in rows)


def events(ledger: Ledger, after: int = 0, kinds: Sequence[str] | None = None) -> Iterator[Event]:
    """Events in the order of writing, read page by page.

    Args:
        ledger: whose.
        after: the id of the last event that is known already.
        kinds: which; None: all.
    """
    while True:
        with ledger.database.read() as session:
            asked = select(EventRow).where(EventRow.id > after).order_by(EventRow.id).limit(_PAGE)
            if kinds is not None:
                asked = asked.where(EventRow.kind.in_(kinds))
            page = [_event(row) for row in session.scalars(asked)]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def last_event(ledger: Ledger) -> int:
    """The id of the newest event; 0 where there is none."""
    with ledger.database.read() as session:
        return session.scalar(select(func.max(EventRow.id))) or 0


def _event(row: EventRow) -> Event:
    data: Mapping[str, Any] = row.data
    return Event(row.at, row.kind, row.text, row.tile, row.attempt, row.backend, data, row.id)
