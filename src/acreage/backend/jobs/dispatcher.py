"""Runs the jobs that wait: each in a process of its own, under a lease that says that this server lives."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.children import Child, told
from acreage.backend.jobs.folder import JobFolder, JobSpec, Outcome
from acreage.backend.jobs.instances import Instances
from acreage.backend.jobs.store import JobStore, now
from acreage.core.errors import AcreageError
from acreage.core.tariff import Tariff, Use

Command = Callable[[Path], list[str]]
"""The command that does the work of an attempt's folder."""
Prepare = Callable[[JobRow], JobSpec]
_TICK_S = 0.2
_NICE = 10
"""Jobs give way to the API and to those who wait for an answer."""
_BUDGET_EVERY_S = 5.0
_RETENTION_EVERY_S = 60.0
_log = logging.getLogger(__name__)


@dataclass
class _Running:
    job: JobRow
    folder: JobFolder
    child: Child
    progress: float = 0.0
    budget_checked: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class DispatcherLimits:
    """How much a server runs.

    Attributes:
        at_once: jobs.
        timeout_s: of a job.
        lease_s: see `JobStore.lease`.
        retention: after which ended jobs are removed; None: never.
    """

    at_once: int
    timeout_s: float
    lease_s: float
    retention: timedelta | None = None


class Dispatcher:
    """Takes jobs from the database and runs them; `start` and `stop` it.

    Args:
        store: records.
        folder: of all jobs.
        command: what a job's process is.
        prepare: what its process is to do.
        tariff: what it costs.
        limits: how much at once.
        instances: servers on the same storage.
    """

    def __init__(
        self,
        store: JobStore,
        folder: Path,
        command: Command,
        prepare: Prepare,
        tariff: Tariff,
        limits: DispatcherLimits,
        instances: Instances,
    ) -> None:
        self.store, self.folder, self.command, self.prepare = store, folder, command, prepare
        self.tariff, self.limits, self.instances = tariff, limits, instances
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
            self.store.renew(self.owner)
            self._take_back()
        if self.limits.retention is not None and self._due("retention", _RETENTION_EVERY_S):
            self._forget_old(self.limits.retention)
        if self._running:
            for job_id in self.store.cancelled(self.owner):
                self._end(job_id, "canceled", "The job was stopped by its user.")
            self._look_after()
        while len(self._running) < self.limits.at_once and not self._stopping.is_set():
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
            JobFolder(self.folder / lost.job_id).log().add("warning", f"The job's server was lost; {after}.")

    def _forget_old(self, retention: timedelta) -> None:
        for job in self.store.ended_before(now() - retention, 100):
            self.store.delete(job.user_id, job.id)
            JobFolder(self.folder / job.id).remove()

    def _begin(self, job: JobRow) -> None:
        folder = JobFolder(self.folder / job.id, job.attempt)
        try:
            folder.begin(self.prepare(job))
            child = Child.start(self.command(folder.attempt_path), folder.path / "output.txt", _NICE)
        except AcreageError as error:
            self._failed(job, folder, error.code, str(error))
        except OSError as error:
            self._failed(job, folder, "StorageFailure", f"The job cannot be begun: {error.strerror}.")
        else:
            self._running[job.id] = _Running(job, folder, child)

    def _failed(self, job: JobRow, folder: JobFolder, code: str, message: str) -> None:
        try:
            folder.log().add("error", message, code=code)
        except OSError as error:
            _log.error("The log of job %s cannot be written: %s", job.id, error)
        self.store.end(self.owner, job.id, job.attempt, "error", error={"code": code, "message": message})

    def _look_after(self) -> None:
        for running in list(self._running.values()):
            share = round(100 * running.folder.progress(), 1)
            if share - running.progress >= 1:
                running.progress = share
                self.store.progress(self.owner, running.job.id, share)
            if running.child.seconds > self.limits.timeout_s:
                self._end(
                    running.job.id,
                    "error",
                    f"The job ran longer than {self.limits.timeout_s:.0f} s.",
                    "Timeout",
                )
            elif time.monotonic() - running.budget_checked > _BUDGET_EVERY_S:
                running.budget_checked = time.monotonic()
                self._check_budget(running)

    def _check_budget(self, running: _Running) -> None:
        budget = running.job.budget
        if budget is None or self.tariff.is_free:
            return
        cost = self.tariff.cost(Use(cpu_seconds=running.child.cpu_seconds()))
        if cost > budget:
            self._end(
                running.job.id,
                "error",
                f"The job has cost {cost:g} {self.tariff.currency}, more than its budget of {budget:g}.",
                "PaymentRequired",
            )

    def _end(self, job_id: str, status: str, message: str, code: str = "") -> None:
        """Stop a job's process, with a reason."""
        running = self._running.pop(job_id, None)
        if running is None:
            return
        seconds, cpu = running.child.seconds, running.child.cpu_seconds()
        running.child.stop()
        running.folder.clean()
        level: Any = "error" if status == "error" else "info"
        running.folder.log().add(level, message, **({"code": code} if code else {}))
        usage = {"seconds": seconds, "cpu_seconds": cpu}
        costs = self.tariff.cost(Use(cpu_seconds=cpu))
        error = {"code": code, "message": message} if status == "error" else None
        job = running.job
        self.store.end(self.owner, job.id, job.attempt, status, error=error, usage=usage, costs=costs)

    def _reap(self) -> None:
        """Enter how processes ended."""
        for running in list(self._running.values()):
            status = running.child.poll()
            if status is None:
                continue
            del self._running[running.job.id]
            outcome = running.folder.outcome()
            running.folder.clean()
            if outcome is None:
                self._died(running, told(status))
            else:
                self._ended(running, outcome)

    def _died(self, running: _Running, how: str) -> None:
        job = running.job
        if job.attempt < self.store.attempts:
            running.folder.log().add("warning", f"The job's process {how}; it will be begun again.")
            self.store.end(self.owner, job.id, job.attempt, "queued", progress=0.0)
            return
        message = f"The job's process {how}, {job.attempt} times."
        self._failed(job, running.folder, "Internal", message)

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        job, usage = running.job, dict(outcome.usage)
        costs = self.tariff.cost(use_of(usage))
        size = sum(int(f.get("size", 0)) for f in outcome.files)
        done = outcome.status == "finished"
        self.store.end(
            self.owner,
            job.id,
            job.attempt,
            outcome.status,
            progress=100.0 if done else running.progress,
            error=None if done else dict(outcome.error or {}),
            usage=usage,
            costs=costs,
            result={"files": list(outcome.files), "about": dict(outcome.about)} if done else None,
            result_bytes=size if done else None,
        )


def use_of(usage: Mapping[str, Any]) -> Use:
    """What is paid for, of what a job's process says that it used."""
    return Use(
        cpu_seconds=float(usage.get("cpu_seconds", 0.0)),
        memory_gb_seconds=float(usage.get("peak_memory", 0)) / 1e9 * float(usage.get("seconds", 0.0)),
        source_megapixels=float(usage.get("source_pixels", 0)) / 1e6,
    )
