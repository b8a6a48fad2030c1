"""Jobs that a runner follows, as it has them in memory. All that must not be lost is in the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from acreage.production.backends import Fetched, RemoteStatus
from acreage.production.ledger.values import Attempt, AttemptState, Claim, Lease, TileRecord


class Step(StrEnum):
    """What is next for a job."""

    MAKE = "make"
    START = "start"
    FOLLOW = "follow"
    """It waits or runs at the back end, and is looked at with the back end's others."""
    SETTLE = "settle"
    """Its costs and usage are asked for."""
    EXPLAIN = "explain"
    FETCH = "fetch"
    ACCEPT = "accept"


_STEPS = {
    AttemptState.INTENDED: Step.MAKE,
    AttemptState.CREATED: Step.START,
    AttemptState.STARTING: Step.START,
    AttemptState.STARTED: Step.FOLLOW,
    AttemptState.ENDED: Step.FETCH,
    AttemptState.FETCHED: Step.FETCH,  # what was downloaded is there, and is not downloaded again
}


@dataclass
class LiveJob:
    """A job that a runner follows.

    Attributes:
        tile, attempt, lease: as the ledger has them.
        step: what is next.
        due: when.
        busy: whether a call about it is on its way.
        unsure: whether the request of this step may have been carried out already.
        may_run: whether it was or may have been started, so that it may cost.
        begun: when it was started, by this machine's clock.
        status: as the back end told last.
        odd: looks in a row at which the back end did not know it, or said it had not been started.
        afresh: whether its results are downloaded from the beginning.
        fetched, fetched_at: what was downloaded, and when.
        repeats: how often a row of the policy was taken for the request of this step.
        damaged: how often what was downloaded was of no use.
    """

    tile: TileRecord
    attempt: Attempt
    lease: Lease
    step: Step
    due: float
    busy: bool = False
    unsure: bool = False
    may_run: bool = False
    begun: float = 0.0
    status: RemoteStatus = "created"
    odd: int = 0
    afresh: bool = False
    fetched: Fetched | None = None
    fetched_at: float = 0.0
    repeats: Counter[str] = field(default_factory=Counter)
    damaged: int = 0

    @staticmethod
    def of(claim: Claim, now: float, settle_s: float = 0.0) -> LiveJob:
        """A job that is to be followed from where it stands.

        Args:
            claim: of it.
            now: when.
            settle_s: for one that another runner had: after so long its last request has arrived or never
                will.
        """
        attempt = claim.attempt
        state = attempt.state
        job = LiveJob(claim.tile, attempt, claim.lease, _STEPS[state], now)
        job.may_run = state not in (AttemptState.INTENDED, AttemptState.CREATED)
        job.begun = attempt.started_at or now
        if settle_s > 0 and state in (AttemptState.INTENDED, AttemptState.STARTING):
            job.unsure, job.due = True, now + settle_s
        return job

    @property
    def occupies(self) -> bool:
        """Whether it takes a place at its back end, or is about to."""
        return self.step in (Step.MAKE, Step.START, Step.FOLLOW)

    def goes_to(self, step: Step, now: float) -> None:
        """The next step, at once."""
        self.step, self.due, self.unsure = step, now, False
        self.repeats.clear()
