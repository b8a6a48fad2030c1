"""The application's runner filled with the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acreage.catalog.items import Catalog
from acreage.core.udf import UdfRunner
from acreage.croptype.runner import JobResult, Progress
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.engine.stages import Budget


@dataclass(frozen=True)
class EmbeddedRunner:
    """Runs graphs in this process.

    Attributes:
        catalog: where collections are.
        budget: memory and threads of a job.
        udf: runner of user-defined functions.
        scratch: folder for intermediate results.
        tolerance: items that may be unreadable before a job fails.
    """

    catalog: Catalog
    budget: Budget
    udf: UdfRunner
    scratch: Path | None = None
    tolerance: int = 0

    def run(self, graph: Mapping[str, Any], out: Path, progress: Progress | None = None) -> JobResult:
        """As `acreage.croptype.runner.Runner` says."""
        plan = make_plan(parse_graph(graph), self.catalog, self.budget, self.udf)
        done = run_plan(
            plan, out, udf=self.udf, scratch=self.scratch, tolerance=self.tolerance, progress=progress
        )
        usage = {
            "wall_seconds": round(done.usage.seconds, 3),
            "cpu_seconds": round(done.usage.cpu_seconds, 3),
            "peak_memory_bytes": done.usage.peak_memory,
            "source_pixels": done.usage.source_pixels,
        }
        return JobResult(
            tuple(f for files in done.files for f in files), done.items_read, done.failures, usage
        )
