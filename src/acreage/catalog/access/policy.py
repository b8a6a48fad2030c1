"""How hard a server may be asked: limits for each host, retries with growing pauses, and what it came to."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from email.utils import parsedate_to_datetime
from typing import TypeVar

from acreage.catalog.access.model import AccessFailed

T = TypeVar("T")
_HINT = "Try again later; docs/settings.md has the limits and the patience."
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and patience; the settings of the same names say them for a process.

    Attributes:
        requests_per_second: to one host, by all threads together; after a rest as many at once as there may
            be connections.
        connections: at once to one host.
        attempts: tries in a row without any progress.
        refused: as `attempts`, where nobody listens.
        backoff_s: pause after the first failure; it doubles, up to `backoff_limit_s`, less a random part.
        patience_s: longest time for one request with all its tries and waits.
        connect_timeout_s, read_timeout_s: of one try.
        whole_limit: largest file, bytes, that is read whole from a server that gives no parts.
    """

    requests_per_second: float = 100.0
    connections: int = 16
    attempts: int = 6
    refused: int = 3
    backoff_s: float = 0.5
    backoff_limit_s: float = 30.0
    patience_s: float = 300.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    whole_limit: int = 32_000_000


@dataclass(frozen=True, slots=True)
class HostUse:
    """What was asked of a host.

    Attributes:
        requests: sent, every try counted.
        bytes: of bodies received.
        retries: tries after a failure.
        waits: pauses, for the rate limit and between tries.
        waited_s: length of all pauses, over all threads.
        renewals: signatures fetched.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    waits: int = 0
    waited_s: float = 0.0
    renewals: int = 0

    def __add__(self, other: HostUse) -> HostUse:
        return HostUse(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: HostUse) -> HostUse:
        return HostUse(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


class Tally:
    """Counts by host; safe to use from several threads."""

    def __init__(self) -> None:
        self._hosts: dict[str, HostUse] = {}
        self._lock = threading.Lock()

    def add(self, host: str, use: HostUse) -> None:
        """Count."""
        with self._lock:
            self._hosts[host] = self._hosts.get(host, HostUse()) + use

    def snapshot(self) -> dict[str, HostUse]:
        """The counts so far, by host."""
        with self._lock:
            return dict(self._hosts)


def use_between(before: Mapping[str, HostUse], after: Mapping[str, HostUse]) -> dict[str, HostUse]:
    """What two snapshots differ by, for hosts that were asked something."""
    parts = {host: use - before.get(host, HostUse()) for host, use in after.items()}
    return {host: use for host, use in sorted(parts.items()) if use != HostUse()}


def added(one: Mapping[str, HostUse], other: Mapping[str, HostUse]) -> dict[str, HostUse]:
    """Two counts by host, together."""
    hosts = sorted({*one, *other})
    return {host: one.get(host, HostUse()) + other.get(host, HostUse()) for host in hosts}


class Transient(Exception):
    """A failure that may pass.

    Args:
        reason: what happened, as a part of a sentence.
        retry_after: seconds that the server asked to wait, None where it did not.
        progress: True where some bytes came: the tries are counted anew.
        refused: True where nobody listens.
        status: HTTP status, 0 where there was none.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        progress: bool = False,
        refused: bool = False,
        status: int = 0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.progress = progress
        self.refused = refused
        self.status = status


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or an HTTP date; None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


class NoTurn(Exception):
    """There is no turn to send a request before the deadline."""


