"""STAC APIs, through pystac-client."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import requests
from pystac import Link
from pystac.errors import STACError
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from acreage.catalog.fetch import TIMEOUT_S, Fetcher
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.query import as_cql2, as_query_extension
from acreage.catalog.sources import Document, ItemIndex, parse_documents
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import AddressRefused, CatalogError
from acreage.core.temporal import format_instant

PAGE_SIZE = 200
# A catalog that ignores the area or dates of a search would otherwise hand out all that it has.
MOST_ITEMS = 200_000
_CQL2_JSON = "cql2-json"
_MILLISECOND = np.timedelta64(1, "ms")
_REFUSED = (400, 422, 501)


class ApiSource:
    """A STAC API; every search is a request, collections are read once.

    Attributes:
        whole: a search answers for the area that it asks about only.
        filters: as `ItemSource` says.
    """

    whole = False
    filters = True

    def __init__(self, address: str, fetcher: Fetcher) -> None:
        """Open it.

        Raises:
            CatalogError: it cannot be reached or does not answer as a STAC API.
        """
        self._address = address
        self._lock = threading.Lock()
        self._collections: dict[str, Json] | None = None
        self._io = StacApiIO(timeout=TIMEOUT_S)
        # Logins and proxies of this machine are not for what users name.
        self._io.session.trust_env = fetcher.guard is None
        for scheme in ("http://", "https://"):
            self._io.session.mount(scheme, fetcher.adapter())
        with self._errors():
            self._client = Client.open(address, stac_io=self._io)
            classes = [str(c) for c in self._client.get_conforms_to()]
            self._can_query = self._client.conforms_to("QUERY")
            self._can_filter = self._client.conforms_to("FILTER") and any(_CQL2_JSON in c for c in classes)

    @property
    def address(self) -> str:
        """Where it was opened."""
        return self._address

    def stac_collections(self) -> Mapping[str, Json]:
        """The STAC collection objects by id."""
        with self._lock:
            if self._collections is None:
                with self._errors():
                    found = [c.to_dict(transform_hrefs=False) for c in self._client.get_collections()]
                self._collections = {collection["id"]: collection for collection in found}
            return self._collections

    def sample(self, collection: str) -> StacItem | None:
        """Any item, None where there is none."""
        with self._errors():
            search = self._client.search(collections=[collection], max_items=1, limit=1)
            page = self._io.read_json(
                search.url_with_parameters() if search.method == "GET" else search.url,
                **(
                    {}
                    if search.method == "GET"
                    else {"method": "POST", "parameters": search.get_parameters()}
                ),
            )
            documents = [
                Document(self._item_address(collection, data), data) for data in self._features(page)[:1]
            ]
        items, _ = parse_documents(documents)
        return items[0] if items else None

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """As `ItemSource.find`; filters are passed on where the API takes them."""
        items, problems = parse_documents(self._search(collection, bounds, interval, query))
        return ItemIndex(items).find(bounds, interval), problems

    def documents(self, collection: str, bounds: Bounds, interval: Interval) -> Sequence[Document]:
        """Item documents that touch an area and a half-open interval.

        Raises:
            CatalogError: the API cannot be reached, or its answer is not complete.
        """
        return self._search(collection, bounds, interval, None)

    def _search(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> list[Document]:
        pushed = self._pushed(query)
        try:
            found = self._pages(collection, bounds, interval, pushed)
        except _FilterRefused:
            # It says that it filters, but not by these: it is asked for all, and the rest is done here.
            found = self._pages(collection, bounds, interval, {})
        return [Document(self._item_address(collection, d), d) for d in found]

    def _pushed(self, query: Mapping[str, Any] | None) -> dict[str, Any]:
        if query and self._can_filter:
            return {"filter": as_cql2(query), "filter_lang": _CQL2_JSON}
        said = as_query_extension(query or {}) if self._can_query else {}
        return {"query": said} if said else {}

    def _pages(
        self, collection: str, bounds: Bounds, interval: Interval, pushed: Mapping[str, Any]
    ) -> list[Json]:
        """All items of all pages, each id once.

        Raises:
            CatalogError: a page is not what it should be, or pages repeat or leave items out.
            _FilterRefused: the API refuses the filters.
        """
        found: dict[str, Json] = {}
        given, matched, seen = 0, None, set[str]()
        with self._errors(refusable=bool(pushed)):
            search = self._client.search(
                collections=[collection],
                bbox=list(bounds),
                datetime=_datetime(interval),
                limit=PAGE_SIZE,
                **pushed,
            )
            parameters = search.get_parameters()
            page: Any = self._io.read_json(search.url, method=search.method, parameters=parameters)
            while True:
                features = self._features(page)
                given += len(features)
                before = len(found)
                for data in features:
                    _take(found, data, collection)
                matched = _matched(page, matched)
                following = _next(page)
                if following is None:
                    break
                mark = repr((following.get("href"), following.get("body")))
                if mark in seen or (features and len(found) == before):
                    raise CatalogError(
                        f"The STAC API at {self._address} gives the same page again and again."
                    )
                if len(found) > MOST_ITEMS:
                    raise CatalogError(
                        f"The STAC API at {self._address} gives more than {MOST_ITEMS} items for one search "
                        f"of {collection}; it may ignore the area or the dates."
                    )
                seen.add(mark)
                page = self._io.read_json(Link.from_dict(following), parameters=parameters)
        if matched is not None and len(found) < matched:
            raise CatalogError(
                f"The STAC API at {self._address} says that {matched} items of {collection} match, but gave "
                f"{len(found)} different ones ({given} in all).",
                hint="Try again: it may be changing just now.",
            )
        return list(found.values())

    def _features(self, page: Any) -> list[Json]:
        features = page.get("features") if isinstance(page, Mapping) else None
        if not isinstance(features, list) or not all(isinstance(f, Mapping) for f in features):
            raise CatalogError(
                f"The STAC API at {self._address} answers a search without a list of items: "
                f"{str(page)[:120]!r}.",
                hint="Check that it is a STAC API; try again later.",
            )
        return features

    def _item_address(self, collection: str, data: Json) -> str:
        return f"{self._address.rstrip('/')}/collections/{collection}/items/{data.get('id', '')}"

    @contextmanager
    def _errors(self, refusable: bool = False) -> Iterator[None]:
        try:
            yield
        except CatalogError:
            raise
        except (APIError, requests.RequestException, STACError, ValueError, KeyError, TypeError) as error:
            refused = _refusal(error)
            if refused is not None:
                raise refused from error
            if refusable and getattr(error, "status_code", None) in _REFUSED:
                raise _FilterRefused from error
            text = " ".join(str(error).split())
            raise CatalogError(
                f"The STAC API at {self._address} failed: {text[:300] or type(error).__name__}.",
                hint="Check the address, the network and the credentials.",
            ) from error


def _refusal(error: BaseException | None) -> AddressRefused | None:
    """The guard's refusal in what the client makes of it."""
    while error is not None and not isinstance(error, AddressRefused):
        error = error.__cause__ or error.__context__
    return error


