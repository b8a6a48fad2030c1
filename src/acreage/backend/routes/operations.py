"""For those who run the server: health, readiness, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from acreage.backend.metrics import JOBS, REGISTRY, RUNNING
from acreage.backend.routes.common import ServerPart

router = APIRouter(tags=["hidden"], include_in_schema=False)


@router.get("/health")
def health() -> dict[str, Any]:
    """That the process answers."""
    return {"status": "ok"}


@router.get("/ready")
def ready(server: ServerPart, response: Response) -> dict[str, Any]:
    """Whether database, storage and dispatcher do their work."""
    problems = {}
    try:
        server.jobs.counts()
    except SQLAlchemyError as error:
        problems["database"] = type(error).__name__
    if not server.dispatcher.is_alive:
        problems["dispatcher"] = "has ended"
    try:
        probe = server.storage.root / ".probe"
        probe.write_bytes(b"ok")
        probe.unlink(missing_ok=True)
    except OSError as error:
        problems["storage"] = str(error.strerror)
    if problems:
        response.status_code = 503
    return {"status": "not ready" if problems else "ok", "problems": problems}


@router.get("/metrics")
def metrics(server: ServerPart) -> Response:
    """Numbers for Prometheus."""
    counts = server.jobs.counts()
    for status in ("created", "queued", "running", "canceled", "finished", "error"):
        JOBS.labels(status).set(counts.get(status, 0))
    RUNNING.set(server.dispatcher.running)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
