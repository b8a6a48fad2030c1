"""What keeps a runner from sending more: pace, budget, a pause, too many failures. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acreage.core.errors import InvalidInput

PAUSED, PACE, BUDGET, FAILURE_SHARE, STOP = "paused", "pace", "budget", "failure_share", "stop"
_BURST_S = 10.0


@dataclass(frozen=True)
class Controls:
    """What people set while a runner runs.

    Attributes:
        paused: why nothing is sent; empty: it is.
        pace: jobs a minute at most; None: no limit.
        budget: that the whole production may cost; None: no limit.
        failure_share: of the last attempts, at which the run pauses.
        stop: whether runners shall end.
    """

    paused: str = ""
    pace: float | None = None
    budget: float | None = None
    failure_share: float = 0.3
    stop: bool = False

    @staticmethod
    def read(control: Mapping[str, Any], config: Mapping[str, Any], failure_share: float) -> Controls:
        """What is set now: by people while it runs, else by the plan.

        Args:
            control: of the ledger.
            config: of the production.
            failure_share: where neither says.
        """
        share = control.get(FAILURE_SHARE, config.get(FAILURE_SHARE))
        return Controls(
            str(control.get(PAUSED) or ""),
            control.get(PACE),
            control.get(BUDGET, config.get(BUDGET)),
            failure_share if share is None else float(share),
            bool(control.get(STOP)),
        )


def control_value(name: str, text: str) -> float | None:
    """What a person sets a control to; None: as the plan has it.

    Raises:
        InvalidInput: there is no such control, or it cannot be that.
    """
    if name not in (PACE, BUDGET, FAILURE_SHARE):
        raise InvalidInput(
            f"There is no control {name!r}.", hint=f"There are {PACE}, {BUDGET} and {FAILURE_SHARE}."
        )
    if text.lower() == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 <= value < float("inf")) or (name == PACE and value == 0):
        raise InvalidInput(
            f"{name} cannot be {text!r}.", hint="Give a number above 0, or none for what was planned."
        )
    if name == FAILURE_SHARE and value > 1:
        raise InvalidInput(f"{name} cannot be {text!r}.", hint="It is a share: 0 to 1.")
    return value


@dataclass
class Pace:
    """Jobs a minute; what was not used does not add up beyond some seconds."""

    _saved: float = 1.0
    _last: float | None = None

    def allowed(self, pace: float | None, now: float) -> int | None:
        """Jobs that may be begun now; None: any number."""
        if pace is None:
            self._last = None
            return None
        if self._last is not None:
            self._saved += (now - self._last) * pace / 60
        self._last = now
        self._saved = min(self._saved, max(1.0, pace * _BURST_S / 60))
        return int(self._saved)

    def begun(self, jobs: int) -> None:
        """So many were."""
        self._saved -= jobs


@dataclass
class FailureWindow:
    """The ends of the last attempts: which of them failed in a way that another try would not mend."""

    size: int
    least: int
    _ends: deque[bool] = field(default_factory=deque)

    def add(self, failed: bool) -> None:
        """An attempt ended."""
        self._ends.append(failed)
        while len(self._ends) > self.size:
            self._ends.popleft()

    def clear(self) -> None:
        """A person looked at it and went on."""
        self._ends.clear()

    @property
    def number(self) -> int:
        """Of attempts."""
        return len(self._ends)

    def share(self) -> float | None:
        """Of failures; None: too few have ended to say."""
        return sum(self._ends) / len(self._ends) if len(self._ends) >= self.least else None


def affordable(budget: float | None, spent: float, committed: float) -> float | None:
    """What may still be spent; None: no limit.

    Args:
        budget: in all.
        spent: by what has ended.
        committed: expected costs of what is on its way.
    """
    return None if budget is None else budget - spent - committed
