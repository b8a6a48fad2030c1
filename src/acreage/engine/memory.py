"""How much memory a job takes: of this process and all that it started, measured while it runs."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PERIOD_S = 0.1
_LOOKS_A_LIST = 10
GROWTH = 150_000_000
"""What a process takes beside its windows once it computes: compiled kernels, open files, headers."""
# Numbers of glibc's mallopt (malloc.h), and the size of arrays up to which memory is used again.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_REUSED = 64 * 2**20
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True)
class Peak:
    """The most memory of a job.

    Attributes:
        bytes: proportional set size of the process tree (memory that processes share is counted once), where
            the system tells it, else their resident sizes added up.
        stage: what was computed then; empty before the first stage.
    """

    bytes: int = 0
    stage: str = ""


class PeakMemory:
    """Looks at a process tree from time to time: this process and its children, or those of `pid`."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.peak = Peak()
        self.stage = ""
        self._resident = 0
        self._looks = 0
        self._tree: list[int] = []

    def enter(self, stage: str) -> None:
        """What is computed from now on."""
        self.look()
        self.stage = stage

    def look(self) -> None:
        """Measure now. The exact measure is taken only where the cheap upper bound has grown."""
        # Looking for children costs more than all else here.
        if self._looks % _LOOKS_A_LIST == 0:
            self._tree = _tree(self.pid)
        self._looks += 1
        tree = self._tree
        resident = sum(map(_resident, tree))
        if resident <= self.peak.bytes or resident <= self._resident * 1.01:
            return
        self._resident = resident
        size = sum(map(_proportional, tree))
        if size > self.peak.bytes:
            self.peak = Peak(size, self.stage)


def reuse_memory() -> None:
    """Tell the allocator of this process to give large arrays memory that was used before.

    By default it takes fresh pages for each, and the system fills them with zeros first. No effect where the
    C library has no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter, value in ((_MMAP_THRESHOLD, _REUSED), (_TRIM_THRESHOLD, 2 * _REUSED)):
        mallopt(parameter, value)


def give_back_memory() -> None:
    """Return what the allocator of this process keeps for later to the system, where the C library can.

    The next stage of a job needs other sizes; what the last one used would stay beside them.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return


@contextmanager
def watched() -> Iterator[PeakMemory]:
    """Measure every tenth of a second until the block ends."""
    reuse_memory()
    found, done = PeakMemory(), threading.Event()

    def watch() -> None:
        while not done.wait(PERIOD_S):
            found.look()

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    found.look()
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.look()


def base_memory() -> int:
    """What this process takes beside the windows of a job that it is going to run, bytes."""
    return _proportional(os.getpid()) + GROWTH


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        found = [pid]
        for one in found:
            found += _children(one)
        return found
    except OSError:  # no such files on this system, or a process that ended meanwhile
        pass
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


def _children(pid: int) -> list[int]:
    """The system's own list, which costs a tenth of looking through all processes of the machine."""
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _resident(pid)
