"""Records of batch jobs in the database: every change of state is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session, load_only

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.database.tables import JobRow, UserRow
from acreage.backend.errors import (
    JobLimitReached,
    JobLocked,
    JobNotFound,
    JobNotStarted,
)
from acreage.core.database import Database

WAITING, RUNNING, FINISHED = "queued", "running", "finished"
ACTIVE = (WAITING, RUNNING)
_OF_A_LIST = (
    *(JobRow.id, JobRow.status, JobRow.created, JobRow.updated, JobRow.progress, JobRow.title),
    *(JobRow.description, JobRow.plan, JobRow.costs, JobRow.budget),
)


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Lost:
    """What became of a job whose server or process died."""

    job_id: str
    again: bool
    """Whether it waits for another attempt."""
    error: Mapping[str, Any] | None = None
    """Why it has failed, where it has."""


@dataclass(frozen=True)
class JobStore:
    """Jobs of all users.

    Attributes:
        database: of the server.
        per_user: jobs of one user that may wait or run.
        attempts: how often a job is begun.
        lease: for how long a server has a job without saying that it lives.
        budgets: of users; None: nothing costs anything.
    """

    database: Database
    per_user: int
    attempts: int
    lease: timedelta
    budgets: Budgets | None = None

    # --- by users ---

    def create(self, user_id: str, **fields: Any) -> JobRow:
        """A new job; `fields` are columns."""
        moment = now()
        job = JobRow(
            id=f"j-{moment:%y%m%d}{secrets.token_hex(12)}",
            user_id=user_id,
            created=moment,
            updated=moment,
            status="created",
            progress=0.0,
            attempt=0,
            cancel=False,
            **fields,
        )
        with self.database.write() as session:
            session.add(job)
        return job

    def get(self, user_id: str, job_id: str) -> JobRow:
        """A user's job.

        Raises:
            JobNotFound: the user has none with this id.
        """
        with self.database.read() as session:
            return _job(session, user_id, job_id)

    def exists(self, job_id: str) -> bool:
        """Whether any user has a job with this id."""
        with self.database.read() as session:
            return session.get(JobRow, job_id) is not None

    def listed(self, user_id: str, limit: int, after: str | None = None) -> tuple[list[JobRow], str | None]:
        """A page of a user's jobs as lists show them, newest first, and the id that the next begins after."""
        # Not the processes and results: a page of them is long to read, and shows none.
        shown = load_only(*_OF_A_LIST, raiseload=True)
        query = select(JobRow).where(JobRow.user_id == user_id).options(shown)
        with self.database.read() as session:
            if after is not None:
                last = _job(session, user_id, after)
                query = query.where(tuple_(JobRow.created, JobRow.id) < tuple_(last.created, last.id))
            query = query.order_by(JobRow.created.desc(), JobRow.id.desc()).limit(limit + 1)
            rows = list(session.scalars(query))
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None

    def change(self, user_id: str, job_id: str, fields: Mapping[str, Any]) -> None:
        """Set columns of a job that neither waits nor runs.

        Raises:
            JobNotFound, JobLocked
        """
        with self.database.write() as session:
            job = _job(session, user_id, job_id, lock=True)
            _refuse_active(job, "changed")
            for name, value in fields.items():
                setattr(job, name, value)
            if {"process", "options"} & set(fields):
                job.estimate = None
            job.updated = now()

    def estimated(self, user_id: str, job_id: str, estimate: Mapping[str, Any]) -> None:
        """Keep what a job is expected to cost and take; one that waits or runs keeps what it was begun with.

        Raises:
            JobNotFound
        """
        with self.database.write() as session:
            job = _job(session, user_id, job_id, lock=True)
            if job.status not in ACTIVE:
                job.estimate = dict(estimate)

    def queue(self, user_id: str, job_id: str, estimate: Mapping[str, Any] | None = None) -> bool:
        """Let a job wait for its turn; False where it waits or runs already.

        Args:
            user_id: whose job.
            job_id: which.
            estimate: what it is expected to cost and take, where that is known.

        Raises:
            JobNotFound, JobLimitReached
            PaymentRequired: it and what waits and runs would cost more than the user may spend.
        """
        with self.database.write() as session:
            job = _job(session, user_id, job_id, lock=True)
            if job.status in ACTIVE:
                return False
            active = select(func.count()).where(JobRow.user_id == user_id, JobRow.status.in_(ACTIVE))
            if (session.scalar(active) or 0) >= self.per_user:
                raise JobLimitReached(
                    f"{self.per_user} jobs wait or run already, more than one user may have.",
                    hint="Start this one when some have ended.",
                )
            if estimate is not None:
                if self.budgets is not None:
                    spending = self.budgets.within(session, user_id, lock=True)
                    expected = float(estimate.get("costs", 0.0))
                    self.budgets.check(expected, job.budget, spending, _committed(session, user_id))
                job.estimate = dict(estimate)
            moment = now()
            job.status, job.queued, job.updated = WAITING, moment, moment
            job.attempt, job.progress, job.cancel = 0, 0.0, False
            job.started = job.ended = job.error = job.usage = job.costs = job.result = None
            job.result_bytes = job.results_deleted = None
        return True

    def cancel(self, user_id: str, job_id: str) -> bool:
        """Stop a job: one that waits at once, one that runs as soon as its server sees it.

        Returns:
            Whether it runs, so that its server must stop it.

        Raises:
            JobNotFound, JobNotStarted
        """
        with self.database.write() as session:
            job = _job(session, user_id, job_id, lock=True)
            if job.status == "created":
                raise JobNotStarted(f"Job {job_id} was not started.")
            if job.status == WAITING:
                job.status, job.updated, job.ended = "canceled", now(), now()
            elif job.status == RUNNING:
                job.cancel, job.updated = True, now()
                return True
        return False

    def delete(self, user_id: str, job_id: str) -> None:
        """Forget a job that does not run.

        Raises:
            JobNotFound, JobLocked
        """
        with self.database.write() as session:
            job = _job(session, user_id, job_id, lock=True)
            if job.status == RUNNING:
                raise JobLocked(f"Job {job_id} runs.", hint="Stop it first.")
            session.delete(job)

    # --- by servers ---

    def claim(self, owner: str) -> JobRow | None:
        """The next job for a server: of the user with the fewest running jobs, the one that waits longest."""
        with self.database.write() as session:
            busy: dict[str, int] = dict(
                session.execute(
                    select(JobRow.user_id, func.count())
                    .where(JobRow.status == RUNNING)
                    .group_by(JobRow.user_id)
                ).all()
            )
            waiting = session.execute(
                select(JobRow.user_id, func.min(JobRow.queued))
                .where(JobRow.status == WAITING)
                .group_by(JobRow.user_id)
            ).all()
            for user_id, _ in sorted(waiting, key=lambda w: (busy.get(w[0], 0), w[1])):
                job = session.scalar(
                    select(JobRow)
                    .where(JobRow.user_id == user_id, JobRow.status == WAITING)
                    .order_by(JobRow.queued, JobRow.id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                if job is None:  # another server was first
                    continue
                moment = now()
                job.status, job.started, job.updated = RUNNING, job.started or moment, moment
                job.owner, job.lease_until, job.attempt = owner, moment + self.lease, job.attempt + 1
                return job
        return None

    def renew(self, owner: str, job_ids: Collection[str]) -> None:
        """Say that a server lives and runs these jobs; others that it once took are lost later."""
        if not job_ids:
            return
        with self.database.write() as session:
            mine = (JobRow.owner == owner, JobRow.status == RUNNING, JobRow.id.in_(job_ids))
            session.execute(update(JobRow).where(*mine).values(lease_until=now() + self.lease))

    def cancelled(self, owner: str) -> list[str]:
        """Jobs of a server that their users want to end."""
        with self.database.read() as session:
            mine = (JobRow.owner == owner, JobRow.status == RUNNING, JobRow.cancel.is_(True))
            return list(session.scalars(select(JobRow.id).where(*mine)))

    def progress(self, owner: str, job_id: str, **values: float) -> None:
        """How far a job has come (`progress`, 0 to 100), and what it has cost so far (`costs`)."""
        with self.database.write() as session:
            mine = (JobRow.id == job_id, JobRow.owner == owner, JobRow.status == RUNNING)
            session.execute(update(JobRow).where(*mine).values(**values, updated=now()))

    def end(self, owner: str, job_id: str, attempt: int, status: str, **fields: Any) -> bool:
        """The end of an attempt; False where the job is not this server's any more, and nothing is changed.

        Args:
            owner: the server.
            job_id: which job.
            attempt: which attempt ended.
            status: `finished`, `error` or `canceled`; or `queued`, for another attempt.
            fields: further columns.
        """
        with self.database.write() as session:
            job = session.get(JobRow, job_id, with_for_update=True)
            if job is None or (job.owner, job.status, job.attempt) != (owner, RUNNING, attempt):
                return False
            moment = now()
            job.status, job.updated, job.owner, job.lease_until = status, moment, None, None
            # An attempt that is lost or begun again is not paid for.
            for name, value in {"costs": None, **fields}.items():
                setattr(job, name, value)
            if status != WAITING:
                job.ended = moment
                user = session.get(UserRow, job.user_id, with_for_update=True)
                if user is not None and job.costs:
                    user.spent += job.costs
        return True

    def give_back(self, owner: str, job_id: str, attempt: int) -> None:
        """Let a job wait again as if this attempt had not been begun."""
        with self.database.write() as session:
            mine = (JobRow.id == job_id, JobRow.owner == owner, JobRow.status == RUNNING)
            values = {"status": WAITING, "attempt": attempt - 1, "progress": 0.0, "updated": now()}
            session.execute(
                update(JobRow).where(*mine).values(**values, owner=None, lease_until=None, costs=None)
            )

    def lost(self, dead: Sequence[str] = ()) -> list[Lost]:
        """Jobs whose server died: they wait again, or have failed where they were begun too often.

        Args:
            dead: servers that are known not to live; of others the lease must have ended.
        """
        found = []
        with self.database.write() as session:
            gone = (JobRow.lease_until < now()) | JobRow.owner.in_(dead)
            query = select(JobRow).where(JobRow.status == RUNNING, gone).with_for_update(skip_locked=True)
            for job in session.scalars(query):
                again = job.attempt < self.attempts and not job.cancel
                job.status = "canceled" if job.cancel else WAITING if again else "error"
                if job.status == "error":
                    job.error = {
                        "code": "Internal",
                        "message": f"The server was lost {job.attempt} times while it ran this job.",
                    }
                if not again:
                    job.ended = now()
                job.owner, job.lease_until, job.updated, job.costs = None, None, now(), None
                found.append(Lost(job.id, again, job.error if job.status == "error" else None))
        return found

    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        with self.database.read() as session:
            query = select(JobRow.status, func.count()).group_by(JobRow.status)
            return dict(session.execute(query).all())


def _committed(session: Session, user_id: str) -> float:
    """What a user's jobs that wait or run are expected to cost, beyond what they have cost."""
    active = select(JobRow.estimate, JobRow.costs).where(JobRow.user_id == user_id, JobRow.status.in_(ACTIVE))
    open_costs = (float((e or {}).get("costs", 0.0)) - (c or 0.0) for e, c in session.execute(active))
    return sum(max(0.0, costs) for costs in open_costs)


def _job(session: Session, user_id: str, job_id: str, *, lock: bool = False) -> JobRow:
    job = session.get(JobRow, job_id, with_for_update=lock)
    if job is None or job.user_id != user_id:
        raise JobNotFound(f"There is no job {job_id!r}.")
    return job


def _refuse_active(job: JobRow, what: str) -> None:
    if job.status in ACTIVE:
        raise JobLocked(
            f"Job {job.id} is {job.status} and cannot be {what}.", hint="Wait until it ends, or stop it."
        )
