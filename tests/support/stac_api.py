"""A small STAC API on loopback, and a plain web server over a folder, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

CORE = "https://api.stacspec.org/v1.0.0/core"
CLASSES = (
    CORE,
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
)


@dataclass
class StacApi:
    """What the server serves, and what it was asked.

    Attributes:
        collections: STAC collection objects by id.
        items: item objects with absolute asset hrefs.
        page: most items in one answer.
        refusals: answers given before anything else: (status, headers, body), used up one by one.
        requests: "METHOD path" of each request, and the parameters of each search.
    """

    collections: dict[str, dict[str, Any]]
    items: list[dict[str, Any]]
    page: int = 20
    refusals: list[tuple[int, Mapping[str, str], str]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    address: str = ""
    headers_seen: list[dict[str, str]] = field(default_factory=list)

    def landing(self) -> dict[str, Any]:
        """The landing page."""
        links = [
            {"rel": "self", "href": self.address, "type": "application/json"},
            {"rel": "root", "href": self.address, "type": "application/json"},
            {"rel": "data", "href": f"{self.address}/collections", "type": "application/json"},
            *(
                {
                    "rel": "search",
                    "href": f"{self.address}/search",
                    "type": "application/geo+json",
                    "method": m,
                }
                for m in ("GET", "POST")
            ),
        ]
        return {
            "type": "Catalog",
            "id": "test-api",
            "stac_version": "1.1.0",
            "description": "a test API",
            "conformsTo": list(CLASSES),
            "links": links,
        }

    def search(self, wanted: Mapping[str, Any], method: str) -> dict[str, Any]:
        """One page of a search."""
        found = [item for item in self.items if _matches(item, wanted)]
        start = int(wanted.get("token") or 0)
        size = min(int(wanted.get("limit") or self.page), self.page)
        links: list[dict[str, Any]] = []
        if start + size < len(found):
            following = {**wanted, "token": str(start + size)}
            link: dict[str, Any] = {"rel": "next", "href": f"{self.address}/search", "method": method}
            if method == "POST":
                link["body"] = following
            else:
                link["href"] += "?" + "&".join(f"{k}={_flat(v)}" for k, v in following.items())
            links.append(link)
        page = found[start : start + size]
        return {"type": "FeatureCollection", "features": page, "links": links, "numberMatched": len(found)}


def _flat(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _matches(item: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if wanted.get("collections") and item["collection"] not in wanted["collections"]:
        return False
    if wanted.get("bbox"):
        west, south, east, north = wanted["bbox"]
        w, s, e, n = item["bbox"]
        if w > east or e < west or s > north or n < south:
            return False
    if wanted.get("datetime"):
        first, last = wanted["datetime"].split("/")
        at = item["properties"]["datetime"]  # all in one spelling, so text compares as time does
        if (first != ".." and at < first) or (last != ".." and at > last):
            return False
    return True


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def stac_api(api: StacApi) -> Iterator[StacApi]:
    """Serve an API; its address is set meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

        def do_GET(self) -> None:
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            wanted: dict[str, Any] = dict(query)
            if "bbox" in wanted:
                wanted["bbox"] = [float(v) for v in wanted["bbox"].split(",")]
            if "collections" in wanted:
                wanted["collections"] = wanted["collections"].split(",")
            self._answer("GET", wanted)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer("POST", json.loads(body or b"{}"))

        def _answer(self, method: str, wanted: dict[str, Any]) -> None:
            path = urlsplit(self.path).path.rstrip("/")
            api.requests.append((f"{method} {path}", wanted))
            api.headers_seen.append({k.lower(): v for k, v in self.headers.items()})
            if api.refusals:
                status, headers, text = api.refusals.pop(0)
                self._send(status, text, headers)
                return
            parts = path.split("/")[1:] if path else []
            found: Any = None
            if not parts:
                found = api.landing()
            elif parts == ["collections"]:
                found = {"collections": list(api.collections.values()), "links": []}
            elif parts[0] == "collections" and len(parts) == 2:
                found = api.collections.get(parts[1])
            elif parts == ["search"]:
                found = api.search(wanted, method)
            self._send(200, json.dumps(found)) if found is not None else self._send(
                404, '{"code": "NotFound"}'
            )

        def _send(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | dict(headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Handler) as address:
        api.address = address
        yield api


@contextmanager
def web_folder(folder: Path) -> Iterator[str]:
    """Serve a folder's files; yields the address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with _serving(Handler) as address:
        yield address


def api_of_static(root: Path, collections: Sequence[str]) -> StacApi:
    """An API with the items of a static catalog's collections, their asset hrefs made absolute."""
    api = StacApi({}, [])
    for identifier in collections:
        folder = root / identifier
        collection = json.loads((folder / "collection.json").read_text())
        api.collections[identifier] = {**collection, "links": []}
        for link in collection["links"]:
            if link["rel"] != "item":
                continue
            path = (folder / link["href"]).resolve()
            item = json.loads(path.read_text())
            for asset in item["assets"].values():
                asset["href"] = (path.parent / asset["href"]).resolve().as_uri()
            api.items.append({**item, "links": []})
    return api
