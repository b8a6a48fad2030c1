"""For those who run the server: health, readiness, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from acreage.backend.disk import is_full
from acreage.backend.metrics import DISK_FREE, JOBS, REGISTRY, RUNNING
from acreage.backend.routes.common import ServerPart

router = APIRouter(tags=["hidden"], include_in_schema=False)


@router.get("/health")
def health() -> dict[str, Any]:
    """That the process answers."""
    return {"status": "ok"}


@router.get("/ready")
def ready(server: ServerPart, response: Response) -> dict[str, Any]:
    """Whether database, storage, dispatcher and the bucket of results do their work."""
    problems, warnings = {}, {}
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
        short = server.disk.is_short
    except OSError as error:
        short = is_full(error)
        if not short:
            problems["storage"] = str(error.strerror)
    if server.bucket is not None and not server.bucket.answers:
        problems["results"] = "the bucket cannot be read"
    if short:
        # What is there can still be had: who asks must not be turned away.
        warnings["storage"] = f"{server.disk.free / 1e6:,.0f} MB are free: no job is begun."
    if problems:
        response.status_code = 503
    state = "not ready" if problems else "ok"
    return {"status": state, "problems": problems, "warnings": warnings}


@router.get("/metrics")
def metrics(server: ServerPart) -> Response:
    """Numbers for Prometheus."""
    counts = server.jobs.counts()
    for status in ("created", "queued", "running", "canceled", "finished", "error"):
        JOBS.labels(status).set(counts.get(status, 0))
    RUNNING.set(server.dispatcher.running)
    DISK_FREE.set(server.disk.free)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
