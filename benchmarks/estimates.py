"""How the plan's estimate compares with what a job took.

    .venv/bin/python benchmarks/estimates.py --archive build/demo/archive

Runs the preprocessing graph of the crop type workflow on a simulated archive, whole and in windows of 64
pixels, each in a
process of its own, and prints estimated and measured core-seconds and memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from acreage.catalog import open_catalog
from acreage.cli.croptype_area import parse_area
from acreage.croptype.workflow import CubeSettings, preprocess, to_graph
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.simulate.archive import open_archive

MEMORY = 4_000_000_000


def measure(archive: Path, window: int | None, folder: Path) -> dict[str, float]:
    """Estimate and measurement of one run in this process, without compiling kernels."""
    found, settings = open_archive(archive), CubeSettings()
    area, _ = parse_area(",".join(map(repr, found.bbox)), settings)
    season = found.settings.season
    graph = parse_graph(to_graph(preprocess(area, season, settings).cube, "netCDF"))
    catalog = open_catalog(found.catalog)
    plan = make_plan(graph, catalog, Budget(MEMORY, 2, window))
    run_plan(make_plan(graph, catalog, Budget(MEMORY, 2, window)), folder / "warm.nc")
    result = run_plan(plan, folder / "cube.nc")
    return {
        "windows": plan.estimate.windows,
        "amplification": plan.estimate.amplification,
        "core_seconds_estimated": plan.estimate.core_seconds,
        "core_seconds_measured": result.usage.cpu_seconds,
        "memory_estimated": plan.estimate.memory_bytes,
        "memory_measured": result.usage.peak_memory,
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--window", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(given.archive, given.window, Path(folder))))
        return
    table = Table("window", "windows", "decoded", "core-seconds", "estimated", "memory", "estimated")
    for window in (None, 128, 64):
        command = [sys.executable, __file__, "--archive", str(given.archive), "--one"]
        command += [] if window is None else ["--window", str(window)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        m = json.loads(line)
        table.add_row(
            str(window or "by memory"),
            str(m["windows"]),
            f"{m['amplification']:.2f} x",
            f"{m['core_seconds_measured']:.1f}",
            f"{m['core_seconds_estimated']:.1f}",
            f"{m['memory_measured'] / 1e6:.0f} MB",
            f"{m['memory_estimated'] / 1e6:.0f} MB",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
