"""How often somebody may give a wrong password."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from acreage.backend.errors import TooManyRequests

_MOST = 10_000


@dataclass
class Attempts:
    """Failures by whoever made them: some at once, then one from time to time.

    Attributes:
        at_once: failures without a wait.
        every_s: seconds after which one more is allowed.
    """

    at_once: int
    every_s: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, who: str) -> None:
        """Count an attempt as failed until `succeeded`, so that many at once are counted too.

        Raises:
            TooManyRequests: there were too many.
        """
        with self._lock:
            now = time.monotonic()
            left, since = self._left.pop(who, (float(self.at_once), now))
            left = min(float(self.at_once), left + (now - since) / self.every_s)
            self._left[who] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > _MOST:
                self._left.popitem(last=False)
        if left < 1:
            raise TooManyRequests("There were too many wrong passwords.", wait_s=(1 - left) * self.every_s)

    def succeeded(self, who: str) -> None:
        """Take the last attempt back."""
        with self._lock:
            if who in self._left:
                left, since = self._left[who]
                self._left[who] = (left + 1, since)
