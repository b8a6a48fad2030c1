"""Executors: who runs the windows. One Protocol, so that threads and a cluster run the same function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs a function for every task, several at once."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[tuple[int, R], None, None]:
        """(position, result) as they get ready, in any order. The first error ends the run and is raised.

        Closing the generator waits for what is under way and starts nothing more.
        """
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
