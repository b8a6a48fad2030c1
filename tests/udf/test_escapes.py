"""Every attempt of `escapes.ATTEMPTS`, really made inside of a UDF of a user who is not trusted."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.udf.escapes import ATTEMPTS, RESULTS, Attempt, table
from tests.udf.examples import processes_with, small_cube

from acreage.core.errors import UdfError
from acreage.core.udf import UdfCode
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

PAGE = Path(__file__).parents[2] / "docs" / "udf-security.md"
# One source for all attempts, so that those which harm nobody share a process.
CODE = UdfCode(
    """
import xarray
def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    scope = {"cube": cube, "xarray": xarray, **context}
    exec(compile(context["code"], "udf.py", "exec"), scope)
    if "got" in scope:
        print("got", scope["got"])
    return scope.get("result", cube)
"""
)
WARM = [a for a in ATTEMPTS if a.limits is None and a not in RESULTS]
ENDED = [a for a in ATTEMPTS if a.limits is not None]


def outcome(runner: ProcessUdfRunner, attempt: Attempt, surroundings: dict[str, Any]) -> tuple[str, str]:
    """`done` or `failed`, and what the UDF said: its error with the log, or its log."""
    try:
        result = runner.run(CODE, small_cube(), {**surroundings, "code": attempt.code})
    except UdfError as error:
        failure = error
    else:
        return "done", "\n".join(line.message for line in result.log)
    assert failure.hint
    assert len(failure.message) < 10_000
    assert sum(map(len, failure.log)) < 200_000
    return "failed", f"{type(failure).__name__}: {failure.message} " + " ".join(failure.log)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What is there to be found: servers that listen, keys, another job, credentials, a model."""
    folder = tmp_path_factory.mktemp("server")
    home, other, model = folder / "home", folder / "jobs" / "other", folder / "model.pt"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("secret")
    other.mkdir(parents=True)
    (other / "result.tif").write_text("secret")
    model.write_bytes(b"weights")
    abstract = f"acreage-{uuid.uuid4()}"
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
    ):
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("OPENEO_AUTH_CLIENT_SECRET", "secret")
        patch.chdir(folder)
        unix.bind("server.sock")
        unix.listen()
        hidden.bind("\0" + abstract)
        hidden.listen()

        yield {
            "tcp_port": tcp.getsockname()[1],
            "unix_path": str(folder / "server.sock"),
            "abstract": abstract,
            "home": str(home),
            "other_job": str(other),
            "server": os.getpid(),
            "model": str(model),
        }


@pytest.fixture(scope="module")
def sandboxed(
    bubblewrap: None, surroundings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProcessUdfRunner]:
    limits = UdfLimits(timeout_s=120, scratch_bytes=16 * 2**20)
    models = ModelCache(tmp_path_factory.mktemp("models"))
    with ProcessUdfRunner(limits, models=models, isolation="bubblewrap", trusted=False) as runner:
        yield runner


@pytest.fixture(scope="module")
def bare(surroundings: dict[str, Any]) -> Iterator[ProcessUdfRunner]:
    with ProcessUdfRunner(UdfLimits(timeout_s=120), isolation="none") as runner:
        yield runner


@pytest.mark.parametrize("attempt", WARM, ids=lambda a: a.name)
def test_what_is_tried_inside_of_the_sandbox_fails(
    sandboxed: ProcessUdfRunner, surroundings: dict[str, Any], attempt: Attempt
) -> None:
    _, said = outcome(sandboxed, attempt, surroundings)
    assert re.search(attempt.expect, said, re.DOTALL), said


@pytest.mark.parametrize("attempt", [a for a in WARM if a.control], ids=lambda a: a.name)
def test_without_a_sandbox_the_same_attempt_succeeds(
    bare: ProcessUdfRunner, surroundings: dict[str, Any], attempt: Attempt
) -> None:
    how, said = outcome(bare, attempt, surroundings)
    assert how == "done", said


@pytest.mark.parametrize("attempt", RESULTS, ids=lambda a: a.name)
def test_a_result_that_is_no_such_cube_is_refused(
    bare: ProcessUdfRunner, surroundings: dict[str, Any], attempt: Attempt
) -> None:
    how, said = outcome(bare, attempt, surroundings)
    assert how == "failed"
    assert re.search(attempt.expect, said, re.DOTALL), said


@pytest.mark.parametrize("attempt", ENDED, ids=lambda a: a.name)
def test_a_udf_that_must_be_ended_leaves_an_error_and_nothing_else(
    bubblewrap: None, make_runner: Callable[..., ProcessUdfRunner], attempt: Attempt
) -> None:
    assert attempt.limits is not None
    mark = f"udf-{uuid.uuid4()}"
    runner = make_runner(isolation="bubblewrap", trusted=False, **dict(attempt.limits))
    how, said = outcome(runner, attempt, {"mark": mark})
    assert how == "failed"
    assert re.search(attempt.expect, said, re.DOTALL), said[:2000]
    runner.close()
    deadline = time.monotonic() + 20
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_with(mark)


def test_the_page_lists_what_is_tried_here() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{table()}"
