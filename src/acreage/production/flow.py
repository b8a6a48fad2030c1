"""A job's way from the intention to the verified product: which call is next, and what its answer changes.

Every change is committed to the ledger before the next call is made, in one transaction a step. What is in
memory is changed after that, so that a step whose commit failed can be taken again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Unpack

from acreage.core.errors import AcreageError, BackEndError, LeaseLost
from acreage.production.backends import Fetched, RemoteJob
from acreage.production.calls import Calls, Explained, Looked, Made
from acreage.production.failures import Failures
from acreage.production.health import Health
from acreage.production.ledger.attempts import Again, Done, advance, close
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import AttemptFacts, AttemptState
from acreage.production.live import LiveJob, Step
from acreage.production.parts import RunSettings
from acreage.production.work import Done as Ended
from acreage.production.work import Pool

_PAUSED_S = 5.0
_ODD = 3  # looks in a row before it is believed that a job was lost or never started
_VERIFY = "verify"


@dataclass(frozen=True)
class JobKey:
    """Which job and step a call is about."""

    attempt: int
    lease: int
    step: Step


@dataclass
class Flow:
    """The jobs of a runner.

    Attributes:
        ledger: where every step is committed.
        pool: for calls.
        calls: to back ends.
        healths: by back end.
        failures: what is done about what goes wrong.
        settings: of the runner.
        jobs: that are followed, by their attempt.
        due: those of them for which a call is next.
        running: those that wait or run at each back end.
        verified: called with each job whose product was taken in.
        paused: whether nothing is sent.
    """

    ledger: Ledger
    pool: Pool
    calls: Calls
    healths: Mapping[str, Health]
    failures: Failures
    settings: RunSettings
    verified: Callable[[LiveJob], None]
    jobs: dict[int, LiveJob] = field(default_factory=dict)
    due: dict[int, LiveJob] = field(default_factory=dict)
    running: defaultdict[str, dict[int, LiveJob]] = field(default_factory=lambda: defaultdict(dict))
    paused: bool = False

    def follow(self, job: LiveJob) -> None:
        """Follow a job from where it stands."""
        self.jobs[job.attempt.id] = job
        self._sort(job)

    def drop(self, job: LiveJob) -> None:
        """Follow a job no more: it is closed, or another runner's."""
        number = job.attempt.id
        for jobs in (self.jobs, self.due, self.running[job.attempt.backend]):
            jobs.pop(number, None)
        self.healths[job.attempt.backend].live = len(self.running[job.attempt.backend])

    def _sort(self, job: LiveJob) -> None:
        """Put a job where its step belongs."""
        number, running = job.attempt.id, self.running[job.attempt.backend]
        if number not in self.jobs:
            return
        if job.step is Step.FOLLOW:
            self.due.pop(number, None)
            running[number] = job
        else:
            running.pop(number, None)
            self.due[number] = job
        self.healths[job.attempt.backend].live = len(running)

    # --- calls ---

    def submit(self, job: LiveJob, now: float) -> None:
        """Make the call that is next for a job; it is due and none is on its way."""
        health = self.healths[job.attempt.backend]
        if job.step is Step.ACCEPT:
            assert job.fetched is not None
            self._call(
                job, _VERIFY, partial(self.calls.accept, job.tile, job.attempt, job.fetched)
            )  # needs no back end
            return
        if not health.is_callable(now):
            self._without(job, health, now)
            return
        if self.paused and job.step in (Step.MAKE, Step.START) and not job.may_run:
            job.due = now + _PAUSED_S
            return
        lane, backend, remote_id = health.name, health.backend, job.attempt.remote_id
        if job.step is Step.MAKE:
            self._call(job, lane, partial(self.calls.make, backend, job.tile, job.attempt, job.unsure))
            return
        assert remote_id is not None
        if job.step is Step.START:
            if job.attempt.state in (AttemptState.INTENDED, AttemptState.CREATED):
                self._advance(job, AttemptState.STARTING, now)
            self._call(job, lane, partial(self.calls.start, backend, job.tile, job.attempt, job.unsure))
        elif job.step is Step.SETTLE:
            self._call(job, lane, partial(self.calls.settle, backend, remote_id))
        elif job.step is Step.EXPLAIN:
            self._call(job, lane, partial(self.calls.explain, backend, remote_id))
        elif job.step is Step.FETCH:
            call = partial(self.calls.fetch, backend, job.attempt, job.afresh)
            self._call(job, f"fetch:{lane}", call)

    def _call(self, job: LiveJob, lane: str, call: Callable[[], object]) -> None:
        job.busy = True
        self.pool.submit(lane, JobKey(job.attempt.id, job.lease.number, job.step), call)

    def _without(self, job: LiveJob, health: Health, now: float) -> None:
        """The back end cannot be asked now: what was not started goes elsewhere, the rest waits for it."""
        breaker = health.breaker
        silent_s = max(breaker.until or 0.0, breaker.quiet_until) - now
        if not job.may_run and (health.breaker.is_open or silent_s > self.settings.lease_s):
            self.abandon(job, now, f"{health.name} cannot be reached")
            return
        job.due = now + max(1.0, min(silent_s, self.settings.idle_s))

    def abandon(self, job: LiveJob, now: float, why: str) -> None:
        """Give up an attempt that was not started, so that its tile may go elsewhere."""
        close(
            self.ledger,
            job.lease,
            job.attempt.id,
            AttemptState.ABANDONED,
            Again(now, counted=False),
            now,
            text=why,
        )
        self.drop(job)
        self.failures.discarded(job)

    # --- answers ---

    def answered(self, ended: Ended, now: float) -> None:
        """What a call about a job gave."""
        key = ended.key
        assert isinstance(key, JobKey)
        job = self.jobs.get(key.attempt)
        if job is None or job.lease.number != key.lease or job.step is not key.step:
            return  # another runner's, or closed, since it was sent
        try:
            if ended.error is not None:
                self._failed(job, ended.error, now)
            else:
                self._went_well(job, ended.value, now)
        except LeaseLost:
            self.drop(job)
        job.busy = False
        self._sort(job)

    def _went_well(self, job: LiveJob, value: object, now: float) -> None:
        if job.step is Step.MAKE:
            assert isinstance(value, Made)
            state = AttemptState.CREATED if self.paused else AttemptState.STARTING
            text = "found" if value.found else ""
            self._advance(
                job, state, now, text, remote_id=value.remote_id, profile=value.request.sent, created_at=now
            )
            job.goes_to(Step.START, now)
        elif job.step is Step.START:
            self._advance(job, AttemptState.STARTED, now, "" if value == "queued" else f"was {value} already")
            job.may_run, job.begun, job.status = True, now, "queued"
            job.goes_to(Step.FOLLOW, now)
        elif job.step is Step.SETTLE:
            assert isinstance(value, RemoteJob)
            self._settled(job, value, now)
        elif job.step is Step.FETCH:
            assert isinstance(value, Fetched)
            # Not committed: what is downloaded is on disk, and is not downloaded again after a restart.
            job.fetched_at, job.fetched, job.afresh = now, value, False
            job.goes_to(Step.ACCEPT, now)
        elif job.step is Step.ACCEPT:
            close(
                self.ledger,
                job.lease,
                job.attempt.id,
                AttemptState.VERIFIED,
                Done(),
                now,
                known=job.attempt,
                fetched_at=job.fetched_at,
            )
            self.drop(job)
            self.verified(job)
        else:
            assert isinstance(value, Explained)
            self.drop(job) if self.failures.of_job(job, value, now) else job.goes_to(Step.FOLLOW, now)

    def _settled(self, job: LiveJob, remote: RemoteJob, now: float) -> None:
        job.status = remote.status
        if remote.status != "finished":
            job.goes_to(Step.EXPLAIN if remote.status in ("error", "canceled") else Step.FOLLOW, now)
            return
        self._advance(job, AttemptState.ENDED, now, **self.failures.facts(job, remote))
        job.goes_to(Step.FETCH, now)

    def looked(self, health: Health, found: Looked, now: float) -> None:
        """What a back end told of its jobs."""
        told = {remote.id: remote for remote in found.jobs}
        for job in list(self.running[health.name].values()):
            remote_id = job.attempt.remote_id
            if remote_id is None:
                continue
            try:
                if remote_id in found.lost:
                    self._odd(job, now, lost=True)
                elif remote_id in told:
                    self._told(job, told[remote_id], now)
            except LeaseLost:
                self.drop(job)
            self._sort(job)

    def _told(self, job: LiveJob, remote: RemoteJob, now: float) -> None:
        job.status = remote.status
        if remote.status == "created":
            self._odd(job, now, lost=False)
            return
        job.odd = 0
        if remote.status == "finished":
            job.goes_to(Step.SETTLE, now)
        elif remote.status in ("error", "canceled"):
            job.goes_to(Step.EXPLAIN, now)

    def _odd(self, job: LiveJob, now: float, *, lost: bool) -> None:
        """The back end does not know a job that it ran, or says that it was never started."""
        job.odd += 1
        if job.odd < _ODD or now - job.begun < self.settings.settle_s:
            return
        job.odd = 0
        if lost:
            self.failures.lost(job, now)
            self.drop(job)
        else:
            text = f"{job.attempt.backend} says it was never started"
            self._advance(job, AttemptState.STARTED, now, text)
            job.goes_to(Step.START, now)
            job.unsure = True

    def _failed(self, job: LiveJob, error: AcreageError, now: float) -> None:
        if isinstance(error, LeaseLost):
            self.drop(job)
            return
        if isinstance(error, BackEndError) and error.may_be_done and job.step in (Step.MAKE, Step.START):
            job.unsure = True
            job.may_run = job.may_run or job.step is Step.START
        if self.failures.of_call(job, error, now):
            self.drop(job)

    def _advance(
        self, job: LiveJob, state: AttemptState, now: float, text: str = "", **facts: Unpack[AttemptFacts]
    ) -> None:
        known = job.attempt
        job.attempt = advance(self.ledger, job.lease, known.id, state, now, text=text, known=known, **facts)
