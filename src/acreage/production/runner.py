"""The runner: keeps every back end busy with the tiles of a ledger, until none is left.

One thread steps through what is due; calls that block run beside it. Nothing that must not be lost is in
memory alone: the process may be killed at any moment, and another goes on from the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from acreage.core.errors import LeaseLost
from acreage.core.instances import Instances
from acreage.production.backends import BackEnd
from acreage.production.calls import Calls
from acreage.production.clock import Clock
from acreage.production.dispatch import Dispatch
from acreage.production.failures import Failures
from acreage.production.flow import Flow, JobKey
from acreage.production.guards import PAUSED, Controls, FailureWindow
from acreage.production.health import Health
from acreage.production.ledger.leases import claims_of, leave, renew, take_over
from acreage.production.ledger.settings import back_ends, control, set_back_end, set_control
from acreage.production.ledger.store import Ledger
from acreage.production.live import LiveJob, Step
from acreage.production.parts import JobMaker, Products, RunSettings
from acreage.production.watch import About, Watch
from acreage.production.work import Done, Pool

_RETRY_S = 2.0  # where the ledger cannot be written
_LONGEST_S = 60.0
_log = logging.getLogger(__name__)


@dataclass
class Runner:
    """A runner of one production.

    Attributes:
        ledger: of the production.
        owner: this runner, by a name that no other has or had.
        clock, pool: where time passes and calls run.
        healths: of the back ends that it can reach.
        flow: its jobs.
        watch: how back ends and their jobs are looked after.
        dispatch: gives tiles out.
        failures: the policy at work.
        calls: to back ends.
        settings: how it works.
        instances: which runners on this disk live; None: only leases tell.
    """

    ledger: Ledger
    owner: str
    clock: Clock
    pool: Pool
    healths: dict[str, Health]
    flow: Flow
    watch: Watch
    dispatch: Dispatch
    failures: Failures
    calls: Calls
    settings: RunSettings
    instances: Instances | None = None
    controls: Controls = field(default_factory=Controls)
    stopping: bool = False
    _inbox: list[Done] = field(default_factory=list)
    _renew_at: float = 0.0
    _control_at: float = 0.0
    _dispatch_at: float = 0.0

    # --- the loop ---

    def run(self, each_step: Callable[[], None] = lambda: None) -> None:
        """Work until every tile is done, skipped or held, or until it is stopped.

        Args:
            each_step: called after every step.

        Raises:
            AcreageError: the ledger cannot be used.
        """
        if self.instances is not None:
            self.instances.register(self.owner)
        try:
            while not self.stopping:
                wait_s = self._guarded_step()
                each_step()
                if self.dispatch.is_over and not self.flow.jobs:
                    break
                self.pool.wait(wait_s)
        finally:
            self.pool.close()
            self.calls.mine_until = 0.0  # what is about to be sent is not sent any more
            leave(self.ledger, self.owner, self.clock.now())
            if self.instances is not None:
                self.instances.leave(self.owner)

    def _guarded_step(self) -> float:
        try:
            return self.step()
        except SQLAlchemyError as error:
            # What was answered is kept, and entered when the ledger takes it.
            _log.error("The ledger cannot be used, it is tried again: %s", getattr(error, "orig", error))
            self.clock.sleep(_RETRY_S)
            return 0.0

    def step(self) -> float:
        """Do what is due now; returns for how many seconds nothing will be, unless a call ends before."""
        now = self.clock.now()
        if now >= self._renew_at:
            self._renew(now)
        if now >= self._control_at:
            self._read_controls(now)
        self._take_answers(now)
        for name, health in self.healths.items():
            self.watch.look_after(health, self.flow.running[name], now)
        if now >= self._dispatch_at or self.dispatch.wanted:
            self._give_out(now)
        for job in list(self.flow.due.values()):
            if not job.busy and job.due <= now:
                self._submit(job, now)
        return self._until_next(now)

    def stop(self) -> None:
        """End after this step. Jobs run on at their back ends, and are followed by the next runner."""
        self.stopping = True

    def _until_next(self, now: float) -> float:
        due = min(self._renew_at, self._control_at, self._dispatch_at, now + _LONGEST_S)
        for job in self.flow.due.values():
            if not job.busy:
                due = min(due, job.due)
        for health in self.healths.values():
            if health.live and not health.looking and health.is_callable(now):
                due = min(due, health.look_at)
        return max(0.0, due - now)

    # --- leases ---

    def _renew(self, now: float) -> None:
        settings = self.settings
        until = now + settings.lease_s
        kept = renew(self.ledger, self.owner, now, until)
        self.calls.mine_until, self._renew_at = until, now + settings.lease_s / 4
        if kept != len(self.flow.jobs):
            self._compare(now)
        dead = self.instances.dead() if self.instances is not None else []
        for claim in take_over(self.ledger, self.owner, now, until, dead=dead):
            if claim.attempt.backend not in self.healths:
                _log.warning(
                    "Tile %s is at %s, which is not known here", claim.tile.id, claim.attempt.backend
                )
                continue
            self.flow.follow(LiveJob.of(claim, now, settings.settle_s))
            self.dispatch.wanted = True

    def _compare(self, now: float) -> None:
        """After a long sleep: drop what others took."""
        mine = {c.attempt.id: c for c in claims_of(self.ledger, self.owner)}
        for job in list(self.flow.jobs.values()):
            found = mine.get(job.attempt.id)
            if found is None or found.lease.number != job.lease.number:
                _log.warning("Tile %s was taken by another runner", job.tile.id)
                self.flow.drop(job)

    # --- controls ---

    def _read_controls(self, now: float) -> None:
        self._control_at = now + self.settings.control_s
        before = self.controls
        found = control(self.ledger)
        self.controls = Controls.read(found, self.ledger.production.config, self.settings.failure_share)
        if before.paused and not self.controls.paused:
            self.failures.window.clear()
        self.flow.paused = bool(self.controls.paused)
        if self.controls != before:
            self.dispatch.wanted = True
        if self.controls.stop:
            self.stop()
        for record in back_ends(self.ledger):
            health = self.healths.get(record.name)
            if health is None:
                continue
            health.refreshed(record)
            if learnt := health.unwritten():
                health.record = set_back_end(self.ledger, record.name, now, **learnt)

    def _judge(self) -> None:
        """Pause where too many of the last attempts failed."""
        share, limit = self.failures.window.share(), self.controls.failure_share
        if share is not None and share > limit and not self.controls.paused:
            number = self.failures.window.number
            self.pause(f"{share:.0%} of the last {number} attempts failed, over the limit of {limit:.0%}")

    def pause(self, why: str) -> None:
        """Send nothing more until a person resumes the run."""
        if self.controls.paused:
            return
        _log.error("The run pauses: %s. Resume it with --resume.", why)
        set_control(self.ledger, self.clock.now(), {PAUSED: why}, f"paused: {why}")
        self.controls = Controls(
            why, self.controls.pace, self.controls.budget, self.controls.failure_share, self.controls.stop
        )
        self.flow.paused = True

    # --- answers ---

    def _take_answers(self, now: float) -> None:
        self._inbox += self.pool.finished()
        while self._inbox:
            self._answer(self._inbox[0], now)
            self._inbox.pop(0)
        self._judge()

    def _answer(self, done: Done, now: float) -> None:
        key = done.key
        if isinstance(key, JobKey):
            job = self.flow.jobs.get(key.attempt)
            if job is not None and done.error is None and job.step is not Step.ACCEPT:
                self.failures.well(self.healths[job.attempt.backend], now)
            self.flow.answered(done, now)
            closed = key.attempt not in self.flow.jobs and key.step is not Step.ACCEPT
            if closed or key.step in (Step.SETTLE, Step.EXPLAIN):
                self.dispatch.wanted = True  # its place is free
        elif isinstance(key, About) and self.watch.answered(key, done, now):
            self.dispatch.wanted = True

    # --- tiles ---

    def _give_out(self, now: float) -> None:
        self._dispatch_at = now + self.settings.idle_s
        if self.stopping:
            return
        until = self.calls.mine_until
        for claim in self.dispatch.claims(self.owner, self.flow.jobs.values(), self.controls, now, until):
            self.flow.follow(LiveJob.of(claim, now))

    def _submit(self, job: LiveJob, now: float) -> None:
        try:
            self.flow.submit(job, now)
        except LeaseLost:
            self.flow.drop(job)


def make_runner(
    ledger: Ledger,
    owner: str,
    back_end_calls: Mapping[str, BackEnd],
    maker: JobMaker,
    products: Products,
    clock: Clock,
    pool: Pool,
    settings: RunSettings | None = None,
    instances: Instances | None = None,
) -> Runner:
    """A runner with all its parts.

    Args:
        ledger: of the production.
        owner: by a name that no other runner has or had.
        back_end_calls: by name; those of the ledger that are not among them get no tiles of this runner.
        maker, products: the application's science.
        clock, pool: where time passes and calls run.
        settings: how it works.
        instances: which runners on this disk live.
    """
    settings = settings or RunSettings()
    healths = {
        record.name: Health(back_end_calls[record.name], record, settings.parallel)
        for record in back_ends(ledger)
        if record.name in back_end_calls
    }
    for health in healths.values():
        health.refreshed(health.record)
    calls = Calls(clock, maker, products, ledger.production.results)
    window = FailureWindow(settings.window, settings.least)
    failures = Failures(ledger, healths, settings, window)

    def verified(job: LiveJob) -> None:
        health, attempt = healths[job.attempt.backend], job.attempt
        health.failed_jobs = 0
        window.add(failed=False)
        took = attempt.duration_s
        if took is None and attempt.ended_at is not None and attempt.started_at is not None:
            took = attempt.ended_at - attempt.started_at
        health.took(job.tile.core_seconds, took)
        health.cost(job.tile.cost, attempt.cost)
        health.needed(job.tile.memory_mb, attempt.peak_memory_mb)

    flow = Flow(ledger, pool, calls, healths, failures, settings, verified)
    watch = Watch(ledger, pool, calls, healths, flow, failures, settings)
    dispatch = Dispatch(ledger, healths, settings)
    runner = Runner(
        ledger, owner, clock, pool, healths, flow, watch, dispatch, failures, calls, settings, instances
    )
    failures.pause = runner.pause
    return runner
