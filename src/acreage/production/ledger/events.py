"""The history of a ledger: events are written with the changes that they tell of, and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, insert, select

from acreage.production.ledger.schema import EVENTS
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import Event

_PAGE = 1000


_ADD = insert(EVENTS)


def note(ledger: Ledger, event: Event) -> None:
    """Write what happened without a change of a tile: paused, a back end answered nonsense."""
    with ledger.database.write() as session:
        add_event(session.connection(), event)


def add_event(connection: Connection, event: Event) -> None:
    """Write an event in the transaction of its change."""
    row = {
        "at": event.at,
        "tile": event.tile,
        "attempt": event.attempt,
        "backend": event.backend,
        "kind": event.kind,
        "text": event.text,
        "data": dict(event.data),
    }
    connection.execute(_ADD, row)


def history(ledger: Ledger, tile: str) -> tuple[Event, ...]:
    """All events of a tile, oldest first."""
    with ledger.database.read() as session:
        rows = session.execute(select(EVENTS).where(EVENTS.c.tile == tile).order_by(EVENTS.c.id))
        return tuple(Event(**row) for row in rows.mappings())


def events(ledger: Ledger, after: int = 0, kinds: Sequence[str] | None = None) -> Iterator[Event]:
    """Events in the order of writing, read page by page.

    Args:
        ledger: whose.
        after: the id of the last event that is known already.
        kinds: which; None: all.
    """
    while True:
        with ledger.database.read() as session:
            asked = select(EVENTS).where(EVENTS.c.id > after).order_by(EVENTS.c.id).limit(_PAGE)
            if kinds is not None:
                asked = asked.where(EVENTS.c.kind.in_(kinds))
            page = [Event(**row) for row in session.execute(asked).mappings()]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id
