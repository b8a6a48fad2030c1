"""`acreage run`: what people tell a run, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.ledgers import new_ledger, tile_record
from typer.testing import CliRunner, Result

from acreage.cli.main import app
from acreage.cli.run import told
from acreage.production.ledger.events import events
from acreage.production.ledger.leases import claim
from acreage.production.ledger.settings import back_ends, control
from acreage.production.ledger.store import create_ledger, open_ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import (
    BackEndRecord,
    BackEndState,
    Choice,
    Production,
    TileState,
)
from acreage.production.progress import BackEndProgress, Snapshot


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", *arguments])


def test_the_policy_is_shown() -> None:
    found = run("nowhere", "--policy")
    assert found.exit_code == 0
    assert "job: transient" in found.output


def test_what_people_set_is_what_runners_read(tmp_path: Path) -> None:
    ledger = new_ledger(str(tmp_path / "p"), 3)
    place = str(tmp_path / "p")
    found = run(place, "--set", "pace=20", "--set", "parallel.one=7", "--drain", "two", "--pause")
    assert found.exit_code == 0, found.output
    assert control(ledger) == {"pace": 20.0, "paused": "a person paused it"}
    one, two = back_ends(ledger)
    assert (one.parallel, two.state) == (7, BackEndState.DRAINING)
    assert (
        run(place, "--resume", "--open", "two", "--set", "parallel.one=none", "--set", "pace=none").exit_code
        == 0
    )
    assert control(ledger) == {}
    one, two = back_ends(ledger)
    assert (one.parallel, two.state) == (None, BackEndState.OPEN)
    assert "paused by a person" in [e.text for e in events(ledger)]
    ledger.close()


def test_held_tiles_are_released_by_id_and_by_cause_and_lost_ones_given_up(tmp_path: Path) -> None:
    held = [
        tile_record(n, state=TileState.HELD, reason="deterministic: NoDataAvailable" if n else "lost: gone")
        for n in range(4)
    ]
    place = str(tmp_path / "p")
    ledger = new_ledger(place, [*held, tile_record(9)])
    claim(ledger, "a", [Choice(tile_record(9).id, "one", 1)], 0.0, 9.0)
    assert "3 held tiles wait again" in run(place, "--release", "deterministic").output
    assert run(place, "--release", held[0].id).exit_code == 0
    assert run(place, "--give-up", tile_record(9).id).exit_code == 0
    assert {t.state for t in tiles(ledger)} == {TileState.WAITING}
    ledger.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "speed=3"], "no control 'speed'"),
        (["--set", "pace"], "sets nothing"),
        (["--set", "parallel.one=0"], "cannot be '0'"),
        (["--set", "parallel.three=2"], "no back end three"),
        (["--drain", "three"], "no back end three"),
        (["--release", "nothing"], "No tile is held"),
        (["--give-up", "nothing"], "Nobody works on tile nothing"),
        (["--pause", "--resume"], "paused and resumed at once"),
    ],
)
def test_wishes_that_cannot_be_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    place = str(tmp_path / "p")
    new_ledger(place, 1).close()
    found = run(place, *arguments)
    assert found.exit_code == 2
    assert said in found.output


def test_a_plan_over_its_threshold_is_not_run(tmp_path: Path) -> None:
    place = str(tmp_path / "p")
    config = {"refuse_over": 2.0, "currency": "EUR"}
    made = Production("dear", 0.0, config, tmp_path / "results", 0, "")
    record = BackEndRecord("one", {"url": "http://127.0.0.1:9", "model": {"kind": "upload"}})
    create_ledger(place, made, [record], [tile_record(n, cost=1.0) for n in range(3)]).close()
    found = run(place)
    assert found.exit_code == 2
    assert "more than the 2.00 over which it is refused" in found.output
    assert "no production in" in run(str(tmp_path / "nowhere")).output
    ledger = open_ledger(place)
    assert not list(events(ledger))
    ledger.close()


def test_a_run_is_told_in_a_line() -> None:
    back_ends = (
        BackEndProgress("one", 4, 10, BackEndState.OPEN),
        BackEndProgress("two", 0, 2, BackEndState.BROKEN),
    )
    found = Snapshot(100, 40, 4, 55, 1, 12.34, 8.5, 21.0, 7200.0, "", back_ends)
    line = told(found)
    assert "40 of 100 tiles · 1 held · 12.3 an hour · 8.50 spent of 21.00 · 2.0 h left, until" in line
    assert line.endswith("one 4/10 · two 0/2 broken")
    stopped = Snapshot(100, 40, 0, 55, 5, None, 8.5, 21.0, None, "the budget is used up", back_ends)
    assert "NOTHING IS SENT: the budget is used up" in told(stopped)
