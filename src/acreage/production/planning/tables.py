"""The tiles of a ledger as CSV or GeoParquet: written for people, and read back.

Each row has a check: a digest of what may be edited. Rows whose check still fits were not touched, so that
what a runner changed since is no edit of theirs.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from acreage.core.errors import InvalidInput, OutputExists
from acreage.core.outputs import whole_file
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import TileRecord
from acreage.production.tiles import Tile

EDITABLE = (
    *("state", "reason", "priority", "backend", "orbit", "s1_coefficient", "s1_tolerance", "memory_mb"),
)
"""Columns that people may edit."""
FIXED = (
    *("country", "zone", "cropland_share", "core_seconds", "cost"),
    *("crs", "left", "bottom", "right", "top", "west", "south", "east", "north"),
)
"""Columns that follow from the plan."""
TOLD = ("tries",)
"""Columns that only tell."""
CHECK = "check"
CSV, PARQUET = (".csv",), (".parquet", ".geoparquet")
_SHOWN = 5


def columns(names: Sequence[str]) -> tuple[str, ...]:
    """All columns of a table, for back ends of these names."""
    items = (f"{kind}.{name}" for kind in ("s2_items", "s1_items") for name in names)
    return ("id", *EDITABLE, *FIXED, *TOLD, *items, CHECK)


def write_table(ledger: Ledger, out: Path, *, overwrite: bool = False) -> int:
    """Write all tiles; returns how many.

    Args:
        ledger: whose.
        out: `.csv`, or `.parquet` (GeoParquet: outlines in degrees).
        overwrite: whether a file that is there is replaced.

    Raises:
        InvalidInput: another suffix.
        OutputExists: it is there and `overwrite` is False.
        WriteFailed: the disk refused.
    """
    _check_suffix(out)
    if out.exists() and not overwrite:
        raise OutputExists(f"{out} is there already.", hint="Name another file, or give --overwrite.")
    names = [b.name for b in back_ends(ledger)]
    rows = rows_of(tiles(ledger), names)
    if out.suffix in CSV:
        return _write_csv(rows, columns(names), out)
    frame = pd.DataFrame(list(rows), columns=list(columns(names)))
    corners = zip(frame["left"], frame["bottom"], frame["right"], frame["top"], strict=True)
    places = zip(frame["id"], frame["crs"], corners, strict=True)
    outlines = [Tile(tile_id, crs, bounds).outline for tile_id, crs, bounds in places]
    shapes = shapely.simplify(outlines, 1e-6)  # a decimetre: a side bends little
    with whole_file(out) as part:
        gpd.GeoDataFrame(frame, geometry=shapes, crs="EPSG:4326").to_parquet(part, index=False)
    return len(frame)


def rows_of(records: Iterable[TileRecord], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tiles as rows of a table."""
    for tile in records:
        row: dict[str, Any] = {"id": tile.id}
        row |= {name: getattr(tile, name) for name in (*EDITABLE, *FIXED, *TOLD)}
        row["state"] = str(tile.state)
        for kind in ("s2_items", "s1_items"):
            row |= {f"{kind}.{name}": getattr(tile, kind).get(name) for name in names}
        yield {**row, CHECK: check_of(row)}


def check_of(row: Mapping[str, Any]) -> str:
    """The digest of what may be edited of a row."""
    text = "\x1f".join(plain(row.get(name)) for name in EDITABLE)
    return f"c{hashlib.sha256(text.encode()).hexdigest()[:11]}"  # no program takes it for a number


def plain(value: Any) -> str:
    """A value as text, the same for what programs for tables make of it (1 of 1.0, empty of missing)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return str(value).strip()
    return f"{float(value):.9g}"


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of tiles, as they stand in the file.

    Raises:
        InvalidInput: it cannot be read, has no column `id`, an empty or a duplicate id.
    """
    _check_suffix(path)
    try:
        if path.suffix in CSV:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        else:
            frame = pd.DataFrame(gpd.read_parquet(path).drop(columns="geometry"))
    except (OSError, ValueError, KeyError) as error:  # pandas' errors of reading are ValueErrors
        raise InvalidInput(f"The table {path} cannot be read: {error}.") from error
    if "id" not in frame.columns:
        raise InvalidInput(f"The table {path} has no column id.", hint="Edit a table that was exported.")
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    for row in rows:
        row["id"] = str(row["id"]).strip()
    ids = [row["id"] for row in rows]
    if "" in ids:
        raise InvalidInput(f"The table {path} has a row without an id: row {ids.index('') + 2}.")
    seen: set[str] = set()
    twice = sorted({i for i in ids if i in seen or seen.add(i)})  # type: ignore[func-returns-value]
    if twice:
        raise InvalidInput(
            f"The table {path} has {few(twice)} more than once.", hint="Leave one row of each tile."
        )
    return rows


def few(ids: Sequence[str]) -> str:
    """Some ids, and how many more there are."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"{', '.join(ids[:_SHOWN])}{more}"


def _write_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str], out: Path) -> int:
    number = 0
    with whole_file(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            writer.writerow(dict(row))
            number += 1
    return number


def _check_suffix(path: Path) -> None:
    if path.suffix not in (*CSV, *PARQUET):
        raise InvalidInput(f"{path.name} is neither .csv nor .parquet.", hint="Name it with one of these.")
