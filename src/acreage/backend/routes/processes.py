"""Predefined processes, and those that users store."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from acreage.backend.errors import ProcessGraphNotFound
from acreage.backend.openapi.checks import check_body
from acreage.backend.routes.common import (
    After,
    JsonBody,
    Limit,
    LoggedIn,
    ServerPart,
    address,
    body_object,
    page_links,
)
from acreage.backend.server import check_nodes

PROCESSES_VERSION = "2.0.0-rc.2"
_SHOWN = ("id", "summary", "description", "categories", "parameters", "returns", "deprecated", "experimental")
router = APIRouter()


@router.get("/processes", tags=["processes"])
def processes(server: ServerPart, limit: Limit = None, after: After = None) -> dict[str, Any]:
    """All predefined processes, whatever `limit` says.

    The openEO JavaScript client and the Web Editor ask for 50 and never for the next page.
    """
    return {"version": PROCESSES_VERSION, "processes": list(server.predefined), "links": []}


@router.get("/processes/{namespace}", tags=["processes"])
def processes_of_namespace(
    server: ServerPart, namespace: str, limit: Limit = None, after: After = None
) -> dict[str, Any]:
    """Predefined processes (`backend`), or public ones of a user (`@` and the user's id); all of them."""
    if namespace == "backend":
        return processes(server)
    if not namespace.startswith("@"):
        raise ProcessGraphNotFound(f"There is no namespace {namespace!r}.")
    found, _ = server.processes.listed(namespace[1:], None, None, public=True)
    return {"processes": [_with_id(p) for p in found], "links": []}


@router.get("/processes/{namespace}/{process_id}", tags=["processes"])
def process_of_namespace(server: ServerPart, namespace: str, process_id: str) -> dict[str, Any]:
    """One process of a namespace, its graph included where a user made it public."""
    if namespace == "backend":
        for one in server.predefined:
            if one["id"] == process_id:
                return one
    elif namespace.startswith("@"):
        found, _ = server.processes.listed(namespace[1:], None, None, public=True)
        for one in found:
            if one["id"] == process_id:
                return one
    raise ProcessGraphNotFound(f"There is no process {process_id!r} in the namespace {namespace!r}.")


@router.get("/process_graphs", tags=["process graphs"])
def stored(
    request: Request, server: ServerPart, user: LoggedIn, limit: Limit = None, after: After = None
) -> dict[str, Any]:
    """Processes that the user has stored."""
    found, more = server.processes.listed(user.id, limit, after)
    return {"processes": [_with_id(p) for p in found], "links": page_links(request, more, limit)}


def _with_id(process: dict[str, Any]) -> dict[str, Any]:
    """What a list shows of a process: all but its graph."""
    return {k: process[k] for k in _SHOWN if process.get(k) is not None}


@router.get("/process_graphs/{process_graph_id}", tags=["process graphs"])
def stored_one(server: ServerPart, user: LoggedIn, process_graph_id: str) -> dict[str, Any]:
    """A stored process with its graph."""
    return server.processes.get(user.id, process_graph_id)


@router.put("/process_graphs/{process_graph_id}", tags=["process graphs"])
def store(
    request: Request, server: ServerPart, user: LoggedIn, process_graph_id: str, process: JsonBody
) -> Response:
    """Store a process under an id."""
    document = body_object(process)
    check_nodes(document, server.settings.graph_nodes)
    check_body("StoredProcess", document)
    server.processes.put(user.id, process_graph_id, document)
    return Response(
        status_code=200, headers={"Location": address(request, "process_graphs", process_graph_id)}
    )


@router.delete("/process_graphs/{process_graph_id}", status_code=204, tags=["process graphs"])
def forget(server: ServerPart, user: LoggedIn, process_graph_id: str) -> Response:
    """Forget a stored process."""
    server.processes.delete(user.id, process_graph_id)
    return Response(status_code=204)
