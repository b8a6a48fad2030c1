"""What Dask itself costs for each window: empty windows on a cluster of this machine.

    .venv/bin/python benchmarks/dask_overhead.py

Runs so many windows that compute nothing, several times, and prints wall-clock and processor time for each
window: of the client's process, which holds the scheduler too, and of the workers.
"""

from __future__ import annotations

import argparse
import operator
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from acreage.engine.dask.clusters import open_executor
from acreage.engine.dask.config import LocalCluster


@dataclass(frozen=True)
class Overhead:
    """Milliseconds a window, medians over the repetitions.

    Attributes:
        windows: of each repetition.
        wall_ms: wall-clock.
        client_ms: processor time of the client and the scheduler.
        workers_ms: processor time of all workers.
    """

    windows: int
    wall_ms: float
    client_ms: float
    workers_ms: float


def measure(windows: int = 2000, workers: int = 2, repeat: int = 5) -> Overhead:
    """Run empty windows on a cluster of this machine."""
    walls, clients, others = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        open_executor(
            LocalCluster(workers=workers), scratch=Path(folder), memory=1_000_000_000, threads=1
        ) as executor,
    ):
        dict(executor.map(operator.neg, range(100)))
        for _ in range(repeat):
            before, started, cpu = executor.use(), time.perf_counter(), time.process_time()
            done = dict(executor.map(operator.neg, range(windows)))
            walls.append(time.perf_counter() - started)
            clients.append(time.process_time() - cpu)
            others.append(executor.use().since(before).cpu_seconds)
            if done != {n: -n for n in range(windows)}:
                raise SystemExit("The executor lost windows.")
    wall, client, other = (1000 * statistics.median(t) / windows for t in (walls, clients, others))
    return Overhead(windows, wall, client, other)


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    found = measure(given.windows, given.workers, given.repeat)
    print(
        f"{found.windows} empty windows, {given.workers} workers, each: {found.wall_ms:.2f} ms wall-clock; "
        f"processor time {found.client_ms:.2f} ms (client, scheduler), {found.workers_ms:.2f} ms (workers)."
    )


if __name__ == "__main__":
    main()
