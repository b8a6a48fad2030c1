"""What a request passes before the routes: its address put right, sizes and rates limited, a count."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acreage.backend.errors import RequestTooLarge, TooManyRequests, error_document
from acreage.backend.metrics import REQUESTS, SECONDS
from acreage.core.errors import AcreageError

_UPLOADS = re.compile(r"^/files/")
_MOST_CLIENTS = 10_000


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

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            wait = self._wait(scope)
            if wait > 0:
                raise TooManyRequests("You ask too often.", hint=f"Wait {wait:.0f} s.")
            if not _UPLOADS.match(path):
                receive = self._limited(scope, receive)
            await self.app(scope, receive, counted)
        except (TooManyRequests, RequestTooLarge) as error:
            await _refuse(counted, error)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            REQUESTS.labels(scope["method"], route, str(status[0])).inc()
            SECONDS.labels(route).observe(time.perf_counter() - started)

    def _wait(self, scope: Scope) -> float:
        """Seconds until the client may ask again; 0: now. A bucket that fills with time."""
        headers = dict(scope["headers"])
        login = headers.get(b"authorization")
        client = scope.get("client") or ("", 0)
        key = hashlib.sha256(login).hexdigest() if login else str(client[0])
        moment = time.monotonic()
        left, last = self._clients.pop(key, (self.burst, moment))
        left = min(self.burst, left + (moment - last) * self.rate)
        allowed = left >= 1
        self._clients[key] = (left - 1 if allowed else left, moment)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self.rate

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body as it comes, refused where it is too large.

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
                raise error
            return message

        return limited


async def _refuse(send: Send, error: AcreageError) -> None:
    body = json.dumps(error_document(error)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.http_status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
