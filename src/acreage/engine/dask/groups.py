"""How tasks are put together: short ones go in groups, as Dask itself takes some milliseconds a task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

#: Groups of windows under way for each thread: one that is computed, one that waits for it.
PER_THREAD = 2
#: Windows that take less than this, seconds, are sent in groups: Dask itself takes some milliseconds a task.
GROUP_S = 0.1
#: Windows in a group at most: a worker that is lost, or one with the hard windows, costs no more.
MOST_GROUPED = 16


class Groups:
    """Positions of tasks in order, in groups as large as short tasks ask for.

    Towards the end groups shrink to single tasks, so that no worker has several while another has none.
    """

    def __init__(self, tasks: Sequence[Any]) -> None:
        self._left = iter(range(len(tasks)))
        self._number = len(tasks)
        self._seconds: float | None = None

    def took(self, seconds: float) -> None:
        """Learn what a task took lately."""
        self._seconds = seconds if self._seconds is None else max(seconds, 0.5 * (self._seconds + seconds))

    def take(self, groups: int, threads: int) -> list[list[int]]:
        """The next groups, at most so many, for so many threads in all."""
        taken = []
        for _ in range(groups):
            group = list(islice(self._left, self._size(threads)))
            if not group:
                break
            self._number -= len(group)
            taken.append(group)
        return taken

    def _size(self, threads: int) -> int:
        if self._seconds is None:
            return 1
        fair = self._number // (2 * PER_THREAD * threads)
        return max(1, min(int(GROUP_S / max(self._seconds, 1e-6)), MOST_GROUPED, fair))
