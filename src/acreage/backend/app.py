"""The web application: routes, errors as openEO tells them, and what stands before the routes."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from acreage import __version__
from acreage.backend.disk import is_full
from acreage.backend.errors import (
    ApiError,
    DiskFull,
    FeatureUnsupported,
    NotFound,
    RequestInvalid,
    StorageFailure,
    error_document,
    error_headers,
)
from acreage.backend.gate import Gate
from acreage.backend.openapi.document import methods_of, operation_id, publish
from acreage.backend.routes import (
    accounts,
    capabilities,
    collections,
    compute,
    files,
    jobs,
    operations,
    processes,
    results,
    services,
)
from acreage.backend.server import Server
from acreage.core.errors import AcreageError

_log = logging.getLogger("acreage.backend")
_EXPOSED = ("Location", "OpenEO-Identifier", "OpenEO-Costs", "Link", "Retry-After")
_ROUTERS = (
    capabilities,
    accounts,
    collections,
    processes,
    compute,
    jobs,
    results,
    services,
    files,
    operations,
)


def create_app(server: Server) -> FastAPI:
    """The application of a server; its dispatcher runs as long as the application does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        server.dispatcher.start()
        server.housekeeper.start()
        try:
            yield
        finally:
            server.housekeeper.stop()
            server.dispatcher.stop()
            server.requests.stop()
            server.database.close()

    app = FastAPI(
        title=server.settings.title,
        version=__version__,
        lifespan=lifespan,
        description=server.settings.description,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
    )
    app.state.server = server
    for module in _ROUTERS:
        app.include_router(module.router)
    publish(app, [module.router for module in _ROUTERS])
    _answer_errors(app)
    app.add_middleware(
        Gate,
        most_bytes=int(server.settings.request_bytes),
        per_minute=server.settings.requests_per_minute,
    )
    # Outermost: scripts of a web site must be able to read what the gate refuses.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(server.settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=list(_EXPOSED),
        max_age=3600,
    )
    return app


def _answer_errors(app: FastAPI) -> None:
    def answer(make: Callable[[Exception], AcreageError]) -> Callable[[Request, Exception], Response]:
        return lambda request, error: error_response(make(error), request)

    def answer_http(request: Request, error: Exception) -> Response:
        found = error_response(_http_error(error), request)
        if found.status_code == 405:
            found.headers["Allow"] = ", ".join(methods_of(app, request.url.path))
        return found

    app.add_exception_handler(AcreageError, answer(lambda e: e))  # type: ignore[arg-type,return-value]
    app.add_exception_handler(RequestValidationError, answer(_invalid))
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(SQLAlchemyError, answer(_storage))
    app.add_exception_handler(OSError, answer(_storage))
    app.add_exception_handler(Exception, answer(lambda _: _Unexpected("Something went wrong in the server.")))


class _Unexpected(ApiError):
    """A fault of this software."""

    http_status = 500


class _MethodNotAllowed(ApiError):
    code = "MethodNotAllowed"
    http_status = 405


def _invalid(error: Exception) -> AcreageError:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
    return RequestInvalid(f"The request cannot be understood: {'; '.join(parts)}.")


def _http_error(error: Exception) -> AcreageError:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return NotFound("There is nothing under this address.")
    if error.status_code == 405:
        return _MethodNotAllowed("This address does not take such a request.")
    if error.status_code == 501:
        return FeatureUnsupported("This is not supported.")
    found = ApiError(str(error.detail))
    found.http_status = error.status_code  # type: ignore[misc]
    return found


def _storage(error: Exception) -> AcreageError:
    if is_full(error):
        return DiskFull(
            "The server's disk is full; nothing was changed.",
            hint="Try again when those who run the server have made room.",
        )
    return StorageFailure("The server cannot read or write what it keeps.", hint="Try again later.")


def error_response(error: AcreageError, request: Request) -> JSONResponse:
    """The answer to an error; what is not the client's fault is logged under its id."""
    identifier = str(uuid.uuid4())
    if error.http_status >= 500:
        cause = error.__cause__ or error.__context__
        _log.error(
            "%s %s failed (%s): %s", request.method, request.url.path, identifier, error, exc_info=cause
        )
    return JSONResponse(error_document(error, identifier), error.http_status, error_headers(error))
