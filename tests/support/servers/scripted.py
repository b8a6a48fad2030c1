"""An HTTP server that answers what a test says, for back ends that do not keep to the API."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CAPABILITIES = {
    "api_version": "1.2.0",
    "backend_version": "1",
    "stac_version": "1.0.0",
    "id": "scripted",
    "title": "Scripted",
    "description": "For tests.",
    "endpoints": [
        {"path": "/credentials/basic", "methods": ["GET"]},
        {"path": "/files/{path}", "methods": ["PUT"]},
    ],
    "billing": {"currency": "EUR"},
    "links": [],
}
HTML = ("text/html; charset=utf-8", b"<html><body>Please log in to the proxy</body></html>")


@dataclass(frozen=True)
class Answer:
    """What is answered; a body that is no bytes is sent as JSON. `cut`: so many bytes fewer are sent."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Scripted:
    """A running server.

    Attributes:
        url: of it.
        answers: by method and path; called with the request's headers and body, or as they are.
        asked: requests that came, as `GET /jobs`.
    """

    url: str = ""
    answers: dict[str, Answer | Callable[[Mapping[str, str], bytes], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as openEO's API has it."""
    return Answer(status, {"code": code, "message": message, "id": "1"}, headers)


def html(status: int = 200) -> Answer:
    """A page in the place of an answer."""
    return Answer(status, HTML[1], {"Content-Type": HTML[0]})


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A server that offers the capabilities and a login, and else what is put into `answers`."""
    script = Scripted()
    script.answers = {
        "GET /": Answer(body=CAPABILITIES),
        "GET /credentials/basic": Answer(body={"access_token": "one"}),
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            name = f"{self.command} {self.path.partition('?')[0].rstrip('/') or '/'}"
            script.asked.append(name)
            found = script.answers.get(name, error(404, "NotFound", f"There is no {name}."))
            answer = found if isinstance(found, Answer) else found(self.headers, body)
            content = answer.content
            self.send_response(answer.status)
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **answer.headers,
            }
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) - answer.cut])
            if answer.cut:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
