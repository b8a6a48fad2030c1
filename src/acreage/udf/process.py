"""One child process that runs one UDF: started, asked, watched and, where need be, killed."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy.typing as npt

from acreage.core.errors import UdfError
from acreage.udf import channel
from acreage.udf.bubblewrap import Sandbox
from acreage.udf.contract import UdfLimits
from acreage.udf.errors import (
    BY_KIND,
    UdfMemoryExceeded,
    UdfProcessDied,
    UdfProcessesExceeded,
    UdfTimeout,
)
from acreage.udf.isolation import start_worker
from acreage.udf.log import LogBuffer
from acreage.udf.usage import Usage, shared_exactly, tree_usage

#: Importing NumPy, xarray and openeo on a busy machine; not part of a UDF's own time.
START_TIMEOUT_S = 120.0
#: How often memory and CPU of a running call are looked at.
WATCH_S = 0.1
_MAX_TEXT, _MAX_LINES = 8000, 250


class WorkerProcess:
    """A running worker. For one caller at a time; only `kill` may be called from another thread.

    Args:
        limits: what a call may take.
        sandbox: what its sandbox holds; None for a process with limits only.

    Raises:
        UdfProcessDied: the process could not be started.
    """

    def __init__(self, limits: UdfLimits, sandbox: Sandbox | None = None) -> None:
        self._limits = limits
        self._sandboxed = sandbox is not None
        self._given_bytes = 0
        self._log = LogBuffer(limits.log_bytes)
        self._ending = threading.Lock()
        self._killed = False
        self._home = Path(tempfile.mkdtemp(prefix="acreage-udf-")) if sandbox is None else None
        self._sock, theirs = socket.socketpair()
        self._log_fd, log_end = os.pipe()
        os.set_blocking(self._log_fd, False)
        try:
            self._process = start_worker(sandbox, self._home, limits.threads, theirs.fileno(), log_end)
        except UdfError:
            self._sock.close()
            os.close(self._log_fd)
            self._remove_home()
            raise
        finally:
            theirs.close()
            os.close(log_end)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._poll = select.poll()
        for fd in (self._sock.fileno(), self._log_fd, self._pidfd):
            self._poll.register(fd, select.POLLIN)
        try:
            self._await(time.monotonic() + START_TIMEOUT_S, START_TIMEOUT_S, float("inf"))
        except BaseException:
            self.stop()
            raise
        self._log.take()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def log(self) -> LogBuffer:
        """What the UDF said and nobody took yet."""
        return self._log

    def ask(
        self, message: dict[str, Any], array: npt.NDArray[Any] | None = None
    ) -> tuple[dict[str, Any], int]:
        """One request and its reply, with the descriptor of its array (-1 for none; the caller's).

        Raises:
            UdfError: the UDF failed, or a limit was passed. `alive` says whether it can go on.
        """
        timeout = self._limits.timeout_s
        deadline = time.monotonic() + timeout
        cpu_until = float("inf")
        if self._limits.cpu_seconds is not None:
            cpu_until = tree_usage(self.pid).cpu_seconds + self._limits.cpu_seconds
        self._given_bytes = 0 if array is None else array.nbytes
        self._sock.settimeout(timeout)
        try:
            channel.send(self._sock, message, array)
        except channel.ChannelBroken:
            raise self._death() from None
        reply, fd = self._await(deadline, timeout, cpu_until)
        if reply.get("kind") == "failed":
            if fd >= 0:
                os.close(fd)
            raise self._failure(reply)
        return reply, fd

    def _await(self, deadline: float, timeout: float, cpu_until: float) -> tuple[dict[str, Any], int]:
        next_look = time.monotonic() + WATCH_S
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise self._stopped(
                    UdfTimeout,
                    f"The UDF took longer than {timeout:g} s and was stopped.",
                    "Look for an endless loop; work on smaller pieces, or ask for more time.",
                )
            if now >= next_look:
                self._watch(cpu_until)
                next_look = time.monotonic() + WATCH_S
            ready = {fd for fd, _ in self._poll.poll(1000 * min(deadline - now, WATCH_S))}
            if self._log_fd in ready:
                self._drain(once=True)
            if self._sock.fileno() in ready:
                return self._receive(deadline)
            if self._pidfd in ready:
                raise self._death()

    def _receive(self, deadline: float) -> tuple[dict[str, Any], int]:
        self._sock.settimeout(max(deadline - time.monotonic(), WATCH_S))
        try:
            reply, fd = channel.receive(self._sock, channel.MAX_REPLY)
        except channel.ChannelBroken:
            raise self._death() from None
        self._drain()
        return reply, fd

    def _drain(self, once: bool = False) -> None:
        while True:
            try:
                data = os.read(self._log_fd, 1 << 16)
            except BlockingIOError:
                return
            if not data:  # the UDF closed its output; a closed pipe would be ready for ever
                self._poll.modify(self._log_fd, 0)
                return
            self._log.append(data)
            if once:
                return

    def _watch(self, cpu_until: float) -> None:
        limits = self._limits
        usage = tree_usage(self.pid)
        if usage.cpu_seconds > cpu_until:
            raise self._stopped(
                UdfTimeout,
                f"The UDF used more than {limits.cpu_seconds:g} s of CPU and was stopped.",
                "Look for an endless loop; work on smaller pieces, or ask for more CPU time.",
            )
        if usage.threads > limits.processes:
            raise self._stopped(
                UdfProcessesExceeded,
                f"The UDF had {usage.threads} processes and threads, of {limits.processes} that it may, "
                "and was stopped.",
                "Start fewer at once, and wait for their end.",
            )
        taken = self._taken(usage) if limits.memory_bytes is not None else 0
        if limits.memory_bytes is not None and taken > limits.memory_bytes:
            raise self._stopped(
                UdfMemoryExceeded,
                f"The UDF took {taken // 2**20} MiB of memory, of {limits.memory_bytes // 2**20} MiB "
                "that it may, and was stopped.",
                "Ask for more memory, or work on smaller pieces.",
            )

    def _taken(self, usage: Usage) -> int:
        """Bytes that count: not those of the array that it was handed."""
        shared = usage.shared_bytes
        if usage.private_bytes + shared - self._given_bytes > (self._limits.memory_bytes or 0):
            shared = max(shared_exactly(self.pid), usage.held_bytes)
        return usage.private_bytes + max(shared - self._given_bytes, 0)

    def _stopped(self, kind: type[UdfError], message: str, hint: str) -> UdfError:
        self._end()
        return kind(message, hint=hint, log=self.log_text())

    def _failure(self, reply: dict[str, Any]) -> UdfError:
        kind = BY_KIND.get(str(reply.get("failure")), UdfProcessDied)
        lines = reply.get("trace")
        trace = [str(x)[:_MAX_TEXT] for x in lines[:_MAX_LINES]] if isinstance(lines, list) else []
        return kind(
            str(reply.get("message"))[:_MAX_TEXT],
            hint=str(reply.get("hint", ""))[:_MAX_TEXT],
            log=(*self.log_text(), *trace),
        )

    def _death(self) -> UdfError:
        # Closing the channel comes before the end of the process: give it the time to end by itself.
        if not select.select([self._pidfd], [], [], 2.0)[0]:
            return self._stopped(
                UdfProcessDied,
                "The UDF's process broke its channel to the engine and was stopped.",
                "A UDF must leave file descriptors alone that it did not open.",
            )
        self._end()
        code = self._process.returncode
        if self._sandboxed and code > 128:  # bubblewrap tells the end of its child as shells do
            code = 128 - code
        if code >= 0:
            how, hint = f"ended itself with exit code {code}", "A UDF returns its result, it does not exit."
        else:
            how, hint = f"was killed by {_signal(-code)}", "The UDF's log may say where it was."
            if -code == signal.SIGKILL:
                hint = (
                    "The system does so when memory runs out: work on smaller pieces, or ask for more memory."
                )
        return UdfProcessDied(f"The UDF's process {how}.", hint=hint, log=self.log_text())

    def _end(self) -> None:
        """Kill what is left, and read the last of its output."""
        self.kill()
        with self._ending:
            self._process.wait()
        self._drain()

    def log_text(self) -> tuple[str, ...]:
        """The log so far, as text; it is taken."""
        return tuple(str(line) for line in self._log.take())

    @property
    def alive(self) -> bool:
        """Whether the process can be asked again."""
        # A kill takes a moment: the process may seem to run still.
        return not self._killed and not select.select([self._pidfd], [], [], 0)[0]

    def resident_bytes(self) -> int:
        """Its resident size; 0 where it has ended."""
        return tree_usage(self.pid).resident_bytes

    def kill(self) -> None:
        """Kill the child and all that it started; the caller of `ask` is told. From any thread."""
        # Not after the child was waited for: its number may be another process's by then.
        self._killed = True
        with self._ending:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Kill, and give back what the worker held."""
        self._end()
        self._sock.close()
        for fd in (self._log_fd, self._pidfd):
            os.close(fd)
        self._remove_home()

    def _remove_home(self) -> None:
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
