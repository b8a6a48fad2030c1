"""Who works on which tile: claims, renewals and what is taken over from a runner that is gone.

A tile that is worked on is leased. All writes about it carry the number of the lease, and are refused when
another runner has taken the tile since.
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from acreage.core.errors import LeaseLost
from acreage.production.ledger.events import add_event
from acreage.production.ledger.rows import attempt_of, tile_of
from acreage.production.ledger.schema import AttemptRow, TileRow
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import (
    AttemptState,
    Choice,
    Claim,
    Event,
    Lease,
    TileRecord,
    TileState,
)

_PAGE = 500


def waiting(
    ledger: Ledger,
    now: float,
    limit: int,
    pins: Collection[str] = (),
    *,
    by: Literal["priority", "core_seconds"] = "priority",
    without: Collection[str] = (),
) -> tuple[TileRecord, ...]:
    """The tiles that could be sent now: the highest priority first, or the longest.

    Args:
        ledger: where.
        now: tiles that may not be tried yet are left out.
        limit: how many at most.
        pins: tiles bound to one of these back ends are among them, others that are bound are not.
        by: what is first.
        without: ids to leave out; few.
    """
    column = TileRow.priority if by == "priority" else TileRow.core_seconds
    groups: list[list[TileRecord]] = []
    with ledger.database.read() as session:
        for pin in (None, *pins):  # one by one: so each is read from the index in its order
            asked = select(TileRow).where(
                TileRow.state == TileState.WAITING,
                TileRow.backend.is_(None) if pin is None else TileRow.backend == pin,
            )
            asked = asked.where(TileRow.not_before <= now)
            if without:
                asked = asked.where(TileRow.id.not_in(without))
            asked = asked.order_by(column.desc(), TileRow.id.desc()).limit(limit)
            groups.append([tile_of(row) for row in session.scalars(asked)])
    merged = heapq.merge(*groups, key=lambda t: (getattr(t, by), t.id), reverse=True)
    return tuple(tile for _, tile in zip(range(limit), merged, strict=False))


def next_time(ledger: Ledger, now: float) -> float | None:
    """When the next of the tiles that may not be tried yet may be; None where there is none."""
    with ledger.database.read() as session:
        return session.scalar(
            select(func.min(TileRow.not_before)).where(
                TileRow.state == TileState.WAITING, TileRow.not_before > now
            )
        )


def claim(
    ledger: Ledger, owner: str, choices: Sequence[Choice], now: float, until: float
) -> tuple[Claim, ...]:
    """Lease tiles and commit the intention to make their jobs, in one transaction.

    Tiles that are no longer waiting (another runner was faster) are left out.

    Args:
        ledger: where.
        owner: the runner, by a name that no other has or had.
        choices: tiles and back ends.
        now, until: of the lease.
    """
    claims = []
    with ledger.database.write() as session:
        for choice in sorted(choices, key=lambda c: c.tile):  # in one order: no two wait for each other
            row = _take(session, choice.tile, owner, now, until)
            if row is None:
                continue
            attempt = AttemptRow(
                tile=choice.tile,
                backend=choice.backend,
                token=f"{choice.tile}-{secrets.token_hex(8)}",
                state=AttemptState.INTENDED,
                memory_mb=choice.memory_mb,
                profile=dict(choice.profile),
                intended_at=now,
            )
            session.add(attempt)
            session.flush()
            row.attempt, row.tries = attempt.id, row.tries + 1
            session.flush()
            text = f"for {choice.backend}, attempt {row.tries}"
            add_event(session, Event(now, "claimed", text, choice.tile, attempt.id, choice.backend))
            claims.append(Claim(tile_of(row), attempt_of(attempt), _lease(row)))
    by_tile = {c.tile.id: c for c in claims}
    return tuple(by_tile[c.tile] for c in choices if c.tile in by_tile)


def renew(ledger: Ledger, owner: str, now: float, until: float) -> int:
    """Keep all leases of a runner that nobody has taken; returns how many there are."""
    with ledger.database.write() as session:
        mine = (
            select(TileRow.id)
            .where(TileRow.state == TileState.WORKING, TileRow.lease_owner == owner)
            .order_by(TileRow.id)
            .with_for_update()
        )
        ids = list(session.scalars(mine))
        for start in range(0, len(ids), _PAGE):
            some = ids[start : start + _PAGE]
            session.execute(
                update(TileRow).where(TileRow.id.in_(some)).values(lease_until=until, changed=now)
            )
    return len(ids)


def take_over(ledger: Ledger, owner: str, now: float, until: float, limit: int = 100) -> tuple[Claim, ...]:
    """Take tiles whose lease has run out, with the attempts that are alive in them."""
    with ledger.database.read() as session:
        asked = (
            select(TileRow.id)
            .where(TileRow.state == TileState.WORKING, _expired(now))
            .order_by(TileRow.lease_until)
            .limit(limit)
        )
        ids = list(session.scalars(asked))
    found = []
    for tile in ids:
        with ledger.database.write() as session:
            row = session.scalar(
                select(TileRow)
                .where(TileRow.id == tile, TileRow.state == TileState.WORKING, _expired(now))
                .with_for_update()
            )
            if row is None or row.attempt is None:
                continue
            before = row.lease_owner or "nobody"
            row.lease_owner, row.lease_until = owner, until
            row.lease_number, row.changed = row.lease_number + 1, now
            attempt = session.get_one(AttemptRow, row.attempt)
            text = f"by {owner} from {before}, {attempt.state}"
            add_event(session, Event(now, "taken over", text, tile, attempt.id, attempt.backend))
            session.flush()
            found.append(Claim(tile_of(row), attempt_of(attempt), _lease(row)))
    return tuple(found)


def claims_of(ledger: Ledger, owner: str) -> Iterator[Claim]:
    """What a runner works on, page by page in the order of tiles' ids."""
    after = ""
    while True:
        with ledger.database.read() as session:
            asked = (
                select(TileRow, AttemptRow)
                .join(AttemptRow, AttemptRow.id == TileRow.attempt)
                .where(TileRow.state == TileState.WORKING, TileRow.lease_owner == owner, TileRow.id > after)
                .order_by(TileRow.id)
                .limit(_PAGE)
            )
            page = [Claim(tile_of(t), attempt_of(a), _lease(t)) for t, a in session.execute(asked)]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].tile.id


