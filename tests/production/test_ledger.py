from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.ledgers import new_ledger, tile_record

from acreage.core.errors import InvalidInput, LeaseLost, LedgerError, LedgerVersion, OutputExists
from acreage.production.ledger.attempts import Again, Done, Hold, Step, advance, advance_all, close
from acreage.production.ledger.events import events, history
from acreage.production.ledger.leases import claim, claims_of, leave, next_time, renew, take_over, waiting
from acreage.production.ledger.outcomes import attempts_of, failures_of, outcomes_since, totals
from acreage.production.ledger.settings import back_ends, control, set_back_end, set_control
from acreage.production.ledger.store import Ledger, open_ledger
from acreage.production.ledger.tiles import change, failures, hold, reasons, release, sums, tile, tiles
from acreage.production.ledger.values import AttemptState, BackEndState, Choice, Claim, TileState


def claim_one(ledger: Ledger, owner: str = "a", now: float = 0.0, until: float = 120.0) -> Claim:
    first = waiting(ledger, now, 1)[0]
    (found,) = claim(ledger, owner, [Choice(first.id, "one", first.memory)], now, until)
    return found


def test_what_was_written_is_read(place: str) -> None:
    given = [tile_record(n, s2_items={"one": 7}, cropland_share=None) for n in range(2500)]
    new_ledger(place, given).close()
    ledger = open_ledger(place)
    assert ledger.production.name == "test"
    assert list(tiles(ledger)) == sorted(given, key=lambda t: t.id)
    assert tile(ledger, given[3].id) == given[3]
    assert tile(ledger, "nowhere") is None
    assert sums(ledger)[TileState.WAITING].tiles == 2500
    ledger.close()


def test_a_ledger_is_not_made_over_another(place: str) -> None:
    new_ledger(place).close()
    with pytest.raises(OutputExists, match="is there already"):
        new_ledger(place)
    ledger = open_ledger(place)
    assert len(list(tiles(ledger))) == 5
    ledger.close()


def test_a_ledger_of_another_version_is_refused_and_says_who_made_it(place: str) -> None:
    ledger = new_ledger(place)
    with ledger.database.write() as session:
        session.execute(text("UPDATE production SET version = 99, release = '7.5'"))
        # A later release's tables may lack what this one knows.
        session.execute(text("ALTER TABLE production DROP COLUMN config"))
    ledger.close()
    with pytest.raises(LedgerVersion, match=r"version 99, made by acreage 7\.5.*Use acreage 7\.5"):
        open_ledger(place)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no production in"):
        open_ledger(str(tmp_path))
    sqlite3.connect(tmp_path / "ledger.db").execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(InvalidInput, match="holds no ledger"):
        open_ledger(str(tmp_path))
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match="cannot be used"):
        open_ledger(str(tmp_path))
    with pytest.raises(LedgerError, match="cannot be used"):
        open_ledger("postgresql://nobody@127.0.0.1:9/nothing")


def test_the_password_of_a_database_is_not_told() -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger("postgresql://anna:open-sesame@127.0.0.1:9/nothing")
    assert "open-sesame" not in str(caught.value)


def test_tiles_come_by_priority_and_by_length(place: str) -> None:
    given = [
        tile_record(0, priority=1.0, core_seconds=10.0),
        tile_record(1, priority=3.0, core_seconds=30.0, backend="two"),
        tile_record(2, priority=2.0, core_seconds=50.0),
        tile_record(3, priority=9.0, state=TileState.SKIPPED, reason="no cropland"),
        tile_record(4, priority=8.0, not_before=100.0),
        tile_record(5, priority=7.0, backend="one"),
    ]
    ledger = new_ledger(place, given)
    ids = [t.id for t in given]
    assert [t.id for t in waiting(ledger, 0.0, 9)] == [ids[2], ids[0]]
    assert [t.id for t in waiting(ledger, 0.0, 9, ["two"])] == [ids[1], ids[2], ids[0]]
    assert [t.id for t in waiting(ledger, 0.0, 9, ["two"], by="core_seconds")] == [ids[2], ids[1], ids[0]]
    assert [t.id for t in waiting(ledger, 100.0, 2, ["one", "two"])] == [ids[4], ids[5]]
    assert next_time(ledger, 0.0) == 100.0
    assert next_time(ledger, 100.0) is None
    ledger.close()


