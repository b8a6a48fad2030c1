"""Synchronous requests: a process of its own each, whose one result is the answer."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from acreage.backend.disk import EXIT_FULL, Disk
from acreage.backend.errors import DiskFull, InfrastructureBusy, RequestTimeout
from acreage.backend.jobs.children import Child, told
from acreage.backend.jobs.folder import JobFolder, JobSpec, Outcome
from acreage.backend.jobs.usage import use_of, use_of_running
from acreage.core.errors import AcreageError
from acreage.core.tariff import Use

_POLL_S = 0.05
_LOOK_EVERY_S = 2.0
_WAITING = 50
# Time for an answer to be sent.
_KEPT_S = 3600.0


class RequestFailed(AcreageError):
    """What was asked for could not be computed; code and status are those of the cause."""

    def __init__(
        self, message: str, *, hint: str = "", code: str = "Internal", http_status: int = 500
    ) -> None:
        super().__init__(message, hint=hint)
        # Of this error, not of all: the cause was in another process.
        self.code = code  # type: ignore[misc]
        self.http_status = http_status  # type: ignore[misc]


class Meter(Protocol):
    """Is told what a request uses."""

    def check(self, use: Use) -> None:
        """What it has used so far.

        Raises:
            PaymentRequired: it must end.
        """
        ...

    def charge(self, use: Use) -> None:
        """What it has used in all."""
        ...


@dataclass
class SyncRequests:
    """Runs synchronous requests.

    Attributes:
        folder: where they work.
        command: what the process of one is.
        at_once: how many are computed at once; some more wait.
        timeout_s: of one.
        disk: that the folder is on; nothing is computed where it is short.
    """

    folder: Path
    command: Callable[[Path], list[str]]
    at_once: int
    timeout_s: float
    disk: Disk
    _turns: asyncio.Semaphore | None = None
    _waiting: int = 0
    _children: dict[str, Child] = field(default_factory=dict)

    async def run(self, spec: JobSpec, meter: Meter | None = None) -> tuple[JobFolder, Outcome]:
        """Compute; the caller removes the folder when the result was sent.

        Args:
            spec: what.
            meter: told what it used.

        Raises:
            PaymentRequired: it has cost more than it may.
            DiskFull: there is no room.
            RequestFailed: it could not be computed.
            RequestTimeout: it took too long.
            InfrastructureBusy: too many wait already.
        """
        self.disk.check()
        if self._turns is None:
            self._turns = asyncio.Semaphore(self.at_once)
        if self._waiting >= _WAITING:
            raise InfrastructureBusy("Too many requests are being computed.", hint="Use a batch job.")
        self._waiting += 1
        try:
            async with self._turns:
                return await self._computed(spec, meter)
        finally:
            self._waiting -= 1

    async def _computed(self, spec: JobSpec, meter: Meter | None) -> tuple[JobFolder, Outcome]:
        name = secrets.token_hex(12)
        folder = JobFolder(self.folder / name)
        try:
            folder.begin(replace(spec, job_id=name, synchronous=True))
            child = Child.start(self.command(folder.attempt_path), folder.path / "output.txt")
        except OSError:
            folder.remove()
            raise
        self._children[name] = child
        try:
            outcome = await self._outcome(child, folder, meter)
        except BaseException:
            folder.remove()
            raise
        finally:
            self._children.pop(name, None)
        folder.clean()
        return folder, outcome

    async def _outcome(self, child: Child, folder: JobFolder, meter: Meter | None) -> Outcome:
        try:
            status = await self._ended(child, folder, meter)
            outcome = folder.outcome()
            if outcome is None and status == EXIT_FULL:
                raise DiskFull("The server's disk is full.", hint="Try again when there is room.")
            if outcome is None:
                raise RequestFailed(f"The process of the request {told(status)}.")
            if outcome.status != "finished":
                error = outcome.error or {}
                raise RequestFailed(
                    str(error.get("message", "It failed.")),
                    code=str(error.get("code", "Internal")),
                    http_status=outcome.http_status,
                )
        except BaseException:
            # Also where the client has gone: nobody waits any more.
            await asyncio.to_thread(child.stop)
            raise
        finally:
            if meter is not None:
                ended = folder.outcome()
                use = use_of_running(child, folder) if ended is None else use_of(ended.usage)
                await asyncio.to_thread(meter.charge, use)
        return outcome

    async def _ended(self, child: Child, folder: JobFolder, meter: Meter | None) -> int:
        looked = 0.0
        while (status := child.poll()) is None:
            if meter is not None and time.monotonic() - looked > _LOOK_EVERY_S:
                looked = time.monotonic()
                child.look()
                await asyncio.to_thread(meter.check, use_of_running(child, folder))
            if child.seconds > self.timeout_s:
                raise RequestTimeout(
                    f"The request was computed for {self.timeout_s:.0f} s and is stopped.",
                    hint="Use a batch job.",
                )
            await asyncio.sleep(_POLL_S)
        return status

    def sweep(self) -> None:
        """Remove what dead servers left: only what is old, since others may be computing here."""
        oldest = time.time() - self.timeout_s - _KEPT_S
        for left in self.folder.iterdir():
            with suppress(OSError):
                if left.stat().st_mtime < oldest:
                    shutil.rmtree(left, ignore_errors=True)

    def stop(self) -> None:
        """End all that this server computes."""
        for name, child in list(self._children.items()):
            child.stop()
            JobFolder(self.folder / name).remove()
