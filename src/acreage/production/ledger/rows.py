"""Rows as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from acreage.production.ledger.values import (
    Attempt,
    AttemptState,
    BackEndRecord,
    BackEndState,
    TileRecord,
    TileState,
)


def tile_of(row: RowMapping | Mapping[str, Any]) -> TileRecord:
    """The tile of a row."""
    return TileRecord(**{**row, "state": TileState(row["state"])})


def attempt_of(row: RowMapping | Mapping[str, Any]) -> Attempt:
    """The attempt of a row."""
    return Attempt(**{**row, "state": AttemptState(row["state"])})


def back_end_of(row: RowMapping | Mapping[str, Any]) -> BackEndRecord:
    """The back end of a row."""
    return BackEndRecord(**{**row, "state": BackEndState(row["state"])})
