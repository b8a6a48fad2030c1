"""Collections: what can be loaded."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request

from acreage.backend.collections import collection_document, queryables_document
from acreage.backend.routes.common import After, Limit, ServerPart, address, link, page_links
from acreage.core.errors import CatalogError

_log = logging.getLogger(__name__)
router = APIRouter(tags=["collections"])


@router.get("/collections")
def collections(
    request: Request, server: ServerPart, limit: Limit = None, after: After = None
) -> dict[str, Any]:
    """All collections."""
    ids = list(server.work.catalog.collections())
    start = ids.index(after) + 1 if after in ids else 0
    shown = ids[start:] if limit is None else ids[start : start + limit]
    more = bool(shown) and start + len(shown) < len(ids)
    found = []
    for collection_id in shown:
        try:
            found.append(_document(request, server, collection_id))
        except CatalogError as error:  # one that is not described well must not hide the others
            _log.warning("Collection %s is not listed: %s", collection_id, error)
    return {
        "collections": found,
        "links": [
            link("self", address(request, "collections")),
            *page_links(request, shown[-1] if more else None, limit),
        ],
    }


@router.get("/collections/{collection_id}")
def collection(request: Request, server: ServerPart, collection_id: str) -> dict[str, Any]:
    """A collection with its dimensions and bands."""
    return _document(request, server, collection_id)


@router.get("/collections/{collection_id}/queryables")
def queryables(request: Request, server: ServerPart, collection_id: str) -> dict[str, Any]:
    """Properties that items of a collection can be filtered by, as a JSON Schema."""
    info = server.work.catalog.describe(collection_id)
    return queryables_document(info, address(request, "collections", collection_id, "queryables"))


def _document(request: Request, server: ServerPart, collection_id: str) -> dict[str, Any]:
    document = collection_document(server.work.catalog.describe(collection_id))
    own = address(request, "collections", collection_id)
    document["links"] += [
        link("self", own, type="application/json"),
        link("root", address(request, ""), type="application/json"),
        link("parent", address(request, ""), type="application/json"),
        link(
            "http://www.opengis.net/def/rel/ogc/1.0/queryables",
            f"{own}/queryables",
            type="application/schema+json",
        ),
    ]
    return document
