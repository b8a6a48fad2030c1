"""What a request passes before the routes: its address put right, sizes and rates limited, a count."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections import OrderedDict
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acreage.backend.errors import RequestTooLarge, TooManyRequests, error_document, error_headers
from acreage.backend.metrics import REQUESTS, SECONDS
from acreage.core.errors import AcreageError

_UPLOADS = re.compile(r"^/files/")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_MOST_CLIENTS = 10_000
_LOGINS_OF_ONE_ADDRESS = 10
"""Whoever sends another login with each request shares this many allowances."""
_log = logging.getLogger("acreage.backend.access")


class Gate:
    """ASGI middleware.

    Args:
        app: what is behind.
        most_bytes: of a body, uploads of files apart.
        per_minute: requests of one login, or of one address without.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, per_minute: int) -> None:
        self.app, self.most_bytes, self.rate = app, most_bytes, per_minute / 60
        self.burst = max(10.0, per_minute / 6)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = re.sub(r"/{2,}", "/", scope["path"])
        path = path.rstrip("/") or "/"
        scope = {**scope, "path": path, "raw_path": path.encode()}
        started, status = time.perf_counter(), [500]
        too_large: list[RequestTooLarge] = []

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                # What users upload is what they say it is, and nothing that a browser runs.
                message = {**message, "headers": [*message.get("headers", ()), _NO_SNIFFING]}
            await send(message)

        async def answered(message: Message) -> None:
            if not too_large:
                await counted(message)
            elif message["type"] == "http.response.start":  # what the routes make of half a body
                await _refuse(counted, too_large[0])

        try:
            wait = self._wait_of(scope)
            if wait > 0:
                raise TooManyRequests("You ask too often.", wait_s=wait)
            if not _UPLOADS.match(path):
                receive = self._limited(scope, receive, too_large)
            await self.app(scope, receive, answered)
        except (TooManyRequests, RequestTooLarge) as error:
            await _refuse(counted, error)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            # Without the query: it may hold the signature of a link.
            _log.info(
                "%s %s %d, %.0f ms",
                scope["method"],
                quote(path),
                status[0],
                1e3 * (time.perf_counter() - started),
            )
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, str(status[0])).inc()
            SECONDS.labels(route).observe(time.perf_counter() - started)

    def _wait_of(self, scope: Scope) -> float:
        """Seconds until the client may ask again; 0: now."""
        login = dict(scope["headers"]).get(b"authorization")
        address = str((scope.get("client") or ("", 0))[0])
        if login is None:
            return self._wait(address, 1.0)
        own = self._wait(hashlib.sha256(login).hexdigest(), 1.0)
        return max(own, self._wait(f"logins of {address}", 1 / _LOGINS_OF_ONE_ADDRESS))

    def _wait(self, key: str, cost: float) -> float:
        """As `_wait_of`, for one bucket that fills with time."""
        moment = time.monotonic()
        left, last = self._clients.pop(key, (self.burst, moment))
        left = min(self.burst, left + (moment - last) * self.rate)
        allowed = left >= cost
        self._clients[key] = (left - cost if allowed else left, moment)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (cost - left) / self.rate

    def _limited(self, scope: Scope, receive: Receive, too_large: list[RequestTooLarge]) -> Receive:
        """The body as it comes, refused where it is too large; `too_large` gets the error then.

        Raises:
            RequestTooLarge: at once where the client says so, else when it is.
        """
        error = RequestTooLarge(f"The body may have {self.most_bytes:,} bytes at most.")
        stated = dict(scope["headers"]).get(b"content-length", b"")
        if stated.isdigit() and int(stated) > self.most_bytes:
            raise error
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most_bytes:
                too_large.append(error)
                raise error
            return message

        return limited


async def _refuse(send: Send, error: AcreageError) -> None:
    body = json.dumps(error_document(error)).encode()
    told = {**error_headers(error), "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
