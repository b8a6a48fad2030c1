"""Blocking calls beside the runner's loop: in threads, or at once where time is virtual."""

from __future__ import annotations

import errno
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from acreage.core.errors import AcreageError, WriteFailed
from acreage.production.clock import Clock

Call = Callable[[], object]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_log = logging.getLogger(__name__)


class CallBroke(AcreageError):
    """A call ended with an exception that nobody expected: a mistake of this program, or of a library."""

    code = "Internal"


@dataclass(frozen=True)
class Done:
    """A call that has ended.

    Attributes:
        key: as it was submitted.
        value: what it gave.
        error: why it gave nothing.
    """

    key: Hashable
    value: object = None
    error: AcreageError | None = None


class Pool(Protocol):
    """Runs calls; one thread submits them and takes what they gave."""

    def submit(self, lane: str, key: Hashable, call: Call) -> None:
        """Run a call when its lane has room.

        Args:
            lane: calls of one lane wait for each other, never for those of another.
            key: told with the result.
            call: may block.
        """
        ...

    def finished(self) -> list[Done]:
        """Calls that ended since this was last asked."""
        ...

    def wait(self, seconds: float) -> None:
        """Until a call ends, or so many seconds have passed."""
        ...

    def close(self) -> None:
        """Begin no more calls. Those that run are left to themselves."""
        ...


def carried_out(key: Hashable, call: Call) -> Done:
    """Run a call; whatever it raises is told, so that one back end's fault does not end the run."""
    try:
        return Done(key, call())
    except AcreageError as error:
        return Done(key, error=error)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            _log.exception("A call broke: %s", key)
            return Done(key, error=CallBroke(f"{type(error).__name__}: {error}"))
        where = f" ({error.filename})" if error.filename else ""
        return Done(key, error=WriteFailed(f"The system refused: {error.strerror}{where}."))
    except Exception as error:  # noqa: BLE001 - logged, told and held: the other tiles go on
        _log.exception("A call broke: %s", key)
        return Done(
            key, error=CallBroke(f"{type(error).__name__}: {error}", hint="This is a mistake: report it.")
        )


@dataclass
class Threads:
    """Calls in daemon threads, a few for every lane; a back end that hangs holds up its own lane only.

    Attributes:
        width: threads of a lane, by the part of its name before the colon.
        default: of other lanes.
    """

    width: Mapping[str, int] = field(default_factory=dict)
    default: int = 4
    _lanes: dict[str, queue.SimpleQueue[tuple[Hashable, Call] | None]] = field(default_factory=dict)
    _sizes: Counter[str] = field(default_factory=Counter)
    _ended: queue.SimpleQueue[Done] = field(default_factory=queue.SimpleQueue)
    _kept: list[Done] = field(default_factory=list)

    def submit(self, lane: str, key: Hashable, call: Call) -> None:
        """As in `Pool`."""
        waiting = self._lanes.setdefault(lane, queue.SimpleQueue())
        if self._sizes[lane] < self.width.get(lane.partition(":")[0], self.default):
            self._sizes[lane] += 1
            threading.Thread(target=self._work, args=(waiting,), name=lane, daemon=True).start()
        waiting.put((key, call))

    def _work(self, waiting: queue.SimpleQueue[tuple[Hashable, Call] | None]) -> None:
        while (one := waiting.get()) is not None:
            self._ended.put(carried_out(*one))

    def finished(self) -> list[Done]:
        """As in `Pool`."""
        found, self._kept = self._kept, []
        while True:
            try:
                found.append(self._ended.get_nowait())
            except queue.Empty:
                return found

    def wait(self, seconds: float) -> None:
        """As in `Pool`."""
        if self._kept:
            return
        try:
            self._kept.append(self._ended.get(timeout=max(0.0, seconds)))
        except queue.Empty:
            return

    def close(self) -> None:
        """As in `Pool`."""
        for lane, waiting in self._lanes.items():
            while not waiting.empty():
                waiting.get()
            for _ in range(self._sizes[lane]):
                waiting.put(None)
        self._lanes, self._sizes = {}, Counter()


@dataclass
class AtOnce:
    """Calls that are carried out when they are submitted, on a clock that is moved by waiting.

    Attributes:
        clock: that waiting moves.
        busy_s: processor time of all calls.
    """

    clock: Clock
    busy_s: float = 0.0
    _ended: list[Done] = field(default_factory=list)

    def submit(self, lane: str, key: Hashable, call: Call) -> None:
        """As in `Pool`."""
        began = time.thread_time()
        self._ended.append(carried_out(key, call))
        self.busy_s += time.thread_time() - began

    def finished(self) -> list[Done]:
        """As in `Pool`."""
        found, self._ended = self._ended, []
        return found

    def wait(self, seconds: float) -> None:
        """As in `Pool`."""
        if not self._ended:
            self.clock.sleep(seconds)

    def close(self) -> None:
        """As in `Pool`."""
        self._ended.clear()
