"""What the sandbox of UDFs costs: start of a process and calls, with and without, in one run.

    python benchmarks/udf_isolation.py [--starts 10] [--calls 200]

Both are measured in turn, so that what else the machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf.bubblewrap import PROGRAM, Sandbox, program, sandbox_command
from acreage.udf.isolation import Isolation, isolation_available, worker_files
from acreage.udf.runner import ProcessUdfRunner

CODE = UdfCode("def apply_datacube(cube):\n    return cube\n")
KINDS: tuple[Isolation, ...] = ("none", "bubblewrap")
WINDOWS = {"1 kB": (1, 1, 16, 16), "1 MB": (4, 4, 128, 128), "64 MB": (4, 4, 1024, 1024)}


def window(shape: tuple[int, ...]) -> LabelledArray:
    """A window of a cube with this shape (t, bands, y, x)."""
    return LabelledArray(np.ones(shape, np.float32), ("t", "bands", "y", "x"))


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes, in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def told(what: str, times: dict[Isolation, list[float]]) -> None:
    """One row of the table: medians in milliseconds, and their ratio."""
    without, within = (statistics.median(times[kind]) * 1000 for kind in KINDS)
    spread = " to ".join(f"{q * 1000:.2f}" for q in statistics.quantiles(times["bubblewrap"], n=4)[::2])
    row = f"| {what} | {without:.2f} | {within:.2f} | {within - without:+.2f} | {within / without:.2f} |"
    print(f"{row} {spread} |")


def empty_interpreters(count: int) -> dict[Isolation, list[float]]:
    """The sandbox's own cost: a Python that imports nothing, without and with."""
    inside = [sys.executable, "-I", "-S", "-c", ""]
    wrapped = sandbox_command(Sandbox(1 << 20), worker_files(), inside, None, program() or PROGRAM)
    times: dict[Isolation, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(count):
        for kind, command in zip(KINDS, (inside, wrapped), strict=True):
            times[kind].append(seconds(lambda c=command: subprocess.run(c, check=True, env={})))
    return times


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    state = isolation_available()
    if not state.available:
        raise SystemExit(state.reason)
    print("| | without, ms | sandbox, ms | difference, ms | ratio | sandbox, quartiles, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    told(f"an empty Python, {10 * options.starts} each", empty_interpreters(10 * options.starts))
    starts: dict[Isolation, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.starts):
        for kind in KINDS:
            with ProcessUdfRunner(isolation=kind) as runner:
                starts[kind].append(seconds(lambda r=runner: r.probe(CODE)))
    told(f"start of a process, {options.starts} each", starts)
    runners = {kind: ProcessUdfRunner(isolation=kind) for kind in KINDS}
    for name, shape in WINDOWS.items():
        array = window(shape)
        calls = max(options.calls // max(array.values.nbytes // 1_000_000, 1), 10)
        times: dict[Isolation, list[float]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            runners[kind].run(CODE, array, {})
        for _ in range(calls):
            for kind in KINDS:
                times[kind].append(seconds(lambda k=kind, a=array: runners[k].run(CODE, a, {})))
        told(f"a window of {name}, {calls} each", times)
    for runner in runners.values():
        runner.close()


if __name__ == "__main__":
    main()
