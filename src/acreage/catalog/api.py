"""STAC APIs, through pystac-client."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import requests
from pystac.errors import STACError
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from acreage.catalog.fetch import TIMEOUT_S, Fetcher
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.sources import Document, ItemIndex, parse_documents
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError
from acreage.core.temporal import format_instant

PAGE_SIZE = 200
_ITEM_SEARCH = "item-search"
_MILLISECOND = np.timedelta64(1, "ms")


def is_api(document: Json) -> bool:
    """True for the landing page of an API that can search items."""
    classes = document.get("conformsTo")
    return isinstance(classes, list) and any(isinstance(c, str) and c.endswith(_ITEM_SEARCH) for c in classes)


class ApiSource:
    """A STAC API; every search is a request, collections are read once."""

    def __init__(self, address: str, fetcher: Fetcher) -> None:
        """Open it.

        Raises:
            CatalogError: it cannot be reached or does not answer as a STAC API.
        """
        self._address = address
        self._lock = threading.Lock()
        self._collections: dict[str, Json] | None = None
        io = StacApiIO(headers=fetcher.headers, timeout=TIMEOUT_S)
        for scheme in ("http://", "https://"):
            io.session.mount(scheme, fetcher.adapter())
        with self._errors():
            self._client = Client.open(address, stac_io=io)
            self._can_query = self._client.conforms_to("QUERY")

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
            search = self._client.search(collections=[collection], max_items=1)
            documents = [Document(self._address, data) for data in search.items_as_dicts()]
        items, _ = parse_documents(documents)
        return items[0] if items else None

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """As `ItemSource.find`; answers are held against area and time again: APIs differ at the edges."""
        with self._errors():
            search = self._client.search(
                collections=[collection],
                bbox=list(bounds),
                datetime=_datetime(interval),
                query=dict(query) if query and self._can_query else None,
                limit=PAGE_SIZE,
            )
            documents = [Document(self._item_address(collection, d), d) for d in search.items_as_dicts()]
        items, problems = parse_documents(documents)
        return ItemIndex(items).find(bounds, interval), problems

    def _item_address(self, collection: str, data: Json) -> str:
        return f"{self._address.rstrip('/')}/collections/{collection}/items/{data.get('id', '')}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (APIError, requests.RequestException, STACError, ValueError, KeyError) as error:
            raise CatalogError(
                f"The STAC API at {self._address} failed: {error}.",
                hint="Check the address, the network and the credentials.",
            ) from error


def _datetime(interval: Interval) -> str | None:
    """The interval as APIs write it, both ends included; None where it is open on both sides."""
    start, end = interval
    if start is None and end is None:
        return None
    first = ".." if start is None else format_instant(start)
    last = ".." if end is None else format_instant(end - _MILLISECOND)
    return f"{first}/{last}"
