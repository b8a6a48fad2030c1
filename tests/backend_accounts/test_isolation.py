"""What is one user's does not exist for another: every route with an id, found from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from fastapi.routing import APIRoute
from tests.support.oidc import PROVIDER_ID, OidcProvider
from tests.support.oidc_server import Served, small_graph

from acreage.backend.app import create_app
from acreage.backend.settings import ServerSettings

# The same for everybody; `namespace` has public processes only, which is tested below.
OF_ALL = {"collection_id", "namespace", "process_id"}
TILE = {"z": "0", "x": "0", "y": "0"}
MISSING = {
    "job_id": "j-000000000000000000000000000000",
    "process_graph_id": "no_such_process",
    "path": "no/such/file.txt",
    "name": "save.tif",
    "service_id": "s-00000000000000000000000000000000",
    **TILE,
}
# For whoever knows the id of a service that is enabled; that of the owner is not.
OPEN = ("/services/{service_id}/wmts", "/services/{service_id}/tiles/{z}/{x}/{y}.png")
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/jobs/{job_id}"): {"title": "taken"},
    ("PATCH", "/services/{service_id}"): {"title": "taken"},
    ("PUT", "/process_graphs/{process_graph_id}"): small_graph(),
}
SIGNED = (
    "/jobs/{job_id}/results/canonical",
    "/jobs/{job_id}/results/assets/{name}",
    "/jobs/{job_id}/results/items/{name}",
)


def _api_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Also those that the OpenAPI document does not show."""
    for route in routes:
        inner = getattr(route, "original_router", None)  # FastAPI keeps included routers whole
        if inner is not None:
            yield from _api_routes(inner.routes)
        elif isinstance(route, APIRoute):
            yield route


def _routes() -> list[tuple[str, str]]:
    """Methods and paths with an id that belongs to somebody."""
    # Routes are made from the settings alone; nothing is asked of the other parts.
    app = create_app(cast(Any, SimpleNamespace(settings=ServerSettings())))
    found = []
    for route in _api_routes(app.routes):
        path = route.path.replace(":path}", "}")
        ids = set(re.findall(r"{(\w+)}", path))
        if ids - OF_ALL:
            found += [(method, path) for method in sorted(route.methods)]
    shown = {p for p, o in app.openapi()["paths"].items() if set(re.findall(r"{(\w+)}", p)) - OF_ALL}
    assert shown <= {path for _, path in found}
    return sorted(set(found))


ROUTES = _routes()
CREATING = [r for r in ROUTES if r[0] == "PUT"]
SIGNED_ROUTES = [r for r in ROUTES if r[1] in SIGNED]
OTHERS = [r for r in ROUTES if r not in CREATING and r not in SIGNED_ROUTES]


@dataclass(frozen=True)
class Owner:
    """A user with one of everything.

    Attributes:
        token: of the user.
        ids: of what the user has, as routes name them.
        links: signed links to the job's results, by route.
    """

    token: str
    user_id: str
    ids: dict[str, str]
    links: dict[str, str]


@pytest.fixture(scope="module")
def tokens(server: Served, provider: OidcProvider) -> dict[str, str]:
    """Bearer tokens of two accounts and two users of the provider."""
    found = {name: server.login(name) for name in ("carla", "dora")}
    for name in ("anna", "ben"):
        found[name] = f"oidc/{PROVIDER_ID}/{provider.user_tokens(name)['access_token']}"
    return found


