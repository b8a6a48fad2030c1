"""Back ends of a ledger, and what a running runner is controlled by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from sqlalchemy import delete, select

from acreage.core.errors import InvalidInput
from acreage.production.ledger.events import add_event
from acreage.production.ledger.rows import back_end_of
from acreage.production.ledger.schema import BACK_ENDS, BackEndRow, ControlRow
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import BackEndRecord, BackEndState, Event

_BACK_ENDS = select(BACK_ENDS).order_by(BACK_ENDS.c.name)
_CONTROL = select(ControlRow.key, ControlRow.value)


class BackEndFacts(TypedDict, total=False):
    """What may change of a back end; what it has spent follows from its attempts."""

    config: Mapping[str, Any]
    state: BackEndState
    until: float | None
    note: str
    parallel: int | None
    found_parallel: int | None
    factor: float
    cost_factor: float
    memory_factor: float


def back_ends(ledger: Ledger) -> tuple[BackEndRecord, ...]:
    """All back ends, by name."""
    with ledger.database.reading() as connection:
        return tuple(back_end_of(row) for row in connection.execute(_BACK_ENDS).mappings())


def set_back_end(
    ledger: Ledger, name: str, now: float, text: str = "", **facts: Unpack[BackEndFacts]
) -> BackEndRecord:
    """Change a back end; a new state, or a text, is an event.

    Raises:
        InvalidInput: there is none of that name.
    """
    with ledger.database.write() as session:
        row = session.get(BackEndRow, name, with_for_update=True)
        if row is None:
            known = ", ".join(session.scalars(select(BackEndRow.name).order_by(BackEndRow.name)))
            raise InvalidInput(f"There is no back end {name}.", hint=f"There are {known}.")
        state = facts.get("state")
        if text or (state is not None and state != row.state):
            told = " ".join(t for t in (str(state or row.state), text or facts.get("note", "")) if t)
            add_event(session.connection(), Event(now, "back end", told, backend=name))
        for key, value in facts.items():
            setattr(row, key, value)
        row.changed = now
        session.flush()
        asked = select(BACK_ENDS).where(BACK_ENDS.c.name == name)
        return back_end_of(session.execute(asked).mappings().one())


def control(ledger: Ledger) -> dict[str, Any]:
    """All settings that a running runner reads at every step."""
    with ledger.database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(_CONTROL)}


def set_control(ledger: Ledger, now: float, values: Mapping[str, Any], text: str = "") -> None:
    """Change such settings; None takes one away."""
    with ledger.database.write() as session:
        for key, value in values.items():
            if value is None:
                session.execute(delete(ControlRow).where(ControlRow.key == key))
            else:
                session.merge(ControlRow(key=key, value=value))
        told = text or ", ".join(f"{k} = {v}" for k, v in values.items())
        add_event(session.connection(), Event(now, "control", told, data=dict(values)))
