"""Runners that are killed over simulated back ends behind the real API: nothing lost, doubled or paid twice.

`.venv/bin/python -m pytest -m proof -s tests/production/test_killed_runner.py` prints what
docs/production-run.md tells.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.ledgers import tile_record
from tests.support.simulated_server import PRODUCT, SimulatedServer, profile, simulated_servers

from acreage.production.ledger.outcomes import attempts_of
from acreage.production.ledger.store import Ledger, create_ledger, open_ledger
from acreage.production.ledger.tiles import sums, tiles
from acreage.production.ledger.values import (
    AttemptState,
    BackEndRecord,
    Production,
    TileState,
)

ENVIRONMENT = {**os.environ, "SIMULATED_PASSWORD": "secret"}


@dataclass
class Killable:
    """A production on servers behind the real API.

    Attributes:
        place: of its ledger and products.
        servers: its back ends.
        transient, deterministic: shares of failures.
    """

    place: Path
    servers: list[SimulatedServer]
    transient: float = 0.0
    deterministic: float = 0.0

    def make(self, number: int, seconds: float, parallel: int) -> None:
        given = [tile_record(n, core_seconds=seconds, cost=0.0) for n in range(number)]
        records = [
            BackEndRecord(f"b{n}", profile(s.url, parallel).to_dict(), parallel=parallel)
            for n, s in enumerate(self.servers)
        ]
        production = Production("kills", time.time(), {}, self.place / "results", 0, "")
        create_ledger(str(self.place), production, records, given).close()

    @property
    def command(self) -> list[str]:
        shares = [str(self.transient), str(self.deterministic)]
        return [sys.executable, "-m", "tests.support.killable_runner", str(self.place), *shares]

    def start(self) -> subprocess.Popen[bytes]:
        """A runner."""
        with (self.place / "output.txt").open("ab") as out:
            return subprocess.Popen(self.command, stdout=out, stderr=out, env=ENVIRONMENT)

    def spawner(self) -> subprocess.Popen[str]:
        """A process that makes runners without importing everything anew each time."""
        with (self.place / "output.txt").open("ab") as out:
            pipe = subprocess.PIPE
            return subprocess.Popen(
                [*self.command, "--spawn"], stdin=pipe, stdout=pipe, stderr=out, env=ENVIRONMENT, text=True
            )

    def ledger(self) -> Ledger:
        return open_ledger(str(self.place))

    def output(self) -> str:
        return (self.place / "output.txt").read_text("utf-8")[-3000:]

    def check(self, number: int) -> Counter[TileState]:
        """Compare the ledger with the back ends' own records and the products on disk."""
        ledger = self.ledger()
        worked, listed, of_tile = Counter[str](), {}, {}
        for server in self.servers:
            worked += server.started()
            of_tile |= server.tiles()
            listed |= {job["id"]: job for job in server.jobs()}
        states: Counter[TileState] = Counter()
        known: dict[str, str] = {}
        for one in tiles(ledger):
            states[one.state] += 1
            attempts = attempts_of(ledger, one.id)
            known |= {a.remote_id: one.id for a in attempts if a.remote_id is not None}
            good = [a for a in attempts if a.state is AttemptState.VERIFIED]
            finished = [
                j for j in listed.values() if of_tile.get(j["id"]) == one.id and j["status"] == "finished"
            ]
            assert len(good) == (one.state is TileState.DONE), one
            assert len(finished) == len(good), f"{one.id} was finished {len(finished)} times"
            assert (ledger.production.results / one.id / PRODUCT).exists() == bool(good)
            # Every job that the back end worked on is an attempt that the ledger knows to be paid.
            paid = {a.remote_id for a in attempts if a.paid}
            assert {j for j, t in of_tile.items() if t == one.id} <= paid
        assert sum(states.values()) == number, "a tile is lost"
        assert set(worked.values()) <= {1}, "a job was started twice"
        assert set(worked) <= set(known), "a job that the ledger does not know was paid"
        doubled = [j for j in listed if j not in known and listed[j]["status"] != "created"]
        assert not doubled
        ledger.close()
        return states


@pytest.fixture
def killable(folder: Path) -> Iterator[Killable]:
    with simulated_servers(folder, [4, 4]) as servers:
        yield Killable(folder / "production", servers)


def run_with_kills(production: Killable, kills: int, seed: int, every_s: float) -> tuple[int, float]:
    """Kill the runner so often at random moments, then let it end; kills that met unfinished work."""
    rng, began, amid = random.Random(seed), time.monotonic(), 0
    with production.spawner() as spawner:
        assert spawner.stdin is not None
        assert spawner.stdout is not None
        for number in range(kills + 1):
            spawner.stdin.write("start\n")
            spawner.stdin.flush()
            process = int(spawner.stdout.readline())
            if number < kills:
                time.sleep(rng.uniform(0.0, 2 * every_s))
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(process, signal.SIGKILL)
            status = int(spawner.stdout.readline())
            amid += status == -signal.SIGKILL
        assert status == 0, production.output()
        spawner.stdin.close()
    return amid, time.monotonic() - began


def test_a_runner_that_is_killed_and_started_again_loses_and_doubles_nothing(killable: Killable) -> None:
    killable.make(20, 0.5, 4)
    amid, _ = run_with_kills(killable, 4, seed=1, every_s=1.0)
    assert amid >= 3
    assert killable.check(20) == {TileState.DONE: 20}


def test_two_runners_share_one_ledger_and_one_of_them_is_killed(killable: Killable) -> None:
    killable.make(24, 0.5, 4)
    first, second = killable.start(), killable.start()
    ledger = killable.ledger()
    until = time.monotonic() + 120
    while time.monotonic() < until and not sums(ledger).get(TileState.DONE):
        time.sleep(0.1)
    ledger.close()
    first.kill()
    first.wait(60)
    assert second.wait(240) == 0, killable.output()
    assert killable.check(24) == {TileState.DONE: 24}


@pytest.mark.proof
@pytest.mark.timeout(3 * 3600)
def test_300_kills_of_the_runner(folder: Path) -> None:
    with simulated_servers(folder, [4, 4]) as servers:
        production = Killable(folder / "production", servers, transient=0.15, deterministic=0.02)
        number = int(os.environ.get("ACREAGE_KILLED_TILES", "900"))
        production.make(number, 1.0, 4)
        amid, seconds = run_with_kills(production, 300, seed=2, every_s=1.5)
        states = production.check(number)
        jobs = sum(s.started().total() for s in servers)
    print(f"\n{amid} of 300 kills met work; {dict(states)}; {jobs} jobs; {seconds:.0f} s")
    assert amid > 250
    assert set(states) <= {TileState.DONE, TileState.HELD}


@pytest.mark.proof
@pytest.mark.timeout(3 * 3600)
def test_2000_tiles_over_the_real_api(folder: Path) -> None:
    with simulated_servers(folder, [8, 8]) as servers:
        production = Killable(folder / "production", servers, transient=0.15, deterministic=0.02)
        production.make(2000, 1.0, 8)
        began = time.monotonic()
        assert production.start().wait(2 * 3600) == 0, production.output()
        seconds = time.monotonic() - began
        states = production.check(2000)
        jobs = sum(s.started().total() for s in servers)
    print(f"\n{dict(states)}; {jobs} jobs; {seconds:.0f} s; {(production.place / 'cpu.txt').read_text()}")
    assert set(states) == {TileState.DONE, TileState.HELD}
