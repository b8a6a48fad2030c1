"""Runs the jobs that wait: each in a process of its own, under a lease that says that this server lives."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.database.tables import JobRow
from acreage.backend.disk import EXIT_FULL, WHAT_TO_DO, Disk, is_full
from acreage.backend.errors import DiskFull, PaymentRequired
from acreage.backend.jobs.children import Child, told
from acreage.backend.jobs.folder import JobFolder, JobSpec, Outcome
from acreage.backend.jobs.logs import Level
from acreage.backend.jobs.store import JobStore
from acreage.backend.jobs.usage import use_of, use_of_running
from acreage.core.errors import AcreageError
from acreage.core.instances import Instances
from acreage.core.tariff import Use

Command = Callable[[Path], list[str]]
"""The command that does the work of an attempt's folder."""
Prepare = Callable[[JobRow], JobSpec]
_TICK_S = 0.2
_LOOK_EVERY_S = 1.0
_NICE = 10
"""Jobs give way to the API and to those who wait for an answer."""
_BUDGET_EVERY_S = 5.0
_NO_ROOM = f"The server's disk is full, and what the job made was removed. {WHAT_TO_DO}"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Verdict:
    """Why a running job is ended."""

    status: str
    message: str
    code: str = ""


@dataclass
class _Running:
    job: JobRow
    folder: JobFolder
    child: Child
    progress: float = 0.0
    looked: float = 0.0
    budget_checked: float = field(default_factory=time.monotonic)
    verdict: _Verdict | None = None

    def use(self) -> Use:
        """What it has used so far."""
        return use_of_running(self.child, self.folder)


@dataclass(frozen=True)
class DispatcherLimits:
    """How much a server runs.

    Attributes:
        at_once: jobs.
        timeout_s: of a job.
        lease_s: see `JobStore.lease`.
    """

    at_once: int
    timeout_s: float
    lease_s: float


