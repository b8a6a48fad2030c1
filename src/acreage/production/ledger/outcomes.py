"""What became of attempts: of a tile, of a back end, and lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select

from acreage.production.ledger.rows import attempt_of
from acreage.production.ledger.schema import ATTEMPTS, BACK_ENDS, TILES
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import LIVE, Attempt, AttemptState


@dataclass(frozen=True)
class Totals:
    """What attempts of a back end have in common.

    Attributes:
        live: attempts that are not closed, by state.
        committed: the estimated costs of the tiles whose attempts are alive and not paid for yet.
    """

    live: Mapping[AttemptState, int] = field(default_factory=dict)
    committed: float = 0.0


def attempts_of(ledger: Ledger, tile: str) -> tuple[Attempt, ...]:
    """All attempts of a tile, oldest first."""
    with ledger.database.read() as session:
        rows = session.execute(select(ATTEMPTS).where(ATTEMPTS.c.tile == tile).order_by(ATTEMPTS.c.id))
        return tuple(attempt_of(row) for row in rows.mappings())


def failures_of(ledger: Ledger, tile: str) -> Counter[str]:
    """How often the attempts of a tile failed, by class of error."""
    with ledger.database.read() as session:
        rows = session.execute(
            select(ATTEMPTS.c.error_class, func.count())
            .where(ATTEMPTS.c.tile == tile, ATTEMPTS.c.state == AttemptState.FAILED)
            .group_by(ATTEMPTS.c.error_class)
        )
        return Counter(dict(rows.all()))


def outcomes_since(ledger: Ledger, since: float) -> Counter[AttemptState]:
    """How attempts that were closed since then ended."""
    with ledger.database.read() as session:
        rows = session.execute(
            select(ATTEMPTS.c.state, func.count())
            .where(ATTEMPTS.c.closed_at >= since)
            .group_by(ATTEMPTS.c.state)
        )
        return Counter({AttemptState(state): count for state, count in rows})


def totals(ledger: Ledger) -> dict[str, Totals]:
    """What each back end has to do, and its cost by the estimates; back ends with nothing are left out."""
    found: dict[str, Totals] = {}
    with ledger.database.read() as session:
        rows = session.execute(
            select(
                ATTEMPTS.c.backend,
                ATTEMPTS.c.state,
                func.count(),
                func.sum(TILES.c.cost * BACK_ENDS.c.cost_factor).filter(ATTEMPTS.c.cost.is_(None)),
            )
            .join(TILES, TILES.c.id == ATTEMPTS.c.tile)
            .join(BACK_ENDS, BACK_ENDS.c.name == ATTEMPTS.c.backend)
            .where(ATTEMPTS.c.state.in_(LIVE))
            .group_by(ATTEMPTS.c.backend, ATTEMPTS.c.state)
        )
        for name, state, count, committed in rows:
            before = found.get(name, Totals())
            live = {**before.live, AttemptState(state): count}
            found[name] = Totals(live, before.committed + (committed or 0.0))
    return found
