"""Batch jobs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from acreage.backend.accounts.users import User
from acreage.backend.database.tables import JobRow
from acreage.backend.errors import (
    BillingPlanInvalid,
    RequestInvalid,
)
from acreage.backend.estimates import budget_of, estimated
from acreage.backend.jobs.documents import details, summary
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.logs import LEVELS, Level, timestamp
from acreage.backend.openapi.checks import check_body
from acreage.backend.routes.common import (
    After,
    JsonBody,
    Limit,
    LoggedIn,
    ServerPart,
    address,
    body_object,
    link,
    own_host,
    page_links,
)
from acreage.backend.server import Server, check_nodes
from acreage.backend.settings import ServerSettings
from acreage.engine.parser import unwrap

_PAGE = 100
_TEXTS = ("title", "description")
_KNOWN = {*_TEXTS, "process", "plan", "budget", "log_level"}
# What the server tells of a job is not the client's to state.
_OWN = {"id", "status", "created", "updated", "progress", "costs", "usage", "links"}
router = APIRouter(tags=["jobs"])


def _fields(server: Server, document: Any) -> dict[str, Any]:
    """Columns of a job from a request's body; unknown fields are options of the job."""
    body = body_object(document)
    fields: dict[str, Any] = {}
    for name in _TEXTS:
        if name in body:
            if body[name] is not None and not isinstance(body[name], str):
                raise RequestInvalid(f"`{name}` must be a text.")
            fields[name] = body[name]
    if "process" in body:
        process = body_object(body["process"])
        unwrap(process)
        check_nodes(process, server.settings.graph_nodes)
        fields["process"] = dict(process)
    if body.get("plan") is not None:
        if str(body["plan"]).lower() != server.plan:
            raise BillingPlanInvalid(f"There is no plan {body['plan']!r}.", hint=f"There is: {server.plan}.")
        fields["plan"] = server.plan
    if "budget" in body:
        fields["budget"] = budget_of(body["budget"])
    if body.get("log_level") is not None:
        if body["log_level"] not in LEVELS:
            raise RequestInvalid(f"`log_level` is {body['log_level']!r}.", hint=f"Use {', '.join(LEVELS)}.")
        fields["log_level"] = body["log_level"]
    options = {k: v for k, v in body.items() if k not in _KNOWN | _OWN}
    if options:
        fields["options"] = options
    return fields


@router.get("/jobs")
def jobs(
    request: Request, server: ServerPart, user: LoggedIn, limit: Limit = None, after: After = None
) -> dict[str, Any]:
    """The user's jobs, newest first."""
    size = limit or _PAGE
    rows, more = server.jobs.listed(user.id, size, after)
    return {"jobs": [summary(job) for job in rows], "links": page_links(request, more, size)}


@router.post("/jobs", status_code=201)
def create(request: Request, server: ServerPart, user: LoggedIn, job: JsonBody) -> Response:
    """A new job, which waits to be started."""
    fields = _fields(server, job)
    if "process" not in fields:
        raise RequestInvalid("The job has no `process`.", hint="Give it with its `process_graph`.")
    check_body("Computation", job)
    made = server.jobs.create(user.id, **{"options": {}, "log_level": "info", **fields})
    return Response(
        status_code=201,
        headers={"Location": address(request, "jobs", made.id), "OpenEO-Identifier": made.id},
    )


@router.get("/jobs/{job_id}")
def job(server: ServerPart, user: LoggedIn, job_id: str) -> dict[str, Any]:
    """All that is known of a job."""
    found = server.jobs.get(user.id, job_id)
    return {**details(found), **_lifetime(found, server.settings)}


def _lifetime(job: JobRow, settings: ServerSettings) -> dict[str, str]:
    """When the results and all else of a job go, or went."""
    told = {}
    if job.results_deleted is not None:
        told["results_deleted"] = timestamp(job.results_deleted)
    if job.ended is None:
        return told
    days = [d for d in (settings.results_days, settings.retention_days) if d]
    if job.status == "finished" and job.results_deleted is None and days:
        told["results_expire"] = timestamp(job.ended + timedelta(days=min(days)))
    if settings.retention_days:
        told["expires"] = timestamp(job.ended + timedelta(days=settings.retention_days))
    return told


@router.patch("/jobs/{job_id}", status_code=204)
def change(server: ServerPart, user: LoggedIn, job_id: str, job: JsonBody) -> Response:
    """Change a job that neither waits nor runs."""
    fields = _fields(server, job)
    check_body("ChangeOfAJob", job)
    server.jobs.change(user.id, job_id, fields)
    return Response(status_code=204)


@router.delete("/jobs/{job_id}", status_code=204)
def delete(server: ServerPart, user: LoggedIn, job_id: str) -> Response:
    """Forget a job and its results; one that waits or runs is stopped first."""
    _stopped(server, user, job_id)
    server.jobs.delete(user.id, job_id)
    server.housekeeper.remove(job_id)
    return Response(status_code=204)


@router.get("/jobs/{job_id}/estimate")
def estimate(request: Request, server: ServerPart, user: LoggedIn, job_id: str) -> dict[str, Any]:
    """What a job is expected to cost and to take."""
    found = server.jobs.get(user.id, job_id)
    told = _estimated(server, user, found, own_host(request))
    server.jobs.estimated(user.id, job_id, told)
    return told


def _estimated(server: Server, user: User, job: JobRow, own: str) -> dict[str, Any]:
    return estimated(server, user, job.process, job.options or {}, own)


@router.post("/jobs/{job_id}/results", status_code=202)
def start(request: Request, server: ServerPart, user: LoggedIn, job_id: str) -> Response:
    """Let a job wait for its turn; nothing happens where it waits or runs already."""
    found = server.jobs.get(user.id, job_id)
    if found.status not in ("queued", "running"):
        # What cannot be put together need not wait.
        server.expanded(user.id, found.process, own_host(request))
        # Without prices nobody waits for a plan: the job makes its own.
        estimate = None if server.tariff.is_free else _estimated(server, user, found, own_host(request))
        server.jobs.queue(user.id, job_id, estimate)
        server.dispatcher.wake()
    return Response(status_code=202)


@router.delete("/jobs/{job_id}/results", status_code=204)
def stop(server: ServerPart, user: LoggedIn, job_id: str) -> Response:
    """Stop a job that waits or runs."""
    server.jobs.cancel(user.id, job_id)
    server.dispatcher.wake()
    return Response(status_code=204)


def _stopped(server: Server, user: User, job_id: str) -> None:
    """Stop a job and wait until it does not run any more."""
    found = server.jobs.get(user.id, job_id)
    if found.status == "queued":
        server.jobs.cancel(user.id, job_id)
    elif found.status == "running":
        server.jobs.cancel(user.id, job_id)
        server.dispatcher.wake()
        until = time.monotonic() + 20
        while server.jobs.get(user.id, job_id).status == "running" and time.monotonic() < until:
            time.sleep(0.05)


@router.get("/jobs/{job_id}/logs")
def logs(
    request: Request,
    server: ServerPart,
    user: LoggedIn,
    job_id: str,
    offset: str | None = None,
    limit: Limit = None,
    level: Level = "debug",
) -> dict[str, Any]:
    """The log of a job, from an entry on."""
    server.jobs.get(user.id, job_id)
    found = JobFolder(server.storage.jobs / job_id).log().entries(offset, limit, level)
    links = []
    if limit is not None and len(found) == limit:
        more = {"limit": limit, "offset": found[-1]["id"], "level": level}
        links.append(link("next", address(request, "jobs", job_id, "logs", **more)))
    return {"level": level, "logs": found, "links": links}
