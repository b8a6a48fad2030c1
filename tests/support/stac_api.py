"""A small STAC API on loopback, and a plain web server over a folder, for tests."""

from __future__ import annotations

import json
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
        more_classes: conformance classes beside those that every API has.
        ignores: parameters of searches that it ignores.
        page_faults: page number, from 1 -> what is answered in its place each time.
        overlap: how many items of a page come again on the next one, pushing others out at the end.
        next_link: makes the link to the next page anew, to break it.
        matched: what it says of how many items match; "true": the truth; None: nothing.
    """

    collections: dict[str, dict[str, Any]]
    items: list[dict[str, Any]]
    page: int = 20
    refusals: list[tuple[int, Mapping[str, str], str]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    address: str = ""
    headers_seen: list[dict[str, str]] = field(default_factory=list)
    more_classes: tuple[str, ...] = ()
    ignores: frozenset[str] = frozenset()
    page_faults: dict[int, tuple[int, Mapping[str, str], str]] = field(default_factory=dict)
    overlap: int = 0
    next_link: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    matched: int | str | None = "true"

    @property
    def searches(self) -> list[dict[str, Any]]:
        """The parameters of the searches it was asked, first pages only."""
        return [w for r, w in self.requests if r.endswith("/search") and not w.get("token")]

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
            "conformsTo": [*CLASSES, *self.more_classes],
            "links": links,
        }

    def search(self, wanted: Mapping[str, Any], method: str) -> dict[str, Any]:
        """One page of a search."""
        asked = {k: v for k, v in wanted.items() if k not in self.ignores}
        found = [item for item in self.items if _matches(item, asked)]
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
            links.append(link if self.next_link is None else self.next_link(link))
        first = start - self.overlap * (start // size)
        page = found[first : first + size]
        answer = {"type": "FeatureCollection", "features": page, "links": links}
        if self.matched is not None:
            answer["numberMatched"] = len(found) if self.matched == "true" else self.matched
        return answer


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
    if wanted.get("query") and not _passes_query(item["properties"], wanted["query"]):
        return False
    if wanted.get("filter") and not passes_cql2(item["properties"], wanted["filter"]):
        return False
    if wanted.get("datetime"):
        first, last = wanted["datetime"].split("/")
        at = item["properties"]["datetime"]  # all in one spelling, so text compares as time does
        if (first != ".." and at < first) or (last != ".." and at > last):
            return False
    return True


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "neq": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt,
    "gte": operator.ge, "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "in": lambda value, allowed: value in allowed,
}  # fmt: skip


def _passes_query(properties: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    return all(
        name in properties and _COMPARE[op](properties[name], value)
        for name, conditions in query.items()
        for op, value in conditions.items()
    )


def passes_cql2(properties: Mapping[str, Any], node: Any) -> bool:
    """The filter's value for an item, as CQL2 has it: a comparison with nothing is not true."""
    op, args = node["op"], node["args"]
    if op == "and":
        return all(passes_cql2(properties, a) for a in args)
    if op == "or":
        return any(passes_cql2(properties, a) for a in args)
    value = properties.get(args[0]["property"])
    if op == "isNull":
        return value is None
    return value is not None and _COMPARE[op](value, args[1])


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
                fault = api.page_faults.get(1 + int(wanted.get("token") or 0) // api.page)
                if fault is not None:
                    self._send(fault[0], fault[2], fault[1])
                    return
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
