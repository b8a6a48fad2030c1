"""The process of one job of the back end; `acreage serve` starts it."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acreage.backend.disk import EXIT_FULL, WHAT_TO_DO, is_full
from acreage.backend.errors import DiskFull
from acreage.backend.jobs.children import die_with_parent
from acreage.backend.jobs.folder import JobFolder, JobSpec, Outcome
from acreage.backend.jobs.logs import JobLog
from acreage.backend.jobs.outputs import told_of_file, told_of_outputs
from acreage.backend.settings import load_server_settings
from acreage.catalog.access.public import PublicTransport
from acreage.cli.executors import means
from acreage.cli.inputs import inspector, quarantine_of
from acreage.cli.runtime import budget_of, catalog_at, model_code, remote_policy
from acreage.core.errors import AcreageError, InvalidInput
from acreage.core.settings import Settings, load_settings
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.run import RunResult, run_plan
from acreage.engine.tolerance import Tolerance
from acreage.engine.user_files import FolderWorkspace, UserFiles
from acreage.udf.owned import OwnedUdfRunner

_TELL_EVERY_S = 0.5
_TOO_DEEP = "The process graph is nested too deeply. Put fewer process graphs into each other."
_NO_ROOM = (
    DiskFull.code,
    f"The server's disk is full: the job could not write, and what it made was removed. {WHAT_TO_DO}",
    DiskFull.http_status,
)
_NO_MEMORY = "The job ran out of memory. Ask for less at once, or for more with the option `memory`."


def main() -> None:
    """The process: its arguments are the attempt's folder and the address of the catalog."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder, catalog = sys.argv[1:]
    run_job(Path(folder), catalog)


def run_job(folder: Path, catalog: str) -> None:
    """Run one job of the back end, in the folder that the server made for it."""
    die_with_parent()
    place = JobFolder(folder.parent, int(folder.name.rpartition("-")[2]))
    spec = place.spec()
    log = place.log(spec.log_level)
    logging.getLogger().handlers = [_ToJobLog(log)]
    started = time.monotonic()
    try:
        outcome = _put_away(_computed(place, spec, log, catalog), place, spec)
    except AcreageError as error:
        told = _NO_ROOM if is_full(error) else (error.code, str(error), error.http_status)
        outcome = _failed(*told, started)
    except (MemoryError, RecursionError) as error:
        message = _TOO_DEEP if isinstance(error, RecursionError) else f"{_NO_MEMORY} ({error})"
        outcome = _failed("Internal", message, 500, started)
    except OSError as error:
        message = f"The job could not read or write: {error.strerror or error}."
        told = _NO_ROOM if is_full(error) else ("StorageFailure", message, 507)
        outcome = _failed(*told, started)
    except Exception as error:
        if not is_full(error):
            # The trace is for those who run the server, in the file of what the process prints.
            _end(
                place,
                log,
                _failed("Internal", f"A fault of this software: {type(error).__name__}.", 500, started),
            )
            raise
        outcome = _failed(*_NO_ROOM, started)
    _end(place, log, outcome)
    # Threads that still hold something must not keep the result waiting.
    sys.stdout.flush()
    os._exit(0)


def _put_away(outcome: Outcome, place: JobFolder, spec: JobSpec) -> Outcome:
    """Put the results into the bucket, where there is one; only then the job has ended."""
    if spec.bucket is None:
        return outcome
    from acreage.backend.bucket import Bucket
    from acreage.backend.bucket_address import BucketAddress

    files = [place.results / str(f["name"]) for f in outcome.files]
    types = {str(f["name"]): str(f["type"]) for f in outcome.files}
    Bucket(BucketAddress(**spec.bucket)).upload(spec.job_id, spec.place, files, types)
    place.clear()
    return replace(outcome, place=spec.place)


def _end(place: JobFolder, log: JobLog, outcome: Outcome) -> None:
    """Tell how the job ended, also on a disk that is full: what it made goes first."""
    if outcome.error is not None:
        place.clear()
        log.add("error", str(outcome.error["message"]), code=outcome.error["code"])
    try:
        place.end(outcome)
    except OSError as error:
        place.clear()
        try:
            place.end(_failed(*_NO_ROOM, time.monotonic()) if is_full(error) else outcome)
        except OSError:
            os._exit(EXIT_FULL if is_full(error) else 1)


def _computed(place: JobFolder, spec: JobSpec, log: JobLog, catalog: str) -> Outcome:
    settings, reach = load_settings(), load_server_settings().reach
    options = JobOptions.of(spec.options, settings)
    budget = budget_of(settings, options.memory, options.threads)
    tolerance = Tolerance.parse(options.tolerate)
    quarantine = quarantine_of(settings)
    with means(settings, budget, None, trusted=spec.trusted, reach=reach) as use:
        udf = OwnedUdfRunner(use.udf, "", FolderWorkspace(Path(spec.files)).resolve)
        plan = make_plan(
            parse_graph(spec.process),
            catalog_at(catalog, settings),
            use.budget,
            udf,
            quarantine.read(),
            files=user_files(Path(spec.files), spec.results, place.scratch / "downloads", reach),
        )
        if spec.synchronous and len(plan.outputs) != 1:
            raise InvalidInput(
                f"The process graph has {len(plan.outputs)} results, and a synchronous request one.",
                hint="Use a batch job, or one save_result.",
            )
        for note in plan.notes:
            log.add("info", note)
        log.add("info", f"{sum(len(s.windows) for s in plan.stages)} windows are to be computed.")
        result = run_plan(
            plan,
            place.results,
            udf=udf,
            executor=use.executor,
            scratch=place.scratch,
            tolerance=tolerance,
            inspect=inspector(settings, wanted=options.inspect),
            quarantine=quarantine,
            overwrite=True,
            progress=_Progress(place, plan.estimate.source_pixels),
        )
    return _finished(plan, result, log)


