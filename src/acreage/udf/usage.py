"""What a process and all that descend from it take, read from /proc."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MEMFD = "/memfd:"


@dataclass(frozen=True)
class Usage:
    """Sums over a tree of processes.

    Attributes:
        cpu_seconds: user and system time, that of children that were waited for included.
        private_bytes: anonymous memory.
        shared_bytes: memory that belongs to no file on disk and may be shared, mapped or only held open by a
            descriptor. What several processes map may be counted several times (`shared_exactly`).
        held_bytes: of `shared_bytes`, what is held open by descriptors.
        threads: of all processes, each counted.
        resident_bytes: the resident size of the largest process.
    """

    cpu_seconds: float
    private_bytes: int
    shared_bytes: int
    held_bytes: int
    threads: int
    resident_bytes: int


def descendants(pid: int) -> list[int]:
    """The process and all that descend from it, as far as they are there."""
    found, left = [], [pid]
    while left:
        current = left.pop()
        found.append(current)
        left.extend(_children(current))
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):  # it ended meanwhile
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return children


def tree_usage(pid: int) -> Usage:
    """Usage of a process and its descendants; zero where it is not there."""
    cpu, threads, private, shared, resident = 0.0, 0, 0, 0, 0
    held: dict[tuple[int, int], int] = {}
    for process in descendants(pid):
        with contextlib.suppress(OSError, ValueError):  # it ended meanwhile
            # Behind the name, which may hold anything, brackets and blanks included.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(map(int, fields[11:15])) / _TICKS
            threads += int(fields[17])
            status = _status(process)
            private += status.get("RssAnon", 0)
            shared += status.get("RssShmem", 0)
            resident = max(resident, status.get("VmRSS", 0))
            held |= _memory_files(process)
    # Mapped and held memory are mostly the same; the larger of both is never less than half of it.
    kept = sum(held.values())
    return Usage(cpu, private, max(shared, kept), kept, threads, resident)


def shared_exactly(pid: int) -> int:
    """Mapped shared memory of a process and its descendants, each page once; slow where there is much."""
    total = 0
    for process in descendants(pid):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss_Shmem:"):
                    total += int(line.split()[1]) * 1024
    return total


def _status(pid: int) -> dict[str, int]:
    """Sizes in bytes, by the names of proc(5)."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("VmRSS", "RssAnon", "RssShmem")):
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0]) * 1024
    return found


def _memory_files(pid: int) -> dict[tuple[int, int], int]:
    """Bytes of each memory file that a process holds open, by device and inode."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith(_MEMFD):
                    info = os.stat(path)
                    found[info.st_dev, info.st_ino] = info.st_blocks * 512
    return found
