"""Running a plan: stage by stage, window by window, then the files, which appear whole or not at all."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acreage.core.cube import Cube
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box
from acreage.core.provenance import InputItem
from acreage.core.udf import UdfRunner
from acreage.engine.executors import Executor, ThreadExecutor
from acreage.engine.geometry_stage import AGGREGATE, gathered, geometry_task
from acreage.engine.plan import Context, Plan, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.store import ScratchCube, Stored, read_stored, scratch_folder
from acreage.engine.writers import format_for, write_outputs

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Usage:
    """What a job used.

    Attributes:
        seconds: wall-clock.
        cpu_seconds: processor time of this process and of its ended children.
        peak_memory: largest resident size of this process so far, bytes.
        source_pixels: pixels asked of the files.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int
    source_pixels: int


@dataclass(frozen=True)
class RunResult:
    """What a job made and what it met.

    Attributes:
        files: written, by output in the order of the plan.
        items_read: items whose pixels were read, sorted.
        failures: (item, band, reason) that were tolerated.
        udf_log: what user-defined functions printed, a line each.
        usage: time and memory.
    """

    files: tuple[tuple[Path, ...], ...]
    items_read: tuple[InputItem, ...]
    failures: tuple[tuple[str, str, str], ...]
    udf_log: tuple[str, ...]
    usage: Usage


@dataclass(frozen=True)
class WindowTask:
    """Runs one stage's windows; the same function for every executor."""

    program: Program
    stored: Mapping[int, Stored]
    udf: UdfRunner | None

    def __call__(self, window: Box | None) -> tuple[WindowLog, tuple[Cube, ...]]:
        """The window's log, and the targets that do not go to scratch (those without x and y)."""
        log = WindowLog()
        results = self.program.run(window, partial(read_stored, self.stored), Context(log, self.udf))
        kept = []
        for target, cube in zip(self.program.targets, results, strict=True):
            place = self.stored.get(target)
            if isinstance(place, ScratchCube):
                place.write(cube)
            else:
                kept.append(cube)
        return log, tuple(kept)


def run_plan(
    plan: Plan,
    out: Path,
    *,
    udf: UdfRunner | None = None,
    executor: Executor | None = None,
    scratch: Path | None = None,
    tolerance: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run a plan and write its outputs.

    Args:
        plan: as `make_plan` gives it.
        out: a file (one output) or a folder (several, each named after its node).
        udf: runner of user-defined functions.
        executor: threads in this process by default.
        scratch: folder for intermediate results, the system's temporary folder by default.
        tolerance: number of items that may be unreadable before the job fails.
        overwrite: replace outputs that are there.
        progress: called with (windows done, windows in all).

    Raises:
        ItemUnreadable: more items than tolerated; the message lists them.
        OutputExists: an output is there and `overwrite` was not asked for.
        AcreageError: whatever else stopped the job. Nothing is left under a final name.
    """
    started, cpu = time.monotonic(), _cpu_seconds()
    formats = [
        format_for(o, plan.nodes[o.node].meta, out, single=len(plan.outputs) == 1, overwrite=overwrite)
        for o in plan.outputs
    ]
    state = _Run(plan, udf, executor or ThreadExecutor(plan.threads), tolerance, progress)
    with scratch_folder(scratch) as folder:
        for stage in plan.stages:
            state.run_stage(stage, folder)
        files = write_outputs(
            [(o, f, state.stored[o.node]) for o, f in zip(plan.outputs, formats, strict=True)]
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    usage = Usage(time.monotonic() - started, _cpu_seconds() - cpu, peak, state.log.pixels)
    failures = tuple((item, band, reason) for (item, band), reason in sorted(state.log.failures.items()))
    return RunResult(files, tuple(sorted(state.log.read)), failures, tuple(state.log.udf_lines), usage)


class _Run:
    """The state of one run: what is complete, and the log of all windows."""

    def __init__(
        self, plan: Plan, udf: UdfRunner | None, executor: Executor, tolerance: int, progress: Progress | None
    ) -> None:
        self.plan, self.udf, self.executor, self.tolerance, self.progress = (
            plan,
            udf,
            executor,
            tolerance,
            progress,
        )
        self.stored: dict[int, Stored] = {}
        self.log = WindowLog()
        self.done = 0
        self.total = sum(len(s.windows) for s in plan.stages)
        for source in plan.sources:
            for p in source.problems:
                band = f", band {p.asset}" if p.asset else ""
                self.log.failures[(p.item, p.asset)] = f"Item {p.item}{band}: {p.reason}"
        self._check_tolerance()

    def run_stage(self, stage: Stage, folder: Path) -> None:
        """Complete the targets of a stage."""
        given = {i: self.stored[i] for i in stage.given}
        if self.plan.nodes[stage.targets[0]].process_id == AGGREGATE:
            self._run_geometries(stage, given)
            return
        places: dict[int, Stored] = {
            t: ScratchCube.create(folder / str(t), self.plan.nodes[t].meta)
            for t in stage.targets
            if self.plan.nodes[t].meta.is_raster
        }
        task = WindowTask(Program.of(self.plan.nodes, stage), {**given, **places}, self.udf)
        flat = [t for t in stage.targets if t not in places]
        with closing(self.executor.map(task, stage.windows)) as results:
            for _, (log, kept) in results:
                self._count(log)
                self.stored.update(zip(flat, kept, strict=True))
        self.stored.update(places)

    def _run_geometries(self, stage: Stage, given: Mapping[int, Stored]) -> None:
        task = geometry_task(self.plan.nodes, stage, given, self.udf)
        work = list(zip(stage.windows, stage.partition, strict=True))
        parts = []
        with closing(self.executor.map(task, work)) as results:
            for position, (log, part) in results:
                self._count(log)
                parts.append((work[position][1], part))
        self.stored[stage.targets[0]] = gathered(parts, task, self.plan.nodes[stage.targets[0]])

    def _count(self, log: WindowLog) -> None:
        """Add a window's log; stop where more items failed than are tolerated."""
        self.log.read |= log.read
        self.log.failures.update(log.failures)
        self.log.pixels += log.pixels
        self.log.udf_lines.extend(log.udf_lines)
        self._check_tolerance()
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def _check_tolerance(self) -> None:
        failed = sorted({item for item, _ in self.log.failures})
        if len(failed) > self.tolerance:
            reasons = "\n".join(f"- {r}" for r in list(self.log.failures.values())[:20])
            raise ItemUnreadable(
                f"{len(failed)} items could not be read ({self.tolerance} tolerated):\n{reasons}",
                item=failed[0],
                hint="Repair the items, or allow failed items with --tolerate.",
            )


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
