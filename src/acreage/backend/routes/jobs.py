"""Batch jobs."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from acreage.backend.accounts.users import User
from acreage.backend.database.tables import JobRow
from acreage.backend.errors import (
    BillingPlanInvalid,
    BudgetInvalid,
    JobNotFinished,
    PaymentRequired,
    RequestInvalid,
)
from acreage.backend.jobs.documents import details, media_type, results_document, summary
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.logs import LEVELS, Level
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
    page_links,
)
from acreage.backend.server import Server, check_nodes
from acreage.backend.storage import user_path
from acreage.core.errors import FileNotFound
from acreage.core.tariff import Use
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
        fields["budget"] = _budget(body["budget"])
    if body.get("log_level") is not None:
        if body["log_level"] not in LEVELS:
            raise RequestInvalid(f"`log_level` is {body['log_level']!r}.", hint=f"Use {', '.join(LEVELS)}.")
        fields["log_level"] = body["log_level"]
    options = {k: v for k, v in body.items() if k not in _KNOWN | _OWN}
    if options:
        fields["options"] = options
    return fields


def _budget(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BudgetInvalid(f"A budget of {value!r} is no amount.", hint="Give a number of 0 or more.")
    return float(value)


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
    return details(server.jobs.get(user.id, job_id))


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
    JobFolder(server.storage.jobs / job_id).remove()
    return Response(status_code=204)


@router.get("/jobs/{job_id}/estimate")
def estimate(server: ServerPart, user: LoggedIn, job_id: str) -> dict[str, Any]:
    """What a job is expected to cost and to take."""
    found = server.jobs.get(user.id, job_id)
    return _estimated(server, user, found)


def _estimated(server: Server, user: User, job: JobRow) -> dict[str, Any]:
    process = server.expanded(user.id, job.process)
    plan = server.work.plan(process, job.options or {}, user, server.storage.files_of(user.id))
    expected = plan.estimate
    threads = max(plan.threads, 1)
    seconds = expected.core_seconds / threads
    use = Use(expected.core_seconds, expected.memory_bytes / 1e9 * seconds, expected.source_pixels / 1e6)
    size = sum(plan.nodes[o.node].meta.size * plan.nodes[o.node].meta.dtype.itemsize for o in plan.outputs)
    return {
        "costs": server.tariff.cost(use),
        "duration": f"PT{max(1, math.ceil(seconds))}S",
        "size": int(size),
        "downloads_included": 0,
    }


@router.post("/jobs/{job_id}/results", status_code=202)
def start(server: ServerPart, user: LoggedIn, job_id: str) -> Response:
    """Let a job wait for its turn; nothing happens where it waits or runs already."""
    found = server.jobs.get(user.id, job_id)
    if found.status not in ("queued", "running"):
        server.expanded(user.id, found.process)  # what cannot be put together need not wait
        if found.budget is not None and not server.tariff.is_free:
            expected = _estimated(server, user, found)["costs"]
            if expected > found.budget:
                raise PaymentRequired(
                    f"The job is expected to cost {expected:g} {server.tariff.currency}, and its budget is "
                    f"{found.budget:g}.",
                    hint="Raise the budget.",
                )
        server.jobs.queue(user.id, job_id)
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


@router.get("/jobs/{job_id}/results")
def results(
    request: Request,
    response: Response,
    server: ServerPart,
    user: LoggedIn,
    job_id: str,
    partial: bool = False,
) -> Any:
    """Files of a finished job with signed links; with `partial` also of one that is not finished."""
    return _results(request, response, server, user.id, job_id, partial=partial)


def _results(
    request: Request,
    response: Response,
    server: Server,
    user_id: str,
    job_id: str,
    *,
    partial: bool = False,
    expires: str | None = None,
) -> Any:
    """As `results`; the links expire at a moment, by default after the server's days."""
    found = server.jobs.get(user_id, job_id)
    if found.status == "error":
        error = found.error or {"code": "Internal", "message": "The job failed."}
        return JSONResponse({"id": found.id, "links": [], **error, "level": "error"}, status_code=424)
    if found.status != "finished" and not partial:
        raise JobNotFinished(
            f"Job {job_id} is {found.status}.", hint="Results are there once it is finished."
        )

    def href(name: str) -> str:
        signed = server.signer.sign(user_id, job_id, str(found.attempt), name, expires=expires)
        query = {"user": user_id, "attempt": str(found.attempt), **signed}
        return address(request, "jobs", job_id, "results", "assets", name, **query)

    own = address(request, "jobs", job_id, "results")
    signed = server.signer.sign(user_id, job_id, "", "", expires=expires)
    links = [
        link("self", own, type="application/json"),
        link(
            "canonical",
            address(request, "jobs", job_id, "results", "canonical", user=user_id, **signed),
            type="application/json",
        ),
        link("root", address(request, ""), type="application/json"),
    ]
    response.headers["OpenEO-Costs"] = "0"  # what was computed is paid for; its download costs nothing
    return results_document(found, found.result or {}, href, links)


@router.get("/jobs/{job_id}/results/canonical", tags=["hidden"])
def canonical(
    request: Request,
    response: Response,
    server: ServerPart,
    job_id: str,
    user: str,
    expires: str,
    signature: str,
) -> Any:
    """The results by a signed link, without a login; what it leads to expires with it."""
    server.signer.check(expires, signature, user, job_id, "", "")
    return _results(request, response, server, user, job_id, expires=expires)


@router.head("/jobs/{job_id}/results/assets/{name}", include_in_schema=False)
@router.get("/jobs/{job_id}/results/assets/{name}", tags=["hidden"])
def asset(
    server: ServerPart,
    job_id: str,
    name: str,
    user: str,
    attempt: Annotated[int, Query(ge=1, le=1_000_000)],
    expires: str,
    signature: str,
) -> FileResponse:
    """A file of the results, by a signed link."""
    server.signer.check(expires, signature, user, job_id, str(attempt), name)
    server.jobs.get(user, job_id)
    path = user_path(JobFolder(server.storage.jobs / job_id, attempt).results, name)
    if not path.is_file():
        raise FileNotFound(f"Job {job_id} has no file {name!r}.", hint="It may have been computed anew.")
    return FileResponse(path, media_type=media_type(name), filename=name)


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
