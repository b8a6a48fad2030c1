"""What is decided without asking anybody: scheduler, policy, breaker, pace, limits, forecast."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.productions import simulated

from acreage.core.errors import (
    BackEndDeterministic,
    BackEndNonsense,
    BackEndTransient,
    InvalidInput,
    ProductWrong,
    WriteFailed,
)
from acreage.production.breaker import Breaker
from acreage.production.clock import SystemClock
from acreage.production.failures import failure_of
from acreage.production.guards import Controls, FailureWindow, Pace, control_value
from acreage.production.policy import RULES, Action, Failure, Stage, decide, rule_for
from acreage.production.progress import Meter
from acreage.production.runner import Runner
from acreage.production.scheduler import (
    Candidate,
    Place,
    by_priority,
    for_the_end,
    is_the_end,
    learnt_parallel,
)
from acreage.production.work import CallBroke, Threads

SECONDS = st.floats(1.0, 5000.0)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.uuids().map(str),
        SECONDS,
        st.integers(1, 8000),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from([frozenset(), frozenset("a"), frozenset("abc")]),
    ),
    max_size=30,
)
PLACES = st.lists(
    st.builds(
        Place,
        st.sampled_from("abcde"),
        st.integers(0, 5),
        st.floats(0.1, 10.0),
        st.lists(st.floats(0.0, 1e4), max_size=4).map(tuple),
        st.sampled_from([None, 4000]),
    ),
    unique_by=lambda p: p.name,
)


@given(CANDIDATES, PLACES, st.booleans())
def test_every_choice_has_room_and_may_be_made_there(
    candidates: list[Candidate], places: list[Place], end: bool
) -> None:
    chosen = for_the_end(candidates, places, 0.0) if end else by_priority(candidates, places)
    by_name, by_tile = {p.name: p for p in places}, {c.tile: c for c in candidates}
    assert len({tile for tile, _ in chosen}) == len(chosen)
    for name, place in by_name.items():
        mine = [by_tile[tile] for tile, where in chosen if where == name]
        assert len(mine) <= place.free
        assert all(place.takes(c) for c in mine)


@given(CANDIDATES, PLACES)
def test_a_free_place_does_not_stay_empty_while_a_tile_could_go_there(
    candidates: list[Candidate], places: list[Place]
) -> None:
    chosen = by_priority(candidates, places)
    taken = {tile for tile, _ in chosen}
    for place in places:
        if sum(where == place.name for _, where in chosen) < place.free:
            left = [c for c in candidates if c.tile not in taken and place.takes(c)]
            assert all(place.name in c.avoid for c in left)


def test_a_slow_place_takes_no_tile_at_the_end_that_a_fast_one_would_finish_sooner() -> None:
    slow, fast = Place("slow", 1, 10.0), Place("fast", 0, 1.0, (50.0,))
    assert for_the_end([Candidate("t", 100.0)], [slow, fast], 0.0) == []
    assert for_the_end([Candidate("t", 100.0)], [slow, Place("fast", 0, 1.0, (5000.0,))], 0.0) == [
        ("t", "slow")
    ]


def test_what_failed_at_one_back_end_goes_to_another_where_there_is_one() -> None:
    avoiding = Candidate("t", 10.0, avoid=frozenset(["a"]))
    a, b = Place("a", 1, 0.1), Place("b", 1, 10.0)
    assert by_priority([avoiding], [a, b]) == [("t", "b")]
    assert by_priority([avoiding], [a, Place("b", 0)]) == []
    assert by_priority([avoiding], [a]) == [("t", "a")]
    assert for_the_end([avoiding], [a, b], 0.0) == [("t", "b")]


@pytest.mark.parametrize("seed", range(5))
def test_the_end_is_near_the_best_that_can_be(seed: int) -> None:
    rng = random.Random(seed)
    lengths = {f"t{n}": 300 + 2700 * rng.random() ** 2 for n in range(120)}
    factors = [1 / (0.5 + 1.5 * rng.random()) for _ in range(5)]
    ends: list[list[float]] = [[] for _ in factors]
    now, left = 0.0, dict(lengths)
    while left:
        places = [
            Place(str(n), 8 - len(running), factors[n], tuple(running)) for n, running in enumerate(ends)
        ]
        for tile, where in for_the_end([Candidate(t, s) for t, s in left.items()], places, now):
            ends[int(where)].append(now + left.pop(tile) * factors[int(where)])
        now = min(e for running in ends for e in running) if any(ends) else now
        finish = max((e for running in ends for e in running), default=now)
        ends = [[e for e in running if e > now] for running in ends]
    best = sum(lengths.values()) / sum(8 / f for f in factors)
    assert finish <= 1.12 * best  # three jobs a place: the last ones cannot end together
    assert is_the_end(120, [Place("a", 40)])
    assert not is_the_end(1000, [Place("a", 40)])


def test_jobs_at_once_are_learnt_from_the_queue() -> None:
    assert learnt_parallel(2, 2, 0) == 3
    assert learnt_parallel(10, 3, 7) == 4
    assert learnt_parallel(4, 3, 1) == 4
    assert learnt_parallel(5, 0, 5) == 1


# --- policy ---


@pytest.mark.parametrize(
    ("text", "code", "action"),
    [
        ("The job's process was killed by SIGKILL, as when memory runs out.", "", "more memory"),
        ("java.lang.OutOfMemoryError: Java heap space", "", "more memory"),
        ("Container killed on request. Exit code is 137", "", "more memory"),
        ("There is nothing.", "NoDataAvailable", "hold"),
        ("Process 'run_udf' is not supported.", "ProcessUnsupported", "hold"),
        ("ExecutorLostFailure (executor 12 exited): Executor lost", "", "retry"),
        ("the store answered with status 503", "", "retry"),
        ("502 Bad Gateway", "", "retry"),
        ("5 items could not be read: all 504 sampled pixels are 900", "", "elsewhere"),
        ("HTTPSConnectionPool: Read timed out.", "", "retry"),
        ("The server was lost 3 times while it ran this job.", "Internal", "retry"),
        ("Something went wrong.", "", "elsewhere"),
    ],
)  # fmt: skip
def test_what_jobs_say_decides_what_is_done(text: str, code: str, action: str) -> None:
    assert decide(Failure(Stage.JOB, "error", text, code), 0).action == action


def test_rows_are_taken_so_often_and_wait_longer_each_time() -> None:
    failure = Failure(Stage.JOB, "error", "Read timed out.")
    waits = [decide(failure, n).wait_s for n in range(8)]
    assert waits[:4] == [60, 120, 240, 480]
    assert max(waits) == 3600
    assert [decide(failure, n).action for n in (5, 6)] == [Action.RETRY, Action.HOLD]
    asked = Failure(Stage.CALL, "transient", "busy", retry_after=900.0)
    assert decide(asked, 0).wait_s == 900


def test_every_failure_finds_a_row_and_every_row_is_told() -> None:
    for stage in Stage:
        assert rule_for(Failure(stage, "never heard of", "???")).stage is stage
    told = [rule.told for rule in RULES]
    assert len(set(told)) == len(RULES)
    assert "job: transient" in "\n".join(told)


def test_errors_become_failures_of_the_policy() -> None:
    kinds = [
        failure_of(BackEndTransient("x", retry_after=3.0)),
        failure_of(BackEndNonsense("x")),
        failure_of(BackEndDeterministic("x")),
        failure_of(ProductWrong("x", again=True)),
        failure_of(ProductWrong("x")),
        failure_of(WriteFailed("x")),
        failure_of(CallBroke("x")),
    ]
    assert [f.kind for f in kinds] == [
        *("transient", "nonsense", "deterministic", "again", "wrong", "disk", "other")
    ]
    assert kinds[0].retry_after == 3.0


# --- breaker, pace, window ---


def test_a_breaker_opens_after_failures_in_a_row_and_longer_each_time() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker = breaker.failed(0.0)
    assert not breaker.is_open
    breaker = breaker.succeeded(0.0).failed(0.0)
    assert not breaker.is_open
    for _ in range(4):
        breaker = breaker.failed(10.0)
    assert breaker.until == 40.0
    assert not breaker.may_try(39.0)
    assert breaker.failed(20.0).until == 40.0  # a call that was on its way
    assert breaker.succeeded(20.0).is_open
    breaker = breaker.failed(41.0)
    assert breaker.until == 41.0 + 60.0
    for _ in range(9):
        assert breaker.until is not None
        breaker = breaker.failed(breaker.until)
    assert breaker.until is not None
    closed = breaker.succeeded(breaker.until)
    assert not closed.is_open
    assert closed.quiet(0.0, 50.0).is_quiet(49.0)


def test_a_pace_does_not_add_up_while_nothing_is_sent() -> None:
    pace = Pace()
    assert pace.allowed(60.0, 0.0) == 1
    pace.begun(1)
    assert pace.allowed(60.0, 0.5) == 0
    assert pace.allowed(60.0, 1.0) == 1
    assert pace.allowed(60.0, 3600.0) == 10
    assert pace.allowed(None, 3601.0) is None


def test_a_share_of_failures_is_taken_of_the_last_attempts_only() -> None:
    window = FailureWindow(10, 4)
    for failed in (True, True, True):
        window.add(failed)
    assert window.share() is None
    for _ in range(10):
        window.add(False)
    assert window.share() == 0.0
    window.clear()
    assert window.number == 0


def test_controls_are_what_people_set_else_what_was_planned() -> None:
    config = {"budget": 100.0, "failure_share": 0.5}
    assert Controls.read({}, config, 0.3) == Controls(budget=100.0, failure_share=0.5)
    assert Controls.read({"budget": 7, "paused": "x"}, {}, 0.3) == Controls("x", None, 7)
    assert control_value("pace", "12.5") == 12.5
    assert control_value("budget", "none") is None
    for name, text in (
        ("pace", "0"),
        ("budget", "-1"),
        ("failure_share", "2"),
        ("speed", "1"),
        ("pace", "x"),
    ):
        with pytest.raises(InvalidInput):
            control_value(name, text)


def test_the_forecast_comes_true(folder: Path) -> None:
    production = simulated(folder, 60, {"one": {"speed": 2.0}, "two": {}})
    began, told = production.clock.now(), []

    def look(runner: Runner) -> None:
        if not told and production.clock.now() - began > 2000:
            told.append(meter(runner).snapshot())

    meters: dict[int, Meter] = {}

    def meter(runner: Runner) -> Meter:
        return meters.setdefault(id(runner), Meter(runner))

    def each(runner: Runner) -> None:
        if production.clock.now() - began < 2000:
            meter(runner).snapshot()
        look(runner)

    production.run(each)
    took = max(s.busy_until for s in production.servers.values()) - began
    (found,) = told
    assert found.tiles == 60
    assert 0 < found.done < 60
    assert found.seconds_left is not None
    assert 2000 + found.seconds_left == pytest.approx(took, rel=0.15)
    assert {b.name: b.parallel for b in found.back_ends} == {"one": 2, "two": 2}


# --- calls beside the loop ---


def test_a_lane_that_hangs_holds_up_no_other() -> None:
    pool, stuck = Threads(default=1), threading.Event()
    pool.submit("slow", "a", lambda: stuck.wait(30))
    pool.submit("slow", "b", lambda: "b")
    pool.submit("fast", "c", lambda: "c")
    found: dict[object, object] = {}
    until = time.monotonic() + 20
    while "c" not in found and time.monotonic() < until:
        pool.wait(1.0)
        found |= {d.key: d.value for d in pool.finished()}
    assert found == {"c": "c"}
    stuck.set()
    while len(found) < 3 and time.monotonic() < until:
        pool.wait(1.0)
        found |= {d.key: d.value for d in pool.finished()}
    assert found["b"] == "b"
    pool.close()


def test_what_a_call_raises_is_told(caplog: pytest.LogCaptureFixture) -> None:
    pool = Threads()

    def full() -> None:
        raise OSError(28, "No space left on device", "x.tif")

    def broken() -> None:
        raise KeyError("assets")

    pool.submit("a", "full", full)
    pool.submit("a", "broken", broken)
    found = {}
    while len(found) < 2:
        pool.wait(10.0)
        found |= {d.key: d.error for d in pool.finished()}
    assert isinstance(found["full"], WriteFailed)
    assert isinstance(found["broken"], CallBroke)
    assert "A call broke" in caplog.text
    pool.close()


def test_a_clock_that_is_set_back_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    now = clock.now()
    monkeypatch.setattr(time, "time", lambda: now - 5000)
    assert clock.now() == now
