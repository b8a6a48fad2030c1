"""Room on the disk: kept free for the server, and what is told where there is none."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from acreage.backend.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEXTS = ("no space left", "disk quota exceeded", "disk is full", "file too large")
WHAT_TO_DO = "Ask those who run the server to make room, then start the job again."
EXIT_FULL = 74
"""Exit status of a job's process that could not even write why it failed."""


@dataclass(frozen=True)
class Disk:
    """The disk of a storage folder.

    Attributes:
        folder: on it.
        reserve: bytes that are kept free: below, nothing is begun that would write.
    """

    folder: Path
    reserve: int = 0

    @property
    def free(self) -> int:
        """Bytes that can be written."""
        return shutil.disk_usage(self.folder).free

    @property
    def is_short(self) -> bool:
        """Whether less is free than is kept."""
        return self.free < self.reserve

    def check(self) -> None:
        """Refuse what would write.

        Raises:
            DiskFull: less is free than is kept.
        """
        if self.is_short:
            raise DiskFull(
                f"The server's disk is full: {self.free / 1e6:,.0f} MB are free, and "
                f"{self.reserve / 1e6:,.0f} MB are kept.",
                hint="Try again when those who run the server have made room.",
            )


def is_full(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that a disk or a quota is full.

    Native libraries tell it in words, and the one behind the other.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in _FULL:
            return True
        if any(text in str(one).lower() for text in _TEXTS):
            return True
        left += [one.__cause__, one.__context__]
    return False