class Dispatcher:
    """Takes jobs from the database and runs them; `start` and `stop` it.

    Args:
        store: records.
        folder: of all jobs.
        command: what a job's process is.
        prepare: what its process is to do.
        budgets: what it costs, and who may spend what.
        limits: how much at once.
        instances: servers on the same storage.
        disk: that the folder is on; nothing is begun where it is short.
    """

    def __init__(
        self,
        store: JobStore,
        folder: Path,
        command: Command,
        prepare: Prepare,
        budgets: Budgets,
        limits: DispatcherLimits,
        instances: Instances,
        disk: Disk,
    ) -> None:
        self.store, self.folder, self.command, self.prepare = store, folder, command, prepare
        self.budgets, self.limits, self.instances, self.disk = budgets, limits, instances, disk
        self.owner = f"{socket.gethostname()[:30]}-{secrets.token_hex(6)}"
        self._running: dict[str, _Running] = {}
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._last: dict[str, float] = {}

    def start(self) -> None:
        """Begin; jobs of servers that died are taken back first."""
        self.instances.register(self.owner)
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; jobs that run wait again, as if they had not been begun."""
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join()
        for running in self._running.values():
            running.child.stop()
            job = running.job
            running.folder.log().add("info", "The server is stopped; the job will be begun again.")
            self.store.give_back(self.owner, job.id, job.attempt)
        self._running.clear()
        self.instances.leave(self.owner)

    def wake(self) -> None:
        """Look at once for what is to be done."""
        self._wake.set()

    @property
    def is_alive(self) -> bool:
        """Whether it does its work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def running(self) -> int:
        """Jobs that run here."""
        return len(self._running)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except SQLAlchemyError as error:
                _log.error("The database cannot be used, jobs wait: %s", getattr(error, "orig", error))
                self._stopping.wait(1.0)
            except Exception:  # noqa: BLE001 - a server whose dispatcher ended would leave jobs running for ever
                _log.exception("Jobs could not be looked after; it is tried again")
                self._stopping.wait(1.0)
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _round(self) -> None:
        self._reap()
        if self._due("lease", self.limits.lease_s / 3):
            self.store.renew(self.owner, list(self._running))
            self._take_back()
        if self._running:
            for job_id in self.store.cancelled(self.owner):
                self._end(job_id, _Verdict("canceled", "The job was stopped by its user."))
            self._look_after()
        while len(self._running) < self.limits.at_once and not self._stopping.is_set():
            if self.disk.is_short:
                if self._due("disk", 60):
                    _log.error("No job is begun: %.0f MB of the disk are free", self.disk.free / 1e6)
                break
            job = self.store.claim(self.owner)
            if job is None:
                break
            self._begin(job)

    def _due(self, what: str, every_s: float) -> bool:
        if time.monotonic() - self._last.get(what, -1e9) < every_s:
            return False
        self._last[what] = time.monotonic()
        return True

    def _take_back(self) -> None:
        for lost in self.store.lost(self.instances.dead()):
            after = "it will be begun again" if lost.again else "it is not begun again"
            folder = JobFolder(self.folder / lost.job_id)
            folder.path.mkdir(parents=True, exist_ok=True)  # its server may have died before it made it
            folder.log().add("warning", f"The job's server was lost; {after}.")
            if lost.error is not None:
                folder.log().add("error", lost.error["message"], code=lost.error["code"])

    def _begin(self, job: JobRow) -> None:
        folder = JobFolder(self.folder / job.id, job.attempt)
        try:
            folder.begin(self.prepare(job))
            child = Child.start(self.command(folder.attempt_path), folder.path / "output.txt", _NICE)
        except AcreageError as error:
            self._failed(job, folder, error.code, str(error))
        except OSError as error:
            reason = _NO_ROOM if is_full(error) else f"The job cannot be begun: {error.strerror}."
            self._failed(job, folder, DiskFull.code, reason)
        else:
            self._running[job.id] = _Running(job, folder, child)

    def _failed(self, job: JobRow, folder: JobFolder, code: str, message: str) -> None:
        folder.remove_results()
        self._note(folder, "error", message, code)
        self.store.end(self.owner, job.id, job.attempt, "error", error={"code": code, "message": message})

    def _note(self, folder: JobFolder, level: Level, message: str, code: str = "") -> None:
        if not folder.log().add(level, message, **({"code": code} if code else {})):
            _log.error("The log of job %s cannot be written: %s", folder.path.name, message)

    def _look_after(self) -> None:
        for running in list(self._running.values()):
            if time.monotonic() - running.looked < _LOOK_EVERY_S:
                continue
            running.looked = time.monotonic()
            running.child.look()
            share = round(100 * running.folder.progress().share, 1)
            if share - running.progress >= 1:
                running.progress = share
                self.store.progress(self.owner, running.job.id, progress=share)
            if running.child.seconds > self.limits.timeout_s:
                late = f"The job ran longer than {self.limits.timeout_s:.0f} s."
                self._end(running.job.id, _Verdict("error", late, "Timeout"))
            elif time.monotonic() - running.budget_checked > _BUDGET_EVERY_S:
                running.budget_checked = time.monotonic()
                self._check_budget(running)

    def _check_budget(self, running: _Running) -> None:
        if self.budgets.tariff.is_free:
            return
        use, job = running.use(), running.job
        self.store.progress(self.owner, job.id, costs=self.budgets.tariff.cost(use))
        if reason := self.budgets.exceeded(use, job.user_id, job.budget):
            self._end(job.id, _Verdict("error", reason, PaymentRequired.code))

    def _end(self, job_id: str, verdict: _Verdict) -> None:
        """Stop a job's process, with a reason."""
        running = self._running.get(job_id)
        if running is None:
            return
        running.verdict = running.verdict or verdict
        running.child.look()
        running.child.stop()
        self._settle(running)

    def _reap(self) -> None:
        """Enter how processes ended."""
        for running in list(self._running.values()):
            if running.child.poll() is not None:
                self._settle(running)

    def _settle(self, running: _Running) -> None:
        """Enter how one ended. Where the database refuses, the next round tries again: it is still ours."""
        outcome = running.folder.outcome()
        if running.verdict is not None:
            self._stopped(running, running.verdict)
        elif outcome is not None:
            self._ended(running, outcome)
        else:
            self._died(running, running.child.poll() or 0)
        del self._running[running.job.id]

    def _stopped(self, running: _Running, verdict: _Verdict) -> None:
        job, use = running.job, running.use()
        usage = {
            "seconds": running.child.seconds,
            "cpu_seconds": use.cpu_seconds,
            "peak_memory": running.child.peak_memory,
            "source_pixels": running.folder.progress().source_pixels,
        }
        is_error = verdict.status == "error"
        self.store.end(
            self.owner,
            job.id,
            job.attempt,
            verdict.status,
            error={"code": verdict.code, "message": verdict.message} if is_error else None,
            usage=usage,
            costs=self.budgets.tariff.cost(use),
        )
        running.folder.remove_results()
        self._note(running.folder, "error" if is_error else "info", verdict.message, verdict.code)

    def _died(self, running: _Running, status: int) -> None:
        job, folder = running.job, running.folder
        full = status == EXIT_FULL or (status == -signal.SIGBUS and self.disk.is_short)
        if full:
            self._failed(job, folder, DiskFull.code, _NO_ROOM)
        elif job.attempt < self.store.attempts:
            folder.clean()
            self._note(folder, "warning", f"The job's process {told(status)}; it will be begun again.")
            self.store.end(self.owner, job.id, job.attempt, "queued", progress=0.0)
        else:
            message = f"The job's process {told(status)}, {job.attempt} times."
            self._failed(job, folder, "Internal", message)

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        job, usage = running.job, dict(outcome.usage)
        usage.setdefault("source_pixels", running.folder.progress().source_pixels)
        size = sum(int(f.get("size", 0)) for f in outcome.files)
        done = outcome.status == "finished"
        result = {"files": list(outcome.files), "about": dict(outcome.about), "place": outcome.place}
        self.store.end(
            self.owner,
            job.id,
            job.attempt,
            outcome.status,
            progress=100.0 if done else running.progress,
            error=None if done else dict(outcome.error or {}),
            usage=usage,
            costs=self.budgets.tariff.cost(use_of(usage)),
            result=result if done else None,
            result_bytes=size if done else None,
        )
        running.folder.clean()
        if not done:
            running.folder.remove_results()
