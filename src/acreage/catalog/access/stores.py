"""Which access an address has: as a configuration says, else as the known stores have it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from acreage.catalog.access.address import is_remote, may_go_along, shown, split_signature, was_signed
from acreage.catalog.access.guard import check_address
from acreage.catalog.access.model import Access, AccessConfig, Guard
from acreage.catalog.access.s3 import environment_endpoint
from acreage.catalog.access.signing import SIGNED
from acreage.catalog.definition import Strict, checked, parse_yaml
from acreage.core.errors import AddressRefused


class _Store(Strict):
    name: str
    match: tuple[str, ...] = Field(min_length=1)
    access: AccessConfig


class _Stores(Strict):
    stores: tuple[_Store, ...]


@cache
def _known_stores() -> tuple[_Store, ...]:
    text = (resources.files("acreage.catalog.access") / "stores.yaml").read_text("utf-8")
    stores: _Stores = checked(_Stores, parse_yaml(text), "stores.yaml")
    return stores.stores


def access_for(
    address: str,
    config: AccessConfig | None = None,
    source_headers: tuple[tuple[str, str], ...] = (),
) -> Access:
    """The access to an address.

    Args:
        address: remote.
        config: what a catalog configuration says; it wins, key by key, over what is known of the store.
        source_headers: (header, environment variable) with which the catalog itself is read.
    """
    plain = shown(address)
    store = next((s for s in _known_stores() if any(fnmatchcase(plain, p) for p in s.match)), None)
    given: dict[str, Any] = {}
    for level in (store.access if store else None, config):
        said = {} if level is None else {k: v for k, v in level if v is not None and v != {}}
        if level is config and said.get("endpoint", given.get("endpoint")) != given.get("endpoint"):
            given = {}  # a bucket of the same name in another store
        if level is config and "credentials" in said:
            said.setdefault("signing", "s3")
        given.update(said)
    credentials = given.pop("credentials", None)
    headers = tuple((name, r.env) for name, r in given.pop("headers", {}).items())
    s3 = urlsplit(address).scheme == "s3"
    given.setdefault("signing", "headers" if headers else "s3" if s3 or credentials else "none")
    if s3 and "endpoint" not in given:
        given.setdefault("addressing", "virtual")
    access = Access(**given, headers=headers, item_headers=source_headers)
    if credentials is None:
        return access
    names = {
        key: reference.env
        for key in ("access_key", "secret_key", "session_token")
        if (reference := getattr(credentials, key)) is not None
    }
    return replace(access, profile=credentials.profile, **names)


def guarded_access(address: str, guard: Guard) -> Access:
    """The access to an address that a user gave, or that what the user gave leads to.

    Buckets of the known archives are signed for as for everybody; of others nothing is asked with the
    credentials of this machine, nor at the expense of who runs it.

    Raises:
        AddressRefused: it is none of a network, or its host is not of the public internet.
    """
    if not is_remote(address):
        raise AddressRefused(
            f"{address[:200]!r} is no address of the web, and files of the server are not read so.",
            hint="Use addresses of http, https or s3 in STAC documents.",
        )
    check_address(address, guard.allowed)
    access = access_for(address)
    if access.signing == "s3" and (access.requester_pays or not _is_known(address)):
        access = replace(access, signing="none", requester_pays=False)
    return replace(access, guard=guard)


def _is_known(address: str) -> bool:
    return any(fnmatchcase(shown(address), p) for s in _known_stores() for p in s.match)


def server_of(address: str, access: Access | None = None) -> str:
    """What tells a bucket from one of the same name: its server or the profile that names it; else empty."""
    if urlsplit(address).scheme != "s3":
        return ""
    access = access or access_for(address)
    return access.endpoint or environment_endpoint() or access.profile or os.environ.get("AWS_PROFILE", "")


@dataclass(frozen=True)
class Reach:
    """How the files of a collection are reached, before any address is known.

    Attributes:
        config: what a catalog configuration says, None where it says nothing.
        source_headers: (header, environment variable) with which the catalog itself is read.
        source: address of the catalog, to whose server alone these headers are sent.
        guard: set where a user gave the catalog.
    """

    config: AccessConfig | None = None
    source_headers: tuple[tuple[str, str], ...] = ()
    source: str = ""
    guard: Guard | None = None

    def place(self, href: str, item: str) -> tuple[str, Access | None]:
        """What to keep of an asset's href: an address without secrets, and how it is reached.

        A signed href is remembered in this process, and asked of the item again when it has expired.

        Args:
            href: absolute, as the item gives it.
            item: address of the item.

        Returns:
            The stable address, and the access; None for local files and where the address alone tells.

        Raises:
            AddressRefused: a user's catalog leads to what users may not reach.
        """
        if self.guard is not None:
            return self._guarded(href, item, self.guard)
        if not is_remote(href):
            return href, None
        href, stored = was_signed(href)
        stable, signed = split_signature(href)
        headers = self.source_headers if may_go_along(self.source, item) else ()
        access = access_for(stable, self.config, headers)
        unsaid = self.config is None or self.config.signing is None
        if access.signing == "item" or ((signed or stored) and unsaid and access.signing == "none"):
            if signed:
                SIGNED.remember(item, stable, href)
            return stable, replace(access, signing="item", item=item)
        return stable, None if self.config is None else access

    def _guarded(self, href: str, item: str, guard: Guard) -> tuple[str, Access]:
        stable, signed = split_signature(href)
        access = guarded_access(stable, guard)
        if signed and access.signing == "none":
            SIGNED.remember(item, stable, href)
            access = replace(access, signing="item", item=item)
        return stable, access

    def for_documents(self, address: str) -> Access | None:
        """How the catalog itself is read, None for what its address alone tells."""
        return None if self.config is None else access_for(address, self.config)


# By what each address tells.
EVERYWHERE = Reach()