def test_a_tile_goes_from_claim_to_done_with_its_history(place: str) -> None:
    ledger = new_ledger(place)
    found = claim_one(ledger, now=1.0)
    assert found.attempt.state is AttemptState.INTENDED
    assert found.attempt.token.startswith(found.tile.id)
    steps = (AttemptState.CREATED, AttemptState.STARTING, AttemptState.STARTED, AttemptState.ENDED)
    for at, state in enumerate(steps, start=2):
        facts = {"remote_id": "j-1"} if state is AttemptState.CREATED else {}
        attempt = advance(ledger, found.lease, found.attempt.id, state, float(at), **facts)
        assert attempt.paid == (at >= 3)
    advance(ledger, found.lease, found.attempt.id, AttemptState.ENDED, 6.0, cost=2.5, cpu_seconds=80.0)
    advance(ledger, found.lease, found.attempt.id, AttemptState.FETCHED, 7.0)
    close(ledger, found.lease, found.attempt.id, AttemptState.VERIFIED, Done(), 8.0, cost=3.0)
    now = tile(ledger, found.tile.id)
    assert now is not None
    assert (now.state, now.attempt, now.lease_owner) == (TileState.DONE, found.attempt.id, None)
    (attempt,) = attempts_of(ledger, found.tile.id)
    assert (attempt.remote_id, attempt.cost, attempt.cpu_seconds) == ("j-1", 3.0, 80.0)
    times = (attempt.intended_at, attempt.created_at, attempt.started_at, attempt.ended_at)
    assert times == (1.0, 2.0, 4.0, 5.0)
    assert (attempt.fetched_at, attempt.verified_at, attempt.closed_at) == (7.0, 8.0, 8.0)
    assert [b.spent for b in back_ends(ledger)] == [3.0, 0.0]
    kinds = [e.kind for e in history(ledger, found.tile.id)]
    assert kinds == ["claimed", "created", "starting", "started", "ended", "fetched", "verified"]
    with pytest.raises(LeaseLost):
        advance(ledger, found.lease, found.attempt.id, AttemptState.FETCHED, 9.0)
    ledger.close()


def test_an_attempt_never_goes_back(place: str) -> None:
    ledger = new_ledger(place)
    found = claim_one(ledger)
    advance(ledger, found.lease, found.attempt.id, AttemptState.STARTED, 1.0)
    with pytest.raises(ValueError, match="cannot go from started to created"):
        advance(ledger, found.lease, found.attempt.id, AttemptState.CREATED, 2.0)
    with pytest.raises(ValueError, match="does not leave its tile"):
        close(ledger, found.lease, found.attempt.id, AttemptState.FAILED, Done(), 2.0)
    (attempt,) = attempts_of(ledger, found.tile.id)
    assert (attempt.state, attempt.started_at) == (AttemptState.STARTED, 1.0)
    ledger.close()


def test_a_failed_tile_waits_again_with_more_memory_or_is_held(place: str) -> None:
    ledger = new_ledger(place, 1)
    first = claim_one(ledger)
    close(
        ledger,
        first.lease,
        first.attempt.id,
        AttemptState.FAILED,
        Again(50.0, 7600),
        1.0,
        error_class="OutOfMemory",
        error_text="killed",
        cost=0.5,
    )
    assert waiting(ledger, 49.0, 1) == ()
    second = claim_one(ledger, now=50.0, until=170.0)
    assert (second.tile.memory, second.tile.tries) == (7600, 2)
    assert second.lease.number == 2
    gone = Again(60.0, counted=False)
    close(ledger, second.lease, second.attempt.id, AttemptState.ABANDONED, gone, 51.0)
    third = claim_one(ledger, now=60.0, until=170.0)
    assert (third.tile.tries, third.tile.memory) == (2, 7600)
    why = Hold("bad graph")
    close(ledger, third.lease, third.attempt.id, AttemptState.FAILED, why, 70.0, error_class="Deterministic")
    assert reasons(ledger, TileState.HELD) == {"bad graph": 1}
    assert failures_of(ledger, third.tile.id) == {"OutOfMemory": 1, "Deterministic": 1}
    assert failures(ledger) == [("Deterministic", "one", 1, 1), ("OutOfMemory", "one", 1, 1)]
    assert outcomes_since(ledger, 1.0) == {AttemptState.FAILED: 2, AttemptState.ABANDONED: 1}
    assert outcomes_since(ledger, 51.0) == {AttemptState.FAILED: 1, AttemptState.ABANDONED: 1}
    assert release(ledger, [third.tile.id, "nowhere"], 80.0) == 1
    assert waiting(ledger, 80.0, 1)[0].memory == 7600
    assert hold(ledger, [third.tile.id], "not this year", 81.0) == 1
    assert [e.kind for e in history(ledger, third.tile.id)][-3:] == ["held", "released", "held"]
    ledger.close()


