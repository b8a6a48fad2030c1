"""Validation, and synchronous requests."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from acreage.backend.accounts.users import User
from acreage.backend.errors import (
    JobNotFinished,
    JobNotFound,
    ResultLinkExpired,
    ResultLinkInvalid,
    ResultsExpired,
)
from acreage.backend.estimates import RequestMeter, budget_of, estimated
from acreage.backend.jobs.documents import media_type
from acreage.backend.jobs.folder import JobFolder, JobSpec
from acreage.backend.jobs.usage import use_of
from acreage.backend.openapi.checks import check_body
from acreage.backend.routes.common import JsonBody, LoggedIn, ServerPart, body_object, own_host
from acreage.backend.server import Server
from acreage.core.errors import (
    AcreageError,
    CatalogError,
    InvalidProcessGraph,
    MemoryBudgetExceeded,
    ProcessGraphError,
    UdfError,
)
from acreage.engine.parser import parse_graph, unwrap

router = APIRouter(tags=["data processing"])
_OF_RESULTS = (JobNotFound, JobNotFinished, ResultLinkExpired, ResultLinkInvalid, ResultsExpired)
_OF_A_GRAPH = (ProcessGraphError, CatalogError, MemoryBudgetExceeded, UdfError, *_OF_RESULTS)
_NOT_OPTIONS = {"process", "plan", "budget", "log_level", "title", "description"}


@router.post("/validation")
def validate(request: Request, server: ServerPart, user: LoggedIn, process: JsonBody) -> dict[str, Any]:
    """All problems of a process graph, before it is run."""
    document = body_object(process)
    check_body("ProcessMetadata", document)
    try:
        unwrap(document)
        _plan(server, user, document, own_host(request))
    except InvalidProcessGraph as error:
        return {"errors": [_problem(e) for e in error.problems]}
    except _OF_A_GRAPH as error:
        return {"errors": [_problem(error)]}
    return {"errors": []}


def _problem(error: AcreageError) -> dict[str, str]:
    return {"code": error.code, "message": str(error)}


def _plan(server: Server, user: User, document: Mapping[str, Any], own: str) -> None:
    process = server.expanded(user.id, document, own)
    # Values for its parameters are not known yet.
    stated = process.get("parameters") or []
    if any("default" not in p and not p.get("optional") for p in stated if isinstance(p, Mapping)):
        process = {**process, "parameters": []}
    server.work.plan(process, {}, user, server.loads(user.id, process, own))


@router.post("/result")
async def result(asked: Request, server: ServerPart, user: LoggedIn, request: JsonBody) -> FileResponse:
    """Compute now, and answer with the one result; several files come as one tar archive."""
    document, own = body_object(request), own_host(asked)
    stated = body_object(document.get("process", document))
    process = await asyncio.to_thread(_parsed, server, user, stated, own)
    check_body("Computation" if "process" in document else "Process", document)
    options = {k: v for k, v in document.items() if k not in _NOT_OPTIONS}
    loads = await asyncio.to_thread(server.loads, user.id, process, own)
    meter = await asyncio.to_thread(_meter, server, user, document, options, own)
    spec = JobSpec(
        "",
        user.id,
        user.trusted,
        process,
        options,
        files=str(loads.files),
        results=loads.results,
    )
    folder, outcome = await server.requests.run(spec, meter)
    data = [f["name"] for f in outcome.files if "data" in f.get("roles", ["data"])]
    path = await asyncio.to_thread(_one_file, folder, data)
    return FileResponse(
        path,
        media_type=media_type(path.name),
        filename=path.name,
        headers={"OpenEO-Costs": f"{server.tariff.cost(use_of(outcome.usage)):g}"},
        background=BackgroundTask(folder.remove),
    )


def _meter(
    server: Server, user: User, document: Mapping[str, Any], options: Mapping[str, Any], own: str
) -> RequestMeter | None:
    """What the request may cost, where anything costs anything.

    Raises:
        PaymentRequired: it is expected to cost more.
        BudgetInvalid: its budget is no amount.
    """
    budget = budget_of(document.get("budget"))
    if server.tariff.is_free:
        return None
    spending = server.budgets.of(user.id)
    if budget is not None or spending.budget is not None:
        process = body_object(document.get("process", document))
        server.budgets.check(estimated(server, user, process, options, own)["costs"], budget, spending)
    return RequestMeter(server.budgets, user.id, budget)


def _parsed(server: Server, user: User, document: Mapping[str, Any], own: str) -> dict[str, Any]:
    """A process of predefined ones whose graph is good, so that no process is started for one that is not."""
    process = server.expanded(user.id, document, own)
    parse_graph(process)
    return process


def _one_file(folder: JobFolder, names: list[str]) -> Path:
    if len(names) == 1:
        return folder.results / names[0]
    path = folder.attempt_path / "result.tar"
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.add(folder.results / name, name)
    return path