def leave(ledger: Ledger, owner: str, now: float) -> int:
    """Give all leases of a runner up, as it ends in peace: others may take the tiles over at once."""
    with ledger.database.write() as session:
        gone = session.execute(
            update(TileRow)
            .where(TileRow.state == TileState.WORKING, TileRow.lease_owner == owner)
            .values(lease_until=now, changed=now)
            .returning(TileRow.id)
        )
        return len(gone.all())


def own(session: Session, lease: Lease, now: float) -> TileRow:
    """The row of a leased tile, locked for this transaction.

    Raises:
        LeaseLost: another runner has taken the tile.
    """
    row = session.scalar(
        select(TileRow)
        .where(
            TileRow.id == lease.tile,
            TileRow.state == TileState.WORKING,
            TileRow.lease_owner == lease.owner,
            TileRow.lease_number == lease.number,
        )
        .with_for_update()
    )
    if row is None:
        raise LeaseLost(
            f"{lease.owner} lost tile {lease.tile} (lease {lease.number}) to another runner.",
            hint="Nothing was written.",
        )
    row.changed = now
    return row


def _take(session: Session, tile: str, owner: str, now: float, until: float) -> TileRow | None:
    return session.scalar(
        update(TileRow)
        .where(TileRow.id == tile, TileRow.state == TileState.WAITING, TileRow.not_before <= now)
        .values(
            state=TileState.WORKING,
            reason="",
            lease_owner=owner,
            lease_until=until,
            lease_number=TileRow.lease_number + 1,
            changed=now,
        )
        .returning(TileRow)
        .execution_options(populate_existing=True)
    )


def _expired(now: float) -> ColumnElement[bool]:
    return or_(TileRow.lease_until <= now, TileRow.lease_until.is_(None))


def _lease(row: TileRow) -> Lease:
    return Lease(row.id, row.lease_owner or "", row.lease_number, row.lease_until or 0.0)
