"""Removes what is too old, and what servers that were killed left behind."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.old import OldJobs
from acreage.backend.jobs.store import FINISHED, RUNNING, JobStore, now
from acreage.backend.storage import Storage
from acreage.core.errors import AcreageError

if TYPE_CHECKING:
    from acreage.backend.bucket import Bucket

_EVERY_S = 60.0
_SWEEP_EVERY_S = 3600.0
_JOBS_AT_ONCE = 100
_TILES_LEFT = 0.9  # of the limit, so that not every new tile removes one
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What is kept.

    Attributes:
        results: after their job's end; None: for ever.
        jobs: after their end, with all that is known of them; None: for ever.
        tiles: bytes of the tiles of all map services.
        leftovers: age after which nobody can be at work on what no record knows.
    """

    results: timedelta | None = None
    jobs: timedelta | None = None
    tiles: int = 5_000_000_000
    leftovers: timedelta = timedelta(hours=1)


class Housekeeper:
    """Keeps house in a thread of its own: stores over a network may be slow. `start` and `stop` it.

    Several servers on one storage may do it at once.

    Args:
        jobs: records.
        storage: files.
        bucket: of results, where there is one.
        limits: what is kept.
        requests: removes leftovers of synchronous requests.
        services: ids of all map services, of those given.
    """

    def __init__(
        self,
        jobs: JobStore,
        storage: Storage,
        bucket: Bucket | None,
        limits: Limits,
        requests: Callable[[], None],
        services: Callable[[set[str]], set[str]],
    ) -> None:
        self.jobs, self.storage, self.bucket, self.limits = jobs, storage, bucket, limits
        self.requests, self.services = requests, services
        self.old = OldJobs(jobs.database)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._swept = -_SWEEP_EVERY_S

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._loop, name="housekeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, after what is being done."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self.round()
            self._stopping.wait(_EVERY_S)

    def round(self) -> None:
        """Do all that is due; what fails is tried again by the next round."""
        tasks = [self._expire_results, self._forget_jobs, self._limit_tiles]
        if time.monotonic() - self._swept >= _SWEEP_EVERY_S:
            self._swept = time.monotonic()
            tasks += [self.requests, self._sweep_folders, self._sweep_bucket]
        for task in tasks:
            try:
                task()
            except SQLAlchemyError as error:
                _log.error("Old things are kept, the database refuses: %s", getattr(error, "orig", error))
            except (AcreageError, OSError) as error:
                _log.error("Old things are kept: %s", error)

    def remove(self, job_id: str) -> None:
        """Remove the files of a job whose record is gone; what cannot be removed now is swept later."""
        JobFolder(self.storage.jobs / job_id).remove()
        if self.bucket is not None:
            try:
                self.bucket.remove(job_id)
            except AcreageError as error:
                _log.warning("Results of job %s are removed later: %s", job_id, error)

    def _expire_results(self) -> None:
        age = self.limits.results
        if age is None:
            return
        for job in self.old.with_old_results(now() - age, _JOBS_AT_ONCE):
            # The record first: what it does not name any more is removed now, or by the sweep.
            if not self.old.results_gone(job.id, job.attempt):
                continue
            folder = JobFolder(self.storage.jobs / job.id)
            days = age.total_seconds() / 86400
            folder.log().add("info", f"The results were deleted, {days:g} days after the job's end.")
            folder.remove_results()
            place = (job.result or {}).get("place")
            if place and self.bucket is not None:
                self.bucket.remove(job.id, place)

    def _forget_jobs(self) -> None:
        if self.limits.jobs is None:
            return
        for job in self.old.ended_before(now() - self.limits.jobs, _JOBS_AT_ONCE):
            self.jobs.delete(job.user_id, job.id)
            self.remove(job.id)

    def _sweep_folders(self) -> None:
        """Folders of jobs that nobody knows, and attempts that no record wants."""
        oldest = time.time() - self.limits.leftovers.total_seconds()
        folders = [p for p in self.storage.jobs.iterdir() if p.stat().st_mtime < oldest]
        known = self.old.states({p.name for p in folders})
        for path in folders:
            job = known.get(path.name)
            if job is None:
                shutil.rmtree(path, ignore_errors=True)
            elif job.status != RUNNING and job.result is None:
                for attempt in path.glob("attempt-*"):
                    with suppress(OSError):
                        if attempt.stat().st_mtime < oldest:
                            shutil.rmtree(attempt, ignore_errors=True)

    def _sweep_bucket(self) -> None:
        if self.bucket is None:
            return

        def kept(job_ids: set[str]) -> Mapping[str, str | None]:
            return {k: _place(j) for k, j in self.old.states(job_ids).items() if _has_place(j)}

        count = self.bucket.sweep(datetime.now(UTC) - self.limits.leftovers, kept)
        if count:
            _log.info("%d leftovers were removed from %s", count, self.bucket.address)

    def _limit_tiles(self) -> None:
        """Remove tiles of services that are gone, and those unused for longest where there are too many."""
        folder = self.storage.tiles
        if not folder.is_dir():
            return
        ids = {p.name for p in folder.iterdir()}
        for name in ids - self.services(ids):
            shutil.rmtree(folder / name, ignore_errors=True)
        files = []
        for path in _files(folder):
            with suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.limits.tiles:
            return
        for _, size, path in sorted(files):
            path.unlink(missing_ok=True)
            total -= size
            if total <= self.limits.tiles * _TILES_LEFT:
                break


def _has_place(job: JobRow) -> bool:
    return job.status == RUNNING or (job.status == FINISHED and bool(_place(job)))


def _place(job: JobRow) -> str | None:
    """Where a job's results lie in the bucket; None where that is not known, as it runs."""
    return None if job.status == RUNNING else (job.result or {}).get("place")


def _files(folder: Path) -> list[Path]:
    return [Path(at) / name for at, _, names in os.walk(folder) for name in names]
