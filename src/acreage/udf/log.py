"""The log of a UDF, bounded however much it prints."""

from __future__ import annotations

from acreage.core.udf import UdfLogLine

_LEVELS = ("error", "warning", "info", "debug")
_MARK, _SEPARATOR = "\x1e", "\x1f"


class LogBuffer:
    """Keeps the beginning and the end of what is appended, and counts what falls out between.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def append(self, data: bytes) -> None:
        """Take more output, in any pieces."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Cut in large steps: cutting at every line would move the tail each time.
        if len(self._tail) > 2 * self._half:
            self._cut()

    def _cut(self) -> None:
        excess = len(self._tail) - self._half
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess

    def take(self) -> tuple[UdfLogLine, ...]:
        """All lines so far; the buffer is empty afterwards."""
        self._cut()
        if self._dropped:
            note = f"{self._dropped} bytes of output were dropped here; print less, or once a call."
            parts = [_lines(self._head), (UdfLogLine("warning", note),), _lines(self._tail)]
        else:
            parts = [_lines(self._head + self._tail)]
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0
        return tuple(line for part in parts for line in part)


def _lines(data: bytearray) -> tuple[UdfLogLine, ...]:
    text = bytes(data).decode("utf-8", "replace")
    # Not splitlines(): it also breaks at the separators that mark levels.
    return (
        tuple(_line(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")) if text else ()
    )


def _line(text: str) -> UdfLogLine:
    if text.startswith(_MARK):
        level, separator, message = text[1:].partition(_SEPARATOR)
        if separator and level in _LEVELS:
            return UdfLogLine(level, message)
    return UdfLogLine("info", text)
