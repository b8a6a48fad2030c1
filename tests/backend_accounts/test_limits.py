"""Sizes, rates, graphs: what is too much is refused, and what web sites may read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import uvicorn
from tests.support.oidc_server import ACCOUNTS

from acreage.backend.accounts.attempts import Attempts
from acreage.backend.app import create_app
from acreage.backend.errors import TooManyRequests
from acreage.backend.server import make_server
from acreage.backend.settings import ServerSettings
from acreage.cli.serve import EngineWork
from acreage.core.settings import Settings

ORIGIN = "https://editor.openeo.org"


class Client(requests.Session):
    """Asks one server."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def request(self, method: str, path: str, *args: Any, **more: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, self.url + path, *args, timeout=30, **more)


@contextmanager
def _client(folder: Path, **settings: Any) -> Iterator[Client]:
    """Of a server in a thread of this process; nothing here gets as far as the engine."""
    work = EngineWork(cast(Any, None), "", Settings(), cast(Any, None))
    app = create_app(make_server(ServerSettings(**settings), work, folder, ACCOUNTS))
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not running.started and time.monotonic() < until:
            time.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        with Client(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with _client(tmp_path_factory.mktemp("storage"), request_bytes=10_000, graph_nodes=50) as running:
        yield running


@pytest.fixture(scope="module")
def headers(client: Client) -> dict[str, str]:
    """Of a user."""
    token = client.get("/credentials/basic", auth=("dora", ACCOUNTS["dora"])).json()["access_token"]
    return {"Authorization": f"Bearer basic//{token}"}


def _code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def _nodes(count: int) -> dict[str, Any]:
    node = {"process_id": "add", "arguments": {"x": 1, "y": 1}}
    nodes = {f"n{i}": node for i in range(count)}
    return {"process_graph": {**nodes, f"n{count - 1}": {**node, "result": True}}}


# --- other web sites ---


def test_a_browser_may_ask_before_it_sends_a_token(client: Client) -> None:
    answer = client.options(
        "/jobs",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_browsers_may_use_all_methods(client: Client, method: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    answer = client.options("/process_graphs/x", headers=asked)
    assert answer.status_code in (200, 204)
    assert method in answer.headers["access-control-allow-methods"]


def test_answers_and_refusals_can_be_read_by_web_sites(client: Client, headers: dict[str, str]) -> None:
    good = client.get("/", headers={"Origin": ORIGIN})
    missing = client.get("/nothing", headers={"Origin": ORIGIN})
    nobody = client.get("/me", headers={"Origin": ORIGIN})
    large = client.post("/jobs", headers={**headers, "Origin": ORIGIN}, data=b"x" * 20_000)
    assert [a.status_code for a in (good, missing, nobody, large)] == [200, 404, 401, 413]
    for answer in (good, missing, nobody, large):
        assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"location", "openeo-identifier", "openeo-costs", "link", "retry-after"} <= set(
            exposed.replace(" ", "").split(",")
        )


def test_other_web_sites_than_those_that_are_named_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACREAGE_SERVER_CORS_ORIGINS", f"https://a.example, {ORIGIN}/")
    with _client(tmp_path) as client:
        assert client.get("/", headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
        other = client.get("/", headers={"Origin": "https://elsewhere.example"})
        assert "access-control-allow-origin" not in other.headers
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/jobs", headers=asked).status_code == 400


def test_no_login_comes_along_by_itself(client: Client) -> None:
    """Scripts send tokens on purpose: without cookies no other web site can act for a user."""
    answer = client.get("/credentials/basic", auth=("dora", ACCOUNTS["dora"]), headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


# --- sizes ---


def test_a_body_that_says_it_is_too_large_is_refused(client: Client, headers: dict[str, str]) -> None:
    assert _code(client.post("/jobs", headers=headers, data=b"x" * 10_001)) == (413, "RequestTooLarge")


def test_a_body_that_does_not_say_its_size_is_refused_once_it_is_too_large(
    client: Client, headers: dict[str, str]
) -> None:
    answer = client.post("/jobs", headers=headers, data=(b"[" + b" " * 500 for _ in range(100)))
    assert "Content-Length" not in answer.request.headers
    assert _code(answer) == (413, "RequestTooLarge")


def test_uploads_have_a_limit_of_their_own(tmp_path: Path) -> None:
    with _client(tmp_path, request_bytes=1000, upload_bytes=5000) as client:
        token = client.get("/credentials/basic", auth=("dora", ACCOUNTS["dora"])).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert client.put("/files/a", headers=headers, data=b"x" * 4000).status_code == 200
        assert (
            client.put("/files/b", headers=headers, data=b"x" * 4000).json()["code"] == "StorageQuotaExceeded"
        )
        assert client.put("/files/a", headers=headers, data=b"x" * 5000).status_code == 200


@pytest.mark.parametrize("depth", [250, 900, 5000])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/validation"), ("POST", "/jobs"), ("PUT", "/process_graphs/p")]
)
def test_a_body_that_is_nested_too_deeply_is_refused(
    client: Client, headers: dict[str, str], method: str, path: str, depth: int
) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    graph = f'{{"n": {{"process_id": "add", "result": true, "arguments": {{"x": {nested}}}}}}}'
    answer = client.request(
        method,
        path,
        headers={**headers, "Content-Type": "application/json"},
        data=f'{{"process": {{"process_graph": {graph}}}, "process_graph": {graph}}}',
    )
    assert answer.status_code in (400, 413)


def test_what_is_nested_as_deeply_as_may_be_is_kept_and_told(client: Client, headers: dict[str, str]) -> None:
    deep: Any = 1
    for _ in range(190):
        deep = [deep]
    node = {"process_id": "add", "arguments": {"x": 1, "y": deep}, "result": True}
    body = {"process": {"process_graph": {"n": node}}}
    job = client.post("/jobs", headers=headers, json=body).headers["OpenEO-Identifier"]
    assert client.get(f"/jobs/{job}", headers=headers).json()["process"] == body["process"]
    assert client.get(f"/jobs/{job}/estimate", headers=headers).json()["code"] != "Internal"


ODD = (r'"\ud800"', r'"a\u0000b"', "NaN", "1e999", "1" + "0" * 400, r'{"\ud800": 1}', r'[["\udfff"]]')


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jobs"), ("POST", "/services"), ("PUT", "/process_graphs/p"), ("POST", "/validation")],
)
def test_what_could_not_be_kept_or_told_again_is_refused(
    client: Client, headers: dict[str, str], method: str, path: str, odd: str
) -> None:
    graph = f'{{"n": {{"process_id": "add", "result": true, "arguments": {{"x": {odd}, "y": 1}}}}}}'
    body = f'{{"type": "xyz", "process": {{"process_graph": {graph}}}, "process_graph": {graph}}}'
    answer = client.request(method, path, headers={**headers, "Content-Type": "application/json"}, data=body)
    assert _code(answer) == (400, "RequestInvalid")
    for kept in ("/jobs", "/process_graphs", "/services"):
        assert client.get(kept, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", {"a": 1}), ("description", 5), ("plan", ["x"]), ("budget", "x"), ("budget", -1)],
)
@pytest.mark.parametrize("path", ["/jobs", "/services"])
def test_what_is_told_of_a_thing_has_the_right_type(
    client: Client, headers: dict[str, str], path: str, field: str, value: Any
) -> None:
    body = {"type": "xyz", "process": _nodes(1), field: value}
    assert client.post(path, headers=headers, json=body).status_code == 400


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", f"limit={2**63}", "limit=x", "after=%00"])
@pytest.mark.parametrize("path", ["/jobs", "/files", "/process_graphs", "/collections", "/processes"])
def test_pages_that_cannot_be_are_refused(
    client: Client, headers: dict[str, str], path: str, query: str
) -> None:
    assert _code(client.get(f"{path}?{query}", headers=headers)) == (400, "RequestInvalid")


def test_a_place_in_a_log_may_be_anything(client: Client, headers: dict[str, str]) -> None:
    made = client.post("/jobs", headers=headers, json={"process": _nodes(1)})
    for offset in ("9" * 5000, str(2**63), "-1", "x", "%00"):
        path = f"/jobs/{made.headers['OpenEO-Identifier']}/logs?offset={offset}"
        assert client.get(path, headers=headers).status_code == 200


# --- graphs ---


@pytest.mark.parametrize("path", ["/jobs", "/result", "/validation", "/process_graphs/large"])
def test_a_graph_of_too_many_nodes_is_refused(client: Client, headers: dict[str, str], path: str) -> None:
    process = _nodes(51)
    body = process if path in ("/validation", "/process_graphs/large") else {"process": process}
    answer = client.request("PUT" if "graphs" in path else "POST", path, headers=headers, json=body)
    assert _code(answer) == (400, "ProcessGraphComplexity")


def test_nodes_of_callbacks_count(client: Client, headers: dict[str, str]) -> None:
    inner = _nodes(60)["process_graph"]
    outer = {"process_id": "apply", "arguments": {"process": {"process_graph": inner}}, "result": True}
    answer = client.post("/jobs", headers=headers, json={"process": {"process_graph": {"a": outer}}})
    assert _code(answer) == (400, "ProcessGraphComplexity")


def test_a_graph_of_as_many_nodes_as_are_allowed_is_taken(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/jobs", headers=headers, json={"process": _nodes(50)}).status_code == 201


# --- rates ---


def test_who_asks_too_often_is_told_when_to_ask_again(tmp_path: Path) -> None:
    with _client(tmp_path, requests_per_minute=60) as client:
        answers = [client.get("/conformance", headers={"Origin": ORIGIN}) for _ in range(15)]
    last = answers[-1]
    assert answers[0].status_code == 200
    assert _code(last) == (429, "TooManyRequests")
    assert int(last.headers["retry-after"]) >= 1
    assert last.headers["access-control-allow-origin"] == "*"


def test_one_user_does_not_use_up_what_another_may_ask(tmp_path: Path) -> None:
    with _client(tmp_path, requests_per_minute=60) as client:
        first = [client.get("/conformance", headers={"Authorization": "Bearer a"}) for _ in range(15)]
        assert first[-1].status_code == 429
        assert client.get("/conformance", headers={"Authorization": "Bearer b"}).status_code == 200


def test_another_login_with_each_request_does_not_help(tmp_path: Path) -> None:
    with _client(tmp_path, requests_per_minute=60) as client:
        answers = [
            client.get("/conformance", headers={"Authorization": f"Bearer {n}"}).status_code
            for n in range(150)
        ]
    assert answers[0] == 200
    assert answers[-1] == 429


def test_passwords_cannot_be_guessed_without_limit(client: Client) -> None:
    codes = [client.get("/credentials/basic", auth=("carla", f"guess-{n}")).json()["code"] for n in range(12)]
    assert codes[0] == "CredentialsInvalid"
    answer = client.get("/credentials/basic", auth=("carla", ACCOUNTS["carla"]))
    assert _code(answer) == (429, "TooManyRequests")
    assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/credentials/basic", auth=("dora", ACCOUNTS["dora"])).status_code == 200


def test_failures_of_an_address_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1000.0
    monkeypatch.setattr("acreage.backend.accounts.attempts.time.monotonic", lambda: moment)
    attempts = Attempts(2, 6.0)
    attempts.begin("a")
    attempts.begin("a")
    with pytest.raises(TooManyRequests) as caught:
        attempts.begin("a")
    assert caught.value.retry_after == 6
    attempts.begin("b")
    moment += 6.0
    attempts.begin("a")
    attempts.succeeded("a")
    attempts.begin("a")


def test_a_path_cannot_write_lines_of_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "acreage.backend.access"):
        client.get("/a%0AERROR%20all%20is%20lost?signature=secret")
    assert json.dumps(caplog.messages).count("\\n") == 0
    assert "secret" not in caplog.text
