"""Circuit breakers: a back end that does not answer well is left alone for a while, then tried once."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MOST_S = 900.0


@dataclass(frozen=True)
class Breaker:
    """What is known of a back end's answers.

    Attributes:
        threshold: failures in a row that open it.
        first_s: how long it is open the first time; twice as long after each trial that fails.
        failures: in a row.
        opened: how often in a row.
        until: when the next trial may be made; None: it is closed.
        quiet_until: the back end asked not to be called before; it is no failure.
    """

    threshold: int = 5
    first_s: float = 30.0
    failures: int = 0
    opened: int = 0
    until: float | None = None
    quiet_until: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing but trials may be sent."""
        return self.until is not None

    def is_quiet(self, now: float) -> bool:
        """Whether the back end asked for silence."""
        return now < self.quiet_until

    def may_try(self, now: float) -> bool:
        """Whether a call may be made: any while closed, one trial when its time has come."""
        return not self.is_quiet(now) and (self.until is None or now >= self.until)

    def succeeded(self, now: float) -> Breaker:
        """After an answer that was one; those to calls from before it opened do not close it."""
        if (not self.failures and self.until is None) or (self.until is not None and now < self.until):
            return self
        return replace(self, failures=0, opened=0, until=None)

    def failed(self, now: float) -> Breaker:
        """After a call without a useful answer."""
        failures = self.failures + 1
        if self.until is None and failures < self.threshold:
            return replace(self, failures=failures)
        if self.until is not None and now < self.until:
            return replace(self, failures=failures)  # a call that was on its way when it opened
        return self.open_for(now, min(_MOST_S, self.first_s * 2**self.opened), failures)

    def open_for(self, now: float, seconds: float, failures: int | None = None) -> Breaker:
        """Open it for a time, whatever came before."""
        return replace(
            self,
            failures=self.failures if failures is None else failures,
            opened=self.opened + 1,
            until=now + seconds,
        )

    def quiet(self, now: float, seconds: float) -> Breaker:
        """The back end asked to wait (`Retry-After`)."""
        return replace(self, quiet_until=max(self.quiet_until, now + seconds))
