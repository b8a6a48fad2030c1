"""Which tile goes to which back end now. Pure: the runner says what there is, and does what is chosen.

While there is plenty to do, free places are filled in the order of priority. At the end, when what is left
is a few rounds of all places, the longest tiles come first and each goes where it will be finished first, a
place that is still busy included: a slow back end that is free takes no tile that a fast one would finish
sooner.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ROUNDS_OF_THE_END = 4
"""So many tiles a place are left when the end begins."""
_SOON_S = 1.0  # what should have ended already has not


@dataclass(frozen=True)
class Candidate:
    """A tile that may be sent.

    Attributes:
        tile: its id.
        core_seconds: estimated.
        memory_mb: that its job asks for.
        pin: the only back end that may make it; None: any.
        avoid: back ends that failed with it, where another may do better.
    """

    tile: str
    core_seconds: float
    memory_mb: int = 0
    pin: str | None = None
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Place:
    """A back end, as far as tiles are given out.

    Attributes:
        name: of the back end.
        free: jobs that it may get now.
        factor: seconds per estimated core-second there.
        ends: when its jobs that run are expected to end.
        memory_mb: the most that a job may ask for; None: not known.
    """

    name: str
    free: int
    factor: float = 1.0
    ends: tuple[float, ...] = ()
    memory_mb: int | None = None

    def takes(self, candidate: Candidate) -> bool:
        """Whether a tile may be made there."""
        if candidate.pin is not None and candidate.pin != self.name:
            return False
        return self.memory_mb is None or candidate.memory_mb <= self.memory_mb


def by_priority(candidates: Iterable[Candidate], places: Sequence[Place]) -> list[tuple[str, str]]:
    """Free places filled in the order of the candidates, each by the fastest that has room.

    Args:
        candidates: highest priority first.
        places: of all back ends that may get tiles.

    Returns:
        Pairs of tile and back end.
    """
    chosen: list[tuple[str, str]] = []
    room = {place.name: place.free for place in places if place.free > 0}
    fastest = sorted(places, key=lambda p: (p.factor, p.name))
    for candidate in candidates:
        if not room:
            break
        fitting = [p for p in fastest if p.name in room and p.takes(candidate)]
        if not fitting:
            continue
        place = _preferred(candidate, fitting, places)
        if place is None:
            continue
        chosen.append((candidate.tile, place.name))
        room[place.name] -= 1
        if not room[place.name]:
            del room[place.name]
    return chosen


def for_the_end(
    candidates: Iterable[Candidate], places: Sequence[Place], now: float
) -> list[tuple[str, str]]:
    """The last tiles, so that the last of them is finished early: longest first, where it ends first.

    Args:
        candidates: all tiles that are left.
        places: of all back ends that may get tiles, those without room too.
        now: the present, as `Place.ends`.

    Returns:
        Pairs of tile and back end that are sent now; others wait for a place that is busy.
    """
    chosen: list[tuple[str, str]] = []
    slots = {p.name: [now] * p.free + [max(now + _SOON_S, e) for e in p.ends] for p in places}
    for times in slots.values():
        heapq.heapify(times)
    usable = [p for p in places if slots[p.name]]
    free = sum(p.free for p in places)
    for candidate in sorted(candidates, key=lambda c: (-c.core_seconds, c.tile)):
        if len(chosen) == free:
            break  # the rest waits in any case
        fitting = [p for p in usable if p.takes(candidate)]
        others = [p for p in fitting if p.name not in candidate.avoid] if candidate.avoid else fitting
        place = min(
            others or fitting,
            key=lambda p: (slots[p.name][0] + candidate.core_seconds * p.factor, p.factor, p.name),
            default=None,
        )
        if place is None:
            continue
        begins = slots[place.name][0]
        heapq.heapreplace(slots[place.name], begins + candidate.core_seconds * place.factor)
        if begins <= now:
            chosen.append((candidate.tile, place.name))
    return chosen


def is_the_end(left: int, places: Sequence[Place]) -> bool:
    """Whether so few tiles are left that the order of their lengths matters more than their priority."""
    return left <= ROUNDS_OF_THE_END * sum(p.free + len(p.ends) for p in places)


def _preferred(candidate: Candidate, fitting: Sequence[Place], places: Sequence[Place]) -> Place | None:
    """The fastest that did not fail with the tile; one that did where there is no other at all."""
    good = next((p for p in fitting if p.name not in candidate.avoid), None)
    if good is not None or not candidate.avoid:
        return good
    waits_for_another = any(p.name not in candidate.avoid and p.takes(candidate) for p in places)
    return None if waits_for_another else fitting[0]


def learnt_parallel(known: int, running: int, queued: int) -> int:
    """How many jobs a back end takes at once, where its API does not tell.

    Args:
        known: what was thought so far.
        running, queued: its jobs of this account, as it told just now.
    """
    if queued > 1:
        return max(1, min(known, running + 1))  # one that waits keeps it busy
    if queued == 0 and running >= known:
        return known + 1
    return known
