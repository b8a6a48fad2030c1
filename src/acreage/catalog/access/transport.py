"""Requests: the one way by which bytes come from HTTP(S) and S3 servers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_netrc_auth
from urllib3.exceptions import HTTPError

from acreage.catalog.access.address import shown
from acreage.catalog.access.answers import (
    CODE,
    EXPIRED,
    HOPELESS,
    REGION,
    Moved,
    OtherRegion,
    Refused,
    Reply,
    cause_of,
    host_of,
    said_of,
    transient_of,
)
from acreage.catalog.access.guard import UNPROXIED, PublicAdapter
from acreage.catalog.access.model import Access, AccessFailed, Guard
from acreage.catalog.access.policy import RETRY_STATUS, Conduct, HostUse, Policy, Transient, retry_after
from acreage.catalog.access.renewal import Signed, Signer
from acreage.catalog.access.s3 import S3Signer
from acreage.catalog.access.signing import PlainSigner, signer_for

T = TypeVar("T")
Headers = Callable[[], Mapping[str, str]]
_CHUNK = 1 << 16
_REDIRECTS = 5
_RENEWALS = 3
# A catalog's largest documents are far smaller.
_DOCUMENT_LIMIT = 256_000_000
_ERROR_LIMIT = 16_000
_RANGE_THREADS = 32
_HARMLESS = {"range", "accept", "accept-encoding", "if-match"}


def _no_details(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# At this level they log addresses with their queries, and what is signed.
for _name in ("urllib3.connectionpool", "botocore.auth"):
    logging.getLogger(_name).addFilter(_no_details)


class Transport:
    """Sends requests under a policy; one for a process, safe to use from all its threads."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.conduct = Conduct(self.policy)
        self._adapter = HTTPAdapter(pool_connections=64, pool_maxsize=64, max_retries=0)
        self._guarded: dict[Guard, HTTPAdapter] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._netrc: dict[str, tuple[str, str] | None] = {}
        self._signers: dict[tuple[Access, bool], Signer] = {}
        self._lock = threading.Lock()
        self._range_threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End idle connections and threads."""
        for adapter in (self._adapter, *self._guarded.values()):
            adapter.close()
        if self._range_threads is not None:
            self._range_threads.shutdown()

    def signer(self, access: Access, address: str) -> Signer:
        """The signer of an access, with the signatures that it keeps."""
        key = (access, urlsplit(address).scheme == "s3")
        with self._lock:
            if key not in self._signers:

                def read(at: str, headers: Mapping[str, str]) -> bytes:
                    # What a user's item is read again by is the user's address as well.
                    own = access.signing == "item"
                    return self.document(at, headers, Access(guard=access.guard) if own else None)

                self._signers[key] = signer_for(access, address, read, self._renewed)
            return self._signers[key]

    def _renewed(self, host: str) -> None:
        self.conduct.tally.add(host, HostUse(renewals=1))

    @property
    def range_threads(self) -> ThreadPoolExecutor:
        """Threads for several requests of one reader at once; the hosts' gates limit them."""
        with self._lock:
            if self._range_threads is None:
                self._range_threads = ThreadPoolExecutor(_RANGE_THREADS, thread_name_prefix="ranges")
            return self._range_threads

    def document(
        self,
        address: str,
        headers: Mapping[str, str] | None = None,
        access: Access | None = None,
        *,
        most_bytes: int = _DOCUMENT_LIMIT,
    ) -> bytes:
        """A whole document, such as JSON.

        Raises:
            AccessFailed: it cannot be had, or is larger; the message names the address without its query.
        """

        def take(reply: Reply, deadline: float) -> bytes:
            if reply.status != 200:
                raise AccessFailed(f"{shown(address)} answers HTTP {reply.status}.", status=reply.status)
            return b"".join(self.body(reply, deadline, most_bytes, decode=True))

        return self.fetch(address, access or Access(), take, lambda: headers or {})

    def fetch(self, address: str, access: Access, take: Callable[[Reply, float], T], headers: Headers) -> T:
        """Send a signed GET and give its answer to `take`, again where that failed for a while.

        Args:
            address: http(s) or s3.
            access: how it is reached.
            take: reads an answer (status below 300, or 416) until a deadline (`time.monotonic`); raises
                `Transient` to be tried again.
            headers: gives those sent beside the signature's, for each try.

        Raises:
            AccessFailed: refused, not there, or not to be had with patience.
        """
        signer = self.signer(access, address)
        spent: object | None = None
        refused = Refused(403, "", "HTTP 403")
        for _ in range(_RENEWALS + 1):
            signed = _sign(signer, address, spent)
            if spent is not None and signed.proof == spent:
                break  # there is nothing newer to sign with
            answer = self._follow(address, access, signer, signed, take, headers)
            if isinstance(answer, OtherRegion):
                continue
            if not isinstance(answer, Refused):
                return answer
            refused = answer
            if signed.proof is None:
                break
            spent = signed.proof
        raise AccessFailed(
            f"{shown(address)} refuses access: it answers {refused.said}. {signer.explain()}",
            status=refused.status,
        )

    def _follow(
        self,
        address: str,
        access: Access,
        signer: Signer,
        signed: Signed,
        take: Callable[[Reply, float], T],
        headers: Headers,
    ) -> T | Refused | OtherRegion:
        """All tries with one signature, through redirections; no secret goes along to another host."""
        url, headers_of = signed.url, _both(signed.headers, headers)
        for _ in range(_REDIRECTS + 1):
            answer = self._try(address, access, signer, url, headers_of, take)
            if not isinstance(answer, Moved):
                return answer
            target = urljoin(url, answer.location)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                headers_of = _harmless(headers_of)
            url = target
        raise AccessFailed(f"{shown(address)} is redirected more than {_REDIRECTS} times.")

    def _try(
        self,
        address: str,
        access: Access,
        signer: Signer,
        url: str,
        headers: Headers,
        take: Callable[[Reply, float], T],
    ) -> T | Refused | Moved | OtherRegion:
        host = host_of(url)
        gate = self.conduct.gate(host, access.requests_per_second, access.connections)
        with_netrc = isinstance(signer, PlainSigner)

        def attempt(deadline: float) -> T | Refused | Moved | OtherRegion:
            reply = self._send(url, headers(), with_netrc, access.guard)
            try:
                verdict = self._judge(reply, address, signer)
                return take(reply, deadline) if verdict is None else verdict
            finally:
                reply.raw.close()  # ends the connection unless the body was read to its end

        return self.conduct.run(gate, host, shown(address), attempt)

    def _adapter_of(self, guard: Guard | None) -> HTTPAdapter:
        if guard is None:
            return self._adapter
        with self._lock:
            return self._guarded.setdefault(guard, PublicAdapter(frozenset(guard.allowed)))

    def _send(self, url: str, headers: Mapping[str, str], with_netrc: bool, guard: Guard | None) -> Reply:
        prepared = requests.PreparedRequest()
        try:
            prepared.prepare(method="GET", url=url, headers={"User-Agent": "acreage", **headers})
            if with_netrc and guard is None and "Authorization" not in prepared.headers:
                login = self._login(url)
                if login is not None:
                    prepared.prepare_auth(HTTPBasicAuth(*login))
            timeout = (self.policy.connect_timeout_s, self.policy.read_timeout_s)
            settings = self._settings_of(url) if guard is None else UNPROXIED
            response = self._adapter_of(guard).send(prepared, timeout=timeout, **settings)
        except HOPELESS as error:
            raise AccessFailed(
                f"{shown(url)} cannot be asked: {cause_of(error)}.", hint="Check the address."
            ) from None
        except requests.RequestException as error:
            raise transient_of(error) from None
        return Reply(host_of(url), response.status_code, response.headers, response.raw)

    def _settings_of(self, url: str) -> Mapping[str, Any]:
        """Proxies and certificates as the environment has them (the same variables as for curl)."""
        origin = "://".join(urlsplit(url)[:2])
        if origin not in self._settings:
            with requests.Session() as session:
                self._settings[origin] = session.merge_environment_settings(url, {}, True, None, None)
        return self._settings[origin]

    def _login(self, url: str) -> tuple[str, str] | None:
        host = host_of(url)
        if host not in self._netrc:
            self._netrc[host] = get_netrc_auth(url)
        return self._netrc[host]

    def _judge(self, reply: Reply, address: str, signer: Signer) -> Refused | Moved | OtherRegion | None:
        """What an answer's status means; None where its body is what was asked for."""
        status = reply.status
        if status < 300 or status == 416:
            return None
        region = reply.headers.get("x-amz-bucket-region")
        text = self._error_text(reply)
        found = CODE.search(text)
        code = found[1] if found else ""
        if isinstance(signer, S3Signer) and status in (301, 307, 400):
            told = REGION.search(text)
            if signer.learn_region(address, region or (told[1] if told else "")):
                return OtherRegion()
        if 300 <= status < 400 and reply.headers.get("Location"):
            return Moved(reply.headers["Location"])
        said = said_of(status, code, text)
        if status in RETRY_STATUS:
            wait = retry_after(reply.headers.get("Retry-After"))
            raise Transient(f"it answers {said}", retry_after=wait, status=status)
        if status in (401, 403) or code in EXPIRED:
            return Refused(status, code, said)
        if status in (404, 410):
            raise AccessFailed(
                f"{shown(address)} is not there: it answers {said}.",
                hint="Check the address.",
                status=status,
            )
        raise AccessFailed(f"{shown(address)} answers {said}.", status=status)

    def _error_text(self, reply: Reply) -> str:
        # The gate's deadline need not be kept here: the body is small and has the read timeout.
        try:
            body = b"".join(self.body(reply, time.monotonic() + 10.0, _ERROR_LIMIT, decode=True))
        except (Transient, AccessFailed):
            return ""
        return body.decode("utf-8", errors="replace")

    def body(self, reply: Reply, deadline: float, limit: int, *, decode: bool) -> Iterator[bytes]:
        """The body in parts, counted.

        Raises:
            Transient: the connection is cut, or too slow for the deadline.
            AccessFailed: it is longer than the limit, bytes.
        """
        length = 0
        try:
            for part in reply.raw.stream(_CHUNK, decode_content=decode):
                self.conduct.tally.add(reply.host, HostUse(bytes=len(part)))
                length += len(part)
                if length > limit:
                    raise AccessFailed(f"{reply.host} sends more than {limit} bytes.")
                yield part
                if time.monotonic() > deadline:
                    raise Transient("its server is too slow", progress=True)
        except HTTPError as error:
            raise Transient(
                f"the connection is cut after {length} bytes ({type(error).__name__})", progress=length > 0
            ) from None
        except OSError as error:
            raise Transient(f"the connection fails: {error.strerror}", progress=length > 0) from None


def _both(signature: Mapping[str, str], headers: Headers) -> Headers:
    return lambda: {**signature, **headers()}


def _harmless(headers: Headers) -> Headers:
    return lambda: {k: v for k, v in headers().items() if k.lower() in _HARMLESS}


def _sign(signer: Signer, address: str, spent: object | None) -> Signed:
    try:
        return signer.sign(address, spent)
    except AccessFailed as error:
        raise AccessFailed(
            f"{shown(address)} cannot be signed for: {error.message}", hint=error.hint, status=error.status
        ) from None
