"""One process with all its children: what it took of processor, time and memory.

Memory is the proportional set size summed over the tree (`engine.memory`), looked at every 50 ms: a page that
several processes share is counted once, and the page cache of files that are only read and written is not.
Processor seconds are those of the process and of all children that it waited for.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import acreage
from acreage.core.errors import AcreageError
from acreage.engine.memory import PeakMemory

INTERVAL_S = 0.05
_TAIL = 2000


class RunFailed(AcreageError):
    """A measured process ended with an error."""

    code = "RunFailed"


@dataclass(frozen=True)
class Measured:
    """What a run took.

    Attributes:
        cpu_seconds: user and system, of the whole tree.
        user_seconds, system_seconds: its parts.
        wall_seconds: from start to end.
        peak_memory: bytes, of the whole tree at one moment.
        output: what it printed.
    """

    cpu_seconds: float
    user_seconds: float
    system_seconds: float
    wall_seconds: float
    peak_memory: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON has them, without the output."""
        found = asdict(self)
        found.pop("output")
        return found


def compile_modules() -> None:
    """Compile the package's modules to bytecode where that is not kept beside them yet.

    Every start would do it again where PYTHONDONTWRITEBYTECODE is set, which a person's start does not.
    """
    compileall.compile_dir(Path(acreage.__file__).parent, quiet=2)


def run_measured(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Measured:
    """Run a command to its end.

    Args:
        command: program and arguments.
        environment: variables beside those of this process.
        folder: to run it in.

    Raises:
        RunFailed: it ended with another status than 0; the message holds the end of what it printed.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
        started = time.monotonic()
        child = subprocess.Popen(
            command,
            stdout=printed,
            stderr=told,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
        watch = _Watch(child.pid)
        watch.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            watch.end()
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise RunFailed(
                f"{' '.join(command[:6])} ended with status {child.returncode}: "
                f"{(_text(told) or _text(printed))[-_TAIL:]}",
                hint="Run the command by itself to see more.",
            )
        return Measured(
            used.ru_utime + used.ru_stime, used.ru_utime, used.ru_stime, wall, watch.peak, _text(printed)
        )


class _Watch(threading.Thread):
    """Samples the memory of a tree until it is told to end."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="memory", daemon=True)
        self._memory = PeakMemory(pid)
        self._over = threading.Event()

    @property
    def peak(self) -> int:
        """Bytes."""
        return self._memory.peak.bytes

    def run(self) -> None:
        while not self._over.wait(INTERVAL_S):
            self._memory.look()

    def end(self) -> None:
        self._over.set()
        self.join()


def _text(file: Any) -> str:
    file.seek(0)
    return bytes(file.read()).decode("utf-8", "replace").strip()
