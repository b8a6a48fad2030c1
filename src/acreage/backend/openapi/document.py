"""The OpenAPI document: routes as FastAPI has them, with what each takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from acreage.backend.routes.common import user_of

_FOLDER = Path(__file__).parent
_REF = "#/components/schemas/"
_SECURITY = {
    "Basic": {"type": "http", "scheme": "basic", "description": "Name and password, for a token."},
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`basic//TOKEN`, `oidc/PROVIDER/TOKEN`, or a JSON Web Token of a provider alone.",
    },
}
_GRAPH = {"add1": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
_EXAMPLES = {
    "Process": {"process_graph": _GRAPH},
    "StoredProcess": {"summary": "Three.", "process_graph": _GRAPH},
    "Computation": {"title": "Three", "process": {"process_graph": _GRAPH}},
    "ChangeOfAJob": {"title": "One and two"},
    "NewService": {"type": "xyz", "process": {"process_graph": _GRAPH}},
    "ChangeOfAService": {"enabled": False},
}


@cache
def schemas() -> Mapping[str, Any]:
    """Schemas by name."""
    found: dict[str, Any] = yaml.safe_load((_FOLDER / "schemas.yaml").read_text("utf-8"))
    return found


@cache
def operations() -> Mapping[str, Any]:
    """What each operation takes and gives, by method and path."""
    found: dict[str, Any] = yaml.safe_load((_FOLDER / "operations.yaml").read_text("utf-8"))
    return found


def operation_id(route: APIRoute) -> str:
    """A name that no other operation has."""
    return f"{'_'.join(str(route.tags[0]).split())}_{route.name}"


def publish(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Let `app.openapi` give the whole document; made once, of the routes of these routers."""
    plain, routes = app.openapi, dict(_routes(routers))
    app.state.routers = routers

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(plain(), routes)
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def _routes(routers: Sequence[APIRouter]) -> Iterator[tuple[str, APIRoute]]:
    for route in (r for router in routers for r in router.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield f"{method} {route.path_format}", route


def methods_of(app: FastAPI, path: str) -> list[str]:
    """Methods that an address takes."""
    found: set[str] = set()
    for router in app.state.routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(path):
                found |= set(route.methods or ())
    return sorted(found)


def _completed(document: dict[str, Any], routes: Mapping[str, APIRoute]) -> dict[str, Any]:
    # What FastAPI makes of its own errors is not what this server answers.
    document["components"] = {"schemas": dict(schemas()), "securitySchemes": _SECURITY}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            _complete(operation, name, routes)
    return document


def _complete(operation: dict[str, Any], name: str, routes: Mapping[str, APIRoute]) -> None:
    told, route = operations()[name], routes[name]
    if needs_login(route):
        operation["security"] = [{"Bearer": []}]
    elif name == "GET /credentials/basic":
        operation["security"] = [{"Basic": []}]
    for parameter in operation.get("parameters", ()):
        # An empty part of a path is another path.
        if parameter["in"] == "path":
            parameter["schema"] = {"minLength": 1, **parameter["schema"]}
    takes = told.get("takes")
    if takes is not None:
        operation["requestBody"] = {"required": "/" not in takes, "content": _content(takes)}
    answers = {str(s): _answer(int(s), what, told, routes) for s, what in told["gives"].items()}
    error = _content("Error")
    for status in _errors(route, takes, told):
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": error}
    answers["5XX"] = {"description": "The server cannot answer; its log says why.", "content": error}
    operation["responses"] = answers


def needs_login(route: APIRoute) -> bool:
    """Whether a route asks for a bearer token."""
    return any(d.call is user_of for d in route.dependant.dependencies)


def _errors(route: APIRoute, takes: str | None, told: Mapping[str, Any]) -> list[int]:
    found = {429, *told.get("more", ())}
    if takes or route.dependant.path_params or route.dependant.query_params:
        found.add(400)
    if needs_login(route):
        found |= {401, 403}
    if route.dependant.path_params:
        found.add(404)
    if takes:
        found.add(413)
    return sorted(found)


def _answer(status: int, what: str | None, told: Mapping[str, Any], routes: Mapping[str, APIRoute]) -> Any:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if what is not None:
        answer["content"] = _content(what)
    if headers := told.get("headers"):
        answer["headers"] = {h: {"required": True, "schema": {"type": "string"}} for h in headers}
    if leads := told.get("leads"):
        answer["links"] = {
            (to := operation_id(routes[name])): {"operationId": to, "parameters": dict(parameters)}
            for name, parameters in leads.items()
        }
    return answer


def _content(what: str) -> dict[str, Any]:
    """Of a schema's name, or a media type."""
    if "/" in what:
        return {what: {}}
    content: dict[str, Any] = {"schema": {"$ref": _REF + what}}
    if what in _EXAMPLES:
        content["example"] = _EXAMPLES[what]
    return {"application/json": content}
