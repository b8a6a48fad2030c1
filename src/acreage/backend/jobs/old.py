"""Old jobs: whose results, or all that is known of them, are to be deleted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.store import ACTIVE, FINISHED, now
from acreage.core.database import Database

_ASKED_AT_ONCE = 500


@dataclass(frozen=True)
class OldJobs:
    """Jobs of all users, as those who keep house see them.

    Attributes:
        database: of the server.
    """

    database: Database

    def ended_before(self, moment: datetime, limit: int) -> list[JobRow]:
        """Jobs that ended before a moment, oldest first."""
        with self.database.read() as session:
            query = select(JobRow).where(JobRow.ended < moment, JobRow.status.not_in(ACTIVE))
            return list(session.scalars(query.order_by(JobRow.ended).limit(limit)))

    def with_old_results(self, moment: datetime, limit: int) -> list[JobRow]:
        """Finished jobs that ended before a moment and have results, oldest first."""
        with self.database.read() as session:
            query = select(JobRow).where(
                JobRow.status == FINISHED, JobRow.ended < moment, JobRow.results_deleted.is_(None)
            )
            return list(session.scalars(query.order_by(JobRow.ended).limit(limit)))

    def results_gone(self, job_id: str, attempt: int) -> bool:
        """Enter that a job's results are deleted; False where it was started again meanwhile."""
        with self.database.write() as session:
            job = session.get(JobRow, job_id, with_for_update=True)
            if job is None or (job.status, job.attempt, job.results_deleted) != (FINISHED, attempt, None):
                return False
            job.result, job.result_bytes, job.results_deleted = None, None, now()
        return True

    def states(self, job_ids: Collection[str]) -> dict[str, JobRow]:
        """Those of these jobs that there are."""
        found: dict[str, JobRow] = {}
        ids = sorted(job_ids)
        with self.database.read() as session:
            for start in range(0, len(ids), _ASKED_AT_ONCE):
                some = select(JobRow).where(JobRow.id.in_(ids[start : start + _ASKED_AT_ONCE]))
                found.update((job.id, job) for job in session.scalars(some))
        return found