def test_a_runner_that_is_gone_loses_its_tiles_and_cannot_write_any_more(place: str) -> None:
    ledger = new_ledger(place, 3)
    mine = claim(ledger, "a", [Choice(t.id, "one", 1) for t in waiting(ledger, 0.0, 2)], 0.0, 120.0)
    advance(ledger, mine[0].lease, mine[0].attempt.id, AttemptState.CREATED, 1.0, remote_id="j")
    assert renew(ledger, "a", 60.0, 180.0) == 2
    assert take_over(ledger, "b", 179.0, 300.0) == ()
    taken = take_over(ledger, "b", 180.0, 300.0, limit=1)
    assert len(taken) == 1
    taken += take_over(ledger, "b", 180.0, 300.0)
    by_id = {t.tile.id: t for t in taken}
    assert sorted(by_id) == sorted(c.tile.id for c in mine)
    assert by_id[mine[0].tile.id].attempt.remote_id == "j"
    with pytest.raises(LeaseLost, match="a lost tile"):
        advance(ledger, mine[0].lease, mine[0].attempt.id, AttemptState.STARTING, 181.0)
    with pytest.raises(LeaseLost):
        close(ledger, mine[1].lease, mine[1].attempt.id, AttemptState.ABANDONED, Again(), 181.0)
    assert renew(ledger, "a", 181.0, 999.0) == 0
    advance(ledger, by_id[mine[0].tile.id].lease, mine[0].attempt.id, AttemptState.STARTING, 182.0)
    assert sorted(c.tile.id for c in claims_of(ledger, "b")) == sorted(by_id)
    assert leave(ledger, "b", 200.0) == 2
    assert len(take_over(ledger, "c", 200.0, 320.0)) == 2
    ledger.close()


def test_many_steps_are_one_transaction_and_lost_ones_are_told_apart(place: str) -> None:
    ledger = new_ledger(place, 3)
    choices = [Choice(t.id, "one", 1) for t in waiting(ledger, 0.0, 3)]
    one, two, three = claim(ledger, "a", choices, 0.0, 10.0)
    take_over(ledger, "b", 10.0, 20.0, limit=1)
    found = {c.tile.id: c for c in claims_of(ledger, "a")}
    steps = [
        Step(c.lease, c.attempt.id, AttemptState.CREATED, facts={"remote_id": c.tile.id})
        for c in (three, one, two)
    ]
    done = advance_all(ledger, steps, 11.0)
    for step, result in zip(steps, done, strict=True):
        if step.lease.tile in found:
            assert not isinstance(result, LeaseLost)
            assert (result.id, result.remote_id) == (step.attempt, step.lease.tile)
        else:
            assert isinstance(result, LeaseLost)
    assert len(found) == 2
    forth = [Step(c.lease, c.attempt.id, AttemptState.STARTED) for c in found.values()]
    back = Step(forth[1].lease, forth[1].attempt, AttemptState.INTENDED)
    with pytest.raises(ValueError, match="cannot go"):
        advance_all(ledger, [forth[0], back], 12.0)
    assert {c.attempt.state for c in claims_of(ledger, "a")} == {AttemptState.CREATED}
    ledger.close()


def test_two_runners_that_want_the_same_tiles_share_them(place: str) -> None:
    ledger = new_ledger(place, 60)
    wanted = [Choice(t.id, "one", 1) for t in waiting(ledger, 0.0, 60)]
    got: dict[str, list[str]] = {"a": [], "b": [], "c": []}

    def work(owner: str) -> None:
        mine = wanted if owner == "a" else list(reversed(wanted))
        for start in range(0, 60, 4):
            found = claim(ledger, owner, mine[start : start + 4], 0.0, 9.0)
            got[owner] += [c.tile.id for c in found]
            renew(ledger, owner, 0.0, 10.0)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [tile_id for ids in got.values() for tile_id in ids]
    assert sorted(taken) == sorted(c.tile for c in wanted)
    assert all(len(attempts_of(ledger, tile_id)) == 1 for tile_id in taken[:10])
    ledger.close()


