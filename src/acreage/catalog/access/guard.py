"""Addresses that users give lead to the public internet only.

What an address leads to is decided where a connection is made, after names are resolved and for every
redirection: a name that points into the private network reaches nothing there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from acreage.core.errors import AddressRefused

# They hold an IPv4 address, which may be a private one.
_TUNNELS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
#: How a guarded request is sent: a proxy of this machine would reach what the machine may not.
UNPROXIED: Mapping[str, Any] = {"proxies": {}, "verify": True, "cert": None, "stream": True}


def is_public(address: str) -> bool:
    """True for an IP address of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in tunnel for tunnel in _TUNNELS):
            return False
    return ip.is_global and not ip.is_multicast


def checked_addresses(host: str, port: int, allowed: Collection[str] = ()) -> list[str]:
    """The IP addresses of a host that users may reach.

    Args:
        host: name or IP address.
        port: of the connection.
        allowed: hosts that may be private, as `name` or `name:port`; `*` is all.

    Raises:
        AddressRefused: one of them is not of the public internet.
        socket.gaierror, UnicodeError: the name has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not {"*", host, f"{host}:{port}"} & set(allowed) and not all(map(is_public, addresses)):
        raise AddressRefused(
            f"{host} is not on the public internet.",
            hint="Upload the file, or put it on a public server.",
        )
    return addresses


class _Guarded:
    """Makes a connection's socket, to an address that is checked first."""

    allowed: frozenset[str]

    def _new_conn(self: Any) -> socket.socket:
        host, port = self.host, self.port
        try:
            addresses = checked_addresses(host, port, self.allowed)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, self, socket.gaierror(str(error))) from error
        try:
            # The very address that was checked: the name may point elsewhere a moment later.
            return create_connection(
                (addresses[0], port),
                self.timeout,
                source_address=self.source_address,
                socket_options=self.socket_options,
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error


def check_address(address: str, allowed: Collection[str] = ()) -> None:
    """Refuse an http(s) address whose host users may not reach; one without a host is left to who asks it.

    Raises:
        AddressRefused: it is not of the public internet.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise AddressRefused(f"{address[:200]!r} is not a valid address.", hint="Check it.") from error
    if host and parts.scheme in ("http", "https"):
        with suppress(OSError, UnicodeError):  # a name that leads nowhere is told when it is asked
            checked_addresses(host, port, allowed)


def pool_of(
    allowed: Collection[str], connections: int, maxsize: int, block: bool = False, **kwargs: Any
) -> PoolManager:
    """Pools whose connections are made to checked addresses only."""
    made = {"allowed": frozenset(allowed)}
    plain = type("_PublicHTTP", (_Guarded, HTTPConnection), made)
    secure = type("_PublicHTTPS", (_Guarded, HTTPSConnection), made)
    pool = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
    pool.pool_classes_by_scheme = {
        "http": type("_PublicHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_PublicHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
    return pool


class PublicAdapter(HTTPAdapter):
    """Sends requests to checked addresses only."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(allowed)
        super().__init__(pool_connections=16, pool_maxsize=16, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        """Pools whose connections are guarded."""
        self.poolmanager = pool_of(self._allowed, connections, maxsize, block, **kwargs)
