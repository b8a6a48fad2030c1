"""Running a plan: stage by stage, window by window, then the files, which appear whole or not at all."""

from __future__ import annotations

import json
import logging
import resource
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from acreage.catalog.access import HostUse, added, remote_use, use_between
from acreage.catalog.items import Bounds, ItemProblem, SourceItem
from acreage.core.errors import OutputExists, WriteFailed
from acreage.core.inputs import InputAsset, Inputs
from acreage.core.outputs import check_writable
from acreage.core.provenance import InputItem
from acreage.core.udf import UdfRunner
from acreage.engine.emptied import check_written
from acreage.engine.executors import Executor, ThreadExecutor
from acreage.engine.memory import Peak, watched
from acreage.engine.plan import Fault, Plan
from acreage.engine.quarantine import Quarantine
from acreage.engine.rounds import Progress, Rounds
from acreage.engine.store import scratch_folder
from acreage.engine.tolerance import Tolerance, TooManyFailures
from acreage.engine.trimming import trimmed
from acreage.engine.user_files.isolation import end_helper
from acreage.engine.writers import distinct, format_for, inputs_file, write_outputs

Inspect = Callable[[Sequence[SourceItem], Sequence[str], Bounds, int], tuple[ItemProblem, ...]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """What a job used.

    Attributes:
        seconds: wall-clock.
        cpu_seconds: processor time of this process and of its ended children, and of the executor's workers
            with all their children.
        peak_memory: the most memory of this process and those that it started, or of a worker, bytes
            (`engine.memory`).
        peak_stage: what was computed then; `workers` where it was a worker's.
        source_pixels: pixels asked of the files.
        remote: what was asked of each host while it ran, by all of these.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int
    source_pixels: int
    peak_stage: str
    remote: Mapping[str, HostUse] = field(default_factory=dict)

    @property
    def remote_total(self) -> HostUse:
        """What was asked of all hosts together."""
        return sum(self.remote.values(), HostUse())


@dataclass(frozen=True)
class RunResult:
    """What a job made and what it met.

    Attributes:
        files: written, by output in the order of the plan.
        inputs: what became of every expected input.
        inputs_file: the same as a JSON file.
        udf_log: what user-defined functions printed, a line each.
        usage: time and memory.
    """

    files: tuple[tuple[Path, ...], ...]
    inputs: Inputs
    inputs_file: Path
    udf_log: tuple[str, ...]
    usage: Usage

    @property
    def items_read(self) -> tuple[InputItem, ...]:
        """Items of which pixels are in the result, sorted."""
        return self.inputs.items_read

    @property
    def failures(self) -> tuple[tuple[str, str, str], ...]:
        """(item, band, reason) that were tolerated."""
        return tuple((a.item, a.band, a.reason) for a in self.inputs.failed)


def run_plan(
    plan: Plan,
    out: Path,
    *,
    udf: UdfRunner | None = None,
    executor: Executor | None = None,
    scratch: Path | None = None,
    tolerance: Tolerance | int = 0,
    inspect: Inspect | None = None,
    quarantine: Quarantine | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run a plan and write its outputs, and beside them the account of its inputs.

    Args:
        plan: as `make_plan` gives it.
        out: a file (one output) or a folder (several, each named after its node).
        udf: runner of user-defined functions.
        executor: threads in this process by default.
        scratch: folder for intermediate results, the system's temporary folder by default.
        tolerance: what may fail before the job does; a number means so many items.
        inspect: looks at the files before the first window; None: they are found out when they are read.
        quarantine: gets the products whose files failed.
        overwrite: replace outputs that are there.
        progress: called with (windows done, windows in all).

    Raises:
        ProcessParameterInvalid: filters left nothing to write.
        TooManyFailures: more items than tolerated; the message lists them.
        OutputExists: an output is there and `overwrite` was not asked for.
        WriteFailed: nothing can be written there; found out before the first window where possible.
        AcreageError: whatever else stopped the job. Nothing is left under a final name.
    """
    end_helper()
    started, cpu, asked = time.monotonic(), _cpu_seconds(), remote_use()
    limits = Tolerance.of(tolerance)
    limits.check_names([s.collection for s in plan.sources])
    check_written(plan)
    single = len(plan.outputs) == 1
    formats = distinct(
        [
            format_for(o, plan.nodes[o.node].meta, out, single=single, overwrite=overwrite)
            for o in plan.outputs
        ]
    )
    account = inputs_file(out, formats)
    if account.exists() and not overwrite:
        raise OutputExists(
            f"{account} is there already.", hint="Choose another name, or ask for it with --overwrite."
        )
    _check_place(account)
    executor = executor or ThreadExecutor(plan.threads)
    before = executor.use()
    job = _job_name(out)
    try:
        with watched() as memory, scratch_folder(scratch) as folder:
            rounds = Rounds(plan, udf, executor, limits, progress, memory.enter)
            rounds.check()
            if inspect is not None:
                memory.enter("inspection")
                rounds.fail(_inspected(plan, inspect))
            rounds.run(folder)
            inputs = Inputs(rounds.account(), inspect is not None, str(limits))
            document = json.dumps(inputs.to_dict(), indent=1, ensure_ascii=False).encode()
            memory.enter("writing")
            files = write_outputs(
                [
                    (o, f, trimmed(rounds.stored[o.node]) if o.trim else rounds.stored[o.node])
                    for o, f in zip(plan.outputs, formats, strict=True)
                ],
                [(account, document)],
            )
    except TooManyFailures as error:
        _remember(quarantine, error.failed, tolerated=False, job=job)
        raise
    _remember(quarantine, inputs.failed, tolerated=True, job=job)
    workers = executor.use().since(before)
    peak = max(memory.peak, Peak(workers.peak_memory, "workers"), key=lambda p: p.bytes)
    usage = Usage(
        time.monotonic() - started,
        _cpu_seconds() - cpu + workers.cpu_seconds,
        peak.bytes,
        rounds.pixels,
        peak.stage,
        added(use_between(asked, remote_use()), workers.remote),
    )
    return RunResult(files, inputs, account, rounds.udf_lines(), usage)


def _check_place(path: Path) -> None:
    """Refuse a place where nothing can be written, before long work; makes no folder for it."""
    path = path.absolute()
    while not path.parent.exists():
        path = path.parent
    check_writable(path)


def _inspected(plan: Plan, inspect: Inspect) -> dict[tuple[str, str, str], Fault]:
    """What looking at the files finds, by asset."""
    found: dict[tuple[str, str, str], Fault] = {}
    for part in plan.inspections:
        _log.info("Looking at the files of %d items of %s", len(part.items), part.collection)
        for p in inspect(part.items, part.bands, part.area, plan.threads):
            found.setdefault((part.collection, p.item, p.asset), Fault(p.kind, p.reason))
    return found


def _remember(
    quarantine: Quarantine | None, failed: Sequence[InputAsset], *, tolerated: bool, job: str
) -> None:
    """Tell the quarantine; a result is not lost because that cannot be written."""
    if quarantine is None:
        return
    try:
        quarantine.record(failed, tolerated=tolerated, job=job)
    except WriteFailed as error:
        _log.warning("%s", error)


def _job_name(out: Path) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{out.name} {when} {secrets.token_hex(2)}"


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


__all__ = ["Inspect", "Progress", "RunResult", "Usage", "run_plan"]
