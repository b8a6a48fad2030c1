"""What is signed, and values that expire: kept, and fetched once for all threads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# A signature is renewed this long before it ends, or in the last tenth of a short life.
_MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Signed:
    """A request made ready to be sent.

    Attributes:
        url: with its signature; never shown.
        headers: never shown.
        proof: what signed it, to tell whether another thread has renewed it meanwhile; None: nothing can.
    """

    url: str
    headers: Mapping[str, str]
    proof: object = None


class Signer(Protocol):
    """Makes requests for files ready; safe to use from several threads."""

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """A request for an address; `spent` is the proof that the server has refused.

        Raises:
            AccessFailed: there is nothing to sign with.
        """
        ...

    def explain(self) -> str:
        """What to do when the server refuses all the same."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    renew_at: float | None


class Renewals:
    """Values that expire, fetched once for all threads that wait for one."""

    def __init__(self) -> None:
        self._kept: dict[object, _Kept] = {}
        self._locks: defaultdict[object, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def put(self, key: object, value: Any, expires: float | None) -> None:
        """Keep a value that came without a request."""
        self._kept[key] = _Kept(value, _renew_at(expires))

    def peek(self, key: object) -> Any | None:
        """The value kept, however old."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def get(
        self, key: object, fetch: Callable[[], tuple[Any, float | None]], spent: object | None = None
    ) -> Any:
        """The value, fetched where there is none, it is about to end, or is the one that is spent."""
        with self._guard:
            lock = self._locks[key]
        with lock:
            kept = self._kept.get(key)
            if kept is not None and kept.value is not spent and not _is_due(kept):
                return kept.value
            value, expires = fetch()
            self._kept[key] = _Kept(value, _renew_at(expires))
            return value


def _renew_at(expires: float | None) -> float | None:
    if expires is None:
        return None
    left = expires - time.time()
    return expires - min(_MARGIN_S, max(left, 0.0) * 0.1)


def _is_due(kept: _Kept) -> bool:
    return kept.renew_at is not None and time.time() >= kept.renew_at
