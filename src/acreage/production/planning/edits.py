"""What people changed in a table of tiles: found, checked, shown, and only then written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acreage.core.errors import InvalidInput
from acreage.croptype.orbits import DIRECTIONS
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import change, tiles
from acreage.production.ledger.values import TileRecord, TileState
from acreage.production.planning.tables import CHECK, EDITABLE, FIXED, check_of, columns, few, plain, rows_of

SETTABLE = (TileState.WAITING, TileState.HELD, TileState.SKIPPED)
"""States that people may set."""
_NUMBERS = ("priority", "s1_tolerance", "memory_mb")


@dataclass(frozen=True)
class Edit:
    """A change of one value.

    Attributes:
        tile, column: where.
        before, after: values.
    """

    tile: str
    column: str
    before: Any
    after: Any


def find_edits(ledger: Ledger, rows: Sequence[Mapping[str, Any]]) -> tuple[Edit, ...]:
    """What differs in a table from the ledger, as people changed it.

    Args:
        ledger: as it is now.
        rows: of `read_table`.

    Raises:
        InvalidInput: ids are missing or not of the ledger, columns that follow from the plan were changed, a
            value cannot be used, or a tile has changed since the table was written.
    """
    names = [b.name for b in back_ends(ledger)]
    known = columns(names)
    unknown = sorted({c for row in rows for c in row} - set(known))
    if unknown:
        raise InvalidInput(
            f"The table has columns that the ledger does not have: {', '.join(unknown)}.",
            hint="Take them out, and leave the names of the others as they were exported.",
        )
    given = {str(row["id"]): row for row in rows}
    edits: list[Edit] = []
    there: list[str] = []
    problems: list[str] = []
    for tile in tiles(ledger):
        there.append(tile.id)
        (present,) = rows_of([tile], names)
        if (row := given.get(tile.id)) is not None:
            _compare(tile, present, row, names, edits, problems)
    _check_ids(given, there)
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise InvalidInput(f"The table cannot be used: {'; '.join(problems[:5])}{more}. Nothing was changed.")
    return tuple(edits)


def apply_edits(ledger: Ledger, edits: Sequence[Edit], now: float) -> None:
    """Write edits, all or none.

    Raises:
        InvalidInput: a runner has taken one of the tiles meanwhile.
    """
    changes: dict[str, dict[str, Any]] = {}
    for edit in edits:
        changes.setdefault(edit.tile, {})[edit.column] = edit.after
    change(ledger, changes, now, "by a table")


def _check_ids(given: Mapping[str, Any], there: Sequence[str]) -> None:
    missing = sorted(set(there) - set(given))
    strange = sorted(set(given) - set(there))
    if strange:
        close = difflib.get_close_matches(strange[0], missing, 1)
        meant = f" {strange[0]} may have been {close[0]}." if close else ""
        raise InvalidInput(
            f"The table has ids that are not of the ledger: {few(strange)}.{meant}",
            hint="Ids say where a tile lies and stay as they are; another area is another plan.",
        )
    if missing:
        raise InvalidInput(
            f"The table lacks tiles of the ledger: {few(missing)}.",
            hint="Leave their rows in; set the state of those that are not wanted to skipped.",
        )


def _compare(
    tile: TileRecord,
    present: Mapping[str, Any],
    row: Mapping[str, Any],
    names: Sequence[str],
    edits: list[Edit],
    problems: list[str],
) -> None:
    problems += [
        f"{name} of {tile.id} follows from the plan and may not be edited"
        for name in FIXED
        if name in row and not _same(present[name], row[name])
    ]
    full = {name: row.get(name, present[name]) for name in EDITABLE}
    stated = plain(row.get(CHECK))
    if stated == plain(check_of(full)):
        return  # as it was exported
    mine = []
    for name in EDITABLE:
        if _same(present[name], full[name]):
            continue
        try:
            mine.append(Edit(tile.id, name, present[name], _value(name, full[name], names)))
        except ValueError as error:
            problems.append(f"{name} of {tile.id} is {full[name]!r}: {error}")
    if mine and stated != plain(present[CHECK]):
        problems.append(f"{tile.id} has changed since the table was written; export it again")
    elif mine and tile.state not in SETTABLE:
        problems.append(f"{tile.id} is {tile.state} and may not be edited")
    edits += mine


def _same(before: Any, after: Any) -> bool:
    left, right = plain(before), plain(after)
    try:
        return math.isclose(float(left), float(right), rel_tol=1e-6)
    except ValueError:
        return left == right


def _value(name: str, given: Any, names: Sequence[str]) -> Any:
    """The value of an editable column.

    Raises:
        ValueError: it cannot be used.
    """
    text = plain(given)
    if name in _NUMBERS:
        number = _number(text)
        if name == "s1_tolerance" and not 0 <= number <= 1:
            raise ValueError("a share lies between 0 and 1")
        if name == "memory_mb" and not (number >= 1 and number.is_integer()):
            raise ValueError("megabytes are whole, and one at least")
        return int(number) if name == "memory_mb" else number
    allowed = {
        "state": tuple(str(s) for s in SETTABLE),
        "orbit": (*DIRECTIONS, "both"),
        "backend": ("", *names),
    }.get(name)
    if allowed is not None and text not in allowed:
        raise ValueError(f"use {', '.join(a or 'nothing' for a in allowed)}")
    if name == "backend":
        return text or None
    return TileState(text) if name == "state" else str(given).strip() if text else ""


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise ValueError("a number is needed") from None
    if not math.isfinite(found):
        raise ValueError("a number is needed")
    return found