def test_what_is_committed_is_known_before_it_is_paid(place: str) -> None:
    ledger = new_ledger(place, [tile_record(n, cost=2.0) for n in range(3)])
    set_back_end(ledger, "one", 0.0, cost_factor=1.5)
    choices = [
        Choice(t.id, b, 1) for t, b in zip(waiting(ledger, 0.0, 3), ("one", "one", "two"), strict=True)
    ]
    first, *_ = claim(ledger, "a", choices, 0.0, 9.0)
    assert {name: t.committed for name, t in totals(ledger).items()} == {"one": 6.0, "two": 2.0}
    advance(ledger, first.lease, first.attempt.id, AttemptState.ENDED, 1.0, cost=4.0)
    found = totals(ledger)["one"]
    assert found.committed == 3.0
    assert found.live == {AttemptState.INTENDED: 1, AttemptState.ENDED: 1}
    ledger.close()


def test_back_ends_and_controls_are_changed_and_told(place: str) -> None:
    ledger = new_ledger(place)
    set_back_end(ledger, "two", 5.0, "500 five times", state=BackEndState.BROKEN, until=65.0)
    _, two = back_ends(ledger)
    assert (two.state, two.until, two.changed) == (BackEndState.BROKEN, 65.0, 5.0)
    with pytest.raises(InvalidInput, match=r"no back end three.*one, two"):
        set_back_end(ledger, "three", 5.0, note="x")
    set_control(ledger, 6.0, {"paused": True, "pace": 10, "parallel": {"one": 3}})
    set_control(ledger, 7.0, {"pace": None, "paused": False})
    assert control(ledger) == {"paused": False, "parallel": {"one": 3}}
    assert [e.kind for e in events(ledger)] == ["back end", "control", "control"]
    assert [e.at for e in events(ledger, kinds=["control"])] == [6.0, 7.0]
    ledger.close()


def test_edits_of_tiles_are_all_made_or_none(place: str) -> None:
    ledger = new_ledger(place, 3)
    busy = claim_one(ledger)
    other = tile(ledger, waiting(ledger, 0.0, 1)[0].id)
    assert other is not None
    with pytest.raises(InvalidInput, match="is working: nothing was changed"):
        change(ledger, {other.id: {"priority": 5.0}, busy.tile.id: {"priority": 6.0}}, 1.0)
    with pytest.raises(InvalidInput, match="no tile nowhere"):
        change(ledger, {other.id: {"priority": 5.0}, "nowhere": {"priority": 6.0}}, 1.0)
    assert tile(ledger, other.id) == other
    change(ledger, {other.id: {"priority": 5.0, "backend": "two"}}, 1.0)
    changed = tile(ledger, other.id)
    assert changed is not None
    assert (changed.priority, changed.backend) == (5.0, "two")
    assert history(ledger, other.id)[-1].data == {"before": {"priority": other.priority, "backend": None}}
    ledger.close()


_KILLED = """
import os, signal, sys
from acreage.production.ledger.store import open_ledger
from acreage.production.ledger import leases
from acreage.production.ledger.leases import claim, waiting
from acreage.production.ledger.values import Choice
ledger = open_ledger(sys.argv[1])
found = waiting(ledger, 0.0, 2)
claim(ledger, "a", [Choice(found[0].id, "one", 1)], 0.0, 9.0)
leases.add_event = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
claim(ledger, "a", [Choice(found[1].id, "one", 1)], 0.0, 9.0)
"""


def test_a_process_killed_within_a_change_leaves_none_of_it(place: str) -> None:
    ledger = new_ledger(place, 2)
    done = subprocess.run([sys.executable, "-c", _KILLED, place], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    found = {t.state for t in tiles(ledger)}
    assert found == {TileState.WAITING, TileState.WORKING}
    assert len(waiting(ledger, 0.0, 5)) == 1
    assert [e.kind for e in events(ledger)] == ["claimed"]
    ledger.close()
