"""What servers answer, and what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any
from urllib.parse import urlsplit

import requests

from acreage.catalog.access.address import without_queries
from acreage.catalog.access.policy import Transient

# What S3 and its like say, with a status other than 401 and 403, of credentials that have ended.
EXPIRED = {"ExpiredToken", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
# What no further try mends.
HOPELESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.SSLError,
)
CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
REGION = re.compile(r"<Region>([a-z0-9-]{1,32})</Region>")
_SHOWN = 80  # characters of an unexpected answer that an error quotes


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer, its body not yet read."""

    host: str
    status: int
    headers: Mapping[str, str]
    raw: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not take the signature: its word for the reason, and what it said in all."""

    status: int
    code: str
    said: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What is asked for lies elsewhere."""

    location: str


@dataclass(frozen=True, slots=True)
class OtherRegion:
    """The bucket lies in a region that was not known; the signer knows it now."""


def said_of(status: int, code: str, text: str) -> str:
    """An error answer for a person: a store's code, else how its text begins."""
    phrase = responses.get(status, "")
    said = f"HTTP {status} {code or phrase}".rstrip()
    text = " ".join(without_queries(text).split())
    if code or not text:
        return said
    return f"{said}: {text[:_SHOWN] + ('...' if len(text) > _SHOWN else '')!r}"


def host_of(url: str) -> str:
    """Host and port of an address, for limits and counts."""
    return urlsplit(url).netloc.rpartition("@")[2]


def cause_of(error: BaseException) -> str:
    """The innermost reason of a failed request; it quotes no address, as the outer ones do."""
    deepest: BaseException = error
    while True:
        inner = getattr(deepest, "reason", None) or next(
            (a for a in deepest.args if isinstance(a, BaseException)), None
        )
        inner = inner if isinstance(inner, BaseException) else deepest.__cause__ or deepest.__context__
        if inner is None or inner is deepest:
            break
        deepest = inner
    text = getattr(deepest, "strerror", None) or without_queries(str(deepest)) or type(deepest).__name__
    return " ".join(str(text).split())[:200].rstrip(".")


def transient_of(error: requests.RequestException) -> Transient:
    """A failed request as something that may pass."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Transient("it cannot be reached: its server does not take the connection in time")
    if isinstance(error, requests.exceptions.Timeout):
        return Transient("it cannot be reached: its server does not answer in time")
    reason = cause_of(error)
    gone = "refused" in reason.lower() or "Name or service" in reason or "resolve" in reason
    return Transient(f"it cannot be reached: {reason}", refused=gone)
