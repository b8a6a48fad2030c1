"""The windows of a plan, computed until no product that failed is in any of them.

A product that fails once is out for the whole job. Windows are pure functions of their inputs, so those where
it lies are computed again, as if its search had not listed it, and so are the stages behind them. All windows
of a stage are computed before products are dropped: what comes out, and what is said to have failed, does not
depend on the order of windows or on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from acreage.core.cube import Cube, CubeMeta
from acreage.core.grid import Box
from acreage.core.inputs import AssetKey, InputAsset, ItemKey
from acreage.core.udf import UdfRunner
from acreage.engine.completeness import InputsUnaccounted, Ledger, account, concerns
from acreage.engine.composites.model import Composite
from acreage.engine.composites.task import MAPS, CompositeTask, is_plain_median
from acreage.engine.derived import DerivedCube
from acreage.engine.executors import Executor
from acreage.engine.geometry_stage import AGGREGATE, aggregate_program, gathered, geometry_task
from acreage.engine.halves import HalvesScratch
from acreage.engine.memory import give_back_memory
from acreage.engine.plan import Context, Fault, Plan, PlanNode, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.sources import SourceOp
from acreage.engine.store import CountScratch, ScratchCube, Stored, read_stored
from acreage.engine.tolerance import Tolerance
from acreage.processes.vectors import Aggregated

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WindowTask:
    """Runs one stage's windows; the same function for every executor."""

    program: Program
    stored: Mapping[int, Stored]
    udf: UdfRunner | None
    dropped: frozenset[ItemKey] = frozenset()

    def __call__(self, window: Box | None) -> tuple[WindowLog, tuple[Cube, ...]]:
        """The window's log, and the targets that do not go to scratch (those without x and y)."""
        log = WindowLog()
        context = Context(log, self.udf, self.dropped)
        results = self.program.run(window, partial(read_stored, self.stored), context)
        kept = []
        for target, cube in zip(self.program.targets, results, strict=True):
            place = self.stored.get(target)
            if isinstance(place, ScratchCube):
                place.write(cube)
            else:
                kept.append(cube)
        return log, tuple(kept)


@dataclass
class _StageState:
    """What is known of a stage.

    Attributes:
        ledger: which assets its windows asked for.
        version: how often it was computed, wholly or in part.
        made_of: versions of the stages it reads; None before it is computed.
        stale: windows with products that are out by now.
        places: scratch of its raster targets.
        parts: results by window where it aggregates by geometry.
        udf_lines: what user-defined functions printed, by window.
    """

    ledger: Ledger
    version: int = 0
    made_of: tuple[int, ...] | None = None
    stale: set[int] = field(default_factory=set)
    places: dict[int, Stored] = field(default_factory=dict)
    parts: dict[int, Aggregated] = field(default_factory=dict)
    udf_lines: dict[int, tuple[str, ...]] = field(default_factory=dict)


