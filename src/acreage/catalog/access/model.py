"""How an address is reached: who signs, where the secrets are, how fast one may ask.

`Access` says where secrets are found and never holds one, so it may be pickled, logged and stored.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from acreage.catalog.definition import Strict
from acreage.core.errors import CatalogError
from acreage.core.faults import FaultKind

Signing = Literal["none", "s3", "planetary-computer", "headers", "item"]
Addressing = Literal["path", "virtual"]


class AccessFailed(CatalogError):
    """Bytes at an address could not be had; the message names the address without its query.

    Args:
        kind: which fault it is.
        status: the HTTP status that ended it, 0 where there was none.
    """

    def __init__(
        self, message: str, *, hint: str = "", kind: FaultKind = "unreadable", status: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class Guard:
    """Who is asked on behalf of a user: the public internet only, without logins and proxies of this machine.

    Attributes:
        allowed: hosts that may be private, as `name` or `name:port`; `*` is all.
    """

    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """How the files of a collection are reached. Frozen, picklable, without secrets.

    Attributes:
        signing: `none`; `s3` (AWS signature version 4); `planetary-computer` (shared access signatures of a
            token service); `headers` (HTTP headers from the environment); `item` (signed addresses that the
            item itself gives, read again when they expire).
        endpoint: base address for `s3://` addresses, empty for AWS itself.
        region: of the bucket; empty: the environment's, else as the server tells.
        addressing: bucket in the path or in the host name.
        access_key, secret_key, session_token: names of environment variables, empty for the standard chain
            of AWS (environment, profile, instance).
        profile: AWS profile, empty for the environment's.
        requester_pays: agree to pay for the transfer.
        token_service: address that gives signatures for `planetary-computer`.
        headers: (header, name of the environment variable that holds its value).
        requests_per_second, connections: limits for each host, None for the settings'.
        item: address of the STAC item that signs, for `item`.
        item_headers: as `headers`, for reading that item.
        guard: set where a user gave the address, or what the user gave led to it.
    """

    signing: Signing = "none"
    endpoint: str = ""
    region: str = ""
    addressing: Addressing = "path"
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    profile: str = ""
    requester_pays: bool = False
    token_service: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    requests_per_second: float | None = None
    connections: int | None = None
    item: str = ""
    item_headers: tuple[tuple[str, str], ...] = ()
    guard: Guard | None = None


class EnvReference(Strict):
    """A secret's place: the name of the environment variable that holds it."""

    env: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("write it as {env: NAME}: secrets stay in environment variables")
        return value


class CredentialsConfig(Strict):
    """Where the S3 credentials of a collection are."""

    access_key: EnvReference | None = None
    secret_key: EnvReference | None = None
    session_token: EnvReference | None = None
    profile: str = ""

    @model_validator(mode="after")
    def _whole(self) -> CredentialsConfig:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        if (self.access_key is None) == (not self.profile):
            raise ValueError("give either access_key and secret_key, or a profile")
        return self


class AccessConfig(Strict):
    """The key `access` of a collection in a catalog configuration; what is not given, the address decides."""

    signing: Signing | None = None
    endpoint: str | None = None
    region: str | None = None
    addressing: Addressing | None = None
    credentials: CredentialsConfig | None = None
    requester_pays: bool | None = None
    token_service: str | None = None
    headers: dict[str, EnvReference] = Field(default_factory=dict)
    requests_per_second: PositiveFloat | None = None
    connections: PositiveInt | None = None

    @field_validator("endpoint", "token_service")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is no http(s) address")
        return value

    @model_validator(mode="after")
    def _fits(self) -> AccessConfig:
        if self.headers and self.signing not in (None, "headers"):
            raise ValueError(f"headers do not go with the signing {self.signing!r}")
        if self.signing == "headers" and not self.headers:
            raise ValueError("the signing 'headers' needs headers")
        if self.credentials is not None and self.signing not in (None, "s3"):
            raise ValueError(f"credentials do not go with the signing {self.signing!r}")
        return self


def from_environment(name: str, purpose: str) -> str:
    """The value of an environment variable.

    Raises:
        AccessFailed: it is not set, or holds what cannot be sent, such as the line break of a file.
    """
    value = os.environ.get(name)
    if not value:
        raise AccessFailed(f"The environment variable {name} is not set.", hint=f"Set it to {purpose}.")
    if value != value.strip() or not (value.isascii() and value.isprintable()):
        raise AccessFailed(
            f"The environment variable {name} holds a line break, an outer blank or another character that "
            "cannot be sent.",
            hint=f"Set it to {purpose}, and nothing else.",
        )
    return value


def header_values(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """HTTP headers with their values from the environment.

    Raises:
        AccessFailed: a variable is not set.
    """
    return {name: from_environment(env, f"the value of the HTTP header {name}") for name, env in headers}
