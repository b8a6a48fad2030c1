"""The executor that runs windows on the workers of a Dask cluster.

Same function, same tasks, same bytes as `acreage.engine.executors.ThreadExecutor`. Rasters go from the
workers to the scratch folder; through the scheduler and the client go windows, logs,
and cubes without x and y.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import logging
import pickle
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from distributed import Client, Future, KilledWorker

from acreage.catalog.access import HostUse, Policy, added
from acreage.core.errors import ScratchFailed
from acreage.engine.dask.errors import ClusterFailed, WorkersLost
from acreage.engine.dask.groups import PER_THREAD, Groups
from acreage.engine.dask.inspection import check_workers
from acreage.engine.dask.worker import (
    FunctionFile,
    WorkerSetup,
    forget_job,
    process_use,
    run_tasks,
    stop,
)
from acreage.engine.executors import ProcessUse

T = TypeVar("T")
R = TypeVar("R")
#: How often the cluster is looked at while windows are under way, seconds.
LOOK_S = 1.0
#: How long a stopped job waits for the windows that are under way, seconds; and one that a person interrupts.
DRAIN_S, INTERRUPTED_S = 30.0, 1.0
_UNREACHABLE = (OSError, TimeoutError, asyncio.TimeoutError, concurrent.futures.CancelledError)
_log = logging.getLogger(__name__)


class DaskExecutor:
    """Windows on the workers of a cluster that a client is connected to.

    Args:
        client: of the cluster; stays the caller's.
        scratch: folder that the client and all workers see under this name; None: the system's for temporary
            files.
        policy: how hard each worker process may ask remote stores.
        wait_s: how long to wait for the first worker.
        patience_s: how long a job goes on without any worker before it fails.
        interrupts: False where the client started the workers (see `WorkerSetup`).

    Raises:
        ClusterFailed: no worker comes, or one has another version of this software or of Python.
        ScratchNotShared: a worker does not see the scratch folder, or cannot write there.
        ScratchFailed: the client cannot write there.
    """

    def __init__(
        self,
        client: Client,
        scratch: Path | None = None,
        *,
        policy: Policy | None = None,
        wait_s: float = 600.0,
        patience_s: float = 120.0,
        interrupts: bool = True,
    ) -> None:
        self._client, self._patience_s = client, patience_s
        self._job = secrets.token_hex(6)
        self._numbers = 0
        self._workers: Mapping[str, int] = {}
        self._looked = self._seen = time.monotonic()
        self._await_worker(wait_s)
        self._folder = _make_folder(scratch)
        try:
            self._client.register_plugin(WorkerSetup(policy or Policy(), interrupts=interrupts))
            check_workers(client, self._folder)
            self._before = self._process_use()
            self._used = dict(self._before)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def workers(self) -> int:
        """Worker processes, as last looked at."""
        return len(self._workers)

    @property
    def threads(self) -> int:
        """Windows that a worker computes at once: of the worker with the most."""
        return max(self._workers.values(), default=1)

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[tuple[int, R], None, None]:
        """As the Protocol says. Windows of a worker that ends are computed by others.

        Args:
            function: pickled once, and loaded once by each worker.
            tasks: small; pickled one by one.

        Raises:
            WorkersLost: no worker is left, or several ended one after another in the same window.
            ClusterFailed: the scheduler is gone.
            ScratchNotShared: a worker that joined later does not see the scratch folder.
        """
        if not tasks:
            return
        file = self._write(function)
        groups = Groups(tasks)
        running: dict[Future, list[int]] = {}
        ready: SimpleQueue[Future] = SimpleQueue()
        drain_s, self._seen = DRAIN_S, time.monotonic()
        try:
            while True:
                self._submit(
                    file, tasks, groups.take(self._room(len(running)), self._threads), running, ready
                )
                if not running:
                    return
                for future, (results, seconds) in self._results(self._next(ready)):
                    positions = running.pop(future)
                    groups.took(seconds / len(positions))
                    yield from zip(positions, results, strict=True)
        except KeyboardInterrupt:
            drain_s = INTERRUPTED_S
            raise
        finally:
            if running:
                self._stop(list(running), file, drain_s)
            file.path.unlink(missing_ok=True)

    def use(self) -> ProcessUse:
        """What the workers have used; of those that are gone, what was known of them."""
        self._used.update(self._process_use())
        seconds, peak = 0.0, 0
        asked: dict[str, HostUse] = {}
        for address, used in self._used.items():
            since = used.since(self._before.get(address, ProcessUse()))
            seconds, peak = seconds + since.cpu_seconds, max(peak, since.peak_memory)
            asked = added(asked, since.remote)
        return ProcessUse(seconds, peak, asked)

    def close(self) -> None:
        """Leave nothing of the job on the workers or in the scratch folder."""
        try:
            self._client.run(forget_job, self._job, on_error="ignore")
        except _UNREACHABLE:
            pass  # who is gone has nothing left to forget
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _await_worker(self, wait_s: float) -> None:
        try:
            self._client.wait_for_workers(1, timeout=wait_s)
        except _UNREACHABLE as error:
            raise ClusterFailed(
                f"No Dask worker came within {wait_s:g} s.",
                hint="Look at the workers' logs and at the queue; wait_s in the configuration waits longer.",
            ) from error
        self._look()

    def _write(self, function: Callable[[T], R]) -> FunctionFile:
        data = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
        self._numbers += 1
        path = self._folder / f"function-{self._numbers}"
        try:
            path.write_bytes(data)
        except OSError as error:
            raise ScratchFailed(
                f"{path} cannot be written: {error.strerror or error}.",
                hint="Make room, or name another folder in ACREAGE_SCRATCH.",
            ) from error
        return FunctionFile(path, hashlib.sha256(data).hexdigest(), self._job)

    def _submit(
        self,
        file: FunctionFile,
        tasks: Sequence[Any],
        groups: list[list[int]],
        running: dict[Future, list[int]],
        ready: SimpleQueue[Future],
    ) -> None:
        if not groups:
            return
        # Bytes, so that nobody looks for parts of a graph inside of a task.
        futures = self._client.map(
            run_tasks,
            [file] * len(groups),
            [[pickle.dumps(tasks[position]) for position in group] for group in groups],
            key=[(f"{file.path.name}-{file.job}", group[0]) for group in groups],
            pure=False,
            retries=0,
        )
        for future, group in zip(futures, groups, strict=True):
            running[future] = group
            future.add_done_callback(ready.put)

    @property
    def _threads(self) -> int:
        return max(sum(self._workers.values()), 1)

    def _room(self, running: int) -> int:
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        return max(0, PER_THREAD * self._threads - running)

    def _next(self, ready: SimpleQueue[Future]) -> list[Future]:
        """Futures that are done, at least one."""
        while True:
            try:
                done = [ready.get(timeout=LOOK_S)]
                break
            except Empty:
                self._look()
        while True:
            try:
                done.append(ready.get_nowait())
            except Empty:
                return done

    def _look(self) -> None:
        """See which workers there are.

        Raises:
            WorkersLost: none, for longer than patience allows.
            ClusterFailed: the scheduler does not answer.
        """
        try:
            found = {address: int(threads) for address, threads in self._client.nthreads().items()}
        except _UNREACHABLE as error:
            raise _scheduler_gone() from error
        for address in self._workers.keys() - found.keys():
            _log.warning("The Dask worker %s is gone; its windows are computed by others.", address)
        self._workers, self._looked = found, time.monotonic()
        if found:
            self._seen = self._looked
        elif self._looked - self._seen > self._patience_s:
            raise WorkersLost(
                f"No Dask worker is left, and none came back within {self._patience_s:g} s.",
                hint="Look at the workers' logs: memory, time limits, machines that were taken away.",
            )

    def _results(self, done: Sequence[Future]) -> list[tuple[Future, Any]]:
        for future in done:
            if future.status == "error":
                raise self._failure(future.exception())
            if future.status == "cancelled":
                raise _scheduler_gone()
        # A result whose worker ended before it was fetched is computed again, which takes workers.
        fetched = asyncio.run_coroutine_threadsafe(
            self._client.gather(list(done), asynchronous=True), self._client.loop.asyncio_loop
        )
        try:
            while True:
                try:
                    return list(zip(done, fetched.result(timeout=LOOK_S), strict=True))
                except TimeoutError:
                    if fetched.done():
                        raise
                    self._look()
        except _UNREACHABLE as error:
            raise _scheduler_gone() from error
        finally:
            fetched.cancel()

    def _failure(self, error: BaseException) -> BaseException:
        if not isinstance(error, KilledWorker):
            return error
        return WorkersLost(
            f"{error.allowed_failures + 1} Dask workers ended one after another while they had the same "
            f"window; the last one was {error.last_worker.address}.",
            hint="Most often their memory ran out: give workers more, or the plan less with --memory.",
        )

    def _stop(self, futures: list[Future], file: FunctionFile, drain_s: float) -> None:
        """Cancel what waits, and give what is computed a while to end: it writes to the scratch folder."""
        deadline = time.monotonic() + drain_s
        try:
            self._client.cancel(futures)
            while time.monotonic() < deadline:
                busy = self._client.run(stop, file, on_error="ignore")
                if not any(busy.values()):
                    return
                time.sleep(0.05)
        except _UNREACHABLE:
            return  # a cluster that does not answer computes nothing more for us
        _log.info("Dask workers still compute windows of a job that was stopped; their results are dropped.")

    def _process_use(self) -> dict[str, ProcessUse]:
        try:
            found: dict[str, ProcessUse] = self._client.run(process_use, on_error="ignore")
        except _UNREACHABLE:
            return {}
        return found


def _make_folder(scratch: Path | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="acreage-dask-", dir=scratch)).absolute()
    except OSError as error:
        raise ScratchFailed(
            f"No folder can be made in {scratch or tempfile.gettempdir()}: {error.strerror or error}.",
            hint="Name another folder in ACREAGE_SCRATCH.",
        ) from error


def _scheduler_gone() -> ClusterFailed:
    return ClusterFailed(
        "The Dask scheduler does not answer any more, or dropped the job.",
        hint="Look at the scheduler's log, then start the job again.",
    )
