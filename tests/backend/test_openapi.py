"""The published OpenAPI document, and what schemathesis finds by it in a running server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog

from acreage.backend.openapi.document import operations, schemas

CONFIG = Path(__file__).with_name("schemathesis.toml")
THINGS = "# Things that are there"
GRAPH = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
SECONDS_OF_A_PROOF = 300


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that may be asked often."""
    folder = tmp_path_factory.mktemp("server")
    catalog = tiny_catalog(tmp_path_factory.mktemp("archive"))
    with running_server(folder, catalog, ACREAGE_SERVER_REQUESTS_PER_MINUTE="1000000") as running:
        yield running


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    answer = served.ask("GET", "/openapi.json")
    assert answer.headers["Content-Type"] == "application/vnd.oai.openapi+json;version=3.1"
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def config(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configurations: of single requests, with ids of things that are there, and of chains."""
    token = served.login("carla")
    job = served.run_job(token, {"process": small_graph()})
    assert served.ask("GET", f"/jobs/{job}", token).json()["status"] == "finished"
    process = {"process_graph": GRAPH}
    made = served.ask("POST", "/services", token, json={"type": "xyz", "process": process})
    assert served.ask("PUT", "/process_graphs/stored", token, json=process).status_code == 200
    text = CONFIG.read_text("utf-8").replace("JOB", job).replace("SERVICE", made.headers["OpenEO-Identifier"])
    folder = tmp_path_factory.mktemp("schemathesis")
    (folder / "single.toml").write_text(text, "utf-8")
    (folder / "stateful.toml").write_text(text.partition(THINGS)[0], "utf-8")
    return folder


def found(served: Served, config: Path, *options: str, login: bool = True) -> str:
    """What `st run` prints; it ends with 0 where nothing was found."""
    program = Path(sys.executable).with_name("st")
    file = config / ("stateful.toml" if "stateful" in options else "single.toml")
    command = [program, "--config-file", file, "--no-color", "run", f"{served.url}/openapi.json"]
    command += ["--warnings", "off", "--request-timeout", "120", *options]
    if login:
        command += ["-H", f"Authorization: Bearer {served.login('carla')}"]
    done = subprocess.run(command, cwd=config, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    return done.stdout


def operations_tested(output: str) -> int:
    """Operations that were tested."""
    return int(re.findall(r"Tested: (\d+)", output)[0])


def test_the_document_has_each_operation_and_no_other(document: dict[str, Any]) -> None:
    names = {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    assert names == set(operations())
    ids = [o["operationId"] for methods in document["paths"].values() for o in methods.values()]
    assert len(ids) == len(set(ids))


def test_schemas_are_schemas_and_all_that_are_named_are_there(document: dict[str, Any]) -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert named == set(schemas())
    for schema in schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_says_who_may_ask_and_how_it_fails(served: Served, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert "422" not in answers, path
            assert {"429", "5XX"} <= set(answers), path
            filled = re.sub(r"{[^}]+}", "0", path)
            refused = served.ask(method.upper(), filled).status_code == 401
            assert refused == ("security" in operation), (method, path)
            assert ("401" in answers) == refused


def test_a_method_that_an_address_does_not_take_is_told_with_those_that_it_takes(served: Served) -> None:
    for path, methods in (("/jobs", "GET, POST"), ("/jobs/j-1", "DELETE, GET, PATCH"), ("/", "GET")):
        answer = served.ask("TRACE", path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


def test_what_a_client_states_of_a_job_is_not_what_the_server_tells_of_it(served: Served) -> None:
    token, own = served.login("carla"), {"costs": -1, "usage": {}, "progress": "much", "status": "finished"}
    made = served.ask("POST", "/jobs", token, json={"process": {"process_graph": GRAPH}, **own, "other": 1})
    job = served.ask("GET", f"/jobs/{made.headers['OpenEO-Identifier']}", token).json()
    assert job["status"] == "created"
    assert not {"costs", "usage", "progress"} & set(job)
    assert job["other"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", {"process": {"process_graph": {"a": {"process_id": 5, "arguments": {}}}}}),
        ("/jobs", {"process": {"process_graph": GRAPH, "parameters": 5}}),
        ("/services", {"type": "xyz", "process": {"process_graph": GRAPH}, "enabled": "no"}),
        ("/result", {"process": {"process_graph": GRAPH}, "title": 5}),
        ("/validation", {"process_graph": GRAPH, "returns": 5}),
    ],
)
def test_bodies_are_refused_that_are_not_as_published(served: Served, path: str, body: Any) -> None:
    answer = served.ask("POST", path, served.login("carla"), json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "RequestInvalid"


@pytest.mark.parametrize(
    "node",
    [
        {"process_id": {}, "namespace": "", "arguments": {}},
        {"process_id": [None], "namespace": "user", "arguments": {"x": {"y": 1}}},
        {"process_id": "stored", "arguments": [{}]},
    ],
)
def test_nodes_of_any_form_are_validated(served: Served, config: Path, node: Any) -> None:
    token = served.login("carla")
    graph = {"a": {**node, "result": True}}
    answer = served.ask("POST", "/validation", token, json={"process_graph": graph})
    assert answer.status_code == 200, answer.text
    assert answer.json()["errors"]
    assert served.ask("POST", "/result", token, json={"process": {"process_graph": graph}}).status_code == 400


@pytest.mark.parametrize("login", [True, False], ids=["logged in", "anonymous"])
def test_schemathesis_finds_nothing_in_a_short_time(served: Served, config: Path, login: bool) -> None:
    # A computation takes seconds; the proof has them.
    options = [
        "--seed",
        "1",
        "--generation-deterministic",
        "--exclude-path",
        "/result",
        "--max-examples",
        "3",
    ]
    output = found(served, config, "--phases", "examples,fuzzing", *options, login=login)
    assert operations_tested(output) == len(operations()) - 1
    if login:
        found(served, config, "--phases", "stateful", *options)


@pytest.mark.proof
@pytest.mark.parametrize("login", [True, False], ids=["logged in", "anonymous"])
def test_schemathesis_finds_nothing_in_a_long_time(served: Served, config: Path, login: bool) -> None:
    options = ["--max-time", str(SECONDS_OF_A_PROOF), "--exclude-path", "/result", "--continue-on-failure"]
    single = ["--phases", "examples,coverage,fuzzing", "--max-examples", "60", *options]
    output = found(served, config, *single, login=login)
    print(output[-800:])
    assert operations_tested(output) == len(operations()) - 1
    print(found(served, config, "--phases", "stateful", "--max-examples", "60", *options, login=login)[-800:])


@pytest.mark.proof
def test_schemathesis_finds_nothing_in_what_is_computed(served: Served, config: Path) -> None:
    options = ["--include-path", "/result", "--max-examples", "30", "--phases", "examples,coverage,fuzzing"]
    print(found(served, config, "--continue-on-failure", *options)[-800:])
