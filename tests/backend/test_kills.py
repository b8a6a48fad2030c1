"""Servers and jobs are killed at random moments, and every job comes to an end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from tests.support.oidc import free_port
from tests.support.oidc_server import ACCOUNTS
from tests.support.tiny_archive import node

AREA = {"west": 679_720, "south": 5_151_080, "east": 680_680, "north": 5_151_920, "crs": 32632}
ENDED = ("finished", "error", "canceled")


@dataclass
class Killable:
    """A server that is started again after it was killed."""

    folder: Path
    catalog: Path
    port: int
    attempts: int = 1000
    database: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        accounts = self.folder / "accounts"
        accounts.write_text("".join(f"{n}:{p}\n" for n, p in ACCOUNTS.items()))
        command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "serve"]
        command += [
            "--catalog",
            str(self.catalog),
            "--port",
            str(self.port),
            "--storage",
            str(self.folder / "s"),
        ]
        own = {
            "ACREAGE_SERVER_USERS": str(accounts),
            "ACREAGE_SERVER_JOB_ATTEMPTS": str(self.attempts),
            "ACREAGE_SERVER_JOBS_AT_ONCE": "2",
            "ACREAGE_CACHE": str(self.folder / "cache"),
        }
        if self.database is not None:
            own["ACREAGE_SERVER_DATABASE"] = self.database
        with (self.folder / "output.txt").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **own})

    def is_up(self) -> bool:
        """Whether it answers."""
        with suppress(requests.ConnectionError):
            return self.ask("GET", "/health").status_code == 200
        return False

    def wait_until_up(self) -> None:
        until = time.monotonic() + 120
        while not self.is_up():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "output.txt").read_text()[-3000:]
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.1)

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=60, **more
        )

    def login(self, name: str) -> str:
        url = f"http://127.0.0.1:{self.port}/credentials/basic"
        token = requests.get(url, auth=(name, ACCOUNTS[name]), timeout=60).json()["access_token"]
        return f"basic//{token}"

    def stop(self) -> None:
        """End it in peace."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def jobs(self) -> list[psutil.Process]:
        """Processes of jobs, whoever is their parent."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.folder / "s" / "jobs") in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def wait_for_job(self, seconds: float) -> None:
        """Until the process of a job is there."""
        until = time.monotonic() + seconds
        while not self.jobs() and time.monotonic() < until:
            time.sleep(0.05)

    def kill(self, rng: random.Random) -> str:
        """Kill the server, or the process of one of its jobs where there is one.

        A server is started again at once; the next kill may come before it is up.

        Returns:
            `job`; or `server`, with jobs or none; or `start`: a server that did not answer yet.
        """
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "output.txt").read_text()[-3000:]
        jobs = self.jobs()
        with suppress(psutil.Error):
            if jobs and rng.random() < 0.6:
                rng.choice(jobs).kill()
                return "job"
        what = "server" if jobs or self.is_up() else "start"
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.start()
        return what


@pytest.fixture
def killable(tmp_path: Path, catalog: Path) -> Iterator[Killable]:
    made = Killable(tmp_path, catalog, free_port())
    made.start()
    made.wait_until_up()
    yield made
    made.stop()


@pytest.fixture
def fragile(tmp_path: Path, catalog: Path, address: str) -> Iterator[Killable]:
    """On either database; a job that is killed too often has failed."""
    database = None if address.startswith("sqlite") else address
    made = Killable(tmp_path, catalog, free_port(), attempts=12, database=database)
    made.start()
    made.wait_until_up()
    yield made
    made.stop()


def graph(days: int) -> dict[str, Any]:
    inner = {"m": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    time_of = ["2022-06-01", f"2022-06-{days:02d}"]
    load = node("load_collection", id="SENTINEL2_L2A", spatial_extent=AREA, temporal_extent=time_of)
    load["arguments"]["bands"] = ["B04", "B08"]
    reduced = node("reduce_dimension", data="@load", dimension="t", reducer={"process_graph": inner})
    save = {**node("save_result", data="@mean", format="GTiff"), "result": True}
    return {"process_graph": {"load": load, "mean": reduced, "save": save}}


def submit(server: Killable, token: str, days: int) -> str:
    made = server.ask("POST", "/jobs", token, json={"process": graph(days)})
    job_id = made.headers["OpenEO-Identifier"]
    assert server.ask("POST", f"/jobs/{job_id}/results", token).status_code == 202
    return job_id


def result(server: Killable, token: str, job_id: str) -> bytes:
    document = server.ask("GET", f"/jobs/{job_id}/results", token).json()
    (asset,) = document["assets"].values()
    return requests.get(asset["href"], timeout=60).content


@dataclass(frozen=True)
class Told:
    """What came of the jobs.

    Attributes:
        killed: how often a job's process, how often the server, how often one that was just starting.
        ended: number of jobs by the status that they ended with.
        left: jobs that had not ended after the last kill; an ended job stays so: every kill met as many.
        seconds: from the first job to the end of the last.
    """

    killed: dict[str, int]
    ended: dict[str, int]
    left: int
    seconds: float


def ended_of(server: Killable, tokens: list[str], known: int) -> int:
    """How many jobs have ended; what is known where the server does not answer."""
    with suppress(requests.ConnectionError):
        listed = [server.ask("GET", "/jobs?limit=1000", token).json()["jobs"] for token in tokens]
        return sum(job["status"] in ENDED for jobs in listed for job in jobs)
    return known


def check(server: Killable, jobs: int, kills: int, seed: int) -> Told:
    rng, tokens = random.Random(seed), [server.login(name) for name in ACCOUNTS]
    undisturbed, began = {}, time.monotonic()
    for days in (5, 12, 20):
        job_id = submit(server, tokens[0], days)
        wait(server, [(tokens[0], job_id, days)], 300)
        undisturbed[days] = result(server, tokens[0], job_id)
    before = len(undisturbed)
    lasts = (time.monotonic() - began) / before
    began, made = time.monotonic(), []
    for n in range(jobs):
        days = rng.choice(list(undisturbed))
        token = tokens[n % len(tokens)]
        made.append((token, submit(server, token, days), days))
    killed, ended = dict.fromkeys(("job", "server", "start"), 0), 0
    for n in range(kills):
        # No kill shall meet a server that has nothing to do: they come sooner where more than their share of
        # three jobs in five have ended. Most wait for a job to be there, some meet servers that start.
        ended = ended_of(server, tokens, ended + before) - before
        if rng.random() < 0.9:
            server.wait_for_job(60)
        time.sleep(rng.expovariate((3 if 5 * ended * kills > 3 * n * jobs else 1) / lasts))
        killed[server.kill(rng)] += 1
    # Asked after the last kill: no fewer were left at any kill.
    server.wait_until_up()
    left = jobs + before - ended_of(server, tokens, jobs + before)
    wait(server, made, 120 * jobs)
    seconds, ends = time.monotonic() - began, dict.fromkeys(ENDED, 0)
    for token, job_id, days in made:
        about = server.ask("GET", f"/jobs/{job_id}", token).json()
        ends[about["status"]] += 1
        if about["status"] == "finished":
            assert result(server, token, job_id) == undisturbed[days]
            continue
        entries = server.ask("GET", f"/jobs/{job_id}/logs?level=error", token).json()["logs"]
        assert entries, about
        failed = server.ask("GET", f"/jobs/{job_id}/results", token)
        assert failed.status_code == 424, failed.text
        assert "killed" in failed.json()["message"] or "lost" in failed.json()["message"]
    assert not server.jobs()
    return Told(killed, ends, left, seconds)


def status(server: Killable, token: str, job_id: str) -> str:
    found: str = server.ask("GET", f"/jobs/{job_id}", token).json()["status"]
    return found


def wait(server: Killable, jobs: list[tuple[str, str, int]], seconds: float) -> None:
    until = time.monotonic() + seconds
    left = list(jobs)
    while left:
        assert time.monotonic() < until, f"{len(left)} jobs have not ended"
        left = [j for j in left if status(server, *j[:2]) not in ENDED]
        time.sleep(0.5)


def test_jobs_end_whatever_is_killed(killable: Killable) -> None:
    told = check(killable, jobs=3, kills=4, seed=1)
    assert sum(told.killed.values()) == 4
    assert told.ended["finished"] == 3


@pytest.mark.proof
def test_200_kills_during_50_jobs(fragile: Killable) -> None:
    told = check(fragile, jobs=50, kills=200, seed=2)
    print(told)
    assert sum(told.killed.values()) == 200
    assert min(told.killed["job"], told.killed["server"]) > 20
    assert told.ended["canceled"] == 0
    assert told.ended["finished"] > 5
    assert told.left > 0, "the last kills met no job"
