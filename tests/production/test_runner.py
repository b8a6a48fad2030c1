"""The runner on simulated back ends and a virtual clock: what is sent, paid, and what becomes of trouble."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.fake_backends import FakeProducts, away, draw, fails
from tests.support.productions import SETTINGS, planned, simulated

from acreage.core.errors import (
    BackEndDeterministic,
    BackEndNonsense,
    BackEndNotFound,
    BackEndPaymentRequired,
    BackEndUnauthorized,
    ProductWrong,
    WriteFailed,
)
from acreage.production.ledger.events import events, history
from acreage.production.ledger.leases import give_up
from acreage.production.ledger.settings import control, set_back_end, set_control
from acreage.production.ledger.tiles import release
from acreage.production.ledger.values import AttemptState, BackEndState, TileState
from acreage.production.runner import Runner


def test_every_tile_is_made_once_and_no_back_end_has_more_jobs_than_it_takes(folder: Path) -> None:
    production = simulated(folder, 20, {"one": {"told": 3, "parallel": 3}, "two": {"speed": 2.0}})
    most = {"one": 0, "two": 0}

    def look(_: Runner) -> None:
        for name, server in production.servers.items():
            alive = sum(j.status in ("queued", "running") for j in server.jobs.values())
            most[name] = max(most[name], alive)

    production.run(look)
    assert production.count(TileState.DONE) == 20
    assert most == {"one": 3, "two": 2}
    production.check_paid_once()
    assert sum(s.started.total() for s in production.servers.values()) == 20
    assert production.servers["two"].finished.total() > 20 * 2 / 5  # it is twice as fast
    assert not production.servers["one"].calls["find"]
    attempt = production.attempts()[0]
    assert attempt.created_at is not None
    assert attempt.fetched_at is not None
    assert attempt.profile == {"options": {"memory_mb": 3800}}
    kinds = [e.kind for e in history(production.ledger, production.tiles[0].id)]
    assert kinds == ["claimed", "starting", "started", "ended", "verified"]


def test_tiles_go_in_the_order_of_priority_until_the_end(folder: Path) -> None:
    production = simulated(folder, [planned(n, priority=float(n)) for n in range(40)], {"one": {}})
    production.run()
    order = [e.tile for e in events(production.ledger, kinds=["claimed"])]
    ids = [t.id for t in production.tiles]
    assert sorted(order[:20]) == sorted(ids[20:])  # those that are sent together are told by their ids


def test_a_tile_that_is_bound_to_a_back_end_goes_there_only(folder: Path) -> None:
    bound = [planned(n, backend="slow" if n % 2 else None) for n in range(10)]
    production = simulated(folder, bound, {"slow": {"speed": 0.1}, "fast": {"speed": 5.0}})
    production.run()
    assert production.count(TileState.DONE) == 10
    assert all(production.servers["slow"].finished[bound[n].id] == 1 for n in range(1, 10, 2))


def test_transient_failures_are_tried_again_and_deterministic_ones_held(folder: Path) -> None:
    production = simulated(folder, 40, transient=0.3, deterministic=0.1)
    production.run()
    bad = [t.id for t in production.tiles if draw(7, "deterministic", t.id) < 0.1]
    held = [t for n in range(40) if (t := production.tile(n)).state is TileState.HELD]
    assert bad
    assert [t.id for t in held] == bad
    assert production.count(TileState.DONE) == 40 - len(bad)
    production.check_paid_once()
    assert all("NoDataAvailable" in t.reason and t.tries == 1 for t in held)


def test_a_job_that_ran_out_of_memory_gets_more(folder: Path) -> None:
    production = simulated(folder, 8, hungry=0.5)
    production.run()
    assert production.count(TileState.DONE) == 8
    tried = [production.attempts(n) for n in range(8)]
    grown = [[a.memory_mb for a in one] for one in tried if len(one) > 1]
    assert grown
    assert all(one == [3800, 5700, 8550] for one in grown)
    assert {a.error_class for one in tried for a in one if a.state is AttemptState.FAILED} == {"memory"}


def test_memory_grows_to_a_machine_and_no_further(folder: Path) -> None:
    from acreage.production.ledger.values import BackEndRecord

    records = {"one": BackEndRecord("one", {"machine": {"memory_mb": 5000}})}
    production = simulated(folder, 4, hungry=1.0, records=records)
    production.run()
    assert production.count(TileState.HELD) == 4
    assert [a.memory_mb for a in production.attempts()] == [3800, 5000]
    assert "no back end has more than 5000 MB" in production.tile().reason


def test_estimates_learn_from_what_jobs_took(folder: Path) -> None:
    production = simulated(folder, 80, {"one": {"speed": 4.0, "price": 0.01}})
    production.run()
    found = production.record("one")
    assert found.factor == pytest.approx(0.25, abs=0.02)
    assert found.cost_factor == pytest.approx(6.0, rel=0.1)
    assert found.memory_factor == pytest.approx(0.8 * 1.15)
    assert production.attempts(79)[0].memory_mb == pytest.approx(3800 * 0.92, abs=1)
    assert found.spent == pytest.approx(80 * 6.0)


# --- answers that do not come ---


def test_a_job_that_was_made_without_an_answer_is_found_and_not_made_again(folder: Path) -> None:
    production = simulated(folder, 4)
    production.servers["one"].wrong["after create"] = fails(away(may_be_done=True), 2)
    production.run()
    assert production.count(TileState.DONE) == 4
    assert set(production.servers["one"].made.values()) == {1}
    assert "found" in [e.text for e in events(production.ledger, kinds=["starting"])]


def test_a_job_that_was_started_without_an_answer_is_not_started_again(folder: Path) -> None:
    production = simulated(folder, 4)
    production.servers["one"].wrong["after start"] = fails(away(may_be_done=True), 2)
    production.run()
    assert production.count(TileState.DONE) == 4
    assert set(production.servers["one"].started.values()) == {1}


def test_started_jobs_wait_for_a_back_end_that_is_away_and_the_others_go_elsewhere(folder: Path) -> None:
    production = simulated(folder, 24, {"one": {}, "two": {}})
    one, began = production.servers["one"], production.clock.now()

    def trouble(_: Runner) -> None:
        since = production.clock.now() - began
        gone = 900 < since < 20_000
        for call in ("limits", "create", "start", "state", "states", "find", "fetch", "logs"):
            one.wrong.pop(call, None)
            if gone:
                one.wrong[call] = fails(away())

    production.run(trouble)
    assert production.count(TileState.DONE) == 24
    production.check_paid_once()
    assert max(one.started.values()) == 1
    assert production.servers["two"].finished.total() == 24 - one.finished.total()
    told = [e.text for e in events(production.ledger, kinds=["back end"]) if e.backend == "one"]
    assert any("tried again in" in text for text in told)
    assert any("answers again" in text for text in told)
    assert production.record("one").state is BackEndState.OPEN
    assert sum(one.calls.values()) < 400  # it was left alone


def test_a_person_may_give_a_tile_up_that_waits_for_a_back_end(folder: Path) -> None:
    production = simulated(folder, 1, {"one": {}, "two": {"told": 1, "parallel": 1}})
    set_back_end(production.ledger, "two", 0.0, state=BackEndState.OFF)

    def trouble(_: Runner) -> None:
        if production.servers["one"].started and not production.servers["one"].wrong:
            for call in ("limits", "state", "states"):
                production.servers["one"].wrong[call] = fails(away())
            set_back_end(production.ledger, "two", production.clock.now(), state=BackEndState.OPEN)

    production.run(trouble, 10_000)
    assert production.tile().state is TileState.WORKING
    assert give_up(production.ledger, production.tile().id, production.clock.now(), "it is gone for good")
    production.run(trouble, 10_000)
    assert production.tile().state is TileState.DONE
    assert [a.error_class for a in production.attempts()] == ["given up", ""]
    assert not give_up(production.ledger, production.tile().id, 0.0)


def test_nothing_is_asked_before_the_back_end_wants_to_be(folder: Path) -> None:
    production = simulated(folder, 2)
    one, asked = production.servers["one"], []

    def busy() -> None:
        asked.append(production.clock.now())
        if len(asked) == 1:
            raise away(retry_after=777.0)

    one.wrong["create"] = busy
    production.run()
    assert production.count(TileState.DONE) == 2
    assert asked[-1] - asked[0] >= 777.0
    assert production.record("one").state is BackEndState.OPEN


# --- back ends that lie ---


def test_html_in_place_of_answers_breaks_the_back_end_and_loses_nothing(folder: Path) -> None:
    production = simulated(folder, 12)
    one, began = production.servers["one"], production.clock.now()
    page = BackEndNonsense("The answer of one (text/html) cannot be used.", may_be_done=True)

    def trouble(_: Runner) -> None:
        bad = 700 < production.clock.now() - began < 30_000
        for call in ("limits", "create", "start", "state", "states", "find", "fetch"):
            one.wrong.pop(call, None)
            if bad:
                one.wrong[call] = fails(page)

    production.run(trouble)
    assert production.count(TileState.DONE) == 12
    production.check_paid_once()
    assert max(one.made.values()) == 1


def test_a_job_that_is_lost_while_it_runs_holds_its_tile(folder: Path) -> None:
    production = simulated(folder, 5)
    one, lost = production.servers["one"], production.tiles[2].id

    def lose(_: Runner) -> None:
        for job in list(one.jobs.values()):
            if job.tile == lost and job.status == "running":
                del one.jobs[job.id]

    production.run(lose)
    assert production.count(TileState.DONE) == 4
    assert production.tile(2).state is TileState.HELD
    assert "does not know job" in production.tile(2).reason
    assert one.started[lost] == 1
    assert release(production.ledger, [lost], production.clock.now()) == 1
    production.run()
    assert production.tile(2).state is TileState.DONE


def test_a_job_that_is_lost_before_it_was_started_is_made_again(folder: Path) -> None:
    production = simulated(folder, 3)
    production.servers["one"].wrong["start"] = fails(BackEndNotFound("There is no such job."), 9)
    production.run()
    assert production.count(TileState.DONE) == 3
    production.check_paid_once()


def test_a_job_that_was_never_started_as_is_told_later_is_started_once(folder: Path) -> None:
    production = simulated(folder, 3)
    one = production.servers["one"]
    original, forgot = one.start, []

    def start(remote_id: str) -> None:
        if not forgot:
            forgot.append(remote_id)
            return  # it says that it was
        original(remote_id)

    one.start = start  # type: ignore[method-assign]
    production.run()
    assert production.count(TileState.DONE) == 3
    assert set(one.started.values()) == {1}
    assert any("never started" in e.text for e in events(production.ledger))


def test_results_of_another_tile_hold_the_tile(folder: Path) -> None:
    production = simulated(folder, 4)
    one = production.servers["one"]
    original = one._results
    one._results = lambda job, folder: original(  # type: ignore[method-assign]
        job if job.tile != production.tiles[1].id else one_of(job), folder
    )

    def one_of(job):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        return replace(job, tile="20kmE0N0")

    production.run()
    assert production.count(TileState.DONE) == 3
    assert production.tile(1).state is TileState.HELD
    assert "are of tile 20kmE0N0" in production.tile(1).reason


def test_a_download_that_was_damaged_is_made_again_and_a_product_that_stays_wrong_is_held(
    folder: Path,
) -> None:
    production = simulated(folder, 3)
    cut = [ProductWrong("The file is cut off.", again=True) for _ in range(9)]
    assert isinstance(production.products, FakeProducts)
    production.products.wrong = {production.tiles[0].id: cut[:2], production.tiles[1].id: cut[2:]}
    production.run()
    assert production.tile(0).state is TileState.DONE
    assert production.tile(1).state is TileState.HELD
    assert production.attempts(1)[0].error_class == "damaged"
    assert len(cut[2:]) - len(production.products.wrong[production.tiles[1].id]) == 4
    assert production.tile(2).state is TileState.DONE
    assert set(production.servers["one"].started.values()) == {1}


def test_a_back_end_that_takes_fewer_jobs_than_it_tells_gets_no_more_than_that(folder: Path) -> None:
    production = simulated(folder, 40, {"one": {"told": 10, "parallel": 3, "refuses_over": 3}})
    production.run()
    assert production.count(TileState.DONE) == 40
    production.check_paid_once()
    assert production.record("one").found_parallel in (3, 4)
    assert any("takes 3 jobs at once, and not 10" in e.text for e in events(production.ledger))


def test_a_back_end_that_lets_jobs_wait_that_it_told_it_would_run_gets_fewer(folder: Path) -> None:
    production = simulated(folder, 60, {"lies": {"told": 20, "parallel": 2}, "true": {}})
    production.run()
    assert production.count(TileState.DONE) == 60
    assert production.record("lies").found_parallel == 3
    assert abs(production.servers["lies"].finished.total() - 30) < 12


def test_jobs_at_once_are_found_where_nobody_tells(folder: Path) -> None:
    production = simulated(folder, 90, {"one": {"told": None, "parallel": 6}})
    production.run()
    assert production.record("one").found_parallel in (6, 7, 8)


# --- what people decide ---


def test_a_login_that_is_refused_breaks_the_back_end_until_it_is_taken(folder: Path) -> None:
    production = simulated(folder, 6, {"one": {}, "two": {}})
    refused = BackEndUnauthorized("one refuses the login.")
    one = production.servers["one"]
    one.wrong = {call: fails(refused, 4) for call in ("limits", "create", "states")}
    production.run()
    assert production.count(TileState.DONE) == 6
    assert any("refuses the login" in e.text for e in events(production.ledger, kinds=["back end"]))


def test_a_back_end_without_money_gets_no_tiles(folder: Path) -> None:
    production = simulated(folder, 6, {"one": {}, "two": {}})
    production.servers["one"].wrong["start"] = fails(BackEndPaymentRequired("The account is empty."))
    production.run()
    assert production.count(TileState.DONE) == 6
    assert production.servers["two"].finished.total() == 6


def test_a_refused_graph_holds_the_tile_and_many_pause_the_run(folder: Path) -> None:
    settings = replace(SETTINGS, least=5)
    production = simulated(folder, 30, settings=settings)
    refused = BackEndDeterministic("ProcessUnsupported: no run_udf here.")
    production.servers["one"].wrong["create"] = fails(refused, 6)
    production.run(seconds=40_000)
    assert 5 <= production.count(TileState.HELD) <= 6
    assert production.count(TileState.DONE) == 0
    assert "100% of the last" in control(production.ledger)["paused"]
    set_control(production.ledger, production.clock.now(), {"paused": None})
    production.run()
    assert production.count(TileState.WAITING) == 0
    assert production.count(TileState.DONE) >= 24


def test_a_full_disk_pauses_the_run_and_nothing_is_lost(folder: Path) -> None:
    production = simulated(folder, 4)
    one = production.servers["one"]
    one.wrong["fetch"] = lambda: (_ for _ in ()).throw(WriteFailed("The system refused: no space left."))
    production.run(seconds=5_000)
    assert "no space left" in control(production.ledger)["paused"]
    assert production.count(TileState.WORKING) >= 2
    one.wrong.clear()
    set_control(production.ledger, production.clock.now(), {"paused": None})
    production.run()
    assert production.count(TileState.DONE) == 4
    production.check_paid_once()


def test_a_pause_sends_nothing_and_what_runs_is_finished(folder: Path) -> None:
    production = simulated(folder, 10)
    ledger, clock, began = production.ledger, production.clock, production.clock.now()
    state = {"paused": False, "resumed": False}

    def person(_: Runner) -> None:
        since = clock.now() - began
        if since > 100 and not state["paused"]:
            set_control(ledger, clock.now(), {"paused": "lunch"})
            state["paused"] = True
        if since > 9_000 and not state["resumed"]:
            assert production.servers["one"].started.total() == 2
            assert production.count(TileState.DONE) == 2
            set_control(ledger, clock.now(), {"paused": None})
            state["resumed"] = True

    production.run(person)
    assert production.count(TileState.DONE) == 10


def test_a_pace_is_kept_and_may_be_changed(folder: Path) -> None:
    production = simulated(folder, 40, {"one": {"told": 40, "parallel": 40}})
    set_control(production.ledger, production.clock.now(), {"pace": 2})
    production.run(seconds=300)
    assert 9 <= production.servers["one"].started.total() <= 13
    set_control(production.ledger, production.clock.now(), {"pace": 60})
    production.run(seconds=60)
    assert production.servers["one"].started.total() == 40


def test_the_run_ends_at_the_budget(folder: Path) -> None:
    production = simulated(folder, 30, {"one": {"price": 1 / 600}}, config={"budget": 10.0})
    runner = production.run()
    assert production.record("one").spent <= 10.0 + 1e-9
    assert production.count(TileState.DONE) in (9, 10)
    assert "budget of 10 is used up" in runner.dispatch.standstill
    set_control(production.ledger, production.clock.now(), {"budget": 12.0})
    production.run()
    assert production.count(TileState.DONE) in (11, 12)


def test_a_back_end_that_is_drained_finishes_what_it_has(folder: Path) -> None:
    production = simulated(folder, 20, {"one": {}, "two": {}})
    one = production.servers["one"]

    def person(_: Runner) -> None:
        if one.started.total() == 4 and production.record("one").state is BackEndState.OPEN:
            set_back_end(production.ledger, "one", production.clock.now(), state=BackEndState.DRAINING)

    production.run(person)
    assert one.finished.total() == one.started.total() < 8
    assert production.count(TileState.DONE) == 20


def test_a_job_that_somebody_canceled_holds_its_tile(folder: Path) -> None:
    production = simulated(folder, 3)

    def person(_: Runner) -> None:
        for job in production.servers["one"].jobs.values():
            if job.tile == production.tiles[0].id and job.status == "running":
                job.status = "canceled"

    production.run(person)
    assert production.tile(0).state is TileState.HELD
    assert "Somebody canceled it" in production.tile(0).reason
    assert production.count(TileState.DONE) == 2


def test_a_fault_of_a_library_holds_the_tile_and_the_others_go_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    production = simulated(folder, 5)
    answers = iter([KeyError("assets")])

    def break_once() -> None:
        if (error := next(answers, None)) is not None:
            raise error

    production.servers["one"].wrong["fetch"] = break_once
    production.run()
    assert production.count(TileState.DONE) == 4
    assert production.count(TileState.HELD) == 1
    assert "A call broke" in caplog.text
