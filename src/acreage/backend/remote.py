"""Documents under addresses that users give: fetched with care, as the server stands elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from acreage.catalog.access.address import shown
from acreage.catalog.access.guard import checked_addresses
from acreage.catalog.access.model import AccessFailed
from acreage.catalog.access.policy import Policy
from acreage.catalog.access.public import PublicTransport
from acreage.core.errors import AddressRefused

_MOST_BYTES = 5_000_000
# A request waits for it.
_POLICY = Policy(attempts=2, refused=1, patience_s=20.0, connect_timeout_s=5.0, read_timeout_s=20.0)


def fetch_json(address: str, *, allowed: Collection[str] = ()) -> Any:
    """The JSON document under an address.

    Args:
        address: `http://` or `https://`, without a login.
        allowed: hosts that may be private, as `name` or `name:port`; `*` is all.

    Raises:
        AddressRefused: it must not be fetched, cannot be reached, is too large or not JSON.
    """
    _host_of(address)
    transport = PublicTransport(_POLICY, allowed)
    try:
        data = transport.document(address, {"Accept": "application/json"}, most_bytes=_MOST_BYTES)
    except AccessFailed as error:
        raise AddressRefused(error.message, hint=error.hint) from error
    finally:
        transport.close()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AddressRefused(
            f"{shown(address)} is not JSON.", hint="Give the address of a process."
        ) from error


def check_public(address: object, allowed: Collection[str] = ()) -> None:
    """Refuse an address of another kind than http(s), or whose host is not on the public internet.

    Args:
        address: that a user gave.
        allowed: hosts that may be private, as `name` or `name:port`; `*` is all.

    Raises:
        AddressRefused
    """
    if not isinstance(address, str):
        return  # what is no text is refused for that
    host, port = _host_of(address)
    try:
        checked_addresses(host, port, allowed)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"The host {host!r} is not known.", hint="Check the address.") from error


def _host_of(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise AddressRefused(f"{address[:200]!r} is not a valid address.", hint="Check it.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise AddressRefused(
            f"{address[:200]!r} is no address of a document.", hint="Give an http(s) address without a login."
        )
    return parts.hostname, port