class Gate:
    """The way to one host: so many connections at once, so many requests a second, pauses it asked for."""

    def __init__(self, requests_per_second: float, connections: int) -> None:
        self._rate = requests_per_second
        self._most = connections
        self._asked_rate: float | None = None
        self._asked_most: int | None = None
        self._busy = 0
        self._free = threading.Condition()
        self._lock = threading.Lock()
        self._next = 0.0
        self._held = 0.0

    def limit(self, requests_per_second: float | None, connections: int | None) -> None:
        """Keep these limits from now on; of several, the strictest."""
        with self._lock:
            if requests_per_second is not None:
                self._asked_rate = min(requests_per_second, self._asked_rate or requests_per_second)
                self._rate = self._asked_rate
            if connections is not None:
                self._asked_most = min(connections, self._asked_most or connections)
                self._most = self._asked_most

    def held(self) -> float:
        """Seconds for which nothing is sent yet."""
        with self._lock:
            return max(0.0, self._held - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Send nothing for so long, from any thread."""
        with self._lock:
            self._held = max(self._held, time.monotonic() + seconds)

    @contextmanager
    def slot(self, deadline: float, waited: Callable[[float], None]) -> Iterator[None]:
        """A turn to send one request.

        Raises:
            NoTurn: there is none before the deadline.
        """
        start = time.monotonic()
        with self._free:
            if not self._free.wait_for(lambda: self._busy < self._most, max(0.0, deadline - start)):
                raise NoTurn
            self._busy += 1
        try:
            self._await_turn(deadline)
            pause = time.monotonic() - start
            if pause > 0.001:
                waited(pause)
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify()

    def _await_turn(self, deadline: float) -> None:
        while True:
            with self._lock:
                interval = 1.0 / self._rate
                turn = max(time.monotonic(), self._next - (self._most - 1) * interval, self._held)
                if turn > deadline:
                    raise NoTurn
                self._next = max(self._next, turn) + interval
            time.sleep(max(0.0, turn - time.monotonic()))
            with self._lock:
                if self._held <= time.monotonic():
                    return  # else a pause was asked for meanwhile: queue again behind it


class Conduct:
    """Runs tries under the policy: the one place where waiting and trying again happen."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.tally = Tally()
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()

    def gate(self, host: str, requests_per_second: float | None, connections: int | None) -> Gate:
        """The gate of a host, with the policy's limits unless others were asked for."""
        with self._lock:
            if host not in self._gates:
                self._gates[host] = Gate(self.policy.requests_per_second, self.policy.connections)
            gate = self._gates[host]
        gate.limit(requests_per_second, connections)
        return gate

    def run(self, gate: Gate, host: str, what: str, attempt: Callable[[float], T]) -> T:
        """Try until it succeeds, is hopeless, or patience ends.

        Args:
            gate: of the host.
            host: for the tally.
            what: the address as it may be shown.
            attempt: one try, given the deadline (`time.monotonic`); raises `Transient` to be tried again.

        Raises:
            AccessFailed: naming the address, the reason and the number of tries.
        """
        policy = self.policy
        deadline = time.monotonic() + policy.patience_s
        tries = in_row = 0
        failure: Transient | None = None

        def waited(seconds: float) -> None:
            self.tally.add(host, HostUse(waits=1, waited_s=seconds))

        while True:
            try:
                with gate.slot(deadline, waited):
                    self.tally.add(host, HostUse(requests=1, retries=int(tries > 0)))
                    tries += 1
                    return attempt(deadline)
            except NoTurn:
                if failure is not None:
                    raise _given_up(what, failure, tries, policy.patience_s) from failure
                raise _not_asked(what, gate.held(), policy.patience_s) from None
            except Transient as error:
                failure = error
            in_row = 1 if failure.progress else in_row + 1
            most = min(policy.refused, policy.attempts) if failure.refused else policy.attempts
            if in_row >= most:
                raise _given_up(what, failure, tries, None) from failure
            pause = self._pause(failure, in_row)
            if failure.retry_after is not None and failure.status in (429, 503):
                gate.hold(pause)
            if time.monotonic() + pause > deadline:
                raise _given_up(what, failure, tries, policy.patience_s) from failure
            waited(pause)
            time.sleep(pause)

    def _pause(self, failure: Transient, in_row: int) -> float:
        if failure.retry_after:  # "at once" is what it said before it failed again: the pauses still grow
            return failure.retry_after
        longest: float = min(self.policy.backoff_s * 2.0 ** (in_row - 1), self.policy.backoff_limit_s)
        return longest * random.uniform(0.5, 1.0)


def _given_up(what: str, failure: Transient, tries: int, patience: float | None) -> AccessFailed:
    asked = f"asked {tries} times" if tries > 1 else "asked once"
    if patience is not None and failure.retry_after is not None:
        asked += f"; it says to wait {failure.retry_after:g} s, and patience ends after {patience:g} s"
    elif patience is not None:
        asked += f" in {patience:g} s"
    hint = "Check the address and the network." if failure.refused else _HINT
    return AccessFailed(f"{what}: {failure.reason} ({asked}).", hint=hint, status=failure.status)


def _not_asked(what: str, held: float, patience: float) -> AccessFailed:
    if held > 0:
        reason = f"its server said not to ask before another {held:.0f} s"
    else:
        reason = "there were too many other requests to its server"
    return AccessFailed(f"{what}: {reason}, and patience ends after {patience:g} s.", hint=_HINT)
