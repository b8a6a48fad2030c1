"""Medians and ratios of runs that were made in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ratio:
    """How many times as much one takes as another.

    Attributes:
        median: of the ratios of the rounds.
        least, most: of the rounds.
    """

    median: float
    least: float
    most: float


def in_turn(
    runs: Mapping[str, Callable[[], T]], rounds: int, done: Callable[[str, int], Any] = lambda name, n: None
) -> dict[str, list[T]]:
    """Run A B C, A B C, ...: what drifts on the machine meets all of them alike.

    Args:
        runs: by name, in the order of a round.
        rounds: how often each is run.
        done: told the name and the number of the round after each run.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
            done(name, number)
    return found


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio round by round, each to the same round of the base.

    Raises:
        ValueError: there is no round, or their numbers differ.
    """
    if not values or len(values) != len(base):
        raise ValueError(f"{len(values)} and {len(base)} rounds cannot be compared")
    ratios = [value / by for value, by in zip(values, base, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))
