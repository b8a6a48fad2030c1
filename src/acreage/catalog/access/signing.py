"""Signatures: made, kept, and renewed once for all threads when they expire."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from acreage.catalog.access.address import (
    expiry,
    is_remote,
    join,
    parse_moment,
    s3_url,
    shown,
    split_signature,
)
from acreage.catalog.access.model import Access, AccessFailed, from_environment, header_values

# A signature is renewed this long before it ends, or in the last tenth of a short life.
_MARGIN_S = 60.0
ReadDocument = Callable[[str, Mapping[str, str]], bytes]
CountRenewal = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Signed:
    """A request made ready to be sent.

    Attributes:
        url: with its signature; never shown.
        headers: never shown.
        proof: what signed it, to tell whether another thread has renewed it meanwhile; None: nothing can.
    """

    url: str
    headers: Mapping[str, str]
    proof: object = None


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    renew_at: float | None


class Renewals:
    """Values that expire, fetched once for all threads that wait for one."""

    def __init__(self) -> None:
        self._kept: dict[object, _Kept] = {}
        self._locks: defaultdict[object, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def put(self, key: object, value: Any, expires: float | None) -> None:
        """Keep a value that came without a request."""
        self._kept[key] = _Kept(value, _renew_at(expires))

    def peek(self, key: object) -> Any | None:
        """The value kept, however old."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def get(
        self, key: object, fetch: Callable[[], tuple[Any, float | None]], spent: object | None = None
    ) -> Any:
        """The value, fetched where there is none, it is about to end, or is the one that is spent."""
        with self._guard:
            lock = self._locks[key]
        with lock:
            kept = self._kept.get(key)
            if kept is not None and kept.value is not spent and not _is_due(kept):
                return kept.value
            value, expires = fetch()
            self._kept[key] = _Kept(value, _renew_at(expires))
            return value


def _renew_at(expires: float | None) -> float | None:
    if expires is None:
        return None
    left = expires - time.time()
    return expires - min(_MARGIN_S, max(left, 0.0) * 0.1)


def _is_due(kept: _Kept) -> bool:
    return kept.renew_at is not None and time.time() >= kept.renew_at


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


class Signer(Protocol):
    """Makes requests for files ready; safe to use from several threads."""

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """A request for an address; `spent` is the proof that the server has refused.

        Raises:
            AccessFailed: there is nothing to sign with.
        """
        ...

    def explain(self) -> str:
        """What to do when the server refuses all the same."""
        ...


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


@dataclass(frozen=True)
class _Session:
    """What botocore found.

    Attributes:
        credentials: botocore's, None where there are none.
        region: as configured, else empty.
        endpoint: as AWS's own tools would take it from the environment, else empty.
    """

    credentials: Any
    region: str
    endpoint: str


class S3Signer:
    """AWS signature version 4 by botocore; unsigned where no credentials are to be found."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._sessions = Renewals()
        self._regions: dict[str, str] = {}

    def learn_region(self, address: str, region: str) -> bool:
        """The bucket's region, as its server told; False where that is nothing new."""
        bucket = urlsplit(address).netloc
        if not region or self._regions.get(bucket) == region:
            return False
        self._regions[bucket] = region
        return True

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """As `Signer.sign`."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        session = self._sessions.get("session", self._load)
        if spent is not None and _frozen(session.credentials) == spent:
            session = self._sessions.get("session", self._load, session)
        region = self._regions.get(urlsplit(address).netloc) or session.region
        url = address
        if urlsplit(address).scheme == "s3":
            access = self.access
            if session.endpoint and not access.endpoint:
                access = replace(access, endpoint=session.endpoint, addressing="path")
            url = s3_url(address, access, region)
        headers = {"x-amz-request-payer": "requester"} if self.access.requester_pays else {}
        credentials = _frozen(session.credentials)
        if credentials is None:
            return Signed(url, headers)
        request = AWSRequest(method="GET", url=url, headers=headers)
        S3SigV4Auth(credentials, "s3", region or "us-east-1").add_auth(request)
        return Signed(url, dict(request.headers.items()), credentials)

    def _load(self) -> tuple[_Session, None]:
        import botocore.session
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError

        access = self.access
        try:
            session = botocore.session.Session(profile=access.profile or None)
            region = access.region or os.environ.get("AWS_REGION") or ""
            region = region or session.get_config_variable("region") or ""
            endpoint = "" if access.endpoint else _environment_endpoint(session)
            if access.signing != "s3":
                return _Session(None, region, endpoint), None
            if access.access_key:
                what = "the S3 {} key".format
                token = access.session_token
                credentials: Any = Credentials(
                    from_environment(access.access_key, what("access")),
                    from_environment(access.secret_key, what("secret")),
                    from_environment(token, "the S3 session token") if token else None,
                )
            else:
                credentials = session.get_credentials()
            return _Session(credentials, region, endpoint), None
        except BotoCoreError as error:
            raise AccessFailed(
                f"The S3 credentials cannot be had: {error}.", hint="Check the AWS configuration."
            ) from error

    def explain(self) -> str:
        """As `Signer.explain`."""
        access = self.access
        if access.signing != "s3":
            return "It was asked for without credentials; name some under 'access' (docs/catalogs.md)."
        kept = self._sessions.peek("session")
        if access.access_key:
            where = f"{access.access_key} and {access.secret_key}"
        elif access.profile:
            where = f"the AWS profile {access.profile}"
        else:
            where = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an AWS profile"
        if kept is None or kept.credentials is None:
            return f"No credentials were found: set {where}."
        payer = "" if access.requester_pays else " A bucket whose readers pay needs requester_pays."
        return f"Check the credentials in {where}.{payer}"


def _frozen(credentials: Any) -> Any:
    """The credentials of this moment (those of a role renew themselves), None where there are none."""
    return None if credentials is None else credentials.get_frozen_credentials()


def _environment_endpoint(session: Any) -> str:
    """The endpoint that AWS's own tools would take from the environment or the profile."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return os.environ[name]
    return str(session.get_scoped_config().get("endpoint_url") or "")


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
