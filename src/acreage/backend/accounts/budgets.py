"""What users may spend, and what they have spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from acreage.backend.database.tables import JobRow, UserRow
from acreage.backend.errors import PaymentRequired
from acreage.core.database import Database
from acreage.core.tariff import Tariff, Use


@dataclass(frozen=True)
class Spending:
    """Of one user.

    Attributes:
        spent: by jobs and requests that have ended.
        running: by those jobs that run.
        budget: what may be spent in all; None: as much as there is.
    """

    spent: float
    running: float
    budget: float | None

    @property
    def left(self) -> float | None:
        """What may still be spent, less than 0 where too much was; None: as much as there is."""
        return None if self.budget is None else self.budget - self.spent - self.running


@dataclass(frozen=True)
class Budgets:
    """Budgets of all users.

    Attributes:
        database: of the server.
        tariff: of what things cost.
        default: budget of users who have none of their own; None: as much as there is.
    """

    database: Database
    tariff: Tariff
    default: float | None = None

    def of(self, user_id: str) -> Spending:
        """What a user has spent and may spend."""
        with self.database.read() as session:
            return self.within(session, user_id)

    def within(self, session: Session, user_id: str, *, lock: bool = False) -> Spending:
        """As `of`, in a transaction; `lock`: nobody else changes it before its end."""
        user = session.get(UserRow, user_id, with_for_update=lock)
        running = session.scalar(
            select(func.sum(JobRow.costs)).where(JobRow.user_id == user_id, JobRow.status == "running")
        )
        spent, own = (0.0, None) if user is None else (user.spent, user.budget)
        return Spending(spent, float(running or 0.0), self.default if own is None else own)

    def listed(self) -> Mapping[str, Spending]:
        """Of all users who are known."""
        with self.database.read() as session:
            ids = session.scalars(select(UserRow.id).order_by(UserRow.id)).all()
            return {i: self.within(session, i) for i in ids}

    def give(self, user_id: str, budget: float | None) -> Spending:
        """Set what a user may spend in all; also one who has not logged in yet. None: as the default is."""
        with self.database.write() as session:
            user = session.get(UserRow, user_id, with_for_update=True)
            if user is None:
                user = UserRow(id=user_id, name=user_id, provider="", created=datetime.now(UTC), spent=0.0)
                session.add(user)
            user.budget = budget
            session.flush()
            return self.within(session, user_id)

    def charge(self, user_id: str, costs: float) -> None:
        """Enter what a synchronous request has cost."""
        if costs <= 0:
            return
        with self.database.write() as session:
            user = session.get(UserRow, user_id, with_for_update=True)
            if user is not None:
                user.spent += costs

    def check(
        self, expected: float, budget: float | None, spending: Spending, committed: float = 0.0
    ) -> None:
        """Refuse what is expected to cost more than may be spent.

        Args:
            expected: costs.
            budget: of the job or request; None: no limit of its own.
            spending: of the user.
            committed: what jobs that wait or run are expected to cost, beyond what they have cost.

        Raises:
            PaymentRequired
        """
        if self.tariff.is_free:
            return
        currency = self.tariff.currency
        if budget is not None and expected > budget:
            raise PaymentRequired(
                f"It is expected to cost {expected:g} {currency}, and its budget is {budget:g}.",
                hint="Raise the budget.",
            )
        left = spending.left
        if left is not None and (left <= 0 or expected + committed > left):
            waiting = f", and jobs that wait or run another {committed:g}" if committed else ""
            raise PaymentRequired(
                f"It is expected to cost {expected:g} {currency}{waiting}; of your budget "
                f"{max(left, 0.0):g} {currency} are left.",
                hint="Ask those who run the server for more.",
            )

    def exceeded(self, use: Use, user_id: str, budget: float | None, *, unentered: bool = False) -> str:
        """Why something that runs must end; empty where it may go on.

        Args:
            use: so far.
            user_id: whose.
            budget: of the job.
            unentered: what it has cost is not yet among what the user has spent, as a running job's is.
        """
        if self.tariff.is_free:
            return ""
        costs, currency = self.tariff.cost(use), self.tariff.currency
        if budget is not None and costs > budget:
            return f"It has cost {costs:g} {currency}, more than its budget of {budget:g}."
        left = self.of(user_id).left
        if left is not None and left < (costs if unentered else 0.0):
            return f"It has cost {costs:g} {currency} so far, and your budget is used up."
        return ""
