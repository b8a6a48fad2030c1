"""How a run goes: what is done, how fast, at what cost, and when it will be finished."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from acreage.production.health import Health
from acreage.production.ledger.outcomes import totals
from acreage.production.ledger.tiles import StateSum, sums
from acreage.production.ledger.values import BackEndState, TileState
from acreage.production.runner import Runner

_COUNT_S = 5.0
_WINDOW_S = 3600.0
_LEAST_S = 60.0
_NONE = StateSum(0, 0.0, 0.0)


@dataclass(frozen=True)
class BackEndProgress:
    """A back end in a run.

    Attributes:
        name: of it.
        running, parallel: jobs of this runner there, and how many it may have.
        state: whether it gets tiles.
    """

    name: str
    running: int
    parallel: int
    state: BackEndState


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    Attributes:
        tiles: that are to be made in all, those that are done included.
        done, working, waiting, held: of them.
        per_hour: tiles that were finished in the last hour; None: too early to say.
        spent: so far.
        expected: cost in all, with what is still to be made.
        seconds_left: until the last is finished; None: nothing can be sent.
        stopped: why nothing is sent; empty: it is.
        back_ends: each of this runner.
    """

    tiles: int
    done: int
    working: int
    waiting: int
    held: int
    per_hour: float | None
    spent: float
    expected: float
    seconds_left: float | None
    stopped: str
    back_ends: tuple[BackEndProgress, ...]


@dataclass
class Meter:
    """Measures a run.

    Attributes:
        runner: whose.
    """

    runner: Runner
    _counted_at: float = float("-inf")
    _sums: dict[TileState, StateSum] = field(default_factory=dict)
    _spent: float = 0.0
    _committed: float = 0.0
    _done: deque[tuple[float, int, float]] = field(default_factory=deque)

    def snapshot(self) -> Snapshot:
        """Now; tiles are counted anew every few seconds."""
        now = self.runner.clock.now()
        if now - self._counted_at >= _COUNT_S:
            self._count(now)
        done, working, waiting, held = (
            self._sums.get(state, _NONE)
            for state in (TileState.DONE, TileState.WORKING, TileState.WAITING, TileState.HELD)
        )
        healths = self.runner.healths.values()
        factors = [h.cost_factor for h in healths] or [1.0]
        stopped = self.runner.controls.paused or self.runner.dispatch.standstill
        return Snapshot(
            sum(one.tiles for one in (done, working, waiting, held)),
            done.tiles,
            working.tiles,
            waiting.tiles,
            held.tiles,
            self._per_hour(now),
            self._spent,
            self._spent + self._committed + waiting.cost * sum(factors) / len(factors),
            self._seconds_left(waiting, working, now),
            stopped,
            tuple(BackEndProgress(h.name, h.live, h.parallel, h.record.state) for h in healths),
        )

    def _count(self, now: float) -> None:
        ledger = self.runner.ledger
        self._counted_at, self._sums = now, sums(ledger)
        self._spent = sum(h.record.spent for h in self.runner.healths.values())
        self._committed = sum(t.committed for t in totals(ledger).values())
        done = self._sums.get(TileState.DONE, _NONE)
        self._done.append((now, done.tiles, done.core_seconds))
        while len(self._done) > 2 and self._done[1][0] <= now - _WINDOW_S:
            self._done.popleft()

    def _per_hour(self, now: float) -> float | None:
        since, before, _ = self._done[0]
        if now - since < _LEAST_S:
            return None
        return (self._done[-1][1] - before) / (now - since) * 3600

    def _seconds_left(self, waiting: StateSum, working: StateSum, now: float) -> float | None:
        left = waiting.core_seconds + working.core_seconds / 2
        if left == 0:
            return 0.0
        speed = sum(self._speed(h) for h in self.runner.healths.values() if h.takes_tiles(now))
        since, _, before = self._done[0]
        finished = self._done[-1][2] - before
        if finished > 0 and now - since >= _LEAST_S:
            # What was seen counts for more, the longer it was seen; what back ends promise is too much.
            weight = min(1.0, (now - since) / _WINDOW_S)
            speed = weight * finished / (now - since) + (1 - weight) * speed
        return left / speed if speed > 0 else None

    def _speed(self, health: Health) -> float:
        """Estimated core-seconds a second."""
        return health.parallel / max(health.factor, 1e-9)