class _FilterRefused(Exception):
    """The API does not take the filters that it was given."""


def _take(found: dict[str, Json], data: Json, collection: str) -> None:
    """Keep an item of the collection; of two with one id the one updated last."""
    if data.get("collection") not in (None, collection):
        return
    key = data["id"] if isinstance(data.get("id"), str) else f"\0{len(found)}"
    if key not in found or _updated(data) > _updated(found[key]):
        found[key] = data


def _updated(data: Json) -> str:
    properties = data.get("properties")
    value = properties.get("updated") if isinstance(properties, Mapping) else None
    return value if isinstance(value, str) else ""


def _matched(page: Json, before: int | None) -> int | None:
    """How many items the API says there are; the least that any page says, as items may go meanwhile."""
    context = page.get("context")
    for value in (
        page.get("numberMatched"),
        context.get("matched") if isinstance(context, Mapping) else None,
    ):
        if isinstance(value, int) and not isinstance(value, bool):
            return value if before is None else min(before, value)
    return before


def _next(page: Json) -> dict[str, Any] | None:
    links = page.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get("rel") == "next" and link.get("href"):
            return dict(link)
    return None


def _datetime(interval: Interval) -> str | None:
    """The interval as APIs write it, both ends included; None where it is open on both sides."""
    start, end = interval
    if start is None and end is None:
        return None
    first = ".." if start is None else format_instant(start)
    last = ".." if end is None else format_instant(end - _MILLISECOND)
    return f"{first}/{last}"
