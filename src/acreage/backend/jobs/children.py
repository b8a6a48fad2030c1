"""The process of a job: started in a session of its own, so that it ends with all that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from acreage.backend.settings import SERVER_PREFIX
from acreage.engine.memory import PeakMemory

_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1
_WHY = {
    "SIGKILL": ", as the system does when memory runs out",
    "SIGBUS": ", as the system does when a file that is mapped into memory cannot be read or written",
}


@dataclass
class Child:
    """A running process of a job.

    Attributes:
        process: that was started.
        started: seconds of the monotonic clock.
    """

    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    _memory: PeakMemory | None = field(default=None, repr=False)
    _cpu: float = 0.0
    _ended: bool = False

    @staticmethod
    def start(command: Sequence[str], log: Path, nice: int = 0) -> Child:
        """Start a command; what it prints goes to a file.

        The server's own settings, with the password of its database, stay with the server.

        Args:
            command: with its arguments.
            log: the file.
            nice: how far it, and all that it starts, give way to this process (0 to 19).

        Raises:
            OSError: it cannot be started.
        """
        environment = {k: v for k, v in os.environ.items() if not k.startswith(SERVER_PREFIX)}
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=environment,
            )
        if nice:
            with suppress(OSError):  # it has ended already
                own = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, process.pid, min(19, own + nice))
        return Child(process)

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    def look(self) -> None:
        """Measure now what it takes: between looks, short-lived processes of it are not seen."""
        self._memory = self._memory or PeakMemory(self.process.pid)
        self._memory.look()
        self._cpu = max(self._cpu, self._cpu_seconds())

    @property
    def peak_memory(self) -> int:
        """The most memory of it and all that it started at any look, bytes."""
        return self._memory.peak.bytes if self._memory is not None else 0

    @property
    def cpu_seconds(self) -> float:
        """Of it and all that it started, at the last look."""
        return self._cpu

    def _cpu_seconds(self) -> float:
        """Of it and of all that it started and that still runs, and of its ended children."""
        total = 0.0
        with suppress(psutil.Error):
            own = psutil.Process(self.process.pid)
            for one in (own, *own.children(recursive=True)):
                with suppress(psutil.Error):
                    times = one.cpu_times()
                    total += times.user + times.system
                    if one is own:
                        total += times.children_user + times.children_system
        return total

    def poll(self) -> int | None:
        """The exit status; negative: the signal that killed it. None while it runs."""
        status = self.process.poll()
        if status is not None and not self._ended:
            self._ended = True  # once: its number may be another's later
            self._signal(signal.SIGKILL)  # what it may have left behind
        return status

    def stop(self, grace_s: float = _GRACE_S) -> None:
        """End it and all that it started: asked first, killed after a moment."""
        if self.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._ended = True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def die_with_parent() -> None:
    """Have this process killed when its parent is: another server takes the job, and two must not run it."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def told(status: int) -> str:
    """An exit status for a person."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}{_WHY.get(name, '')}"
