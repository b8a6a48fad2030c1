"""Results of batch jobs, and signed links to them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse

from acreage.backend.database.tables import JobRow
from acreage.backend.errors import JobNotFinished, ResultsExpired, ResultStoreFailed
from acreage.backend.jobs.documents import media_type, results_document
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.items import item_document, item_files
from acreage.backend.jobs.logs import timestamp
from acreage.backend.routes.common import LoggedIn, ServerPart, address, link
from acreage.backend.server import Server
from acreage.backend.storage import user_path
from acreage.core.errors import FileNotFound

_AT_THE_STORE_S = 3600
_SIGNED = {"assets": "{}", "items": "item {}"}
"""What is signed of a name, by the part of the results that it belongs to: no link is good for another."""
router = APIRouter(tags=["jobs"])


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
    _refuse_expired(found)
    if found.status != "finished" and not partial:
        raise JobNotFinished(
            f"Job {job_id} is {found.status}.", hint="Results are there once it is finished."
        )

    def href(name: str) -> str:
        return _signed_address(request, server, found, "assets", name, expires)

    def item_address(name: str) -> str:
        return _signed_address(request, server, found, "items", name, expires)

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
    links += [
        link("item", item_address(f["name"]), type="application/geo+json", title=f["name"])
        for f in item_files(found.result or {})
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


@router.get("/jobs/{job_id}/results/items/{name}", tags=["hidden"])
def item(
    request: Request,
    server: ServerPart,
    job_id: str,
    name: str,
    user: str,
    attempt: Annotated[int, Query(ge=1, le=1_000_000)],
    expires: str,
    signature: str,
) -> dict[str, Any]:
    """The STAC item of a file of the results, by a signed link; its own link expires with it."""
    server.signer.check(expires, signature, user, job_id, str(attempt), _SIGNED["items"].format(name))
    job = server.jobs.get(user, job_id)
    _refuse_expired(job)
    file = next((f for f in item_files(job.result or {}) if f["name"] == name), None)
    if file is None or job.attempt != attempt:
        raise FileNotFound(f"Job {job_id} has no file {name!r}.", hint="It may have been computed anew.")
    href, own = (_signed_address(request, server, job, of, name, expires) for of in _SIGNED)
    return item_document(job, file, href, [link("self", own, type="application/geo+json")])


@router.head("/jobs/{job_id}/results/assets/{name}", include_in_schema=False)
@router.get("/jobs/{job_id}/results/assets/{name}", tags=["hidden"], response_class=FileResponse)
def asset(
    request: Request,
    server: ServerPart,
    job_id: str,
    name: str,
    user: str,
    attempt: Annotated[int, Query(ge=1, le=1_000_000)],
    expires: str,
    signature: str,
) -> Response:
    """A file of the results, by a signed link."""
    server.signer.check(expires, signature, user, job_id, str(attempt), _SIGNED["assets"].format(name))
    job = server.jobs.get(user, job_id)
    _refuse_expired(job)
    absent = FileNotFound(f"Job {job_id} has no file {name!r}.", hint="It may have been computed anew.")
    result = job.result or {}
    if place := result.get("place"):
        if job.attempt != attempt or name not in [f["name"] for f in result.get("files", ())]:
            raise absent
        return _from_bucket(request, server, job_id, place, name)
    path = user_path(JobFolder(server.storage.jobs / job_id, attempt).results, name)
    if not path.is_file():
        raise absent
    return FileResponse(path, media_type=media_type(name), filename=name)


def _signed_address(
    request: Request, server: Server, job: JobRow, part: str, name: str, expires: str | None
) -> str:
    """The signed link to a file of the results, or to its STAC item (see `_SIGNED`)."""
    what = job.user_id, job.id, str(job.attempt), _SIGNED[part].format(name)
    query = {"user": job.user_id, "attempt": str(job.attempt), **server.signer.sign(*what, expires=expires)}
    return address(request, "jobs", job.id, "results", part, name, **query)


def _refuse_expired(job: JobRow) -> None:
    if job.results_deleted is not None:
        raise ResultsExpired(
            f"The results of job {job.id} were deleted on {timestamp(job.results_deleted)}.",
            hint="Start the job again to compute them anew.",
        )


def _from_bucket(request: Request, server: Server, job_id: str, place: str, name: str) -> Response:
    """A file of the bucket, passed on or by a link to the store, as the settings say."""
    bucket = server.bucket
    if bucket is None:
        raise ResultStoreFailed(
            "These results lie in a bucket, and the server has none any more.",
            hint="Those who run the server must set ACREAGE_SERVER_RESULTS as it was.",
        )
    if server.settings.results_redirect:
        return RedirectResponse(bucket.signed(job_id, place, name, _AT_THE_STORE_S), 307)
    head = request.method == "HEAD"
    found = bucket.open(job_id, place, name, request.headers.get("range"), head=head)
    headers = {**found.headers, "Content-Disposition": f'attachment; filename="{name}"'}
    if head:
        return Response(status_code=found.status, headers=headers, media_type=media_type(name))
    return StreamingResponse(found.chunks, found.status, headers, media_type(name))
