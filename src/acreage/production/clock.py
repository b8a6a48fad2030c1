"""The time of a production: the system's, or one that is moved by hand."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Seconds since 1970 in UTC; never less than it told before."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


@dataclass
class SystemClock:
    """The machine's time. Where that is set back, this one stands still until it is reached again."""

    _last: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def now(self) -> float:
        """As in `Clock`."""
        with self._lock:
            self._last = max(self._last, time.time())
            return self._last

    def sleep(self, seconds: float) -> None:
        """As in `Clock`."""
        time.sleep(max(0.0, seconds))


@dataclass
class VirtualClock:
    """Time that passes only when somebody sleeps: two weeks in a minute.

    Attributes:
        moment: the present.
    """

    moment: float = 1_700_000_000.0

    def now(self) -> float:
        """As in `Clock`."""
        return self.moment

    def sleep(self, seconds: float) -> None:
        """As in `Clock`."""
        self.moment += max(0.0, seconds)