class Rounds:
    """One run of a plan.

    Args:
        plan: what to run.
        udf: runner of user-defined functions.
        executor: who runs the windows.
        tolerance: what may fail.
        progress: called with (windows done, windows in all).
        told: called with the name of each stage when it starts.
    """

    def __init__(
        self,
        plan: Plan,
        udf: UdfRunner | None,
        executor: Executor,
        tolerance: Tolerance,
        progress: Progress | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.told = told
        self.plan, self.udf, self.executor = plan, udf, executor
        self.tolerance, self.progress = tolerance, progress
        self.stored: dict[int, Stored] = {}
        self.pixels = 0
        self._index = {e.key: n for n, e in enumerate(plan.expected)}
        self._failures = {
            e.key: Fault(e.kind, e.reason)  # type: ignore[arg-type]
            for e in plan.expected
            if e.state == "failed"
        }
        self._dropped = frozenset(e.key[:2] for e in plan.expected if e.kind == "quarantined")
        self._dropped |= {key[:2] for key in self._failures}
        counted = {e.key[:2] for e in plan.expected if e.state != "skipped"}
        self._counted = {c: sum(k[0] == c for k in counted) for c in {k[0] for k in counted}}
        self._touched: set[ItemKey] = set()
        self._masked: set[AssetKey] = set()
        self._stages = [_StageState(Ledger(len(s.windows), self._index)) for s in plan.stages]
        self._maker = {t: n for n, s in enumerate(plan.stages) for t in s.targets}
        self._done, self._total = 0, sum(len(s.windows) for s in plan.stages if not s.derived)

    def check(self) -> None:
        """Stop where more has failed than is tolerated.

        Raises:
            TooManyFailures: with the list.
        """
        self.tolerance.check(self._failed(), self._counted)

    def fail(self, faults: Mapping[AssetKey, Fault]) -> None:
        """Count failures that were found before the first window; their items are out.

        Raises:
            TooManyFailures: more than tolerated.
        """
        for key, fault in sorted(faults.items()):
            if key not in self._index:
                raise InputsUnaccounted(f"{' '.join(key)} was inspected, and the plan does not expect it.")
            self._failures.setdefault(key, fault)
        self._drop()
        self.check()

    def run(self, folder: Path) -> None:
        """Complete all stages; `stored` holds the outputs then.

        Raises:
            TooManyFailures: more failed than tolerated.
        """
        while not self._pass(folder):
            pass

    def account(self) -> tuple[InputAsset, ...]:
        """What became of every expected asset.

        Raises:
            InputsUnaccounted: the contract does not hold.
        """
        asked = np.zeros(len(self._index), bool)
        for state in self._stages:
            asked |= state.ledger.assets()
        read = {e.key for e, hit in zip(self.plan.expected, asked, strict=True) if hit}
        return account(self.plan.expected, read, self._failures, self._touched, self._masked)

    def udf_lines(self) -> tuple[str, ...]:
        """What user-defined functions printed, in the order of stages and windows."""
        return tuple(
            line for state in self._stages for _, lines in sorted(state.udf_lines.items()) for line in lines
        )

    def _pass(self, folder: Path) -> bool:
        """Compute what is missing or stale, stage by stage; False where a product failed on the way."""
        for number, stage in enumerate(self.plan.stages):
            todo = self._stale(number)
            state = self._stages[number]
            # A stage without windows (no geometry lies in the cube) has a result all the same.
            if not todo and state.made_of == self._versions(stage):
                continue
            if state.made_of is not None:
                self._total += len(todo)
            self._run_stage(number, stage, todo, folder)
            MAPS.clear()
            give_back_memory()
            state.version += 1
            state.made_of = self._versions(stage)
            if self._drop():
                return False
        return True

    def _versions(self, stage: Stage) -> tuple[int, ...]:
        return tuple(self._stages[self._maker[g]].version for g in stage.given)

    def _stale(self, number: int) -> Sequence[int]:
        """Windows of a stage to compute: all, or those with products that are out by now."""
        stage, state = self.plan.stages[number], self._stages[number]
        if state.made_of != self._versions(stage):
            return range(len(stage.windows))
        return sorted(state.stale)

    def _drop(self) -> bool:
        """Put the items of all failures out; True where that is news."""
        news = {key[:2] for key in self._failures} - self._dropped
        self._dropped |= news
        for stage, state in zip(self.plan.stages, self._stages, strict=True):
            if news and state.made_of is not None:
                state.stale.update(self._windows_with(stage, news))
        return bool(news)

    def _windows_with(self, stage: Stage, items: Collection[ItemKey]) -> Iterator[int]:
        """Windows of a stage that these items may matter to, read or not."""
        program = stage_program(self.plan.nodes, stage)
        sources = []
        for index in program.order:
            op = self.plan.nodes[index].op
            if isinstance(op, SourceOp):
                listed = [i for s in op.steps for i in s.items if (op.collection, i.id) in items]
                sources.append((index, op.method, listed))
        for number, window in enumerate(stage.windows):
            regions = program.regions(window)
            for index, method, listed in sources:
                region = regions.get(index)
                if region is not None and any(concerns(i, region, method) for i in listed):
                    yield number
                    break

    def _run_stage(self, number: int, stage: Stage, todo: Sequence[int], folder: Path) -> None:
        if self.told is not None:
            self.told(", ".join(self.plan.nodes[t].key for t in stage.targets))
        given = {i: self.stored[i] for i in stage.given}
        state = self._stages[number]
        if self.plan.nodes[stage.targets[0]].process_id == AGGREGATE:
            self._run_geometries(number, stage, todo, given)
            return
        if stage.derived:
            target = stage.targets[0]
            program = Program.of(self.plan.nodes, stage)
            windows = tuple(w for w in stage.windows if w is not None)
            self.stored[target] = DerivedCube(program, given, self.plan.nodes[target].meta, windows)
            return
        if not state.places:
            state.places = self._places(stage, folder)
        if stage.composite is not None:
            task = CompositeTask.of(
                self.plan.nodes, stage, {**given, **state.places}, self.udf, self._dropped
            )
            parts = [(stage.windows[w], stage.periods[w]) for w in todo]
            with closing(self.executor.map(task, parts)) as results:
                for position, (log, _) in results:
                    self._enter(number, todo[position], log)
            self.stored.update(state.places)
            return
        program = Program.of(self.plan.nodes, stage)
        windowed = WindowTask(program, {**given, **state.places}, self.udf, self._dropped)
        flat = [t for t in stage.targets if t not in state.places]
        with closing(self.executor.map(windowed, [stage.windows[w] for w in todo])) as results:
            for position, (log, kept) in results:
                self._enter(number, todo[position], log)
                self.stored.update(zip(flat, kept, strict=True))
        self.stored.update(state.places)

    def _places(self, stage: Stage, folder: Path) -> dict[int, Stored]:
        """Scratch of a stage's raster targets."""
        places: dict[int, Stored] = {}
        composite = stage.composite
        counts = set() if composite is None else {s.node for s in composite.sinks if s.reducer is None}
        for target in stage.targets:
            meta = self.plan.nodes[target].meta
            if stage.box is not None and meta.box is not None:
                meta = meta.with_box(stage.box)
            if composite is not None and target in counts:
                sizes = [len(steps) for steps in composite.periods]
                places[target] = CountScratch.create(folder / str(target), meta, sizes)
            elif meta.is_raster:
                places[target] = self._raster_place(composite, meta, folder / str(target))
        return places

    def _raster_place(self, composite: Composite | None, meta: CubeMeta, folder: Path) -> Stored:
        if composite is None or not all(
            s.reducer is None or is_plain_median(s.reducer) for s in composite.sinks
        ):
            return ScratchCube.create(folder, meta)
        source = self.plan.nodes[composite.source].meta.dtype
        if source.kind == "u" and source.itemsize <= 2 and meta.dtype == np.float32:
            return HalvesScratch.create(folder, meta)
        # A median of integers is never NaN.
        return ScratchCube.create(folder, meta, nan_is_null=source.kind in "iu" and meta.dtype.kind == "f")

    def _run_geometries(
        self, number: int, stage: Stage, todo: Sequence[int], given: Mapping[int, Stored]
    ) -> None:
        task = geometry_task(self.plan.nodes, stage, given, self.udf, self._dropped)
        work = [(stage.windows[w], stage.partition[w]) for w in todo]
        parts = self._stages[number].parts
        with closing(self.executor.map(task, work)) as results:
            for position, (log, part) in results:
                self._enter(number, todo[position], log)
                parts[todo[position]] = part
        together = [(stage.partition[w], part) for w, part in sorted(parts.items())]
        self.stored[stage.targets[0]] = gathered(together, task, self.plan.nodes[stage.targets[0]])

    def _enter(self, number: int, window: int, log: WindowLog) -> None:
        """Take over a window's log; stop where more failed than is tolerated."""
        state = self._stages[number]
        state.ledger.enter(window, log)
        state.stale.discard(window)
        state.udf_lines[window] = tuple(log.udf_lines)
        self._touched |= log.touched
        self._masked |= log.masked
        self.pixels += log.pixels
        for key, fault in log.failures.items():
            self._failures.setdefault(key, fault)
        if log.failures:
            self.check()
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self._total)

    def _failed(self) -> list[InputAsset]:
        known = {e.key: e for e in self.plan.expected}
        return [
            InputAsset(*key, "failed", f.kind, f.reason, known[key].href, known[key].item_href)
            for key, f in sorted(self._failures.items())
        ]


def stage_program(nodes: Sequence[PlanNode], stage: Stage) -> Program:
    """What a stage computes window by window."""
    by_geometry = nodes[stage.targets[0]].process_id == AGGREGATE
    return aggregate_program(nodes, stage) if by_geometry else Program.of(nodes, stage)
