"""Executors: who runs the windows. One Protocol, so that threads and a cluster run the same function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from acreage.catalog.access import HostUse, use_between

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What processes other than the caller's have used.

    Attributes:
        cpu_seconds: of their processors, with the processes that they started.
        peak_memory: largest resident size that one of them had, bytes.
        remote: what they asked of each host.
    """

    cpu_seconds: float = 0.0
    peak_memory: int = 0
    remote: Mapping[str, HostUse] = field(default_factory=dict)

    def since(self, before: ProcessUse) -> ProcessUse:
        """What came after an earlier look; the peak is that of the whole time."""
        seconds = max(self.cpu_seconds - before.cpu_seconds, 0.0)
        return ProcessUse(seconds, self.peak_memory, use_between(before.remote, self.remote))


class Executor(Protocol):
    """Runs a function for every task, several at once."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[tuple[int, R], None, None]:
        """(position, result) as they get ready, in any order. The first error ends the run and is raised.

        Closing the generator waits for what is under way and starts nothing more.
        """
        ...

    def use(self) -> ProcessUse:
        """What its workers have used since it was made, where these are other processes."""
        ...


class ThreadExecutor:
    """Threads in this process.

    Args:
        threads: how many run at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[tuple[int, R], None, None]:
        """As the Protocol says; at most two tasks a thread are under way, so that an error stops the rest."""
        with ThreadPoolExecutor(self.threads, thread_name_prefix="window") as pool:
            waiting = iter(enumerate(tasks))
            running: dict[Future[R], int] = {}
            try:
                while True:
                    while len(running) < 2 * self.threads and (task := next(waiting, None)) is not None:
                        running[pool.submit(function, task[1])] = task[0]
                    if not running:
                        return
                    ready, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ready:
                        yield running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    def use(self) -> ProcessUse:
        """Nothing: the threads are the caller's own."""
        return ProcessUse()
