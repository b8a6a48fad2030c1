"""A web server on loopback with range requests, and faults on demand.

What it serves comes from a backend: a folder's files, or another server behind it. Faults are decided for
each request before the backend is asked.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """A request as it came: path with query, headers by lower-case name, when, from which port."""

    method: str
    path: str
    headers: Mapping[str, str]
    at: float
    body: bytes = b""
    peer: int = 0

    @property
    def file(self) -> str:
        return unquote(urlsplit(self.path).path)


@dataclass(frozen=True)
class Answer:
    """An answer to be sent."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        answer: sent in place of the backend's.
        cut: after so many bytes of the body the connection is closed.
        delay: seconds before the answer.
        shift: the range that is sent lies so many bytes further on, and Content-Range says so.
        change: what is done to the backend's answer.
    """

    answer: Answer | None = None
    cut: int | None = None
    delay: float = 0.0
    shift: int = 0
    change: Callable[[Answer], Answer] | None = None


def busy(status: int = 503, retry_after: float | None = None, as_date: bool = False) -> Fault:
    """A server that wants to be left alone for a while."""
    headers: dict[str, str] = {}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:g}"
        if as_date:
            headers["Retry-After"] = email.utils.formatdate(time.time() + retry_after, usegmt=True)
    return Fault(Answer(status, headers, b"slow down"))


HTML = Fault(Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Maintenance</title>"))
Backend = Callable[[Request], Answer]
Rule = Callable[[Request], "Fault | None"]


@dataclass
class FaultyServer:
    """A running server and what it saw.

    Attributes:
        backend: gives the answers.
        faults: used up one by one, each by one request; None lets a request through.
        rule: asked where there are no faults left.
        matching: requests whose path this matches meet faults; others never do.
        requests: all that came, in order.
        most: the largest number of requests that were under way at once.
    """

    backend: Backend
    faults: deque[Fault | None] = field(default_factory=deque)
    rule: Rule | None = None
    matching: str = ""
    pause: float = 0.0
    requests: list[Request] = field(default_factory=list)
    most: int = 0
    address: str = ""
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            if not re.search(self.matching, request.path):
                return None
            if self.faults:
                return self.faults.popleft()
        return self.rule(request) if self.rule else None

    @contextmanager
    def under_way(self) -> Iterator[None]:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def asked(self, name: str = "") -> list[Request]:
        """The requests whose path has this in it."""
        return [r for r in self.requests if name in r.path]


@contextmanager
def serving(
    backend: Backend,
    faults: Iterable[Fault | None] = (),
    rule: Rule | None = None,
    matching: str = "",
    pause: float = 0.0,
) -> Iterator[FaultyServer]:
    """Serve on loopback; `pause` seconds lie before each answer."""
    server = FaultyServer(backend, deque(faults), rule, matching, pause)

    class Handler(_Handler):
        state = server

    web = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{web.server_address[1]}"
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away; a test sees what it cares about on its own side."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultyServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        peer = self.client_address[1]
        request = Request(self.command, self.path, headers, time.monotonic(), body, peer)
        with self.state.under_way():
            fault = self.state.fault_for(request) or Fault()
            time.sleep(fault.delay or self.state.pause)
            if fault.shift and "range" in headers:
                first, last = headers["range"].removeprefix("bytes=").split("-")
                moved = f"bytes={int(first) + fault.shift}-{int(last) + fault.shift}"
                request = Request(self.command, self.path, {**headers, "range": moved}, request.at, body)
            answer = fault.answer or self.state.backend(request)
            if fault.change is not None:
                answer = fault.change(answer)
            self._send(answer, fault.cut)

    def _send(self, answer: Answer, cut: int | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body if cut is None else answer.body[:cut])
        if cut is not None and cut < len(answer.body):
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def folder_backend(folder: Path, *, ranges: bool = True) -> Backend:
    """The files of a folder, with or without range requests, each with an ETag of its content's version."""

    def answer(request: Request) -> Answer:
        path = folder / request.file.lstrip("/")
        if not path.is_file():
            return Answer(404, {"Content-Type": "text/plain"}, b"not here")
        return file_answer(path.read_bytes(), request, f'"{path.stat().st_mtime_ns}"', ranges=ranges)

    return answer


def file_answer(data: bytes, request: Request, tag: str = "", *, ranges: bool = True) -> Answer:
    """The answer to a request for a file with this content."""
    kind = "application/json" if request.file.endswith("json") else "application/octet-stream"
    headers = {"Content-Type": kind, **({"ETag": tag} if tag else {})}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    if not ranges or wanted is None:
        return Answer(200, headers, data)
    first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
    if first >= len(data):
        return Answer(416, {**headers, "Content-Range": f"bytes */{len(data)}"})
    headers |= {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Accept-Ranges": "bytes"}
    return Answer(206, headers, data[first : last + 1])


_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


def proxy_backend(upstream: str, admit: Callable[[Request], Request | Answer] | None = None) -> Backend:
    """Another server's answers; `admit` may change a request, or answer in that server's place.

    The Host header goes along, as it is signed.
    """
    target = urlsplit(upstream)

    def answer(request: Request) -> Answer:
        admitted = admit(request) if admit else request
        if isinstance(admitted, Answer):
            return admitted
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
        try:
            headers = {k: v for k, v in admitted.headers.items() if k not in ("connection",)}
            connection.request(admitted.method, admitted.path, body=admitted.body or None, headers=headers)
            response = connection.getresponse()
            kept = {k: v for k, v in response.getheaders() if k.lower() not in _HOP_BY_HOP}
            if admitted.method == "HEAD":
                kept["Content-Length"] = response.headers["Content-Length"] or "0"
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()

    return answer
