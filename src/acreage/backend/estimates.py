"""What is expected to be used and paid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.accounts.users import User
from acreage.backend.errors import BudgetInvalid, PaymentRequired
from acreage.backend.server import Server
from acreage.core.tariff import Use


def estimated(
    server: Server, user: User, process: Mapping[str, Any], options: Mapping[str, Any], own: str = ""
) -> dict[str, Any]:
    """Costs, duration and size of a process's run, by its plan, in the API's form.

    Args:
        server: that would run it.
        user: whose it is.
        process: as the user gave it.
        options: of the job.
        own: `host` or `host:port` under which the client reaches this server.

    Raises:
        AcreageError: it cannot be planned.
    """
    expanded = server.expanded(user.id, process, own)
    plan = server.work.plan(expanded, options, user, server.loads(user.id, expanded, own))
    expected = plan.estimate
    seconds = expected.core_seconds / max(plan.threads, 1)
    use = Use(expected.core_seconds, expected.memory_bytes / 1e9 * seconds, expected.source_pixels / 1e6)
    size = sum(plan.nodes[o.node].meta.size * plan.nodes[o.node].meta.dtype.itemsize for o in plan.outputs)
    return {
        "costs": server.tariff.cost(use),
        "duration": f"PT{max(1, math.ceil(seconds))}S",
        "size": int(size),
        "downloads_included": 0,
    }


def budget_of(value: Any) -> float | None:
    """A budget as a client states it.

    Raises:
        BudgetInvalid: it is no amount.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BudgetInvalid(f"A budget of {value!r} is no amount.", hint="Give a number of 0 or more.")
    return float(value)


@dataclass(frozen=True)
class RequestMeter:
    """What a synchronous request may cost (`requests.Meter`).

    Attributes:
        budgets: of users.
        user_id: whose request.
        budget: of the request.
    """

    budgets: Budgets
    user_id: str
    budget: float | None

    def check(self, use: Use) -> None:
        """End what has cost too much.

        Raises:
            PaymentRequired
        """
        if reason := self.budgets.exceeded(use, self.user_id, self.budget, unentered=True):
            raise PaymentRequired(reason)

    def charge(self, use: Use) -> None:
        """Enter what it has cost."""
        self.budgets.charge(self.user_id, self.budgets.tariff.cost(use))
