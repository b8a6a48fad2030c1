"""The user's files."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from acreage.backend.jobs.documents import media_type
from acreage.backend.routes.common import After, Limit, LoggedIn, ServerPart, page_links

router = APIRouter(tags=["file storage"])


@router.get("/files")
def files(
    request: Request, server: ServerPart, user: LoggedIn, limit: Limit = None, after: After = None
) -> dict[str, Any]:
    """All files, by path."""
    found = server.files.listed(user.id)
    rest = [f for f in found if after is None or f["path"] > after]
    shown = rest[:limit]
    more = shown[-1]["path"] if len(shown) < len(rest) else None
    return {"files": shown, "links": page_links(request, more, limit)}


@router.get("/files/{path:path}")
def download(server: ServerPart, user: LoggedIn, path: str) -> FileResponse:
    """A file."""
    found = server.files.get(user.id, path)
    return FileResponse(found, media_type=media_type(found.name), filename=found.name)


@router.put("/files/{path:path}")
async def upload(request: Request, server: ServerPart, user: LoggedIn, path: str) -> dict[str, Any]:
    """Store a file."""
    return await server.files.put(user.id, path, request.stream())


@router.delete("/files/{path:path}", status_code=204)
def remove(server: ServerPart, user: LoggedIn, path: str) -> Response:
    """Remove a file."""
    server.files.delete(user.id, path)
    return Response(status_code=204)
