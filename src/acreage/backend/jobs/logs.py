"""The log of a job: a file of JSON lines that its process and its server append to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
_LONGEST = 20_000
_LONGEST_PLACE = 18  # digits
MOST_BYTES = 20_000_000
"""Of a log; beyond, errors only."""
_FULL = f"The log has {MOST_BYTES:,} bytes. From here on it has errors only."


@dataclass(frozen=True)
class JobLog:
    """Appended to by any number of processes: a line is one write.

    Attributes:
        path: of the file.
        level: the least that is kept.
    """

    path: Path
    level: Level = "info"

    def add(self, level: Level, message: str, **more: Any) -> bool:
        """One entry; what is too long is cut, and says so.

        Returns:
            False where the disk refuses: a job or a server must not end because of its log.
        """
        if LEVELS.index(level) < LEVELS.index(self.level):
            return True
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]} ... ({len(message) - _LONGEST:,} characters more)"
        entry = {"time": timestamp(datetime.now(UTC)), "level": level, "message": message, **more}
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        try:
            return self._append(line.encode("utf-8", "replace"), level)
        except OSError:
            return False

    def _append(self, line: bytes, level: Level) -> bool:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            if size > MOST_BYTES and LEVELS.index(level) < LEVELS.index("error"):
                if _FULL.encode() in os.pread(descriptor, 500, max(0, size - 500)):
                    return True
                entry = {"time": timestamp(datetime.now(UTC)), "level": "warning", "message": _FULL}
                line = (json.dumps(entry) + "\n").encode()
            # A full disk may have taken the half of the last line: this one must not be its end.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            line = b"\n" + line if torn else line
            return os.write(descriptor, line) == len(line)
        finally:
            os.close(descriptor)

    def entries(
        self, after: str | None = None, limit: int | None = None, level: str = "debug"
    ) -> list[dict[str, Any]]:
        """Entries after one, at most so many, of a level or above.

        Args:
            after: `id` of the last entry that is known; None for all.
            limit: at most.
            level: the least.
        """
        found: list[dict[str, Any]] = []
        least = LEVELS.index(level) if level in LEVELS else 0
        known = bool(after and after.isdecimal() and len(after) < _LONGEST_PLACE)
        for entry in self._read(int(after or 0) if known else 0):
            if limit is not None and len(found) >= limit:
                break
            if LEVELS.index(entry["level"]) >= least:
                found.append(entry)
        return found

    def _read(self, start: int) -> Iterator[dict[str, Any]]:
        """From a place in the file; an entry's `id` is the place behind it."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(start)
            for line in file:
                start += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:  # a line that a killed process did not end, or a place within a line
                    continue
                if isinstance(entry, dict) and entry.get("level") in LEVELS:
                    yield {"id": str(start), **entry}


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
