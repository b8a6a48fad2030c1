"""The public keys of a provider: asked for when they are needed, kept while it is out of reach."""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet
from urllib3.exceptions import HTTPError

from acreage.backend.errors import InfrastructureBusy

_FRESH_S = 3600.0
_KEPT_S = 86_400.0
"""How long keys are good that could not be renewed."""
_ASKS, _EVERY_S = 5, 10.0
"""Anybody can send a token with an unknown key, which makes the provider be asked: so often at once, and then
again after so many seconds. A new key is known after these at the latest, also while somebody does that."""
_WAITING = 8
_TIMEOUT_S = (5.0, 5.0)
_DEADLINE_S = 10.0
_MOST_BYTES = 1_000_000
_KEY_TYPES = ("RSA", "EC", "OKP")
_log = logging.getLogger(__name__)


class _Unusable(Exception):
    """What the provider answers, in words for the log."""


def is_secure(address: str) -> bool:
    """Whether what comes from an address can be trusted to come from there: HTTPS, or this machine."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http" or not parts.hostname:
        return False
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname == "localhost"


@dataclass
class ProviderKeys:
    """The keys of one provider; safe to use from many threads.

    Attributes:
        issuer: its address, without a slash at the end.
        title: its name in errors.
    """

    issuer: str
    title: str
    _found: KeySet | None = None
    _since: float = 0.0
    _asks: float = _ASKS
    _counted: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_WAITING))

    def get(self, key_id: str | None) -> KeySet:
        """The keys, asked for anew where they are old, or where the one that is named is not among them.

        Raises:
            InfrastructureBusy: there are none, and the provider cannot be asked.
        """
        keys, age = self._found, time.monotonic() - self._since
        if keys is not None and _has(keys, key_id):
            if age <= _FRESH_S:
                return keys
            if age <= _KEPT_S and self._lock.locked():  # another thread asks already
                return keys
        # A provider that is slow must not bind all threads of the server.
        if not self._turns.acquire(blocking=False):
            raise self._busy()
        try:
            with self._lock:
                return self._renewed(key_id)
        finally:
            self._turns.release()

    def _renewed(self, key_id: str | None) -> KeySet:
        keys, now = self._found, time.monotonic()
        age = now - self._since
        if keys is not None and _has(keys, key_id) and age <= _FRESH_S:  # another thread was first
            return keys
        self._asks = min(_ASKS, self._asks + (now - self._counted) / _EVERY_S)
        self._counted = now
        if self._asks >= 1:
            self._asks -= 1
            try:
                keys = _ask(self.issuer)
                self._found, self._since, age = keys, time.monotonic(), 0.0
            except _Unusable as error:
                _log.warning("The keys of %s cannot be had: %s", self.issuer, error)
        if keys is None or age > _KEPT_S:
            raise self._busy()
        return keys

    def _busy(self) -> InfrastructureBusy:
        return InfrastructureBusy(
            f"The keys of {self.title} cannot be had, so that its tokens cannot be checked.",
            hint="Try again in a minute.",
        )


def _has(keys: KeySet, key_id: str | None) -> bool:
    return key_id is None or any(k.kid == key_id for k in keys.keys)


def _ask(issuer: str) -> KeySet:
    until = time.monotonic() + _DEADLINE_S
    about = _document(f"{issuer}/.well-known/openid-configuration", until)
    if not isinstance(about, dict) or str(about.get("issuer")).rstrip("/") != issuer:
        raise _Unusable("its discovery document is of another issuer")
    document = _document(str(about.get("jwks_uri")), until)
    stated = document.get("keys") if isinstance(document, dict) else None
    keys = []
    for one in stated if isinstance(stated, list) else []:
        if isinstance(one, dict) and one.get("kty") in _KEY_TYPES and one.get("use", "sig") == "sig":
            with suppress(JoseError, ValueError, TypeError, KeyError):  # the others may be good
                keys.append(JWKRegistry.import_key(one))
    if not keys:
        raise _Unusable("it has no keys for signatures")
    return KeySet(keys)


def _document(address: str, until: float) -> Any:
    """A JSON document, within a size and a time; not from another address than was asked."""
    if not is_secure(address):
        raise _Unusable(f"{address} is not HTTPS")
    data = b""
    try:
        with requests.get(
            address,
            headers={"Accept": "application/json"},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != 200:
                raise _Unusable(f"{address} answers with status {answer.status_code}")
            # As it comes: a read of a given size would wait for ever for one byte after the other.
            while chunk := answer.raw.read1(65_536, decode_content=True):
                data += chunk
                if len(data) > _MOST_BYTES or time.monotonic() > until:
                    raise _Unusable(f"{address} answers with too much, or too slowly")
        return json.loads(data)
    except (requests.RequestException, HTTPError, OSError) as error:
        raise _Unusable(f"{address} cannot be read ({type(error).__name__})") from error
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"{address} is not JSON") from error