@pytest.fixture(scope="module", params=["carla", "anna"])
def owner(request: pytest.FixtureRequest, server: Served, tokens: dict[str, str]) -> Iterator[Owner]:
    """By password, and of a provider."""
    token = tokens[request.param]
    job = server.run_job(token, {"process": small_graph(), "title": "mine"})
    assert server.ask("PUT", "/process_graphs/own_process", token, json=small_graph()).ok
    assert server.ask("PUT", "/files/mine/file.txt", token, data=b"mine").ok
    body = {"process": small_graph(), "title": "mine", "type": "wmts", "enabled": False}
    service = server.ask("POST", "/services", token, json=body).headers["OpenEO-Identifier"]
    results = server.ask("GET", f"/jobs/{job}/results", token).json()
    canonical, item = (
        next(x["href"] for x in results["links"] if x["rel"] == rel) for rel in ("canonical", "item")
    )
    links = dict(zip(SIGNED, (canonical, results["assets"]["save.tif"]["href"], item), strict=True))
    ids = {"job_id": job, "process_graph_id": "own_process", "path": "mine/file.txt", "name": "save.tif"}
    ids |= {"service_id": service, **TILE}
    who = server.ask("GET", "/me", token).json()["user_id"]
    yield Owner(token, who, ids, links)
    assert server.ask("GET", f"/jobs/{job}", token).json()["title"] == "mine"
    assert server.ask("GET", f"/services/{service}", token).json()["title"] == "mine"
    assert server.ask("GET", "/files/mine/file.txt", token).content == b"mine"
    assert server.ask("GET", "/process_graphs/own_process", token).json()["process_graph"]
    assert server.ask("DELETE", f"/jobs/{job}", token).status_code == 204


def _ask(server: Served, route: tuple[str, str], ids: dict[str, str], token: str | None) -> requests.Response:
    method, path = route
    body = BODIES.get(route)
    more = {} if body is None else {"json": body}
    return server.ask(method, path.format(**ids), token, **more)


def _told(answer: requests.Response, ids: dict[str, str]) -> tuple[int, str, str]:
    """What an answer tells, but for the ids that were in the question."""
    if not answer.content:
        return answer.status_code, "", ""
    text = answer.json()["message"]
    for value in ids.values():
        if len(value) > 1:
            text = text.replace(value, "ID")
    return answer.status_code, answer.json()["code"], text


def test_routes_are_found_and_their_ids_are_known() -> None:
    assert ("GET", "/jobs/{job_id}/logs") in OTHERS
    assert ("DELETE", "/files/{path}") in OTHERS
    assert {path for _, path in SIGNED_ROUTES} == set(SIGNED)
    assert {i for _, path in ROUTES for i in re.findall(r"{(\w+)}", path)} <= set(MISSING)


@pytest.mark.parametrize("stranger", ["dora", "ben"])
@pytest.mark.parametrize("route", OTHERS, ids=" ".join)
def test_what_is_anothers_is_not_found_and_answers_as_what_is_not_there(
    server: Served, tokens: dict[str, str], owner: Owner, route: tuple[str, str], stranger: str
) -> None:
    answer = _ask(server, route, owner.ids, tokens[stranger])
    assert answer.status_code == 404
    nothing = _ask(server, route, MISSING, tokens[stranger])
    assert _told(answer, owner.ids) == _told(nothing, MISSING)


@pytest.mark.parametrize("route", [*OTHERS, *CREATING], ids=" ".join)
def test_nothing_is_told_without_a_login(server: Served, owner: Owner, route: tuple[str, str]) -> None:
    for ids in (owner.ids, MISSING):
        answer = _ask(server, route, ids, None)
        assert answer.status_code == (404 if route[1] in OPEN else 401)


def test_a_service_is_for_whoever_knows_its_id_once_it_is_enabled(server: Served, owner: Owner) -> None:
    path = f"/services/{owner.ids['service_id']}"
    for enabled, status in ((True, 200), (False, 404)):
        assert server.ask("PATCH", path, owner.token, json={"enabled": enabled}).status_code == 204
        assert server.ask("GET", f"{path}/wmts").status_code == status
    assert re.fullmatch(r"s-[0-9a-f]{32}", owner.ids["service_id"]), "an id that can be guessed"


@pytest.mark.parametrize("route", CREATING, ids=" ".join)
def test_what_a_stranger_stores_under_the_same_name_is_another(
    server: Served, tokens: dict[str, str], owner: Owner, route: tuple[str, str]
) -> None:
    before = _ask(server, ("GET", route[1]), owner.ids, owner.token).content
    try:
        assert _ask(server, route, owner.ids, tokens["ben"]).ok
        assert _ask(server, ("GET", route[1]), owner.ids, owner.token).content == before
    finally:
        assert _ask(server, ("DELETE", route[1]), owner.ids, tokens["ben"]).status_code == 204


