"""A runner that ends at any point of its work, and another that goes on: nothing is lost or paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from tests.support.productions import Simulated, planned, simulated

from acreage.core.database import Database
from acreage.production.backends import BackEnd
from acreage.production.ledger.leases import renew
from acreage.production.ledger.values import TileState
from acreage.production.runner import Runner, make_runner
from acreage.production.work import AtOnce

LAST = 10_000
_CALLS = ("limits", "create", "find", "start", "state", "states", "logs", "fetch", "cancel", "delete")


class Killed(BaseException):
    """As a SIGKILL: nothing of the runner runs after it."""


@dataclass
class Fuse:
    """Ends a runner at the so manieth point: before and after every commit and every call."""

    at: int
    passed: int = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


class Fused:
    """A back end at whose calls a fuse may blow: before the request, or when its answer is lost."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self.inner, self.fuse, self.name = inner, fuse, inner.name
        for name in _CALLS:
            setattr(self, name, partial(self._called, name))

    def _called(self, name: str, *given: Any) -> Any:
        self.fuse.point()
        found = getattr(self.inner, name)(*given)
        self.fuse.point()
        return found


def fused_runner(production: Simulated, fuse: Fuse) -> Runner:
    calls: dict[str, BackEnd] = {n: Fused(s, fuse) for n, s in production.servers.items()}  # type: ignore[misc]
    pool = AtOnce(production.clock)
    return make_runner(
        production.ledger,
        f"fused-{fuse.at}",
        calls,
        production.maker,
        production.products,
        production.clock,
        pool,
        production.settings,
    )


@contextmanager
def watched_commits(monkeypatch: pytest.MonkeyPatch, fuse: Fuse) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name in ("writing", "write"):
            patch.setattr(Database, name, _fused(getattr(Database, name), fuse))
        yield


def _fused(original: Any, fuse: Fuse) -> Any:
    @contextmanager
    def commit(self: Database) -> Iterator[Any]:
        fuse.point()
        with original(self) as connection:
            yield connection
        fuse.point()

    return commit


def killed_at(production: Simulated, monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Run until the fuse blows; False where the run ended before."""
    fuse = Fuse(at)
    runner = fused_runner(production, fuse)
    with watched_commits(monkeypatch, fuse):
        try:
            # Not `run`: what it does at the end is not done when a process is killed.
            while not (runner.dispatch.is_over and not runner.flow.jobs):
                runner.pool.wait(runner.step())
        except Killed:
            return True
    return False


@pytest.mark.parametrize(
    "stride", [11, pytest.param(1, marks=[pytest.mark.proof, pytest.mark.timeout(3600)])]
)
def test_a_runner_may_end_between_any_two_things_that_it_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    """Every point is one of the proofs; the default tests take some of them."""
    points = 0
    for at in range(1, LAST, stride):
        production = simulated(folder / str(at), [planned(0)])
        blown = killed_at(production, monkeypatch, at)
        production.run()
        assert production.count(TileState.DONE) == 1, f"killed at point {at}"
        production.check_paid_once()
        assert production.servers["one"].made.total() == 1, f"made twice, killed at point {at}"
        assert production.servers["one"].started.total() == 1, f"started twice, killed at point {at}"
        production.ledger.close()
        if not blown:
            points = at - 1
            break
    print(f"\n{points} points, each {stride}th of them tried")
    assert points > 60


def test_runners_that_end_one_after_the_other_get_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = simulated(folder, 4, transient=0.3)
    for at in (7, 12, 19, 26, 33, 40, 47, 54, 61, 68, 75):
        killed_at(production, monkeypatch, at)
    production.run()
    assert production.count(TileState.DONE) == 4
    production.check_paid_once()
    assert set(production.servers["one"].finished.values()) == {1}


def test_two_runners_share_a_ledger_and_neither_exceeds_what_a_back_end_takes(folder: Path) -> None:
    production = simulated(folder, 30, {"one": {"told": 3, "parallel": 3, "refuses_over": 3}, "two": {}})
    runners = [production.runner(), production.runner()]
    mine, turns = [0, 0], cycle([0, 1, 1, 0])
    while not all(r.dispatch.is_over and not r.flow.jobs for r in runners):
        waits = []
        for runner in sorted(runners, key=lambda _: next(turns)):  # now the one is first, now the other
            waits.append(runner.step())
            number = runners.index(runner)
            mine[number] = max(mine[number], len(runner.flow.jobs))
        if not any(r.pool._ended for r in runners):  # type: ignore[attr-defined]
            production.clock.sleep(min(waits))
    assert production.count(TileState.DONE) == 30
    production.check_paid_once()
    assert min(mine) > 0
    assert production.record("one").found_parallel == 3


def test_a_machine_that_slept_longer_than_its_leases_starts_nothing_that_others_took(folder: Path) -> None:
    production = simulated(folder, 6)
    sleeper, other = production.runner(), production.runner()
    sleeper.step()  # leases are taken; jobs are on their way
    sleeper.step()
    assert sleeper.flow.jobs
    production.clock.sleep(3600)  # the lid is closed, and its leases end
    while not (other.dispatch.is_over and not other.flow.jobs):
        other.pool.wait(other.step())
    for _ in range(50):
        sleeper.step()
    assert production.count(TileState.DONE) == 6
    assert set(production.servers["one"].started.values()) == {1}
    assert set(production.servers["one"].made.values()) == {1}
    assert not sleeper.flow.jobs
    assert renew(production.ledger, sleeper.owner, 0.0, 1.0) == 0
