"""What is done about what goes wrong, by the policy: to a job, its tile and its back end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from acreage.core.errors import (
    AcreageError,
    BackEndError,
    BackEndNonsense,
    BackEndTransient,
    ProductWrong,
    WriteFailed,
)
from acreage.production.backends import RemoteJob
from acreage.production.calls import Explained
from acreage.production.guards import FailureWindow
from acreage.production.health import Health
from acreage.production.ledger.attempts import Again, Hold, close
from acreage.production.ledger.events import note
from acreage.production.ledger.outcomes import failures_of
from acreage.production.ledger.settings import set_back_end
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import AttemptFacts, AttemptState, BackEndState, Event
from acreage.production.live import LiveJob, Step
from acreage.production.parts import RunSettings
from acreage.production.policy import RULES, Action, Decision, Failure, Rule, Stage, decide, rule_for

_log = logging.getLogger(__name__)
_MORE_MEMORY = 1.5
_UNSTARTED = 3  # times that a tile is tried again where its job went wrong before it was started
_TEXT = 2000
_BROKEN_S = 900.0
_FULL_S = 1800.0


@dataclass
class Failures:
    """The policy, at work.

    Attributes:
        ledger: where it is recorded.
        healths: by back end.
        settings: of the runner.
        window: of the last attempts.
        rules: the policy.
        pause: called with a reason.
        discards: jobs that were made and never started: back end, token, id.
    """

    ledger: Ledger
    healths: Mapping[str, Health]
    settings: RunSettings
    window: FailureWindow
    rules: Sequence[Rule] = RULES
    pause: Callable[[str], None] = _log.error
    discards: list[tuple[str, str, str | None]] = field(default_factory=list)

    # --- requests ---

    def of_call(self, job: LiveJob, error: AcreageError, now: float) -> bool:
        """A call about a job failed: when it is made again, or its end. Whether the attempt is closed now."""
        health = self.healths[job.attempt.backend]
        if job.step is not Step.ACCEPT:
            self.of_back_end(health, error, now)
        failure = failure_of(error)
        decision = self._decided(job, failure)
        action, rule = decision.action, decision.rule
        if action in (Action.RETRY, Action.ELSEWHERE, Action.MORE_MEMORY, Action.HOLD):
            self._close(job, decision, failure.text, now)
            return True
        job.repeats[rule.name] += 1
        job.due = now + decision.wait_s
        if action is Action.WAIT_TURN:
            self._is_full(health, now)
        elif action is Action.BREAK:
            self.break_(health, now, decision.wait_s, failure.text)
            job.due = job.due if job.may_run else now  # it goes elsewhere at once
        elif action is Action.PAUSE:
            self.pause(failure.text)
        elif action is Action.FETCH_AGAIN:
            job.damaged, job.afresh, job.step = job.damaged + 1, True, Step.FETCH
            attempt = job.attempt
            told = Event(now, "damaged", failure.text[:_TEXT], attempt.tile, attempt.id, attempt.backend)
            note(self.ledger, told)
        return False

    def of_back_end(self, health: Health, error: AcreageError, now: float) -> None:
        """What a failed call says about the back end."""
        if isinstance(error, BackEndTransient) and error.retry_after:
            health.breaker = health.breaker.quiet(now, error.retry_after)
        elif isinstance(error, BackEndTransient) and error.kind != "transient":
            self.well(health, now)
        elif isinstance(error, BackEndTransient | BackEndNonsense):
            before = health.breaker
            health.breaker = before.failed(now)
            if health.breaker.until != before.until:
                self._told_broken(health, now, str(error))
        elif isinstance(error, BackEndError) and error.kind not in ("unauthorized", "payment"):
            self.well(health, now)  # it answered, if not as we would like

    def well(self, health: Health, now: float) -> None:
        """A back end gave an answer that was one."""
        health.breaker = health.breaker.succeeded(now)
        if not health.breaker.is_open and health.record.state is BackEndState.BROKEN:
            facts = {"state": BackEndState.OPEN, "until": None, "note": ""}
            health.record = set_back_end(self.ledger, health.name, now, "answers again", **facts)  # type: ignore[arg-type]

    def break_(self, health: Health, now: float, seconds: float, why: str) -> None:
        """Send nothing to a back end for a time."""
        known = health.breaker.until is not None and now < health.breaker.until
        health.breaker = health.breaker.open_for(now, seconds)
        if not known:
            self._told_broken(health, now, why)

    def _told_broken(self, health: Health, now: float, why: str) -> None:
        until = health.breaker.until
        if until is None:
            return
        text = f"{why[:_TEXT]} It is tried again in {until - now:.0f} s."
        if health.record.state in (BackEndState.OPEN, BackEndState.BROKEN):
            health.record = set_back_end(
                self.ledger, health.name, now, text, state=BackEndState.BROKEN, until=until, note=why[:_TEXT]
            )
        else:
            note(self.ledger, Event(now, "back end", text, backend=health.name))

    def _is_full(self, health: Health, now: float) -> None:
        """It refused a job as one too many: it takes what it has."""
        health.full_until = now + _FULL_S
        found = max(1, health.live)
        if health.record.parallel is None and found < health.parallel:
            text = f"takes {found} jobs at once, and not {health.parallel}"
            health.record = set_back_end(self.ledger, health.name, now, text, found_parallel=found)

    # --- jobs ---

    def of_job(self, job: LiveJob, found: Explained, now: float) -> bool:
        """A job failed at its back end. Whether the attempt is closed now."""
        if found.job.status not in ("error", "canceled"):
            return False
        health = self.healths[job.attempt.backend]
        text = "; ".join(line.message for line in found.lines)[:_TEXT] or "The back end gives no reason."
        code = next((line.code for line in found.lines if line.code), "")
        kind = "canceled" if found.job.status == "canceled" else "error"
        if kind == "canceled":
            text = f"Somebody canceled it at {health.name}. {text}"
        failure = Failure(Stage.JOB, kind, text, code)
        self._close(job, self._decided(job, failure), text, now, self.facts(job, found.job, now))
        health.failed_jobs += 1
        if health.failed_jobs >= self.settings.broken_jobs:
            health.failed_jobs = 0
            why = f"{self.settings.broken_jobs} jobs in a row failed, the last with: {_headline(text)}"
            self.break_(health, now, _BROKEN_S, why)
        return True

    def lost(self, job: LiveJob, now: float) -> None:
        """A back end does not know a job any more that it ran: whether it was paid, nobody knows."""
        text = f"{job.attempt.backend} does not know job {job.attempt.remote_id} any more, which was started."
        rule = rule_for(Failure(Stage.CALL, "lost", text), self.rules)
        cost: AttemptFacts = {"cost": job.tile.cost * self.healths[job.attempt.backend].cost_factor}
        self._close(job, Decision(rule, Action.HOLD, 0.0), text, now, cost)

    def facts(self, job: LiveJob, remote: RemoteJob, failed_at: float | None = None) -> AttemptFacts:
        """What a job that ended has cost and used.

        Where the back end does not tell costs, they are the estimate, of a failed job as much of it as its
        time is of the expected time.
        """
        health, usage = self.healths[job.attempt.backend], remote.usage
        cost = remote.costs
        if cost is None:
            cost = job.tile.cost * health.cost_factor
            expected_s = job.tile.core_seconds * health.factor
            if failed_at is not None and expected_s > 0:
                cost *= min(1.0, max(0.0, failed_at - job.begun) / expected_s)
        found: AttemptFacts = {"cost": cost}
        if usage.cpu_seconds is not None:
            found["cpu_seconds"] = usage.cpu_seconds
        if usage.peak_memory_mb is not None:
            found["peak_memory_mb"] = usage.peak_memory_mb
        if usage.duration_s is not None:
            found["duration_s"] = usage.duration_s
        return found

    def discarded(self, job: LiveJob) -> None:
        """A job that may be at its back end is not needed: it is deleted when the back end answers."""
        self.discards.append((job.attempt.backend, job.attempt.token, job.attempt.remote_id))

    def _decided(self, job: LiveJob, failure: Failure) -> Decision:
        rule = rule_for(failure, self.rules)
        if rule.action is Action.FETCH_AGAIN:
            before = job.damaged
        elif failure.stage is Stage.JOB or rule.action is Action.MORE_MEMORY:
            before = failures_of(self.ledger, job.tile.id)[rule.name]
        else:
            before = job.repeats[rule.name]
        found = decide(failure, before, self.rules)
        unpaid = failure.kind in ("lost", "nonsense") and not job.may_run
        if found.action is Action.HOLD and unpaid:
            # The tile is tried again before a person is asked.
            tried = failures_of(self.ledger, job.tile.id)[rule.name]
            return Decision(rule, Action.ELSEWHERE, rule.wait_s) if tried < _UNSTARTED else found
        return found

    def _close(
        self, job: LiveJob, decision: Decision, text: str, now: float, facts: AttemptFacts | None = None
    ) -> None:
        rule = decision.rule
        then: Again | Hold = Again(now + decision.wait_s)
        if decision.action is Action.HOLD:
            then = Hold(f"{rule.name}: {_headline(text)}")
        elif decision.action is Action.MORE_MEMORY:
            then = self._more_memory(job, text, now)
        told: AttemptFacts = {**(facts or {}), "error_class": rule.name, "error_text": text[:_TEXT]}
        known = job.attempt
        close(self.ledger, job.lease, known.id, AttemptState.FAILED, then, now, known=known, **told)
        if rule.share:
            self.window.add(failed=True)

    def _more_memory(self, job: LiveJob, text: str, now: float) -> Again | Hold:
        largest = [most for h in self.healths.values() if (most := h.largest_job_mb) is not None]
        unbounded = len(largest) < len(self.healths)
        wanted = math.ceil(job.attempt.memory_mb * _MORE_MEMORY)
        if not unbounded and largest and wanted > max(largest):
            if job.attempt.memory_mb >= max(largest):
                return Hold(
                    f"memory: no back end has more than {max(largest)} MB for a job. {_headline(text)}"
                )
            wanted = max(largest)
        return Again(now, memory_mb=wanted)


def _headline(text: str) -> str:
    """The first line of what was said: tiles are counted by it, and the attempt keeps the rest."""
    return text.partition("\n")[0][:_TEXT]


def failure_of(error: AcreageError) -> Failure:
    """An error as the policy sees it."""
    if isinstance(error, ProductWrong):
        return Failure(Stage.PRODUCT, "again" if error.again else "wrong", str(error))
    if isinstance(error, WriteFailed):
        return Failure(Stage.CALL, "disk", str(error))
    if isinstance(error, BackEndError):
        after = error.retry_after if isinstance(error, BackEndTransient) else None
        return Failure(Stage.CALL, error.kind, str(error), error.api_code, after)
    return Failure(Stage.CALL, "other", str(error), error.code)
