"""Addresses: what may be shown of them, what of them stays when a signature expires, where S3 objects lie."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from acreage.catalog.access.model import Access

REMOTE_SCHEMES = ("http", "https", "s3")
# Query parameters that sign an address, by the one whose presence tells that it is signed.
_AZURE = {"sv", "ss", "srt", "sr", "sp", "st", "se", "spr", "sig", "sip", "si"} | {
    "skoid", "sktid", "skt", "ske", "sks", "skv", "sdd", "saoid", "suoid", "scid", "ses",
}  # fmt: skip
_QUERY_V2 = {"awsaccesskeyid", "googleaccessid", "signature", "expires", "key-pair-id", "policy"}
_TOKENS = {"token", "access_token", "apikey", "api_key", "api-key", "subscription-key", "sastoken"}
_WAS_SIGNED = "#signed"
_AWS_PREFIXES = ("x-amz-", "x-goog-")


def is_remote(address: str) -> bool:
    """True for http, https and s3 addresses."""
    return ":" in address and urlsplit(address).scheme in REMOTE_SCHEMES


def shown(address: str) -> str:
    """An address without user, query and fragment, which may hold secrets."""
    parts = urlsplit(address)
    if parts.scheme not in REMOTE_SCHEMES:
        return address
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def may_go_along(origin: str, address: str) -> bool:
    """True where secrets that are meant for the server of `origin` may be sent to an address."""
    known, asked = urlsplit(origin), urlsplit(address)
    if known.hostname != asked.hostname:
        return False
    ports = {"http": 80, "https": 443}
    before, now = (parts.port or ports.get(parts.scheme) for parts in (known, asked))
    if known.scheme == asked.scheme:
        return before == now
    return (known.scheme, before, asked.scheme, now) == ("http", 80, "https", 443)


def without_queries(text: str) -> str:
    """A message without the queries and users of the addresses in it."""
    text = re.sub(r"(?i)(https?|s3)(://)[^\s/'\"@]*@", r"\1\2", text)
    return re.sub(r"\?[^\s'\")]*=[^\s'\")]*", "", text)


def split_signature(address: str) -> tuple[str, bool]:
    """The address without what signs it, which names the same file for ever, and whether it was signed.

    A user and password in it count as a signature.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return address, False
    if "@" in parts.netloc:
        return split_signature(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))[0], True
    if not parts.query:
        return address, False
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = {name.lower() for name, _ in pairs}
    signing: set[str] = names & _TOKENS
    if "sig" in names:
        signing |= _AZURE
    if "signature" in names:
        signing |= _QUERY_V2
    kept = [
        (name, value)
        for name, value in pairs
        if name.lower() not in signing and not name.lower().startswith(_AWS_PREFIXES)
    ]
    if len(kept) == len(pairs):
        return address, False
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(kept), "")), True


def unsigned(address: str) -> str:
    """The address as it may be stored: without what signs it, and marked where something did."""
    stable, signed = split_signature(address)
    return f"{stable}{_WAS_SIGNED}" if signed else stable


def was_signed(address: str) -> tuple[str, bool]:
    """A stored address without its mark, and whether it had one."""
    return address.removesuffix(_WAS_SIGNED), address.endswith(_WAS_SIGNED)


def expiry(address: str) -> float | None:
    """Seconds since 1970 at which a signed address expires; None where it does not say."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(address).query)}
    try:
        for prefix in _AWS_PREFIXES:
            if f"{prefix}expires" in query and f"{prefix}date" in query:
                start = datetime.strptime(query[f"{prefix}date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return start.timestamp() + float(query[f"{prefix}expires"])
        if "se" in query:
            return parse_moment(query["se"])
        if "expires" in query:
            return float(query["expires"])
    except ValueError:
        return None
    return None


def parse_moment(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 instant; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def join(base: str, href: str) -> str:
    """The absolute address of a link in a document at a remote address."""
    if urlsplit(base).scheme == "s3":  # urljoin knows the web's schemes only
        joined = urljoin("https" + base[2:], href)
        return "s3" + joined[5:] if joined.startswith("https://" + urlsplit(base).netloc) else joined
    return urljoin(base, href)


def s3_url(address: str, access: Access, region: str) -> str:
    """The http(s) address of `s3://bucket/key`."""
    parts = urlsplit(address)
    bucket, key = parts.netloc, quote(unquote(parts.path.lstrip("/")), safe="/~-_.")
    base = urlsplit(access.endpoint or f"https://s3.{region or 'us-east-1'}.amazonaws.com")
    # A certificate for *.s3.amazonaws.com covers no name with a further dot.
    if access.addressing == "virtual" and "." not in bucket:
        return f"{base.scheme}://{bucket}.{base.netloc}{base.path.rstrip('/')}/{key}"
    return f"{base.scheme}://{base.netloc}{base.path.rstrip('/')}/{bucket}/{key}"
