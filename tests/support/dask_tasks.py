"""Functions that tests run on Dask's workers: importable there, and told by files what to do."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from acreage.core.errors import ItemUnreadable

BLOCK = 4096


@dataclass(frozen=True)
class WriteBlock:
    """Writes block n of a file, as a window writes its part of a raster.

    The first time that block `fatal` is written, the process is killed half way and leaves other bytes there.
    """

    file: Path
    flag: Path
    fatal: int

    def __call__(self, number: int) -> int:
        with self.file.open("r+b") as file:
            file.seek(number * BLOCK)
            if number == self.fatal and not self.flag.exists():
                self.flag.write_text(str(os.getpid()))
                file.write(b"\xff" * (BLOCK // 2))
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            file.write(bytes([number]) * BLOCK)
        return number


@dataclass(frozen=True)
class Fatal:
    """Kills every worker that it is given to."""

    def __call__(self, number: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number


@dataclass(frozen=True)
class Fails:
    """Raises an error with everything that an error carries, for one task; writes down each start."""

    at: int
    starts: Path

    def __call__(self, number: int) -> int:
        (self.starts / str(number)).touch()
        if number == self.at:
            raise ItemUnreadable("It is broken.", item="S2A", asset="B04", hint="Mend it.", kind="truncated")
        time.sleep(0.05)
        return number


@dataclass(frozen=True)
class Counted:
    """Counts in files how often it was loaded, and how many tasks each process ran."""

    folder: Path

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__.update(state)
        (self.folder / f"loaded-{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, number: int) -> int:
        (self.folder / f"ran-{os.getpid()}-{number}").touch()
        time.sleep(0.02)
        return -number


@dataclass(frozen=True)
class Waits:
    """Says that it has started, and waits until it may end."""

    started: Path
    may_end: Path

    def __call__(self, number: int) -> int:
        (self.started / str(number)).touch()
        deadline = time.monotonic() + 60
        while not self.may_end.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        (self.started / f"ended-{number}").touch()
        return number
