"""Tiles of a ledger: reading them page by page, counting them, and what people decide about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update

from acreage.core.errors import InvalidInput
from acreage.production.ledger.events import add_event
from acreage.production.ledger.rows import tile_of
from acreage.production.ledger.schema import TILES, AttemptRow, TileRow
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import AttemptState, Event, TileRecord, TileState

_PAGE = 1000


@dataclass(frozen=True)
class StateSum:
    """What the tiles of one state have in common.

    Attributes:
        tiles: how many.
        core_seconds, cost: estimated, of all of them.
    """

    tiles: int
    core_seconds: float
    cost: float


def tile(ledger: Ledger, tile_id: str) -> TileRecord | None:
    """One tile; None where there is none of that id."""
    with ledger.database.read() as session:
        row = session.execute(select(TILES).where(TILES.c.id == tile_id)).mappings().one_or_none()
        return None if row is None else tile_of(row)


def tiles(ledger: Ledger, states: Sequence[TileState] | None = None) -> Iterator[TileRecord]:
    """Tiles in the order of their ids, read page by page.

    Args:
        ledger: whose.
        states: which; None: all.
    """
    after = ""
    while True:
        with ledger.database.read() as session:
            asked = select(TILES).where(TILES.c.id > after).order_by(TILES.c.id).limit(_PAGE)
            if states is not None:
                asked = asked.where(TILES.c.state.in_(states))
            page = [tile_of(row) for row in session.execute(asked).mappings()]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def sums(ledger: Ledger) -> dict[TileState, StateSum]:
    """How many tiles are in each state, and what they need; states without tiles are left out."""
    with ledger.database.read() as session:
        rows = session.execute(
            select(
                TileRow.state, func.count(), func.sum(TileRow.core_seconds), func.sum(TileRow.cost)
            ).group_by(TileRow.state)
        )
        return {TileState(s): StateSum(n, float(seconds), float(cost)) for s, n, seconds, cost in rows}


def reasons(ledger: Ledger, state: TileState) -> dict[str, int]:
    """How many tiles of a state have which reason, the most frequent first."""
    with ledger.database.read() as session:
        count = func.count()
        rows = session.execute(
            select(TileRow.reason, count)
            .where(TileRow.state == state)
            .group_by(TileRow.reason)
            .order_by(count.desc(), TileRow.reason)
        )
        return dict(rows.all())


def failures(ledger: Ledger) -> list[tuple[str, str, int, int]]:
    """Failed attempts by class of error and back end: class, back end, attempts, tiles; the most first."""
    with ledger.database.read() as session:
        count = func.count()
        rows = session.execute(
            select(AttemptRow.error_class, AttemptRow.backend, count, func.count(AttemptRow.tile.distinct()))
            .where(AttemptRow.state == AttemptState.FAILED)
            .group_by(AttemptRow.error_class, AttemptRow.backend)
            .order_by(count.desc(), AttemptRow.error_class, AttemptRow.backend)
        )
        return [(name, backend, number, touched) for name, backend, number, touched in rows]


def release(ledger: Ledger, tile_ids: Sequence[str], now: float, text: str = "") -> int:
    """Let held tiles wait again, as a person decided; returns how many were held."""
    return _decide(
        ledger,
        tile_ids,
        TileState.HELD,
        {"state": TileState.WAITING, "reason": "", "not_before": 0.0, "tries": 0},
        lambda tile_id: Event(now, "released", text, tile_id),
        now,
    )


def hold(ledger: Ledger, tile_ids: Sequence[str], reason: str, now: float) -> int:
    """Hold waiting tiles, as a person decided; returns how many waited."""
    return _decide(
        ledger,
        tile_ids,
        TileState.WAITING,
        {"state": TileState.HELD, "reason": reason},
        lambda tile_id: Event(now, "held", reason, tile_id),
        now,
    )


def change(
    ledger: Ledger, changes: Mapping[str, Mapping[str, Any]], now: float, text: str = "edited"
) -> None:
    """Change columns of tiles, all or none, each with an event.

    Args:
        ledger: where.
        changes: by tile, the new values by column.
        now: when.
        text: why.

    Raises:
        InvalidInput: a tile is not there, or is worked on or done.
    """
    with ledger.database.write() as session:
        for tile_id in sorted(changes):
            row = session.get(TileRow, tile_id, with_for_update=True)
            if row is None:
                raise InvalidInput(f"There is no tile {tile_id}.")
            if row.state in (TileState.WORKING, TileState.DONE):
                raise InvalidInput(
                    f"Tile {tile_id} is {row.state}: nothing was changed.", hint="Leave it as it is."
                )
            before = {name: getattr(row, name) for name in changes[tile_id]}
            for name, value in changes[tile_id].items():
                setattr(row, name, value)
            row.changed = now
            told = ", ".join(f"{n}: {before[n]} -> {v}" for n, v in changes[tile_id].items())
            add_event(
                session.connection(),
                Event(now, "edited", f"{text}: {told}", tile_id, data={"before": before}),
            )


def _decide(
    ledger: Ledger,
    tile_ids: Sequence[str],
    state: TileState,
    values: Mapping[str, Any],
    told: Callable[[str], Event],
    now: float,
) -> int:
    number = 0
    with ledger.database.write() as session:
        for tile_id in sorted(tile_ids):
            found = session.scalar(
                update(TileRow)
                .where(TileRow.id == tile_id, TileRow.state == state)
                .values(**values, changed=now)
                .returning(TileRow.id)
            )
            if found is not None:
                add_event(session.connection(), told(tile_id))
                number += 1
    return number
