"""What runs on Dask's workers: windows, and a few questions that the executor asks of each.

The function that computes windows holds the stage's whole program; it may have megabytes. It lies pickled in
the scratch folder, which all workers share, and each worker process loads it once. A task is its place there
and a window.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import resource
import signal
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from distributed import Worker, WorkerPlugin

from acreage import __version__
from acreage.catalog.access import Policy, configure, remote_use
from acreage.engine.dask.errors import ScratchNotShared
from acreage.engine.executors import ProcessUse
from acreage.engine.readers import close_readers

#: Functions that a worker keeps: those of a job's latest stages, so that what they hold (a UDF's processes)
#: lives on from stage to stage.
_KEPT = 4
NOT_SHARED = "Name a folder in ACREAGE_SCRATCH that all workers share (docs/dask.md)."


@dataclass(frozen=True, slots=True)
class FunctionFile:
    """A pickled function in the scratch folder.

    Attributes:
        path: of the file; no other function has it.
        sha256: of its bytes, in hexadecimal.
        job: which executor's.
    """

    path: Path
    sha256: str
    job: str


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says of itself.

    Attributes:
        host: name of its machine.
        version: of acreage there.
        python: of Python there, major and minor.
        problem: why it cannot use the scratch folder; empty where it can.
        file_system: kind of the file system that the scratch folder lies on; empty where it is not known.
    """

    host: str
    version: str
    python: str
    problem: str
    file_system: str = ""


class _Functions:
    """The functions that this process has loaded, the latest few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, tuple[str, Callable[[Any], Any]]] = OrderedDict()

    def get(self, file: FunctionFile) -> Callable[[Any], Any]:
        with self._lock:
            if file.sha256 not in self._loaded:
                self._loaded[file.sha256] = file.job, _load(file)
                while len(self._loaded) > _KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(file.sha256)
            return self._loaded[file.sha256][1]

    def forget(self, job: str) -> None:
        with self._lock:
            for sha256 in [s for s, (owner, _) in self._loaded.items() if owner == job]:
                del self._loaded[sha256]


class _Runs:
    """Which functions have tasks under way in this process, and which were stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[Path] = Counter()
        self._stopped: OrderedDict[Path, None] = OrderedDict()

    @contextmanager
    def task(self, file: FunctionFile) -> Iterator[bool]:
        """True where the task is to be computed."""
        with self._lock:
            wanted = file.path not in self._stopped
            self._running[file.path] += 1
        try:
            yield wanted
        finally:
            with self._lock:
                self._running[file.path] -= 1
                if not self._running[file.path]:
                    del self._running[file.path]

    def stop(self, file: FunctionFile) -> int:
        with self._lock:
            self._stopped[file.path] = None
            while len(self._stopped) > 1000:
                self._stopped.popitem(last=False)
            return self._running[file.path]


_FUNCTIONS, _RUNS = _Functions(), _Runs()
# Which function this thread ran last.
_THREAD = threading.local()


def run_tasks(file: FunctionFile, tasks: Sequence[bytes]) -> tuple[list[Any], float]:
    """Compute a few tasks, one after another.

    Args:
        file: the function.
        tasks: its arguments, each pickled.

    Returns:
        What the function returns for each, and the seconds that it took; less where the function
        was stopped meanwhile.

    Raises:
        ScratchNotShared: the function's file cannot be read here.
    """
    started, results = time.monotonic(), []
    function = _FUNCTIONS.get(file)
    if getattr(_THREAD, "function", None) != file.path:
        # Threads live longer than jobs here: what they hold open may have been replaced since.
        close_readers()
        _THREAD.function = file.path
    for task in tasks:
        with _RUNS.task(file) as wanted:
            if wanted:
                results.append(function(pickle.loads(task)))
    return results, time.monotonic() - started


def stop(file: FunctionFile) -> int:
    """Start no more tasks of a function in this process; how many are still under way."""
    return _RUNS.stop(file)


def forget_job(job: str) -> None:
    """Drop what a job left in this process: its functions, and with them its UDF processes."""
    _FUNCTIONS.forget(job)


def introduce(folder: Path, token: str) -> WorkerFacts:
    """Read the client's token in the scratch folder, and write one there."""
    host = socket.gethostname()
    problem = ""
    try:
        if (folder / "token").read_text("utf-8") != token:
            problem = "it reads another file there"
        (folder / f"seen-{token}-{host}-{psutil.Process().pid}").write_text(token, "utf-8")
    except OSError as error:
        problem = error.strerror or str(error)
    python = ".".join(platform.python_version_tuple()[:2])
    return WorkerFacts(host, __version__, python, problem, file_system(folder))


def file_system(folder: Path) -> str:
    """Kind of the file system of a folder, as `ext4` or `nfs4`; empty where the system does not say."""
    place = str(folder.absolute())
    best = ("", "")
    for part in psutil.disk_partitions(all=True):
        inside = place == part.mountpoint or place.startswith(part.mountpoint.rstrip("/") + "/")
        if inside and len(part.mountpoint) >= len(best[0]):
            best = (part.mountpoint, part.fstype)
    return best[1]


def process_use() -> ProcessUse:
    """What this process has used since it started, with all its children."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile, and is counted among the ended from now on
        seconds += times.user + times.system
    return ProcessUse(seconds, own.ru_maxrss * 1024, remote_use())


class WorkerSetup(WorkerPlugin):  # type: ignore[misc]
    """Makes a worker, also one that joins later, what the client's process is.

    Args:
        policy: how hard remote stores may be asked; each worker process keeps it for itself.
        interrupts: False for workers that the client started: an interruption from the keyboard reaches their
            processes too, and is the client's to handle.
    """

    name = "acreage"

    def __init__(self, policy: Policy, *, interrupts: bool) -> None:
        self._policy, self._interrupts = policy, interrupts

    def setup(self, worker: Worker) -> None:
        """Called by Dask in each worker process."""
        configure(self._policy)
        if not self._interrupts and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _load(file: FunctionFile) -> Callable[[Any], Any]:
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise ScratchNotShared(
            f"The Dask worker on {socket.gethostname()} cannot read {file.path}: {error.strerror or error}.",
            hint=NOT_SHARED,
        ) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ScratchNotShared(
            f"The Dask worker on {socket.gethostname()} reads another file at {file.path} than was written.",
            hint=NOT_SHARED,
        )
    loaded: Callable[[Any], Any] = pickle.loads(data)
    return loaded
