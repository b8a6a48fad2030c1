"""A storage folder on a small disk of its own (tmpfs), filled to the last byte."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog
from tests.support.tiny_archive import node

DISK = 24_000_000


@dataclass(frozen=True)
class OnSmallDisk:
    """A server whose storage is a small disk.

    Attributes:
        served: the server.
        storage: the folder, as seen from here.
    """

    served: Served
    storage: Path

    def fill(self, left: int = 0) -> None:
        """Write until so many bytes are left."""
        filler = self.storage / "filler"
        with filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
            file.truncate(max(0, file.seek(0, 2) - left))

    def free(self) -> None:
        (self.storage / "filler").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnSmallDisk]:
    if shutil.which("bwrap") is None:
        pytest.skip("no small disk: Debian's package `bubblewrap` is not installed")
    folder = tmp_path_factory.mktemp("full")
    (folder / "storage").mkdir()
    within = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/"]
    within += ["--size", str(DISK), "--tmpfs", str(folder / "storage")]
    catalog = tiny_catalog(tmp_path_factory.mktemp("archive"))
    with running_server(folder, catalog, within=within, ACREAGE_SERVER_DISK_RESERVE="0") as served:
        inside = psutil.Process(served.pid).children(recursive=True)[0].pid
        yield OnSmallDisk(served, Path(f"/proc/{inside}/root{folder}/storage"))


@pytest.fixture(autouse=True)
def _room(disk: OnSmallDisk) -> Iterator[None]:
    yield
    disk.free()


def large_graph() -> dict[str, Any]:
    """A process whose result takes 5 MB."""
    graph = small_graph()["process_graph"]
    graph["fine"] = node("resample_spatial", data="@load", resolution=0.1, method="near")
    arguments = {"format": "netCDF", "options": {"compression": "none"}}
    graph["save"] = {**node("save_result", data="@fine", **arguments), "result": True}
    return {"process_graph": graph}


def status(served: Served, token: str, job: str) -> dict[str, Any]:
    until = time.monotonic() + 120
    while True:
        found: dict[str, Any] = served.ask("GET", f"/jobs/{job}", token).json()
        if found["status"] not in ("queued", "running"):
            return found
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_job_whose_result_finds_no_room_says_so_and_leaves_none_of_it(disk: OnSmallDisk) -> None:
    served, token = disk.served, disk.served.login("carla")
    disk.fill(left=1_000_000)
    job = served.run_job(token, {"process": large_graph()})
    answer = served.ask("GET", f"/jobs/{job}/results", token)
    assert answer.status_code == 424
    assert answer.json()["code"] == "StorageFailure"
    assert "disk is full" in answer.json()["message"]
    assert "make room" in answer.json()["message"]
    assert any(
        "disk is full" in e["message"] for e in served.ask("GET", f"/jobs/{job}/logs", token).json()["logs"]
    )
    assert not list((disk.storage / "jobs" / job).glob("attempt-*"))
    sync = served.ask("POST", "/result", token, json={"process": large_graph()})
    assert (sync.status_code, sync.json()["code"]) == (507, "StorageFailure")
    assert not list((disk.storage / "requests").iterdir())
    # With room, the same job runs.
    disk.free()
    assert served.ask("POST", f"/jobs/{job}/results", token).status_code == 202
    assert status(served, token, job)["status"] == "finished"


def test_on_a_disk_that_is_full_the_server_answers_and_nothing_is_spoilt(disk: OnSmallDisk) -> None:
    served, token = disk.served, disk.served.login("carla")
    made = served.ask("POST", "/jobs", token, json={"process": small_graph()}).headers["OpenEO-Identifier"]
    disk.fill()
    assert served.ask("GET", "/health").status_code == 200
    ready = served.ask("GET", "/ready")
    assert (ready.status_code, "storage" in ready.json()["warnings"]) == (200, True)
    upload = served.ask("PUT", "/files/a.tif", token, data=b"x" * 2_000_000)
    assert (upload.status_code, upload.json()["code"]) == (507, "StorageFailure")
    assert "disk is full" in upload.json()["message"]
    assert served.ask("GET", "/files", token).json()["files"] == []
    refused = 0
    for _ in range(4):  # the journal may have room for one or two
        large = {"process": small_graph(), "description": "x" * 1_000_000}
        answer = served.ask("POST", "/jobs", token, json=large)
        assert answer.status_code in (201, 507)
        if answer.status_code == 507:
            refused += 1
            assert answer.json()["code"] == "StorageFailure"
            assert "disk is full" in answer.json()["message"]
    assert refused
    jobs = served.ask("GET", "/jobs", token)
    assert jobs.status_code == 200
    assert made in {j["id"] for j in jobs.json()["jobs"]}
    started = served.ask("POST", f"/jobs/{made}/results", token)
    assert started.status_code in (202, 507)
    if started.status_code == 202:
        time.sleep(2)
    disk.free()
    if started.status_code == 202:
        ended = status(served, token, made)  # the database had no room for the end, until now
        assert ended["status"] in ("error", "finished")
    again = served.run_job(token, {"process": small_graph()})
    assert served.ask("GET", f"/jobs/{again}", token).json()["status"] == "finished"
    with sqlite3.connect(disk.storage / "acreage.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
