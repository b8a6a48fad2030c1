"""Documents under addresses that users give: fetched with care, since the server stands in another network.

The host's addresses are looked up once, and the connection goes to the one that was checked: a name that
answers differently the second time leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import urllib3

from acreage.core.errors import InvalidInput

_MOST_BYTES = 5_000_000
_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)


class AddressRefused(InvalidInput):
    """An address that a user gave cannot be fetched, or must not be."""

    code = "AddressRefused"


def fetch_json(address: str, *, private: bool = False) -> Any:
    """The JSON document under an address.

    Args:
        address: `http://` or `https://`, without a login.
        private: whether the host may be in a private network, or this machine.

    Raises:
        AddressRefused: it must not be fetched, cannot be reached, is moved, too large or not JSON.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise AddressRefused(f"{address!r} is no address of a document.", hint="Give an http(s) address.")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise AddressRefused(f"{address!r} has no valid port.") from error
    place = _checked(parts.hostname, port, private=private)
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            place, port, server_hostname=parts.hostname, assert_hostname=parts.hostname, timeout=_TIMEOUT
        )
    else:
        pool = urllib3.HTTPConnectionPool(place, port, timeout=_TIMEOUT)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with pool:
        try:
            answer = pool.request(
                "GET",
                path,
                headers={"Host": host, "Accept": "application/json"},
                redirect=False,
                retries=False,
                preload_content=False,
            )
            data = answer.read(_MOST_BYTES + 1, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise AddressRefused(f"{address} cannot be reached: {error}.") from error
    if answer.status != 200:
        raise AddressRefused(f"{address} answers with status {answer.status}.")
    if len(data) > _MOST_BYTES:
        raise AddressRefused(f"{address} is larger than {_MOST_BYTES / 1e6:g} MB.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AddressRefused(f"{address} is not JSON.") from error


def check_public(address: object) -> None:
    """Refuse an address of another kind than http(s), or whose host is not in the public network.

    Raises:
        AddressRefused
    """
    if not isinstance(address, str):
        return  # what is no text is refused for that
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused(f"{address!r} is no address of a document.", hint="Give an http(s) address.")
    _checked(parts.hostname, 443, private=False)


def _checked(host: str, port: int, *, private: bool) -> str:
    """The numeric address of a host.

    Raises:
        AddressRefused: it is unknown, or one of its addresses is not of the public network.
    """
    try:
        found = {str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"The host {host!r} is not known.") from error
    if not private and not all(is_public(a) for a in found):
        raise AddressRefused(f"The host {host!r} is not in the public network.")
    return sorted(found)[0]


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public network."""
    place = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(place, ipaddress.IPv6Address):
        inner = place.ipv4_mapped or place.sixtofour or (place.teredo[1] if place.teredo else None)
        if inner is not None and not inner.is_global:
            return False
    return place.is_global and not place.is_multicast
