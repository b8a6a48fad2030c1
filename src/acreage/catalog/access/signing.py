"""Signatures: made, kept, and renewed once for all threads when they expire."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from acreage.catalog.access.address import (
    expiry,
    is_remote,
    join,
    parse_moment,
    shown,
    split_signature,
)
from acreage.catalog.access.model import Access, AccessFailed, header_values
from acreage.catalog.access.renewal import Renewals, Signed, Signer
from acreage.catalog.access.s3 import S3Signer

ReadDocument = Callable[[str, Mapping[str, str]], bytes]
CountRenewal = Callable[[str], None]


class SignedAddresses:
    """Signed addresses by the item that gave them; in this process only."""

    def __init__(self) -> None:
        self._items = Renewals()
        self._lock = threading.Lock()

    def remember(self, item: str, stable: str, signed: str) -> None:
        """Keep one address of an item."""
        with self._lock:
            known: dict[str, str] = {**(self._items.peek(item) or {}), stable: signed}
            self._items.put(item, known, _earliest(known))

    def all_of(
        self, item: str, stable: str, read: Callable[[], Mapping[str, str]], spent: object | None
    ) -> Any:
        """All addresses of the item, with this one among them; `read` reads the item again."""

        def fetch() -> tuple[Any, float | None]:
            found = dict(read())
            return found, _earliest(found)

        known = self._items.get(item, fetch, spent)
        if stable not in known:
            known = self._items.get(item, fetch, known)
        return known


def _earliest(addresses: Mapping[str, str]) -> float | None:
    return min((e for e in map(expiry, addresses.values()) if e is not None), default=None)


SIGNED = SignedAddresses()


@dataclass(frozen=True)
class PlainSigner:
    """No signature, or fixed headers from the environment."""

    access: Access

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """As `Signer.sign`."""
        return Signed(address, header_values(self.access.headers))

    def explain(self) -> str:
        """As `Signer.explain`."""
        names = ", ".join(env for _, env in self.access.headers)
        if names:
            return f"Check the value of {names}."
        return "It was asked for without credentials; name some under 'access' (docs/catalogs.md)."


class TokenSigner:
    """Shared access signatures for storage accounts, from a token service: one for each container."""

    def __init__(self, access: Access, read: ReadDocument, renewed: CountRenewal) -> None:
        self.access = access
        self._read = read
        self._renewed = renewed
        self._tokens = Renewals()

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """As `Signer.sign`."""
        stable, _ = split_signature(address)
        parts = urlsplit(stable)
        account, container = parts.netloc.split(".")[0].split(":")[0], parts.path.split("/")[1]

        def fetch() -> tuple[Any, float]:
            found = self._fetch(f"{account}/{container}")
            self._renewed(parts.netloc)
            return found

        token = self._tokens.get((account, container), fetch, spent)
        return Signed(f"{stable}{'&' if parts.query else '?'}{token[0]}", {}, token)

    def _fetch(self, container: str) -> tuple[Any, float]:
        address = f"{self.access.token_service.rstrip('/')}/{container}"
        document = _json(self._read(address, header_values(self.access.headers)), address)
        token, end = document.get("token"), document.get("msft:expiry")
        try:
            return (str(token).removeprefix("?"),), parse_moment(str(end))
        except ValueError as error:
            raise AccessFailed(
                f"The token service {shown(address)} answers without a token and its 'msft:expiry'."
            ) from error

    def explain(self) -> str:
        """As `Signer.explain`."""
        return f"The token service {self.access.token_service} gave a signature that the store refuses."


class ItemSigner:
    """Signed addresses as the item gives them."""

    def __init__(self, access: Access, read: ReadDocument, renewed: CountRenewal) -> None:
        self.access = access
        self._read = read
        self._renewed = renewed

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """As `Signer.sign`."""

        def read() -> dict[str, str]:
            found = self._hrefs()
            self._renewed(urlsplit(address).netloc)
            return found

        known = SIGNED.all_of(self.access.item, address, read, spent)
        url = known.get(address)
        if url is None:
            raise AccessFailed(
                f"The item at {shown(self.access.item)} no longer has the asset {shown(address)}.",
                hint="Search the catalog again.",
            )
        return Signed(url, {}, known)

    def _hrefs(self) -> dict[str, str]:
        item = self.access.item
        if is_remote(item):
            data = _json(self._read(item, header_values(self.access.item_headers)), item)
        elif self.access.guard is not None:
            raise AccessFailed(f"The item {item} has no address of the web.")
        else:
            try:
                data = _json(Path(item).read_bytes(), item)
            except OSError as error:
                raise AccessFailed(f"The item {item} cannot be read again: {error.strerror}.") from error
        found: dict[str, str] = {}
        assets = data.get("assets")
        for asset in assets.values() if isinstance(assets, dict) else ():
            href = asset.get("href") if isinstance(asset, dict) else None
            if isinstance(href, str):
                absolute = href if is_remote(href) or not is_remote(item) else join(item, href)
                found[split_signature(absolute)[0]] = absolute
        return found

    def explain(self) -> str:
        """As `Signer.explain`."""
        return f"The item at {shown(self.access.item)} gives an address whose signature is refused."


def _json(body: bytes, address: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:
        raise AccessFailed(f"{shown(address)} is not JSON.") from error
    if not isinstance(data, dict):
        raise AccessFailed(f"{shown(address)} holds no JSON object.")
    return data


def signer_for(access: Access, address: str, read: ReadDocument, renewed: CountRenewal) -> Signer:
    """The signer of an access."""
    if access.signing == "planetary-computer":
        return TokenSigner(access, read, renewed)
    if access.signing == "item":
        return ItemSigner(access, read, renewed)
    if access.signing == "s3" or urlsplit(address).scheme == "s3":
        return S3Signer(access)
    return PlainSigner(access)
