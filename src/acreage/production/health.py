"""How each back end does: whether it answers, how many jobs it takes at once, how long and dear they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from acreage.production.backends import BackEnd, Limits, RemoteJob
from acreage.production.breaker import Breaker
from acreage.production.ledger.settings import BackEndFacts
from acreage.production.ledger.values import BackEndRecord, BackEndState
from acreage.production.scheduler import learnt_parallel

_LEARN = 0.1  # weight of the newest job
_PEAKS = 200
_LEAST_PEAKS = 20
_HIGH = 0.95
_MEMORY_MARGIN = 1.15
_MEMORY_RANGE = (0.5, 2.0)


@dataclass
class Health:
    """What a runner knows of a back end while it runs.

    Attributes:
        backend: to call.
        record: as the ledger has it.
        first_parallel: jobs at once, where nobody tells.
        breaker: of its answers.
        told: limits that its API tells.
        factor, cost_factor, memory_factor: of estimates, learnt; `record` has what was written of them.
        live: jobs that wait or run there, as this runner knows.
        failed_jobs: in a row.
        look_at: when its jobs are looked at next.
        looking, probing: whether such a call is on its way.
        full_until: until when it is not tried whether it takes more, after it refused.
        says: since when its queue has said the same, and what.
    """

    backend: BackEnd
    record: BackEndRecord
    first_parallel: int
    breaker: Breaker = field(default_factory=Breaker)
    told: Limits = field(default_factory=Limits)
    factor: float = 1.0
    cost_factor: float = 1.0
    memory_factor: float = 1.0
    live: int = 0
    failed_jobs: int = 0
    look_at: float = 0.0
    looking: bool = False
    probing: bool = False
    full_until: float = 0.0
    says: tuple[float, str] = (0.0, "")
    _peaks: deque[float] = field(default_factory=lambda: deque(maxlen=_PEAKS))

    def __post_init__(self) -> None:
        self.factor, self.cost_factor = self.record.factor, self.record.cost_factor
        self.memory_factor = self.record.memory_factor

    @property
    def name(self) -> str:
        """Of the back end."""
        return self.record.name

    @property
    def parallel(self) -> int:
        """Jobs at once: as a person set it, else what was found, else what is tried first."""
        return self.record.parallel or self.record.found_parallel or self.first_parallel

    @property
    def largest_job_mb(self) -> int | None:
        """The most memory that a job there may ask for: a whole machine's; None: not known."""
        machine = self.record.config.get("machine")
        return machine.get("memory_mb") if isinstance(machine, Mapping) else None

    def is_callable(self, now: float) -> bool:
        """Whether requests about its jobs may be made."""
        closed = not self.breaker.is_open and not self.breaker.is_quiet(now)
        return closed and self.record.state is not BackEndState.OFF

    def takes_tiles(self, now: float) -> bool:
        """Whether it may get further tiles."""
        return self.record.state is BackEndState.OPEN and self.is_callable(now)

    def refreshed(self, record: BackEndRecord) -> None:
        """Take what the ledger has now; another runner may have found it broken."""
        self.record = record
        broken = record.state is BackEndState.BROKEN and record.until is not None
        if broken and not self.breaker.is_open and record.until is not None:
            self.breaker = Breaker(until=record.until, opened=1)

    # --- learning ---

    def took(self, core_seconds: float, seconds: float | None) -> None:
        """A job of so many estimated core-seconds took so long."""
        if seconds is not None and seconds > 0 and core_seconds > 0:
            self.factor += _LEARN * (seconds / core_seconds - self.factor)

    def cost(self, estimated: float, paid: float | None) -> None:
        """A job cost so much."""
        if paid is not None and paid > 0 and estimated > 0:
            self.cost_factor += _LEARN * (paid / estimated - self.cost_factor)

    def needed(self, estimated_mb: int, peak_mb: float | None) -> None:
        """A job's peak; jobs get what 95 of 100 of the last 200 needed, and a margin."""
        if peak_mb is None or peak_mb <= 0 or estimated_mb <= 0:
            return
        self._peaks.append(peak_mb / estimated_mb)
        if len(self._peaks) >= _LEAST_PEAKS:
            ordered = sorted(self._peaks)
            high = ordered[min(len(ordered) - 1, int(_HIGH * len(ordered)))]
            least, most = _MEMORY_RANGE
            self.memory_factor = min(most, max(least, high * _MEMORY_MARGIN))

    def unwritten(self) -> BackEndFacts:
        """What was learnt since it was last written into the ledger."""
        found: BackEndFacts = {}
        for name in ("factor", "cost_factor", "memory_factor"):
            mine, written = getattr(self, name), getattr(self.record, name)
            if abs(mine - written) > 0.01 * max(abs(written), 1e-9):
                found[name] = mine
        return found

    def seen(self, jobs: Iterable[RemoteJob], now: float, learn_s: float) -> int | None:
        """Another number of jobs at once, where its queue has said so for long enough; None: as it is.

        Args:
            jobs: of ours that wait or run there.
            now: when.
            learn_s: how long it must say so.
        """
        if self.record.parallel is not None:
            return None
        states = [job.status for job in jobs]
        running, queued = states.count("running"), states.count("queued")
        new = learnt_parallel(self.parallel, running, queued)
        most = self.told.parallel if now >= self.full_until else self.parallel
        if most is not None:
            new = min(new, most)
        word = "same" if new == self.parallel else "more" if new > self.parallel else "less"
        if word != self.says[1]:
            self.says = (now, word)
        if word == "same" or now - self.says[0] < learn_s:
            return None
        self.says = (now, "")
        return new
