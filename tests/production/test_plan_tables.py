from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from tests.support.ledgers import new_ledger, tile_record

from acreage.core.errors import InvalidInput, OutputExists
from acreage.production.ledger.events import history
from acreage.production.ledger.leases import claim
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import hold, tile, tiles
from acreage.production.ledger.values import Choice, TileState
from acreage.production.planning.edits import Edit, apply_edits, find_edits
from acreage.production.planning.tables import read_table, write_table

Rows = list[dict[str, Any]]


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    given = [
        tile_record(n, s2_items={"one": 40 + n}, s1_items={"one": 7}, orbit="ascending") for n in range(6)
    ]
    given.append(tile_record(6, state=TileState.SKIPPED, reason="no cropland", cropland_share=None))
    made = new_ledger(str(tmp_path / "production"), given)
    yield made
    made.close()


def edited(ledger: Ledger, folder: Path, change: Callable[[Rows], Rows | None]) -> Path:
    """An exported table, changed as people do."""
    path = folder / "plan.csv"
    write_table(ledger, path, overwrite=True)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = change(rows) or rows
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def edits_of(ledger: Ledger, path: Path) -> tuple[Edit, ...]:
    return find_edits(ledger, read_table(path))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_that_nobody_touched_changes_nothing(ledger: Ledger, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plan{suffix}"
    assert write_table(ledger, path) == 7
    assert edits_of(ledger, path) == ()
    with pytest.raises(OutputExists):
        write_table(ledger, path)


def test_geoparquet_has_outlines_that_other_programs_read(ledger: Ledger, tmp_path: Path) -> None:
    write_table(ledger, tmp_path / "plan.parquet")
    frame = gpd.read_parquet(tmp_path / "plan.parquet").set_index("id")
    for record in tiles(ledger):
        there = frame.loc[[record.id]].to_crs(record.crs).geometry.iloc[0]
        assert there.symmetric_difference(shapely.box(*record.bounds)).area < 1e-5 * there.area
    assert frame.loc["20kmE200N100", "s2_items.one"] == 40
    frame.loc["20kmE200N100", "priority"] = 99.0
    frame.reset_index().to_parquet(tmp_path / "edited.parquet")
    assert edits_of(ledger, tmp_path / "edited.parquet") == (Edit("20kmE200N100", "priority", 1.0, 99.0),)


def test_edits_are_found_and_written_with_an_event_each(ledger: Ledger, tmp_path: Path) -> None:
    def change(rows: Rows) -> None:
        rows[0] |= {"priority": "12.5", "backend": "two"}
        rows[1] |= {"state": "skipped", "reason": "not this year"}
        rows[2] |= {"memory_mb": "7600.0", "s1_tolerance": "0.1"}
        rows[6] |= {"state": "waiting", "reason": ""}

    found = edits_of(ledger, edited(ledger, tmp_path, change))
    assert {(e.column, e.before, e.after) for e in found if e.tile == "20kmE200N100"} == {
        ("priority", 1.0, 12.5),
        ("backend", None, "two"),
    }
    assert len(found) == 8
    assert all(t.backend is None for t in tiles(ledger))  # nothing is written by looking
    apply_edits(ledger, found, 5.0)
    first, second, third, *_, last = tiles(ledger)
    assert (first.priority, first.backend) == (12.5, "two")
    assert (second.state, second.reason) == (TileState.SKIPPED, "not this year")
    assert (third.memory_mb, third.s1_tolerance) == (7600, 0.1)
    assert last.state is TileState.WAITING
    assert [e.kind for e in history(ledger, first.id)] == ["edited"]
    assert edits_of(ledger, tmp_path / "plan.csv") == ()


def test_what_a_program_for_tables_does_to_numbers_is_no_edit(ledger: Ledger, tmp_path: Path) -> None:
    def change(rows: Rows) -> None:
        for row in rows:
            row["left"], row["priority"] = f"{float(row['left']):.0f}", f"{float(row['priority']):.9g}"
            row["memory_mb"] = f"{float(row['memory_mb']):.1f}"
            del row["country"], row["tries"]

    assert edits_of(ledger, edited(ledger, tmp_path, change)) == ()


def _take_first(rows: Rows) -> Rows:
    return rows[1:]


def _twice(rows: Rows) -> Rows:
    return [*rows, rows[3]]


def _set(at: int, **values: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[at] |= values

    return change


def _new_column(rows: Rows) -> None:
    for row in rows:
        row["prioritty"] = "5"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_twice, "has 20kmE203N100 more than once"),
        (_take_first, r"lacks tiles of the ledger: 20kmE200N100.*set the state"),
        (
            _set(2, id="20kmE202N999"),
            r"not of the ledger: 20kmE202N999.*may have been 20kmE202N100",
        ),
        (_set(2, id=""), "a row without an id: row 4"),
        (_set(2, left="5"), "left of 20kmE202N100 follows from the plan"),
        (_set(2, cropland_share="0.9"), "cropland_share of 20kmE202N100 follows from the plan"),
        (_set(2, priority="high"), "priority of 20kmE202N100 is 'high': a number is needed"),
        (_set(2, priority="inf"), "a number is needed"),
        (_set(2, memory_mb="0"), "megabytes are whole"),
        (_set(2, s1_tolerance="5"), "a share lies between 0 and 1"),
        (_set(2, orbit="sideways"), "use ascending, descending, both"),
        (_set(2, state="done"), "use waiting, held, skipped"),
        (_set(2, backend="three"), "use nothing, one, two"),
        (_new_column, "columns that the ledger does not have: prioritty"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(
    ledger: Ledger, tmp_path: Path, change: Callable[[Rows], Rows | None], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        edits_of(ledger, edited(ledger, tmp_path, change))
    assert all(not history(ledger, t.id) for t in tiles(ledger))


def test_what_runners_did_since_is_neither_an_edit_nor_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    path = edited(ledger, tmp_path, _set(3, priority="50"))
    claim(ledger, "a", [Choice("20kmE201N100", "one", 1)], 0.0, 9.0)
    hold(ledger, ["20kmE202N100"], "deterministic", 1.0)
    found = edits_of(ledger, path)
    assert [(e.tile, e.column) for e in found] == [("20kmE203N100", "priority")]
    hold(ledger, ["20kmE203N100"], "deterministic", 1.0)
    with pytest.raises(InvalidInput, match="20kmE203N100 has changed since the table was written"):
        edits_of(ledger, path)
    # A runner takes the tile after the table was looked at.
    claim(ledger, "a", [Choice("20kmE204N100", "one", 1)], 0.0, 9.0)
    with pytest.raises(InvalidInput, match="is working: nothing was changed"):
        apply_edits(ledger, [Edit("20kmE204N100", "priority", 0.2, 5.0)], 2.0)
    kept = tile(ledger, "20kmE204N100")
    assert kept is not None
    assert kept.priority == 0.2


def test_tiles_that_are_worked_on_may_not_be_edited(ledger: Ledger, tmp_path: Path) -> None:
    claim(ledger, "a", [Choice("20kmE202N100", "one", 1)], 0.0, 9.0)
    with pytest.raises(InvalidInput, match="20kmE202N100 is working and may not be edited"):
        edits_of(ledger, edited(ledger, tmp_path, _set(2, priority="50")))


def test_files_that_are_no_tables_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="has no column id"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_table(tmp_path / "x.parquet")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match=r"neither \.csv nor \.parquet"):
        write_table(ledger, tmp_path / "plan.xlsx")