@dataclass(frozen=True)
class JobsWorkspace(FolderWorkspace):
    """The files of a user, and results of jobs that a graph of the user names.

    Attributes:
        results: STAC documents by what the graph names.
    """

    results: Mapping[str, str] = field(default_factory=dict)

    def result(self, address: str) -> Path | None:
        """As `Workspace.result`."""
        found = self.results.get(address)
        return None if found is None else Path(found)


def user_files(folder: Path, results: Mapping[str, str], downloads: Path, reach: Sequence[str]) -> UserFiles:
    """What a graph of a user may load.

    Args:
        folder: of the user's files.
        results: STAC documents of jobs, by what the graph names.
        downloads: folder for what is loaded from addresses.
        reach: hosts that may be asked although they are private.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    transport = PublicTransport(remote_policy(load_settings()), reach)
    return UserFiles(JobsWorkspace(folder, results), downloads, transport=transport, model_code=model_code())


def _finished(plan: Plan, result: RunResult, log: JobLog) -> Outcome:
    for line in result.udf_log:
        log.add("info", line, source="udf")
    for item, band, reason in result.failures:
        log.add("warning", f"{item} {band}: {reason}", code="ItemUnreadable")
    u = result.usage
    log.add(
        "info",
        f"{len(result.items_read)} items read, {len(result.failures)} assets failed; {u.seconds:.1f} s, "
        f"{u.cpu_seconds:.1f} CPU seconds, peak memory {u.peak_memory / 1e6:.0f} MB ({u.peak_stage}).",
        usage={
            "cpu": {"value": round(u.cpu_seconds, 3), "unit": "cpu-seconds"},
            "duration": {"value": round(u.seconds, 3), "unit": "seconds"},
            "max_memory": {"value": round(u.peak_memory / 1e6, 1), "unit": "mb"},
        },
    )
    files = [told_of_file(path, ("data",)) for paths in result.files for path in paths]
    files.append(told_of_file(result.inputs_file, ("metadata",)))
    states = [a.fate for a in result.inputs.assets]
    usage = {
        "seconds": u.seconds,
        "cpu_seconds": u.cpu_seconds,
        "peak_memory": u.peak_memory,
        "source_pixels": u.source_pixels,
        "items_read": len(result.items_read),
        "items_skipped": len({(a.collection, a.item) for a in result.inputs.assets if a.fate == "skipped"}),
        "items_failed": len({(a.collection, a.item) for a in result.inputs.failed}),
        "assets": {state: states.count(state) for state in dict.fromkeys(states)},
    }
    return Outcome("finished", None, usage, tuple(files), told_of_outputs(plan))


def _failed(code: str, message: str, status: int, started: float) -> Outcome:
    own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    usage = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime,
        "peak_memory": own.ru_maxrss * 1024,
    }
    return Outcome("error", {"code": code, "message": message}, usage, http_status=status)


@dataclass(frozen=True)
class JobOptions:
    """Options of a job that are understood; others are left to other back ends.

    Attributes:
        memory: as `4GB`; not more than the server's setting.
        threads: not more than the server's setting.
        tolerate: what may fail, as `--tolerate` takes it.
        inspect: whether files are looked at first.
    """

    memory: str | None
    threads: int | None
    tolerate: list[str]
    inspect: bool

    @staticmethod
    def of(options: Mapping[str, Any], settings: Settings) -> JobOptions:
        """From a job's options: `memory`, `cores` (or `threads`), `tolerate`, `inspect`, also within
        `job_options`, as the openEO client sends them.

        Raises:
            InvalidInput: one has a value that it cannot take.
        """
        inner = options.get("job_options")
        known = {**options, **(inner if isinstance(inner, Mapping) else {})}
        memory, cores = known.get("memory"), known.get("cores", known.get("threads"))
        if cores is not None and (isinstance(cores, bool) or not isinstance(cores, int) or cores < 1):
            raise InvalidInput(f"The option `cores` is {cores!r}.", hint="Give a number of 1 or more.")
        if memory is not None:
            size = budget_of(settings, str(memory)).memory
            if size > settings.memory:
                raise InvalidInput(
                    f"The option `memory` is {memory}, and a job may use {settings.memory.human_readable()}.",
                    hint="Ask for less.",
                )
        stated = known.get("tolerate", [])
        tolerate = [stated] if isinstance(stated, str | int) else stated
        if not isinstance(tolerate, list) or not all(isinstance(t, str | int) for t in tolerate):
            raise InvalidInput(f"The option `tolerate` is {stated!r}.", hint='Write it as "2" or ["5%"].')
        threads = None if cores is None else min(cores, settings.threads)
        return JobOptions(
            None if memory is None else str(memory),
            threads,
            [str(t) for t in tolerate],
            known.get("inspect", True) is not False,
        )


@dataclass
class _Progress:
    """Says how many windows are done, not too often."""

    place: JobFolder
    source_pixels: int
    last: float = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.last > _TELL_EVERY_S:
            self.last = time.monotonic()
            share = done / max(total, 1)
            self.place.tell_progress(share, round(share * self.source_pixels))


class _ToJobLog(logging.Handler):
    """What the libraries say, for the job's user."""

    def __init__(self, log: JobLog) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One entry."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self.log.add(level, record.getMessage())  # type: ignore[arg-type]
