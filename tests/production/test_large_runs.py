"""Whole continents on a virtual clock: how near to the ideal schedule, in how much memory, at what price.

`.venv/bin/python -m pytest -m proof -s tests/production/test_large_runs.py` prints what
docs/production-run.md tells.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from tests.support.fake_backends import FakeBackEnd, World, draw, ideal
from tests.support.ledgers import tile_record
from tests.support.productions import Simulated

from acreage.production.clock import VirtualClock
from acreage.production.ledger.values import TileRecord, TileState
from acreage.production.parts import RunSettings
from acreage.production.work import AtOnce

TRANSIENT, DETERMINISTIC = 0.15, 0.02
PLACES = 10
AS_FOR_REAL = replace(RunSettings(), control_s=60.0)  # of virtual time: people look less often than every 2 s


def planned(number: int) -> TileRecord:
    """A tile of 5 minutes to 50, short ones more often; the longer, the more cropland, more or less."""
    seconds = 300 + 2700 * draw("length", number) ** 2
    share = seconds + 600 * draw("share", number)
    return tile_record(number, core_seconds=seconds, cost=seconds * 0.001, priority=share)


def continent(folder: Path, tiles: int, back_ends: int) -> Simulated:
    """Back ends of half to twice the reference speed, of ten places each."""
    given = [planned(n) for n in range(tiles)]
    world = World(VirtualClock(), 1, TRANSIENT, DETERMINISTIC)
    world.starts = Counter({t.id: 0 for t in given})
    # One record for all back ends, whole from the beginning: it is the runner's memory that is measured.
    made, started, finished = (Counter({t.id: 0 for t in given}) for _ in range(3))
    servers = {
        name: FakeBackEnd(
            world,
            name,
            speed=0.5 + 1.5 * draw("speed", name),
            parallel=PLACES,
            told=PLACES,
            price=0.001,
            forgets=True,
            made=made,
            started=started,
            finished=finished,
        )
        for name in (f"b{n:02}" for n in range(back_ends))
    }
    return Simulated(folder, given, servers, world, settings=AS_FOR_REAL)


@dataclass(frozen=True)
class Measured:
    """Of a run.

    Attributes:
        ratio: its length to that of the ideal schedule.
        cpu_ms: of the runner a job, without the calls.
        memory_mb: of the process when a tenth was done, and the most after that.
    """

    tiles: int
    jobs: int
    days: float
    ratio: float
    cpu_ms: float
    memory_mb: tuple[float, float]
    minutes: float


def measured(production: Simulated) -> Measured:
    process, began = psutil.Process(), production.clock.now()
    runner = production.runner()
    pool = runner.pool
    assert isinstance(pool, AtOnce)
    started = production.servers["b00"].started
    tiles = len(production.tiles)
    memory: list[float] = []
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps % 2000 == 0 and production.servers["b00"].finished.total() > tiles / 10:
            memory.append(process.memory_info().rss / 1e6)

    cpu, wall = time.thread_time(), time.monotonic()
    runner.run(step)
    cpu, wall = time.thread_time() - cpu, time.monotonic() - wall
    span = max(s.busy_until for s in production.servers.values()) - began
    jobs = started.total()
    lengths = {t.id: t.core_seconds for t in production.tiles}
    best = ideal(production.world, lengths, list(production.servers.values()))
    return Measured(
        tiles,
        jobs,
        span / 86400,
        span / best,
        (cpu - pool.busy_s) / jobs * 1e3,
        (memory[0], max(memory)),
        wall / 60,
    )


def check(production: Simulated) -> Measured:
    found = measured(production)
    print(f"\n{found}")
    bad = sum(draw(1, "deterministic", t.id) < DETERMINISTIC for t in production.tiles)
    assert production.count(TileState.HELD) == bad
    assert production.count(TileState.DONE) == found.tiles - bad
    finished = production.servers["b00"].finished
    assert Counter(finished.values()) == {0: bad, 1: found.tiles - bad}
    return found


def test_a_short_run_is_near_the_ideal_schedule(folder: Path) -> None:
    found = check(continent(folder, 300, 2))
    assert found.ratio < 1.1


@pytest.mark.proof
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("tiles", [11_000, 100_000])
def test_a_continent_is_within_5_percent_of_the_ideal_schedule(folder: Path, tiles: int) -> None:
    found = check(continent(folder, tiles, 20))
    assert found.ratio < 1.05
    assert found.memory_mb[1] - found.memory_mb[0] < 20
    assert found.cpu_ms < 10
