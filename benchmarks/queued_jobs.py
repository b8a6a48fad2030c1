"""How fast the API answers while a thousand jobs wait and run, beside the same server while none does.

    .venv/bin/python -m benchmarks.queued_jobs

The server is a process of its own with SQLite; requests come from this one over kept connections, at a steady
rate, as clients send them: lists of jobs, jobs, logs, collections, validation. Idle and busy take turns, so
that what else the machine does meets both. The load averages are printed with the times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog

KINDS = ("GET /jobs", "GET /jobs/{id}", "GET /jobs/{id}/logs", "GET /collections", "POST /validation")
CONNECTIONS = 8
SETTLE_S = 5.0
LEAST = 20


@dataclass(frozen=True)
class Phase:
    """What was measured in a while.

    Attributes:
        busy: whether jobs waited and ran.
        seconds: of each request, by kind.
        load: of the machine in the last minute, at the end.
        finished: jobs that ended meanwhile.
    """

    busy: bool
    seconds: dict[str, list[float]]
    load: float
    finished: int


def request_of(kind: str, jobs: Sequence[str], rng: random.Random) -> tuple[str, str, object]:
    """Method, path and body of a request."""
    method, path = kind.split(" ")
    body = small_graph() if method == "POST" else None
    return method, path.format(id=rng.choice(jobs)), body


async def measured(
    served: Served, token: str, jobs: Sequence[str], rate: float, seconds: float
) -> dict[str, list[float]]:
    """Seconds of requests that are begun at a steady rate, whether or not earlier ones were answered."""
    rng, found = random.Random(1), {kind: list[float]() for kind in KINDS}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=served.url, headers=headers, timeout=120, limits=limits, trust_env=False
    ) as client:

        async def ask(kind: str) -> None:
            method, path, body = request_of(kind, jobs, rng)
            began = time.perf_counter()
            answer = await client.request(method, path, json=body)
            found[kind].append(time.perf_counter() - began)
            answer.raise_for_status()

        asked, start, tasks = 0, time.perf_counter(), []
        while (wait := start + asked / rate - time.perf_counter()) < seconds and asked < rate * seconds:
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(ask(KINDS[asked % len(KINDS)])))
            asked += 1
        await asyncio.gather(*tasks)
    return found


def counts(served: Served) -> dict[str, float]:
    """Jobs by status, from the server's own numbers."""
    lines = served.ask("GET", "/metrics").text.splitlines()
    told = [line for line in lines if line.startswith("acreage_jobs{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in told}


def set_going(client: httpx.Client, jobs: Sequence[str], *, going: bool) -> None:
    """Start all jobs, or stop those that wait and run."""
    for job in jobs:
        answer = client.request("POST" if going else "DELETE", f"/jobs/{job}/results")
        assert answer.status_code in (202, 204), answer.text


def phases(served: Served, number: int, rounds: int, rate: float, seconds: float) -> list[Phase]:
    """Idle and busy in turns."""
    token, found = served.login("carla"), []
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=served.url, headers=headers, timeout=120, trust_env=False) as client:
        made = [client.post("/jobs", json={"process": small_graph()}) for _ in range(number)]
        jobs = [answer.headers["OpenEO-Identifier"] for answer in made]
        for turn in range(2 * rounds):
            busy = bool(turn % 2)
            if busy:
                set_going(client, jobs, going=True)
            time.sleep(SETTLE_S)
            before = counts(served).get("finished", 0)
            times = asyncio.run(measured(served, token, jobs, rate, seconds))
            after = counts(served)
            if busy:
                assert after["queued"] > number / 2, "too few jobs were left to be called busy"
                set_going(client, jobs, going=False)
            else:
                assert after["queued"] + after["running"] == 0
            found.append(Phase(busy, times, os.getloadavg()[0], int(after.get("finished", 0) - before)))
    return found


def report(found: Sequence[Phase], console: Console) -> None:
    """A table of times, and the ratio."""
    table = Table(title="Milliseconds until an answer")
    for name in ("request", "idle p50", "idle p95", "busy p50", "busy p95", "ratio of p95"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for kind in (*KINDS, "all"):
        row = []
        for busy in (False, True):
            parts = [p.seconds for p in found if p.busy == busy]
            values = [v for p in parts for k, vs in p.items() if kind in (k, "all") for v in vs]
            assert len(values) >= LEAST, "too few requests for a percentile"
            row += [1e3 * float(np.percentile(values, q)) for q in (50, 95)]
        table.add_row(kind, *(f"{v:.1f}" for v in row), f"{row[3] / row[1]:.2f}")
    console.print(table)
    for phase in found:
        name = "busy" if phase.busy else "idle"
        total = sum(map(len, phase.seconds.values()))
        console.print(f"{name}: {total} requests, {phase.finished} jobs ended, load {phase.load:.1f}")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a phase")
    parser.add_argument("--at-once", type=int, default=1, help="jobs that the server runs at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        catalog = tiny_catalog(Path(folder) / "archive")
        (Path(folder) / "server").mkdir()
        settings = {
            "ACREAGE_SERVER_JOBS_AT_ONCE": str(chosen.at_once),
            "ACREAGE_SERVER_REQUESTS_PER_MINUTE": "1000000",
        }
        with running_server(Path(folder) / "server", catalog, **settings) as served:
            found = phases(served, chosen.jobs, chosen.rounds, chosen.rate, chosen.seconds)
    report(found, Console(width=110))


if __name__ == "__main__":
    main()
