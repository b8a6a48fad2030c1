"""The application's runner filled with the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acreage.catalog.items import Catalog
from acreage.core.udf import UdfRunner
from acreage.croptype.runner import JobResult, Progress
from acreage.engine.budget import Budget
from acreage.engine.executors import Executor
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.quarantine import (
    NOTHING,
    EntryKey,
    Quarantine,
    QuarantineEntry,
    QuarantineList,
    lost,
)
from acreage.engine.run import Inspect, run_plan
from acreage.engine.tolerance import NONE, Tolerance


@dataclass(frozen=True)
class EmbeddedRunner:
    """Runs graphs in this process.

    Attributes:
        catalog: where collections are.
        budget: memory and threads of a job.
        udf: runner of user-defined functions; None where no graph has any.
        scratch: folder for intermediate results.
        tolerance: what may fail before a job does.
        inspect: looks at the files before the first window.
        quarantine: products that no job uses.
        without: names of rewrites that plans do not use.
        executor: who computes the windows; threads of this process where it is None.
    """

    catalog: Catalog
    budget: Budget
    udf: UdfRunner | None
    scratch: Path | None = None
    tolerance: Tolerance = NONE
    inspect: Inspect | None = None
    quarantine: Quarantine | None = None
    without: frozenset[str] = frozenset()
    executor: Executor | None = None
    _lost: dict[EntryKey, QuarantineEntry] = field(default_factory=dict)

    def run(self, graph: Mapping[str, Any], out: Path, progress: Progress | None = None) -> JobResult:
        """As `acreage.croptype.runner.Runner` says."""
        known = self.quarantine.read() if self.quarantine is not None else NOTHING
        # What an earlier job of this run lost is out of the run, even where the journal only proposes it.
        known = QuarantineList({**known.entries, **self._lost}, known.damaged)
        plan = make_plan(parse_graph(graph), self.catalog, self.budget, self.udf, known, self.without)
        done = run_plan(
            plan,
            out,
            udf=self.udf,
            executor=self.executor,
            scratch=self.scratch,
            tolerance=self.tolerance,
            inspect=self.inspect,
            quarantine=self.quarantine,
            progress=progress,
        )
        self._lost.update(lost(done.inputs.failed, out.name))
        usage: dict[str, float | int | str] = {
            "wall_seconds": round(done.usage.seconds, 3),
            "cpu_seconds": round(done.usage.cpu_seconds, 3),
            "peak_memory_bytes": done.usage.peak_memory,
            "peak_memory_stage": done.usage.peak_stage,
            "source_pixels": done.usage.source_pixels,
        }
        if done.usage.remote:
            remote = done.usage.remote_total
            usage |= {
                "remote_requests": remote.requests,
                "remote_bytes": remote.bytes,
                "remote_retries": remote.retries,
                "remote_waited_seconds": round(remote.waited_s, 3),
                "remote_renewals": remote.renewals,
            }
        return JobResult(tuple(f for files in done.files for f in files), done.inputs, usage)
