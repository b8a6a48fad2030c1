"""What all of a process shares: one transport, for rasters, documents and the clients of STAC APIs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from acreage.catalog.access.address import may_go_along, shown
from acreage.catalog.access.answers import HOPELESS, host_of, said_of, transient_of
from acreage.catalog.access.guard import UNPROXIED, pool_of
from acreage.catalog.access.model import AccessFailed, Guard
from acreage.catalog.access.policy import RETRY_STATUS, HostUse, Policy, Transient, retry_after
from acreage.catalog.access.transport import Transport


class PoliteAdapter(HTTPAdapter):
    """Lets other clients of HTTP, such as that of STAC APIs, keep the same policy.

    Args:
        transport: whose gates and patience are kept.
        origin: address of the server that `headers` are meant for.
        headers: sent to that server, and to no other that it links or redirects to.
        guard: set where a user gave the address.
    """

    def __init__(
        self,
        transport: Transport,
        origin: str = "",
        headers: Mapping[str, str] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._guard = guard  # before the pools are made
        super().__init__(pool_connections=16, pool_maxsize=64, max_retries=0)
        self._transport = transport
        self._origin, self._headers = origin, dict(headers or {})

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        """Pools whose connections are guarded where a guard is set."""
        if self._guard is None:
            super().init_poolmanager(connections, maxsize, block, **kwargs)
        else:
            self.poolmanager = pool_of(self._guard.allowed, connections, maxsize, block, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send under the policy; an error status that stays is given back as the answer."""
        url = request.url or ""
        for name, value in self._headers.items():
            if may_go_along(self._origin, url):
                request.headers[name] = value
            else:
                request.headers.pop(name, None)  # a redirected request has those of the one before
        if self._guard is not None:
            kwargs |= {**UNPROXIED, "stream": kwargs.get("stream", False)}
        conduct, host = self._transport.conduct, host_of(url)
        kept: list[requests.Response] = []
        send = super().send

        def attempt(deadline: float) -> requests.Response:
            kept.clear()
            try:
                response = send(request, *args, **kwargs)
                if not kwargs.get("stream"):
                    conduct.tally.add(host, HostUse(bytes=len(response.content)))
            except HOPELESS:
                raise
            except requests.RequestException as error:
                raise transient_of(error) from error
            if response.status_code in RETRY_STATUS:
                kept.append(response)
                wait = retry_after(response.headers.get("Retry-After"))
                raise Transient(
                    f"it answers {said_of(response.status_code, '', '')}",
                    retry_after=wait,
                    status=response.status_code,
                )
            return response

        try:
            return conduct.run(conduct.gate(host, None, None), host, shown(url), attempt)
        except AccessFailed as error:
            if kept:
                return kept[0]
            raise requests.ConnectionError(error.message) from error


class _Process:
    """The transport that all of this process shares, made when first wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    def get(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport()
            return self._transport

    def put(self, transport: Transport) -> Transport:
        with self._lock:
            self._transport = transport
        return transport


_PROCESS = _Process()


def shared() -> Transport:
    """The transport of this process."""
    return _PROCESS.get()


def configure(policy: Policy) -> Transport:
    """Give this process a transport with this policy; where that is another one, counts begin anew."""
    current = _PROCESS.get()
    return current if current.policy == policy else _PROCESS.put(Transport(policy))


def remote_use() -> dict[str, HostUse]:
    """What this process has asked of each host so far; see `use_between`."""
    return shared().conduct.tally.snapshot()
