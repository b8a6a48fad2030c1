"""Attempts: each step of a batch job, from the intention to its end, committed before the next is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from acreage.production.ledger.events import add_event
from acreage.production.ledger.leases import own
from acreage.production.ledger.rows import attempt_of
from acreage.production.ledger.schema import AttemptRow, BackEndRow, TileRow
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import (
    CLOSED,
    LIVE,
    Attempt,
    AttemptFacts,
    AttemptState,
    Event,
    Lease,
    TileState,
)

_TIMES: Mapping[AttemptState, str] = {
    AttemptState.CREATED: "created_at",
    AttemptState.STARTED: "started_at",
    AttemptState.ENDED: "ended_at",
    AttemptState.FETCHED: "fetched_at",
    AttemptState.VERIFIED: "verified_at",
}


@dataclass(frozen=True)
class Done:
    """The tile is finished."""


@dataclass(frozen=True)
class Again:
    """The tile waits for another attempt.

    Attributes:
        not_before: when it may be tried.
        memory_mb: more than before, where that was too little.
        counted: whether the closed attempt counts as a try.
    """

    not_before: float = 0.0
    memory_mb: int | None = None
    counted: bool = True


@dataclass(frozen=True)
class Hold:
    """The tile waits for a person.

    Attributes:
        reason: what the person is told.
    """

    reason: str


@dataclass(frozen=True)
class Totals:
    """What attempts of a back end have in common.

    Attributes:
        live: attempts that are not closed, by state.
        committed: the estimated costs of the tiles whose attempts are alive and not paid for yet.
    """

    live: Mapping[AttemptState, int] = field(default_factory=dict)
    committed: float = 0.0


def advance(
    ledger: Ledger,
    lease: Lease,
    attempt: int,
    state: AttemptState,
    now: float,
    *,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    **facts: Unpack[AttemptFacts],
) -> Attempt:
    """Commit the next step of an attempt that is alive.

    Args:
        ledger, lease: whose.
        attempt: its id.
        state: a later live one than it has, or the same to record facts alone.
        now: when it is reached.
        text, data: for the event.
        facts: what is known; a new cost changes what the back end was paid, by the difference.

    Raises:
        LeaseLost: another runner works on the tile.
        ValueError: the attempt cannot go from its state to this one.
    """
    with ledger.database.write() as session:
        own(session, lease, now)
        row = _live(session, attempt)
        if state not in LIVE or LIVE.index(state) < LIVE.index(AttemptState(row.state)):
            raise ValueError(f"attempt {attempt} cannot go from {row.state} to {state}")
        changed = row.state != state
        row.state = state
        if changed and (time := _TIMES.get(state)):
            setattr(row, time, now)
        row.paid = row.paid or LIVE.index(state) >= LIVE.index(AttemptState.STARTING)
        _record(session, row, facts)
        if changed or text:
            kind = str(state) if changed else "noted"
            add_event(session, Event(now, kind, text, row.tile, row.id, row.backend, data or {}))
        session.flush()
        return attempt_of(row)


def close(
    ledger: Ledger,
    lease: Lease,
    attempt: int,
    state: AttemptState,
    then: Done | Again | Hold,
    now: float,
    *,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    **facts: Unpack[AttemptFacts],
) -> Attempt:
    """End an attempt and say what becomes of its tile, in one transaction; the lease ends.

    Args:
        ledger, lease, attempt, now, text, data, facts: as of `advance`.
        state: `verified`, `failed` or `abandoned`.
        then: what becomes of the tile; only a verified attempt finishes it.

    Raises:
        LeaseLost: another runner works on the tile.
        ValueError: the attempt is closed already, or the tile's fate does not fit its state.
    """
    if state not in CLOSED or isinstance(then, Done) != (state is AttemptState.VERIFIED):
        raise ValueError(f"an attempt that is {state} does not leave its tile {then}")
    with ledger.database.write() as session:
        tile, row = own(session, lease, now), _live(session, attempt)
        row.state, row.closed_at = state, now
        if state is AttemptState.VERIFIED:
            row.verified_at = now
        _record(session, row, facts)
        tile.lease_owner = tile.lease_until = None
        if isinstance(then, Done):
            tile.state = TileState.DONE
        elif isinstance(then, Hold):
            tile.state, tile.reason, tile.attempt = TileState.HELD, then.reason, None
        else:
            tile.state, tile.attempt = TileState.WAITING, None
            tile.reason, tile.not_before = row.error_class, then.not_before
            tile.memory_now = then.memory_mb or tile.memory_now
            tile.tries -= 0 if then.counted else 1
        kind = "held" if isinstance(then, Hold) else str(state)
        told = " ".join(t for t in (row.error_class, text or row.error_text) if t)
        add_event(session, Event(now, kind, told, row.tile, row.id, row.backend, data or {}))
        session.flush()
        return attempt_of(row)


def attempts_of(ledger: Ledger, tile: str) -> tuple[Attempt, ...]:
    """All attempts of a tile, oldest first."""
    with ledger.database.read() as session:
        rows = session.scalars(select(AttemptRow).where(AttemptRow.tile == tile).order_by(AttemptRow.id))
        return tuple(attempt_of(row) for row in rows)


def failures_of(ledger: Ledger, tile: str) -> Counter[str]:
    """How often the attempts of a tile failed, by class of error."""
    with ledger.database.read() as session:
        rows = session.execute(
            select(AttemptRow.error_class, func.count())
            .where(AttemptRow.tile == tile, AttemptRow.state == AttemptState.FAILED)
            .group_by(AttemptRow.error_class)
        )
        return Counter(dict(rows.all()))


def outcomes_since(ledger: Ledger, since: float) -> Counter[AttemptState]:
    """How attempts that were closed since then ended."""
    with ledger.database.read() as session:
        rows = session.execute(
            select(AttemptRow.state, func.count())
            .where(AttemptRow.closed_at >= since)
            .group_by(AttemptRow.state)
        )
        return Counter({AttemptState(state): count for state, count in rows})


def totals(ledger: Ledger) -> dict[str, Totals]:
    """What each back end has to do, and its cost by the estimates; back ends with nothing are left out."""
    found: dict[str, Totals] = {}
    with ledger.database.read() as session:
        rows = session.execute(
            select(
                AttemptRow.backend,
                AttemptRow.state,
                func.count(),
                func.sum(TileRow.cost * BackEndRow.cost_factor).filter(AttemptRow.cost.is_(None)),
            )
            .join(TileRow, TileRow.id == AttemptRow.tile)
            .join(BackEndRow, BackEndRow.name == AttemptRow.backend)
            .where(AttemptRow.state.in_(LIVE))
            .group_by(AttemptRow.backend, AttemptRow.state)
        )
        for name, state, count, committed in rows:
            before = found.get(name, Totals())
            live = {**before.live, AttemptState(state): count}
            found[name] = Totals(live, before.committed + (committed or 0.0))
    return found


def _live(session: Session, attempt: int) -> AttemptRow:
    row = session.get_one(AttemptRow, attempt)
    if row.state in CLOSED:
        raise ValueError(f"attempt {attempt} is {row.state} already")
    return row


def _record(session: Session, row: AttemptRow, facts: AttemptFacts) -> None:
    cost = facts.get("cost")
    if cost is not None and cost != row.cost:
        session.execute(
            update(BackEndRow)
            .where(BackEndRow.name == row.backend)
            .values(spent=BackEndRow.spent + (cost - (row.cost or 0.0)))
        )
    for name, value in facts.items():
        if value is not None:
            setattr(row, name, value)
