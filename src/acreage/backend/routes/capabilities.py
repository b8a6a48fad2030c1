"""What the back end is and can do."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from acreage import __version__
from acreage.backend.routes.common import ServerPart, address, base_url, link
from acreage.engine.formats import file_formats

API_VERSION = "1.2.0"
STAC_VERSION = "1.0.0"
CONFORMANCE = (
    "https://api.openeo.org/1.2.0",
    "https://api.openeo.org/extensions/commercial-data/0.1.0",
    "https://api.openeo.org/extensions/processing-parameters/0.1.0",
    "https://api.openeo.org/extensions/remote-process-definition/0.1.0",
    "https://api.openeo.org/1.3.0/authentication/jwt",
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
)
_OPENAPI = "application/vnd.oai.openapi+json;version=3.1"
router = APIRouter(tags=["capabilities"])


@router.get("/")
def capabilities(request: Request, server: ServerPart) -> dict[str, Any]:
    """The back end's capabilities."""
    base = base_url(request)
    return {
        "api_version": API_VERSION,
        "backend_version": __version__,
        "stac_version": STAC_VERSION,
        "type": "Catalog",
        "id": "acreage",
        "title": server.settings.title,
        "description": server.settings.description,
        "production": False,
        "conformsTo": list(CONFORMANCE),
        "endpoints": endpoints(request),
        "billing": billing(server),
        "links": [
            link("self", f"{base}/", type="application/json"),
            link("root", f"{base}/", type="application/json"),
            link("version-history", f"{base}/.well-known/openeo", type="application/json"),
            link("data", address(request, "collections"), type="application/json"),
            link("conformance", address(request, "conformance"), type="application/json"),
            link("service-desc", f"{base}/openapi.json", type=_OPENAPI),
            link(
                "create-form",
                "https://editor.openeo.org/?server=" + base,
                type="text/html",
                title="Web Editor",
            ),
        ],
    }


def endpoints(request: Request) -> list[dict[str, Any]]:
    """Paths of the API with their methods."""
    found = []
    for path, operations in request.app.openapi()["paths"].items():
        methods = [m.upper() for m, o in operations.items() if "hidden" not in o.get("tags", ())]
        if methods:
            found.append({"path": path, "methods": sorted(methods)})
    return found


def billing(server: ServerPart) -> dict[str, Any]:
    """Currency and plans."""
    plan = {
        "name": server.plan,
        "description": "What jobs use is paid by the tariff of the server.",
        "paid": not server.tariff.is_free,
    }
    return {"currency": server.tariff.currency, "default_plan": server.plan, "plans": [plan]}


@router.get("/.well-known/openeo")
def versions(request: Request) -> dict[str, Any]:
    """Versions of the API and their addresses."""
    one = {"url": f"{base_url(request)}/", "production": False, "api_version": API_VERSION}
    return {"versions": [one]}


@router.get("/openapi.json", tags=["hidden"])
def openapi(request: Request) -> Response:
    """This API as an OpenAPI document."""
    document = {**request.app.openapi(), "servers": [{"url": base_url(request)}]}
    return Response(orjson.dumps(document), media_type=_OPENAPI)


@router.get("/conformance")
def conformance() -> dict[str, Any]:
    """Specifications that the API keeps to."""
    return {"conformsTo": list(CONFORMANCE)}


@router.get("/file_formats")
def formats() -> dict[str, Any]:
    """Formats of files that can be read and written."""
    return dict(file_formats())


@router.get("/udf_runtimes")
def udf_runtimes(server: ServerPart) -> dict[str, Any]:
    """Languages of user-defined functions."""
    import platform
    from importlib.metadata import version

    python = platform.python_version()
    packages = ("numpy", "xarray", "pandas", "scipy", "torch", "scikit-learn", "shapely", "openeo")
    libraries = {name: {"version": version(name)} for name in packages}
    about = {
        "title": "Python",
        "description": (
            "Functions as the openEO Python client defines them (`apply_datacube`, `apply_udf_data`, "
            "`apply_metadata`); further packages by inline metadata (PEP 723)." + _about_isolation(server)
        ),
        "type": "language",
        "default": python,
        "versions": {python: {"libraries": libraries}},
    }
    return {"Python": about}


def _about_isolation(server: ServerPart) -> str:
    reason = server.work.isolation()
    if not reason:
        return " They run without a network, in a sandbox of their own."
    return f" Functions of users who are not trusted are refused here: {reason}"
