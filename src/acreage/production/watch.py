"""How back ends and the jobs that run there are looked after: looks, limits, whether they answer again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from acreage.core.errors import AcreageError
from acreage.production.backends import Limits
from acreage.production.calls import Calls, Looked
from acreage.production.failures import Failures
from acreage.production.flow import Flow
from acreage.production.health import Health
from acreage.production.ledger.settings import set_back_end
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import BackEndState
from acreage.production.live import LiveJob
from acreage.production.parts import RunSettings
from acreage.production.work import Done, Pool

_LOOK_SHARE = 0.02  # of the length of jobs, between two looks
_PROBE_S = 1800.0
_REFUSED_S = 300.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """Which back end a call is about that is about no job of it.

    Attributes:
        backend: its name.
        what: `look`, `limits` or `discard`.
    """

    backend: str
    what: str


@dataclass
class Watch:
    """Looks after the back ends of a runner.

    Attributes:
        ledger, pool, calls, healths, flow, failures, settings: of the runner.
    """

    ledger: Ledger
    pool: Pool
    calls: Calls
    healths: Mapping[str, Health]
    flow: Flow
    failures: Failures
    settings: RunSettings
    _probe_at: dict[str, float] = field(default_factory=dict)

    def answered(self, about: About, done: Done, now: float) -> bool:
        """What such a call gave; whether more tiles may be sent now."""
        health, before = self.healths[about.backend], self.healths[about.backend].parallel
        was_open = health.breaker.is_open
        self._answered(health, about.what, done, now)
        return health.parallel != before or (was_open and not health.breaker.is_open)

    def _answered(self, health: Health, what: str, done: Done, now: float) -> None:
        if what == "look":
            health.looking = False
        elif what == "limits":
            health.probing = False
        if done.error is not None:
            if what == "discard":
                _log.info("A job that is not needed stays at %s: %s", health.name, done.error)
            self._call_failed(health, done.error, now)
            return
        self.failures.well(health, now)
        if isinstance(done.value, Limits):
            self._told(health, done.value, now)
        elif isinstance(done.value, Looked):
            self.flow.looked(health, done.value, now)
            new = health.seen(done.value.jobs, now, self.settings.learn_s)
            if new is not None:
                self._set_parallel(health, new, now)

    def _call_failed(self, health: Health, error: AcreageError, now: float) -> None:
        self.failures.of_back_end(health, error, now)
        kind = getattr(error, "kind", "")
        if kind in ("unauthorized", "payment"):
            self.failures.break_(health, now, _REFUSED_S, str(error))

    def _told(self, health: Health, limits: Limits, now: float) -> None:
        health.told = limits
        if health.record.found_parallel is None and limits.parallel is not None:
            self._set_parallel(health, max(1, limits.parallel), now)

    def _set_parallel(self, health: Health, parallel: int, now: float) -> None:
        text = f"takes {parallel} jobs at once"
        health.record = set_back_end(self.ledger, health.name, now, text, found_parallel=parallel)

    def look_after(self, health: Health, following: Mapping[int, LiveJob], now: float) -> None:
        """Look at a back end's jobs, or whether it answers again."""
        calm = not health.breaker.is_open and now < self._probe_at.get(health.name, 0.0)
        idle = not following or health.looking or now < health.look_at
        if calm and idle and not self.failures.discards:
            return  # nothing is due, as most of the time
        if health.record.state is BackEndState.OFF:
            return
        if health.breaker.is_open or now >= self._probe_at.get(health.name, 0.0):
            if health.breaker.may_try(now) and not health.probing:
                health.probing = True
                self._probe_at[health.name] = now + _PROBE_S
                self.pool.submit(health.name, About(health.name, "limits"), health.backend.limits)
            if health.breaker.is_open:
                return
        if not health.is_callable(now):
            return
        if following and not health.looking and now >= health.look_at:
            health.looking = True
            health.look_at = now + self._look_every(following.values(), health)
            wanted = frozenset(
                j.attempt.remote_id for j in following.values() if j.attempt.remote_id is not None
            )
            call = partial(self.calls.look, health.backend, wanted)
            self.pool.submit(health.name, About(health.name, "look"), call)
        self._discard(health)

    def _look_every(self, following: Collection[LiveJob], health: Health) -> float:
        least, most = self.settings.look_s
        mean = sum(j.tile.core_seconds for j in following) / len(following) * health.factor
        return min(most, max(least, _LOOK_SHARE * mean))

    def _discard(self, health: Health) -> None:
        """Delete jobs that were made and are not needed."""
        mine = [d for d in self.failures.discards if d[0] == health.name]
        self.failures.discards[:] = [d for d in self.failures.discards if d[0] != health.name]
        for _, token, remote_id in mine:
            call = partial(self.calls.discard, health.backend, token, remote_id)
            self.pool.submit(health.name, About(health.name, "discard"), call)
