"""Files at addresses that users give: of the public internet only, without secrets of this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from acreage.catalog.access.address import shown
from acreage.catalog.access.answers import Reply
from acreage.catalog.access.guard import UNPROXIED, PublicAdapter
from acreage.catalog.access.model import Access, AccessFailed
from acreage.catalog.access.policy import Policy
from acreage.catalog.access.transport import Transport
from acreage.core.errors import AddressRefused, FileSizeExceeded


class PublicTransport(Transport):
    """A transport that reaches public addresses only, without proxies and without logins from `.netrc`.

    Args:
        policy: limits and patience.
        allowed: hosts that may be reached although they are private, as `name` or `name:port`; `*` is all.
    """

    def __init__(self, policy: Policy | None = None, allowed: Collection[str] = ()) -> None:
        super().__init__(policy)
        self.allowed = frozenset(allowed)
        self._adapter = PublicAdapter(self.allowed)

    def _settings_of(self, url: str) -> Mapping[str, Any]:
        return UNPROXIED

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
