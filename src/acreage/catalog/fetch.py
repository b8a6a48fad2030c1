"""JSON documents from files and over HTTP(S), with retries, timeouts and errors that name the address."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from acreage.core.errors import CatalogError

PARALLEL_REQUESTS = 16
TIMEOUT_S = (10.0, 60.0)  # connect, read
_SHOWN = 80  # characters of an unexpected answer that an error quotes


def is_remote(address: str) -> bool:
    """True for http and https addresses."""
    return urlsplit(address).scheme in ("http", "https")


def resolve(href: str, base: str) -> str:
    """An absolute path or address for a link found in the document at `base`."""
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    if (urlsplit(href).scheme and "://" in href) or href.startswith("/vsi"):
        return href
    if is_remote(base):
        return urljoin(base, href)
    return str((Path(base).parent / href).resolve())


def retry_policy() -> Retry:
    """Five more tries with growing pauses, two where nobody listens; a server's Retry-After is honoured."""
    return Retry(
        total=5,
        connect=2,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET", "POST"),
        respect_retry_after_header=True,
        raise_on_status=False,
    )


class Fetcher:
    """Reads JSON documents; safe to use from several threads.

    Args:
        headers: sent with every request.
        retry: policy for failed requests.
    """

    def __init__(self, headers: Mapping[str, str] | None = None, retry: Retry | None = None) -> None:
        self.headers = dict(headers or {})
        self.retry = retry or retry_policy()
        self._session = requests.Session()
        self._session.headers.update(self.headers)
        adapter = HTTPAdapter(max_retries=self.retry, pool_maxsize=PARALLEL_REQUESTS)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

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
        """
        return self._get(address) if is_remote(address) else _read_file(address)

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
        try:
            response = self._session.get(address, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise CatalogError(
                f"{address} cannot be reached: {error}.", hint="Check the address and the network."
            ) from error
        if not response.ok:
            raise CatalogError(
                f"{address} answers HTTP {response.status_code} {response.reason}: {_excerpt(response.text)}",
                hint="Check the address and the credentials.",
            )
        return response.content.decode("utf-8", errors="replace")


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
            f"{address} is not JSON; it begins with {_excerpt(text)}.",
            hint="Give the address of a STAC document, not of a web page.",
        ) from error
    if not isinstance(data, dict):
        raise CatalogError(f"{address} holds a JSON {type(data).__name__}, not a STAC object.")
    return data


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return repr(text[:_SHOWN] + ("..." if len(text) > _SHOWN else ""))
