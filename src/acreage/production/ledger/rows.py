"""Rows as values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from acreage.production.ledger.schema import AttemptRow, BackEndRow, TileRow
from acreage.production.ledger.values import (
    Attempt,
    AttemptState,
    BackEndRecord,
    BackEndState,
    TileRecord,
    TileState,
)

_TILE = tuple(f.name for f in fields(TileRecord) if f.name != "state")
_ATTEMPT = tuple(f.name for f in fields(Attempt) if f.name != "state")
_BACK_END = tuple(f.name for f in fields(BackEndRecord) if f.name != "state")


def tile_of(row: TileRow) -> TileRecord:
    """The tile of a row."""
    return TileRecord(**_values(row, _TILE), state=TileState(row.state))


def attempt_of(row: AttemptRow) -> Attempt:
    """The attempt of a row."""
    return Attempt(**_values(row, _ATTEMPT), state=AttemptState(row.state))


def back_end_of(row: BackEndRow) -> BackEndRecord:
    """The back end of a row."""
    return BackEndRecord(**_values(row, _BACK_END), state=BackEndState(row.state))


def _values(row: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
