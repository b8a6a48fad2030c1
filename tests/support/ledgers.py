"""Ledgers of productions for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acreage.production.ledger.store import Ledger, create_ledger
from acreage.production.ledger.values import BackEndRecord, Production, TileRecord, TileState

SIDE = 20_000


def tile_record(number: int, **values: object) -> TileRecord:
    """A tile of the 20 km grid, in rows of 100; the first has the highest priority and the longest job."""
    column, row = number % 100, number // 100
    left, bottom = float(column * SIDE + 4_000_000), float(row * SIDE + 2_000_000)
    known: dict[str, object] = {
        "country": "FR",
        "zone": "31N",
        "cropland_share": 1 / (number + 1),
        "memory_mb": 3800,
        "core_seconds": 1000.0 / (number + 1),
        "cost": 1.0,
        "priority": 1.0 / (number + 1),
    }
    return TileRecord(
        f"20kmE{column + 200}N{row + 100:03}",
        "EPSG:3035",
        left,
        bottom,
        left + SIDE,
        bottom + SIDE,
        *(float(v) for v in (column / 4, 45 + row / 5, (column + 1) / 4, 45 + (row + 1) / 5)),
        **{**known, **values},  # type: ignore[arg-type]
    )


def new_ledger(
    place: str,
    tiles: int | Sequence[TileRecord] = 5,
    back_ends: Sequence[BackEndRecord] = (BackEndRecord("one", {}), BackEndRecord("two", {})),
) -> Ledger:
    """A ledger of so many waiting tiles, or of those given, made at time 0."""
    given = [tile_record(n) for n in range(tiles)] if isinstance(tiles, int) else tiles
    production = Production("test", 0.0, {"currency": "EUR"}, Path("results"), 0, "")
    return create_ledger(place, production, back_ends, given)


def states(found: Sequence[TileRecord]) -> dict[str, TileState]:
    """The state of each tile."""
    return {t.id: t.state for t in found}
