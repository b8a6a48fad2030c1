"""HTTP(S) for addresses that users give: the public internet only, without secrets of this machine.

What a user's address leads to is decided where a connection is made, after names are resolved and for every
redirection: a name that points into the private network reaches nothing there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from acreage.catalog.access.address import shown
from acreage.catalog.access.answers import Reply
from acreage.catalog.access.model import Access, AccessFailed
from acreage.catalog.access.policy import Policy
from acreage.catalog.access.transport import Transport
from acreage.core.errors import AddressRefused, FileSizeExceeded

# They hold an IPv4 address, which may be a private one.
_TUNNELS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
_PROXIES_OFF: Mapping[str, Any] = {"proxies": {}, "verify": True, "cert": None, "stream": True}


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


class PublicTransport(Transport):
    """A transport that reaches public addresses only, without proxies and without logins from `.netrc`.

    Args:
        policy: limits and patience.
        allowed: hosts that may be reached although they are private, as `name` or `name:port`; `*` is all.
    """

    def __init__(self, policy: Policy | None = None, allowed: Collection[str] = ()) -> None:
        super().__init__(policy)
        self._adapter = _PublicAdapter(frozenset(allowed))

    def _settings_of(self, url: str) -> Mapping[str, Any]:
        return _PROXIES_OFF

    def _login(self, url: str) -> tuple[str, str] | None:
        return None

    def download(self, address: str, path: Path, most_bytes: int) -> None:
        """Write what is at an address into a file.

        Args:
            address: http or https.
            path: of the file, which appears whole or not at all.
            most_bytes: the largest file that is taken.

        Raises:
            AddressRefused: another scheme, or not a public address.
            FileSizeExceeded: it is larger.
            AccessFailed: it cannot be had.
        """
        if urlsplit(address).scheme not in ("http", "https"):
            raise AddressRefused(f"{shown(address)[:200]} is not an address of the web (http or https).")
        part = path.with_name(f"{path.name}.part")

        def take(reply: Reply, deadline: float) -> None:
            if reply.status != 200:
                raise AccessFailed(f"{shown(address)} answers HTTP {reply.status}.", status=reply.status)
            stated = reply.headers.get("Content-Length", "")
            if stated.isdigit() and int(stated) > most_bytes:
                raise _too_large(address, most_bytes)
            length = 0
            with open(part, "wb") as file:
                for chunk in self.body(reply, deadline, 2 * most_bytes, decode=True):
                    length += len(chunk)
                    if length > most_bytes:
                        raise _too_large(address, most_bytes)
                    file.write(chunk)

        try:
            self.fetch(address, Access(), take, lambda: {"Accept-Encoding": "identity"})
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _too_large(address: str, most_bytes: int) -> FileSizeExceeded:
    return FileSizeExceeded(f"{shown(address)} is larger than {most_bytes / 1e6:g} MB.")


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


class _PublicAdapter(HTTPAdapter):
    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        super().__init__(pool_connections=16, pool_maxsize=16, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        """Pools whose connections are guarded."""
        made = {"allowed": self._allowed}
        plain = type("_PublicHTTP", (_Guarded, HTTPConnection), made)
        secure = type("_PublicHTTPS", (_Guarded, HTTPSConnection), made)
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_PublicHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_PublicHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
