"""Who works on which tile: claims, renewals and what is taken over from a runner that is gone.

A tile that is worked on is leased. All writes about it carry the number of the lease, and are refused when
another runner has taken the tile since.
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, Integer, Select, and_, bindparam, func, insert, or_, select, update

from acreage.core.errors import LeaseLost
from acreage.production.ledger.events import add_event
from acreage.production.ledger.rows import attempt_of, tile_of
from acreage.production.ledger.schema import ATTEMPTS, BACK_ENDS, TILES
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import (
    LIVE,
    OCCUPYING,
    AttemptState,
    Choice,
    Claim,
    Event,
    Lease,
    TileState,
    WaitingTile,
)

_PAGE = 500

OWNED = and_(
    TILES.c.id == bindparam("a_tile"),
    TILES.c.state == TileState.WORKING,
    TILES.c.lease_owner == bindparam("a_owner"),
    TILES.c.lease_number == bindparam("a_number"),
)
"""Whether a tile is still leased to who writes about it."""

_LEASED: dict[str, Any] = {
    "lease_owner": bindparam("a_owner"),
    "lease_until": bindparam("a_until"),
    "lease_number": TILES.c.lease_number + 1,
    "changed": bindparam("a_now"),
}
_EXPIRED = or_(TILES.c.lease_until <= bindparam("a_now"), TILES.c.lease_until.is_(None))
_TAKE = (
    update(TILES)
    .where(
        TILES.c.id == bindparam("a_tile"),
        TILES.c.state == TileState.WAITING,
        TILES.c.not_before <= bindparam("a_now"),
    )
    .values(state=TileState.WORKING, reason="", tries=TILES.c.tries + 1, **_LEASED)
    .returning(TILES)
)
_TAKE_OVER = (
    update(TILES)
    .where(TILES.c.id == bindparam("a_tile"), TILES.c.state == TileState.WORKING, _EXPIRED)
    .values(**_LEASED)
    .returning(TILES)
)
_GIVE_UP = (
    update(TILES)
    .where(TILES.c.id == bindparam("a_tile"), TILES.c.state == TileState.WORKING)
    .values(
        state=TileState.WAITING,
        attempt=None,
        lease_owner=None,
        lease_until=None,
        lease_number=TILES.c.lease_number + 1,
        changed=bindparam("a_now"),
    )
    .returning(TILES.c.id)
)
_NUMBER = select(func.count()).select_from(
    select(TILES.c.id)
    .where(TILES.c.state == bindparam("a_state"))
    .limit(bindparam("a_limit", type_=Integer))
    .subquery()
)
_OCCUPIED = (
    select(ATTEMPTS.c.backend, func.count())
    .where(or_(*(ATTEMPTS.c.state == state for state in OCCUPYING)))
    .group_by(ATTEMPTS.c.backend)
)
_RENEW = (
    update(TILES)
    .where(TILES.c.state == TileState.WORKING, TILES.c.lease_owner == bindparam("a_owner"))
    .values(lease_until=bindparam("a_until"), changed=bindparam("a_now"))
)
_EXPIRED_ONES = (
    select(TILES.c.id)
    .where(TILES.c.state == TileState.WORKING, _EXPIRED)
    .order_by(TILES.c.lease_until)
    .limit(bindparam("a_limit", type_=Integer))
)
_BIND = update(TILES).where(TILES.c.id == bindparam("a_tile")).values(attempt=bindparam("a_attempt"))
_INTEND = insert(ATTEMPTS).returning(ATTEMPTS)


def waiting(
    ledger: Ledger,
    now: float,
    limit: int,
    pins: Collection[str] = (),
    *,
    by: Literal["priority", "core_seconds"] = "priority",
) -> tuple[WaitingTile, ...]:
    """The tiles that could be sent now: the highest priority first, or the longest.

    Args:
        ledger: where.
        now: tiles that may not be tried yet are left out.
        limit: how many at most.
        pins: tiles bound to one of these back ends are among them, others that are bound are not.
        by: what is first.
    """
    groups: list[list[WaitingTile]] = []
    known = {"a_now": now, "a_limit": limit}
    with ledger.database.reading() as connection:
        for pin in (None, *pins):  # one by one: so each is read from the index in its order
            asked = _waiting(by, pin is not None)
            rows = connection.execute(asked, known if pin is None else {**known, "a_pin": pin})
            groups.append([WaitingTile(*row) for row in rows])
    if len(groups) == 1:
        return tuple(groups[0])
    merged = heapq.merge(*groups, key=lambda t: (getattr(t, by), t.id), reverse=True)
    return tuple(tile for _, tile in zip(range(limit), merged, strict=False))


@cache
def _waiting(by: Literal["priority", "core_seconds"], pinned: bool) -> Select[Any]:
    asked = select(*(TILES.c[f.name] for f in fields(WaitingTile))).where(
        TILES.c.state == TileState.WAITING, TILES.c.not_before <= bindparam("a_now")
    )
    bound = TILES.c.backend == bindparam("a_pin") if pinned else TILES.c.backend.is_(None)
    order = (TILES.c[by].desc(), TILES.c.id.desc())
    return asked.where(bound).order_by(*order).limit(bindparam("a_limit", type_=Integer))


def next_time(ledger: Ledger, now: float) -> float | None:
    """When the next of the tiles that may not be tried yet may be; None where there is none."""
    with ledger.database.read() as session:
        found: float | None = session.scalar(
            select(func.min(TILES.c.not_before)).where(
                TILES.c.state == TileState.WAITING, TILES.c.not_before > now
            )
        )
        return found


def number_of(ledger: Ledger, state: TileState, most: int) -> int:
    """How many tiles are in a state, counted up to a number."""
    with ledger.database.reading() as connection:
        return connection.scalar(_NUMBER, {"a_state": state, "a_limit": most}) or 0


def pins(ledger: Ledger) -> frozenset[str]:
    """Back ends that waiting tiles are bound to."""
    asked = select(TILES.c.backend).where(TILES.c.state == TileState.WAITING, TILES.c.backend.is_not(None))
    with ledger.database.read() as session:
        return frozenset(session.scalars(asked.distinct()))


def claim(
    ledger: Ledger,
    owner: str,
    choices: Sequence[Choice],
    now: float,
    until: float,
    *,
    rooms: Mapping[str, int] | None = None,
) -> tuple[Claim, ...]:
    """Lease tiles and commit the intention to make their jobs, in one transaction.

    Tiles that are no longer waiting (another runner was faster) are left out, and those for whose back end
    there is no room any more.

    Args:
        ledger: where.
        owner: the runner, by a name that no other has or had.
        choices: tiles and back ends.
        now, until: of the lease.
        rooms: jobs that each back end may have at once, of all runners; None: any number.
    """
    claims: dict[str, Claim] = {}
    with ledger.database.writing() as connection:
        if rooms is not None:
            choices = _within(connection, choices, rooms)
        for choice in sorted(choices, key=lambda c: c.tile):  # in one order: no two wait for each other
            asked = {"a_tile": choice.tile, "a_owner": owner, "a_until": until, "a_now": now}
            row = connection.execute(_TAKE, asked).mappings().one_or_none()
            if row is None:
                continue
            attempt = {
                "tile": choice.tile,
                "backend": choice.backend,
                "token": f"{choice.tile}-{secrets.token_hex(8)}",
                "state": AttemptState.INTENDED,
                "memory_mb": choice.memory_mb,
                "profile": dict(choice.profile),
                "intended_at": now,
            }
            made = attempt_of(connection.execute(_INTEND, attempt).mappings().one())
            connection.execute(_BIND, {"a_tile": choice.tile, "a_attempt": made.id})
            text = f"for {choice.backend}, attempt {row['tries']}"
            add_event(connection, Event(now, "claimed", text, choice.tile, made.id, choice.backend))
            lease = Lease(choice.tile, owner, row["lease_number"], until)
            claims[choice.tile] = Claim(tile_of({**row, "attempt": made.id}), made, lease)
    return tuple(claims[c.tile] for c in choices if c.tile in claims)


def renew(ledger: Ledger, owner: str, now: float, until: float) -> int:
    """Keep all leases of a runner that nobody has taken; returns how many there are."""
    with ledger.database.writing() as connection:
        kept = connection.execute(_RENEW, {"a_owner": owner, "a_until": until, "a_now": now})
        return kept.rowcount


def take_over(
    ledger: Ledger, owner: str, now: float, until: float, limit: int = 100, *, dead: Collection[str] = ()
) -> tuple[Claim, ...]:
    """Take tiles whose lease has run out, with the attempts that are alive in them.

    Args:
        ledger: where.
        owner: the runner that takes them.
        now, until: of the lease.
        limit: how many at most.
        dead: runners that are known to have ended, whose leases count no more.
    """
    if dead:
        _expire(ledger, dead, now)
    with ledger.database.reading() as connection:
        ids = list(connection.scalars(_EXPIRED_ONES, {"a_now": now, "a_limit": limit}))
    found = []
    for tile in ids:
        with ledger.database.write() as session:
            connection = session.connection()
            asked = select(TILES.c.lease_owner).where(TILES.c.id == tile).with_for_update()
            before = connection.execute(asked).scalar_one()
            mine = {"a_tile": tile, "a_owner": owner, "a_until": until, "a_now": now}
            taken = connection.execute(_TAKE_OVER, mine).mappings().one_or_none()
            if taken is None:
                continue
            alive = select(ATTEMPTS).where(ATTEMPTS.c.id == taken["attempt"])
            attempt = attempt_of(connection.execute(alive).mappings().one())
            text = f"by {owner} from {before}, {attempt.state}"
            add_event(connection, Event(now, "taken over", text, tile, attempt.id, attempt.backend))
            lease = Lease(tile, owner, taken["lease_number"], until)
            found.append(Claim(tile_of(taken), attempt, lease))
    return tuple(found)


def claims_of(ledger: Ledger, owner: str) -> Iterator[Claim]:
    """What a runner works on, page by page in the order of tiles' ids."""
    after = ""
    while True:
        with ledger.database.read() as session:
            asked = (
                select(TILES)
                .where(TILES.c.state == TileState.WORKING, TILES.c.lease_owner == owner, TILES.c.id > after)
                .order_by(TILES.c.id)
                .limit(_PAGE)
            )
            page = [tile_of(row) for row in session.execute(asked).mappings()]
            alive = select(ATTEMPTS).where(ATTEMPTS.c.id.in_([t.attempt for t in page]))
            attempts = {row["id"]: attempt_of(row) for row in session.execute(alive).mappings()}
        for tile in page:
            if tile.attempt is not None:
                lease = Lease(tile.id, owner, tile.lease_number, tile.lease_until or 0.0)
                yield Claim(tile, attempts[tile.attempt], lease)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def leave(ledger: Ledger, owner: str, now: float) -> int:
    """Give all leases of a runner up, as it ends in peace: others may take the tiles over at once."""
    with ledger.database.write() as session:
        gone = session.execute(
            update(TILES)
            .where(TILES.c.state == TileState.WORKING, TILES.c.lease_owner == owner)
            .values(lease_until=now, changed=now)
            .returning(TILES.c.id)
        )
        return len(gone.all())


