"""Gives tiles out: what may be sent now, by the scheduler, within pace and budget."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from acreage.production.guards import Controls, Pace, affordable
from acreage.production.health import Health
from acreage.production.ledger.leases import claim, number_of, occupied, pins, waiting
from acreage.production.ledger.outcomes import attempts_of, totals
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import AttemptState, Choice, Claim, TileState, WaitingTile
from acreage.production.live import LiveJob, Step
from acreage.production.parts import RunSettings
from acreage.production.policy import RULES, Action
from acreage.production.scheduler import (
    ROUNDS_OF_THE_END,
    Candidate,
    Place,
    by_priority,
    for_the_end,
    is_the_end,
)

_PINS_S = 60.0
_SPARE = 8  # candidates beyond the free places: some may not go where there is room
_OVERDUE = 0.1
_ELSEWHERE = frozenset(rule.name for rule in RULES if rule.action is Action.ELSEWHERE)


@dataclass
class Dispatch:
    """Gives tiles of a ledger out.

    Attributes:
        ledger: of the production.
        healths: of its back ends.
        settings: of the runner.
        wanted: whether something changed, so that more may be sent now.
        is_over: whether no tile waits and nobody works on one, or none can be paid any more.
        standstill: why nothing is sent though tiles wait; empty: it is not so.
    """

    ledger: Ledger
    healths: Mapping[str, Health]
    settings: RunSettings
    wanted: bool = True
    is_over: bool = False
    standstill: str = ""
    _pace: Pace = field(default_factory=Pace)
    _pins: frozenset[str] = frozenset()
    _pins_at: float = 0.0

    def claims(
        self, owner: str, jobs: Collection[LiveJob], controls: Controls, now: float, until: float
    ) -> tuple[Claim, ...]:
        """Tiles that are sent now, leased, with the intention committed.

        Args:
            owner: the runner.
            jobs: that it follows.
            controls: what people set.
            now, until: of the leases.
        """
        self.wanted = False
        allowed = self._pace.allowed(controls.pace, now)
        places = [] if controls.paused or not self._has_room(jobs, now) else self._places(jobs, now)
        free = sum(place.free for place in places)
        if free == 0 or allowed == 0:
            self.is_over = not jobs and not self._number(TileState.WAITING) and self._nobody_works
            takes = any(h.takes_tiles(now) for h in self.healths.values())
            nowhere = "" if jobs or takes else "no back end takes tiles now"
            self.standstill = f"paused: {controls.paused}" if controls.paused else nowhere
            return ()
        slots = sum(p.free + len(p.ends) for p in places)
        left = self._number(TileState.WAITING, (ROUNDS_OF_THE_END + 1) * slots + 1)
        self.is_over = left == 0 and not jobs and self._nobody_works
        if left == 0:
            return ()
        chosen, tiles = self._chosen(places, left, now)
        chosen = self._afforded(chosen, tiles, controls.budget)
        chosen = chosen if allowed is None else chosen[:allowed]
        if not chosen:
            return ()
        choices = [Choice(t, b, self._memory(tiles[t], b)) for t, b in chosen]
        rooms = {name: health.parallel for name, health in self.healths.items()}
        found = claim(self.ledger, owner, choices, now, until, rooms=rooms)
        self._pace.begun(len(found))
        self.wanted = len(found) < len(choices)
        return found

    def _number(self, state: TileState, most: int = 1) -> int:
        return number_of(self.ledger, state, most)

    @property
    def _nobody_works(self) -> bool:
        return not self._number(TileState.WORKING)

    def _chosen(
        self, places: list[Place], left: int, now: float
    ) -> tuple[list[tuple[str, str]], dict[str, WaitingTile]]:
        names = self._waiting_pins(now) & {p.name for p in places}
        if is_the_end(left, places):
            found = waiting(self.ledger, now, left, sorted(names), by="core_seconds")
            chosen = for_the_end(self._candidates(found), places, now)
        else:
            free = sum(p.free for p in places)
            found = waiting(self.ledger, now, free + _SPARE, sorted(names))
            chosen = by_priority(self._candidates(found), places)
        return chosen, {tile.id: tile for tile in found}

    def _has_room(self, jobs: Iterable[LiveJob], now: float) -> bool:
        """Whether any back end may have room, as far as this runner's own jobs tell."""
        mine = Counter(job.attempt.backend for job in jobs if job.occupies)
        return any(h.takes_tiles(now) and mine[name] < h.parallel for name, h in self.healths.items())

    def _places(self, jobs: Iterable[LiveJob], now: float) -> list[Place]:
        taken = occupied(self.ledger)
        ends: defaultdict[str, list[float]] = defaultdict(list)
        for job in jobs:
            if job.occupies and job.attempt.backend in self.healths:
                ends[job.attempt.backend].append(self._expected_end(job, now))
        found = []
        for health in self.healths.values():
            if not health.takes_tiles(now):
                continue
            free = max(0, health.parallel - taken.get(health.name, 0))
            expected = tuple(ends[health.name])
            found.append(Place(health.name, free, health.factor, expected, health.largest_job_mb))
        return found

    def _expected_end(self, job: LiveJob, now: float) -> float:
        length = job.tile.core_seconds * self.healths[job.attempt.backend].factor
        begun = job.begun if job.step is Step.FOLLOW else now
        return max(begun + length, now + _OVERDUE * length)

    def _candidates(self, tiles: Iterable[WaitingTile]) -> list[Candidate]:
        return [Candidate(t.id, t.core_seconds, t.memory, t.backend, self._avoided(t)) for t in tiles]

    def _avoided(self, tile: WaitingTile) -> frozenset[str]:
        """Back ends that failed with a tile for a reason that may be theirs."""
        if tile.reason not in _ELSEWHERE:
            return frozenset()
        failed = (a for a in attempts_of(self.ledger, tile.id) if a.state is AttemptState.FAILED)
        return frozenset(a.backend for a in failed if a.error_class in _ELSEWHERE)

    def _memory(self, tile: WaitingTile, backend: str) -> int:
        """What its job asks for: the estimate as jobs there taught it; after too little, what was decided."""
        if tile.memory_now is not None:
            return tile.memory_now
        health = self.healths[backend]
        asked = math.ceil(tile.memory_mb * health.memory_factor)
        return asked if health.largest_job_mb is None else max(min(asked, health.largest_job_mb), 1)

    def _afforded(
        self, chosen: list[tuple[str, str]], tiles: Mapping[str, WaitingTile], budget: float | None
    ) -> list[tuple[str, str]]:
        """As many of the chosen as the budgets allow: of the production, of profiles, of accounts."""
        limits = {n: b for n, h in self.healths.items() if (b := h.record.config.get("budget")) is not None}
        told = {n: h.told.budget_left for n, h in self.healths.items() if h.told.budget_left is not None}
        self.standstill = ""
        if budget is None and not limits and not told:
            return chosen
        records, committed = {r.name: r for r in back_ends(self.ledger)}, totals(self.ledger)
        open_costs = {name: t.committed for name, t in committed.items()}
        left = affordable(budget, sum(r.spent for r in records.values()), sum(open_costs.values()))
        room = {n: records[n].spent for n in limits if n in records}
        room = {n: float(limits[n]) - spent - open_costs.get(n, 0.0) for n, spent in room.items()}
        for name, amount in told.items():
            if amount is not None:
                room[name] = min(room.get(name, math.inf), amount - open_costs.get(name, 0.0))
        found = []
        for tile, name in chosen:
            cost = tiles[tile].cost * self.healths[name].cost_factor
            if left is not None and cost > left:
                self.standstill = f"the budget of {budget:g} is used up: {left:.2f} of it are left"
                self.is_over = not open_costs
                break
            if name in room and cost > room[name]:
                self.standstill = (
                    f"the budget at {name} is used up: {max(0.0, room[name]):.2f} of it are left"
                )
                continue
            found.append((tile, name))
            left = None if left is None else left - cost
            if name in room:
                room[name] -= cost
        return found

    def _waiting_pins(self, now: float) -> frozenset[str]:
        if now >= self._pins_at:
            self._pins, self._pins_at = pins(self.ledger), now + _PINS_S
        return self._pins
