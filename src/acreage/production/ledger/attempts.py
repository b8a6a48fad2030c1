"""Attempts: each step of a batch job, from the intention to its end, committed before the next is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from sqlalchemy import Connection, Integer, bindparam, func, select, update

from acreage.core.errors import LeaseLost
from acreage.production.ledger.events import add_event
from acreage.production.ledger.leases import OWNED, lost, owned
from acreage.production.ledger.rows import attempt_of
from acreage.production.ledger.schema import ATTEMPTS, BACK_ENDS, TILES
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


_MUTABLE = tuple(
    name
    for name in ATTEMPTS.c.keys()  # noqa: SIM118 - a collection of columns is iterated by column
    if name not in ("id", "tile", "backend", "token", "memory_mb", "intended_at")
)
_TOUCH = update(TILES).where(OWNED).values(changed=bindparam("a_now"))
_RELEASE = (
    update(TILES)
    .where(OWNED)
    .values(
        state=bindparam("a_state"),
        attempt=bindparam("a_attempt"),
        reason=bindparam("a_reason"),
        not_before=bindparam("a_not_before"),
        memory_now=func.coalesce(bindparam("a_memory", type_=Integer), TILES.c.memory_now),
        tries=TILES.c.tries - bindparam("a_uncounted"),
        lease_owner=None,
        lease_until=None,
        changed=bindparam("a_now"),
    )
)
_READ = select(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("a_attempt"))
_WRITE = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.id == bindparam("a_attempt"))
    .values({name: bindparam(f"a_{name}") for name in _MUTABLE})
)
_SPEND = (
    update(BACK_ENDS)
    .where(BACK_ENDS.c.name == bindparam("a_backend"))
    .values(spent=BACK_ENDS.c.spent + bindparam("a_more"))
)


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
class Step:
    """The next step of an attempt that is alive.

    Attributes:
        lease: of its tile.
        attempt: its id.
        state: a later live one than it has, or the same to record facts alone.
        text, data: for the event.
        facts: what is known; a new cost changes what the back end was paid, by the difference.
        known: the attempt as its runner wrote it last, so that it need not be read; None: it is read.
    """

    lease: Lease
    attempt: int
    state: AttemptState
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    facts: AttemptFacts = field(default_factory=AttemptFacts)
    known: Attempt | None = None


def advance(
    ledger: Ledger,
    lease: Lease,
    attempt: int,
    state: AttemptState,
    now: float,
    *,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    known: Attempt | None = None,
    **facts: Unpack[AttemptFacts],
) -> Attempt:
    """Commit the next step of an attempt that is alive; arguments as of `Step`.

    Raises:
        LeaseLost: another runner works on the tile.
        ValueError: the attempt cannot go from its state to this one.
    """
    (done,) = advance_all(ledger, [Step(lease, attempt, state, text, data or {}, facts, known)], now)
    if isinstance(done, LeaseLost):
        raise done
    return done


def advance_all(ledger: Ledger, steps: Sequence[Step], now: float) -> tuple[Attempt | LeaseLost, ...]:
    """Commit steps of many attempts in one transaction: it takes little longer than one step.

    Args:
        ledger: where.
        steps: each of another attempt.
        now: when they were reached.

    Returns:
        For each step the attempt, or why it was not written; the others were.

    Raises:
        ValueError: an attempt cannot go from its state to the next one; nothing was written.
    """
    found: dict[int, Attempt | LeaseLost] = {}
    with ledger.database.writing() as connection:
        for step in sorted(steps, key=lambda s: s.lease.tile):  # in one order: no two wait for each other
            known = {**owned(step.lease), "a_now": now}
            if not connection.execute(_TOUCH, known).rowcount:
                found[step.attempt] = lost(step.lease)
                continue
            found[step.attempt] = _advance(connection, step, now)
    return tuple(found[s.attempt] for s in steps)


def _advance(connection: Connection, step: Step, now: float) -> Attempt:
    row = _live(connection, step.attempt, step.known)
    before, state = AttemptState(row["state"]), step.state
    if state not in LIVE or LIVE.index(state) < LIVE.index(before):
        raise ValueError(f"attempt {step.attempt} cannot go from {before} to {state}")
    new = {"state": state, "paid": row["paid"] or LIVE.index(state) >= LIVE.index(AttemptState.STARTING)}
    if state is not before and (time := _TIMES.get(state)):
        new[time] = now
    attempt = _record(connection, row, new, step.facts)
    if state is not before or step.text:
        kind = "noted" if state is before else str(state)
        event = Event(now, kind, step.text, attempt.tile, attempt.id, attempt.backend, step.data)
        add_event(connection, event)
    return attempt


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
    known: Attempt | None = None,
    **facts: Unpack[AttemptFacts],
) -> Attempt:
    """End an attempt and say what becomes of its tile, in one transaction; the lease ends.

    Args:
        ledger, lease, attempt, now, text, data, facts, known: as of `advance`.
        state: `verified`, `failed` or `abandoned`.
        then: what becomes of the tile; only a verified attempt finishes it.

    Raises:
        LeaseLost: another runner works on the tile.
        ValueError: the attempt is closed already, or the tile's fate does not fit its state.
    """
    if state not in CLOSED or isinstance(then, Done) != (state is AttemptState.VERIFIED):
        raise ValueError(f"an attempt that is {state} does not leave its tile {then}")
    with ledger.database.writing() as connection:
        fate = _fate(then, attempt, facts.get("error_class", ""))
        if not connection.execute(_RELEASE, {**owned(lease), **fate, "a_now": now}).rowcount:
            raise lost(lease)
        new: dict[str, Any] = {"state": state, "closed_at": now}
        if state is AttemptState.VERIFIED:
            new["verified_at"] = now
        ended = _record(connection, _live(connection, attempt, known), new, facts)
        kind = "held" if isinstance(then, Hold) else str(state)
        told = " ".join(t for t in (ended.error_class, text or ended.error_text) if t)
        add_event(connection, Event(now, kind, told, ended.tile, ended.id, ended.backend, data or {}))
        return ended


def _fate(then: Done | Again | Hold, attempt: int, error_class: str) -> dict[str, Any]:
    """Parameters of `_RELEASE`."""
    found = {
        "a_state": TileState.DONE,
        "a_attempt": attempt,
        "a_reason": "",
        "a_not_before": 0.0,
        "a_memory": None,
        "a_uncounted": 0,
    }
    if isinstance(then, Hold):
        return {**found, "a_state": TileState.HELD, "a_attempt": None, "a_reason": then.reason}
    if isinstance(then, Again):
        found |= {"a_state": TileState.WAITING, "a_attempt": None, "a_reason": error_class}
        found |= {"a_not_before": then.not_before, "a_memory": then.memory_mb}
        found |= {"a_uncounted": 0 if then.counted else 1}
    return found


def _live(connection: Connection, attempt: int, known: Attempt | None) -> dict[str, Any]:
    """The row of an attempt; nobody but the holder of the lease changes it."""
    if known is None:
        found = dict(connection.execute(_READ, {"a_attempt": attempt}).mappings().one())
    else:
        found = dict(vars(known))
    if found["state"] in CLOSED:
        raise ValueError(f"attempt {attempt} is {found['state']} already")
    return found


def _record(
    connection: Connection, row: Mapping[str, Any], new: Mapping[str, Any], facts: AttemptFacts
) -> Attempt:
    known = {**row, **new, **{k: v for k, v in facts.items() if v is not None}}
    more = (known["cost"] or 0.0) - (row["cost"] or 0.0)
    if more:
        connection.execute(_SPEND, {"a_backend": row["backend"], "a_more": more})
    connection.execute(_WRITE, {"a_attempt": row["id"], **{f"a_{k}": known[k] for k in _MUTABLE}})
    return attempt_of(known)