def give_up(ledger: Ledger, tile: str, now: float, text: str = "") -> bool:
    """Let a tile that is worked on wait again, as a person decided; whether it was worked on.

    Its job may run on, and be paid: nothing is asked of the back end, which may be away for ever.
    """
    with ledger.database.write() as session:
        connection = session.connection()
        row = connection.execute(_GIVE_UP, {"a_tile": tile, "a_now": now}).mappings().one_or_none()
        if row is None:
            return False
        alive = select(ATTEMPTS.c.id, ATTEMPTS.c.backend).where(
            ATTEMPTS.c.tile == tile, ATTEMPTS.c.state.in_(LIVE)
        )
        for attempt, backend in connection.execute(alive).all():
            closed = {
                "state": AttemptState.FAILED,
                "closed_at": now,
                "error_class": "given up",
                "error_text": text,
            }
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.id == attempt).values(**closed))
            add_event(connection, Event(now, "given up", text, tile, attempt, backend))
        return True


def owned(lease: Lease) -> dict[str, object]:
    """Parameters of a statement with `OWNED`."""
    return {"a_tile": lease.tile, "a_owner": lease.owner, "a_number": lease.number}


def lost(lease: Lease) -> LeaseLost:
    """The error of a statement with `OWNED` that found nothing."""
    return LeaseLost(
        f"{lease.owner} lost tile {lease.tile} (lease {lease.number}) to another runner.",
        hint="Nothing was written.",
    )


def occupied(ledger: Ledger) -> dict[str, int]:
    """The jobs that each back end has, or is about to get, of all runners; back ends without are left out."""
    with ledger.database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(_OCCUPIED)}


def _within(connection: Connection, choices: Sequence[Choice], rooms: Mapping[str, int]) -> list[Choice]:
    """Those of the choices for which there is room; runners that choose at once wait for each other."""
    names = sorted({c.backend for c in choices})
    connection.execute(
        select(BACK_ENDS.c.name)
        .where(BACK_ENDS.c.name.in_(names))
        .order_by(BACK_ENDS.c.name)
        .with_for_update()
    )
    taken = {row[0]: row[1] for row in connection.execute(_OCCUPIED)}
    left = {name: rooms.get(name, 0) - taken.get(name, 0) for name in names}
    found = []
    for choice in choices:
        left[choice.backend] -= 1
        if left[choice.backend] >= 0:
            found.append(choice)
    return found


def _expire(ledger: Ledger, dead: Collection[str], now: float) -> None:
    with ledger.database.write() as session:
        theirs = (TILES.c.state == TileState.WORKING, TILES.c.lease_owner.in_(sorted(dead)))
        session.execute(update(TILES).where(*theirs).values(lease_until=now))
