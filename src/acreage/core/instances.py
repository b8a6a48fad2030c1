"""Which servers or runners on one disk live: each holds a lock on a file of its own.

A lease says the same for those on other machines, later.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Instances:
    """The lock files of processes that live.

    Attributes:
        folder: of the files, on a disk of this machine or one whose locks reach all machines.
    """

    folder: Path
    _held: dict[str, int] = field(default_factory=dict)

    def register(self, owner: str) -> None:
        """Hold a lock for this process.

        Raises:
            OSError: the disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._held[owner] = descriptor

    def leave(self, owner: str) -> None:
        """Free the lock."""
        descriptor = self._held.pop(owner, None)
        if descriptor is not None:
            (self.folder / owner).unlink(missing_ok=True)
            os.close(descriptor)

    def dead(self) -> list[str]:
        """Those whose lock nobody holds any more; their files go."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name in self._held:
                continue
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.append(path.name)
                    path.unlink()
                finally:
                    os.close(descriptor)
        return found
