"""Secondary web services and their tiles."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from acreage.backend.accounts.users import User
from acreage.backend.bodies import check_told
from acreage.backend.database.tables import ServiceRow
from acreage.backend.errors import NotFound
from acreage.backend.jobs.logs import timestamp
from acreage.backend.openapi.checks import check_body
from acreage.backend.routes.common import JsonBody, LoggedIn, ServerPart, address, body_object
from acreage.backend.server import Server, check_nodes
from acreage.backend.services import TilePlace, service_types, tile_graph, wmts_capabilities
from acreage.backend.tiles import EMPTY_TILE, write_tile

router = APIRouter(tags=["secondary services"])


@router.get("/service_types")
def types() -> dict[str, Any]:
    """Types of services."""
    return service_types()


@router.get("/services")
def services(request: Request, server: ServerPart, user: LoggedIn) -> dict[str, Any]:
    """The user's services."""
    return {"services": [_summary(request, row) for row in server.services.listed(user.id)], "links": []}


@router.post("/services", status_code=201)
def create(request: Request, server: ServerPart, user: LoggedIn, service: JsonBody) -> Response:
    """A new service of a process graph."""
    body = body_object(service)
    check_told(body)
    if "process" in body:
        check_nodes(body_object(body["process"]), server.settings.graph_nodes)
    check_body("ChangeOfAService", body)
    row = server.services.create(user.id, body)
    headers = {"Location": address(request, "services", row.id), "OpenEO-Identifier": row.id}
    return Response(status_code=201, headers=headers)


@router.get("/services/{service_id}")
def service(request: Request, server: ServerPart, user: LoggedIn, service_id: str) -> dict[str, Any]:
    """All that is known of a service."""
    row = server.services.get(user.id, service_id)
    return {
        **_summary(request, row),
        "process": row.process,
        "configuration": row.configuration,
        "attributes": {},
    }


@router.patch("/services/{service_id}", status_code=204)
def change(server: ServerPart, user: LoggedIn, service_id: str, service: JsonBody) -> Response:
    """Change a service."""
    body = body_object(service)
    check_told(body)
    if "process" in body:
        check_nodes(body_object(body["process"]), server.settings.graph_nodes)
    check_body("ChangeOfAService", body)
    server.services.change(user.id, service_id, body)
    return Response(status_code=204)


@router.delete("/services/{service_id}", status_code=204)
def delete(server: ServerPart, user: LoggedIn, service_id: str) -> Response:
    """Remove a service."""
    server.services.delete(user.id, service_id)
    return Response(status_code=204)


@router.get("/services/{service_id}/logs")
def logs(server: ServerPart, user: LoggedIn, service_id: str) -> dict[str, Any]:
    """Services log nothing of their own: what is wrong with a tile is its answer."""
    server.services.get(user.id, service_id)
    return {"logs": [], "links": []}


@router.get("/services/{service_id}/wmts", tags=["hidden"])
def wmts(request: Request, server: ServerPart, service_id: str) -> Response:
    """The WMTS document."""
    row = server.services.public(service_id)
    text = wmts_capabilities(row, address(request, "services", row.id, "tiles"))
    return Response(text, media_type="application/xml")


@router.get("/services/{service_id}/tiles/{z}/{x}/{y}.png", tags=["hidden"])
def tile(server: ServerPart, service_id: str, z: int, x: int, y: int) -> Response:
    """A tile, computed once."""
    row, place = server.services.public(service_id), TilePlace(z, x, y)
    if not place.exists:
        raise NotFound(f"There is no tile {z}/{x}/{y}.")
    path = server.services.tile_file(row, place)
    if path.exists():
        with suppress(OSError):
            os.utime(path)  # those unused for longest go first (`Housekeeper`)
    else:
        server.disk.check()
        _compute(server, row, place, path)
    if not path.stat().st_size:
        return Response(EMPTY_TILE, media_type="image/png")
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "max-age=3600"})


def _compute(server: Server, row: ServiceRow, place: TilePlace, path: Path) -> None:
    """Put a tile in its place; an empty file where there is nothing to be seen."""
    process = server.expanded(row.user_id, row.process)
    user, loads = User(row.user_id, row.user_id, "", trusted=False), server.loads(row.user_id, process)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=server.storage.requests) as folder:
        part = path.with_name(f".{path.name}-{Path(folder).name}")
        area = server.services.area(row, lambda: server.work.area(process, user, loads))
        if area is None or not place.touches(area):
            part.touch()
        else:
            graph = tile_graph(process, row.configuration, place)
            corner = (place.bounds[0], place.bounds[3])
            write_tile(server.work.render(graph, corner, user, loads, Path(folder)), part)
        part.replace(path)


def _summary(request: Request, row: ServiceRow) -> dict[str, Any]:
    own = address(request, "services", row.id)
    found: dict[str, Any] = {
        "id": row.id,
        "url": f"{own}/wmts" if row.type == "WMTS" else f"{own}/tiles/{{z}}/{{x}}/{{y}}.png",
        "type": row.type.lower(),
        "enabled": row.enabled,
        "created": timestamp(row.created),
    }
    for name in ("title", "description", "plan", "budget"):
        if getattr(row, name) is not None:
            found[name] = getattr(row, name)
    return found
