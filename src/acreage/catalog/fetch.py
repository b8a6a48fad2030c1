"""JSON documents from files and from remote stores, with errors that name the address."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from requests.adapters import HTTPAdapter

from acreage.catalog.access import (
    Access,
    Guard,
    PoliteAdapter,
    access_for,
    guarded_access,
    is_remote,
    shared,
    shown,
)
from acreage.catalog.access.address import join, may_go_along
from acreage.core.errors import CatalogError

PARALLEL_REQUESTS = 16
TIMEOUT_S = (10.0, 60.0)  # connect, read
_GUARDED_BYTES = 64_000_000  # of a document of strangers
_SHOWN = 80  # characters of an unexpected answer that an error quotes


def resolve(href: str, base: str) -> str:
    """An absolute path or address for a link found in the document at `base`."""
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    if ("://" in href and urlsplit(href).scheme) or href.startswith("/vsi"):
        return href
    if is_remote(base):
        return join(base, href)
    return os.path.normpath(os.path.join(_folder_of(base), href))


@lru_cache(maxsize=4096)
def _folder_of(document: str) -> str:
    """The folder of a document, links followed."""
    return str(Path(document).parent.resolve())


class Fetcher:
    """Reads JSON documents; safe to use from several threads.

    Args:
        headers: sent with requests over HTTP(S) to the catalog's own server, and to no other that it links.
        access: how buckets (`s3://`) are reached, None for what each address alone tells.
        origin: address of the catalog.
        guard: set where a user gave the address.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        access: Access | None = None,
        origin: str = "",
        guard: Guard | None = None,
    ) -> None:
        self.guard = guard
        self._headers = dict(headers or {})
        self.access = access
        self._origin = origin

    def adapter(self) -> HTTPAdapter:
        """For other clients of HTTP: the same headers, limits, retries and patience."""
        return PoliteAdapter(shared(), self._origin, self._headers, self.guard)

    def read_json(self, address: str) -> dict[str, Any]:
        """The JSON object at a path or address.

        Raises:
            CatalogError: it cannot be reached, or is not a JSON object.
        """
        return parse_object(self.read_text(address), address)

    def read_text(self, address: str) -> str:
        """The text at a path or address.

        Raises:
            CatalogError: it cannot be reached or read.
            AddressRefused: a user's catalog leads to what users may not reach.
        """
        guarded = self.guard is not None
        return self._get(address) if guarded or is_remote(address) else _read_file(address)

    def read_many(self, addresses: Iterable[str]) -> list[dict[str, Any] | CatalogError]:
        """Several documents in the order given; what cannot be read is the error instead."""
        wanted = list(addresses)
        if sum(map(is_remote, wanted)) < 2:
            return [self._try(address) for address in wanted]
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            return list(pool.map(self._try, wanted))

    def _try(self, address: str) -> dict[str, Any] | CatalogError:
        try:
            return self.read_json(address)
        except CatalogError as error:
            return error

    def _get(self, address: str) -> str:
        if self.guard is not None:
            access = guarded_access(address, self.guard)
            data = shared().document(address, {}, access, most_bytes=_GUARDED_BYTES)
            return data.decode("utf-8", "replace")
        headers = self._headers if may_go_along(self._origin, address) else {}
        return shared().document(address, headers, self._access(address)).decode("utf-8", "replace")

    def _access(self, address: str) -> Access:
        """In a bucket as for the collection's files; elsewhere their credentials are not sent."""
        if self.access is not None and urlsplit(address).scheme == "s3":
            return self.access
        return access_for(address)


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        raise CatalogError(f"{path} cannot be read: {reason}.") from error


def parse_object(text: str, address: str) -> dict[str, Any]:
    """Parse a JSON object that was read at an address.

    Raises:
        CatalogError: not JSON, or not an object; quotes how it begins.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CatalogError(
            f"{shown(address)} is not JSON; it begins with {_excerpt(text)}.",
            hint="Give the address of a STAC document, not of a web page.",
        ) from error
    if not isinstance(data, dict):
        raise CatalogError(f"{shown(address)} holds a JSON {type(data).__name__}, not a STAC object.")
    return data


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return repr(text[:_SHOWN] + ("..." if len(text) > _SHOWN else ""))