@pytest.mark.parametrize("route", SIGNED_ROUTES, ids=" ".join)
def test_signed_links_lead_to_what_they_were_signed_for_only(
    server: Served, tokens: dict[str, str], owner: Owner, route: tuple[str, str]
) -> None:
    parts = urlsplit(owner.links[route[1]])
    query = dict(parse_qsl(parts.query))

    def ask(path: str, **changes: str) -> requests.Response:
        return server.ask(route[0], path, params={**query, **changes})

    assert ask(parts.path).status_code == 200
    stranger = server.ask("GET", "/me", tokens["dora"]).json()["user_id"]
    later = str(int(query["expires"]) + 1)
    changed = [{"user": stranger}, {"expires": later}, {"signature": "0" * 64}, {"signature": "é"}]
    changed += [{"attempt": "2"}] if "attempt" in query else []
    for change in changed:
        assert _told(ask(parts.path, **change), {})[0] == 403
    missing = route[1].format(**MISSING)
    assert ask(missing).status_code == 403
    # A login does not open what is another's either, nor do links without their signature.
    assert server.ask(route[0], parts.path, tokens["dora"]).status_code == 400


def test_a_signed_link_cannot_renew_itself(server: Served, owner: Owner) -> None:
    link = owner.links[SIGNED[0]]
    expires = dict(parse_qsl(urlsplit(link).query))["expires"]
    found = requests.get(link, timeout=60).json()
    hrefs = [x["href"] for x in found["links"] if "expires=" in x["href"]]
    hrefs += [asset["href"] for asset in found["assets"].values()]
    assert {dict(parse_qsl(urlsplit(h).query))["expires"] for h in hrefs} == {expires}


@pytest.mark.parametrize("stranger", ["dora", "ben"])
def test_lists_have_nothing_of_another(
    server: Served, tokens: dict[str, str], owner: Owner, stranger: str
) -> None:
    for path, name, key, wanted in (
        ("/jobs", "jobs", "id", "job_id"),
        ("/files", "files", "path", "path"),
        ("/process_graphs", "processes", "id", "process_graph_id"),
        ("/services", "services", "id", "service_id"),
    ):
        mine = server.ask("GET", path, owner.token).json()[name]
        assert owner.ids[wanted] in {x[key] for x in mine}
        for query in ("", "?limit=1000"):
            other = server.ask("GET", path + query, tokens[stranger]).json()[name]
            assert owner.ids[wanted] not in {x[key] for x in other}
    after = server.ask("GET", f"/jobs?after={owner.ids['job_id']}", tokens[stranger])
    nothing = server.ask("GET", f"/jobs?after={MISSING['job_id']}", tokens[stranger])
    assert _told(after, owner.ids) == _told(nothing, MISSING)
    assert server.ask("GET", "/me", tokens[stranger]).json()["user_id"] != owner.user_id


def test_processes_that_are_not_public_cannot_be_seen_nor_called(
    server: Served, tokens: dict[str, str], owner: Owner
) -> None:
    for token in (tokens["dora"], tokens["ben"], None):
        assert server.ask("GET", f"/processes/@{owner.user_id}", token).json()["processes"] == []
        assert server.ask("GET", f"/processes/@{owner.user_id}/own_process", token).status_code == 404

    def call(name: str) -> Any:
        node = {"process_id": name, "namespace": f"@{owner.user_id}", "arguments": {}, "result": True}
        document = {"process_graph": {"call": node}}
        return server.ask("POST", "/validation", tokens["dora"], json=document)

    assert _told_problems(call("own_process"), "own_process") == _told_problems(call("no_such"), "no_such")


def _told_problems(answer: requests.Response, name: str) -> str:
    return answer.text.replace(name, "NAME").split('"id"')[-1].partition(",")[2]
