"""Jobs of a server computed on a Dask cluster that the settings name."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from distributed import Client, LocalCluster
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog
from tests.support.tiny_archive import node


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A scheduler with two worker processes."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit="2GB",
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_catalog(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def served(
    cluster: LocalCluster, catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "scratch").mkdir()
    own = {
        "ACREAGE_DASK": cluster.scheduler_address,
        "ACREAGE_SCRATCH": str(folder / "scratch"),
        "ACREAGE_MEMORY": "1500MB",
        "ACREAGE_SERVER_JOBS_AT_ONCE": "2",
    }
    with running_server(folder, catalog, **own) as running:
        yield running


def tasks_done(cluster: LocalCluster) -> int:
    """Tasks that the workers have computed so far, of the product's windows."""

    def counted(dask_scheduler: Any) -> int:
        return sum(
            prefix.state_counts.get("memory", 0) + prefix.state_counts.get("released", 0)
            for prefix in dask_scheduler.task_prefixes.values()
        )

    with Client(cluster.scheduler_address) as client:
        found: int = client.run_on_scheduler(counted)
        return found


def result(served: Served, token: str, job: str) -> bytes:
    (asset,) = served.ask("GET", f"/jobs/{job}/results", token).json()["assets"].values()
    return requests.get(asset["href"], timeout=60).content


def test_jobs_are_computed_by_the_workers_and_have_the_same_bytes(
    served: Served, cluster: LocalCluster, catalog: Path, tmp_path: Path
) -> None:
    token, before = served.login("carla"), tasks_done(cluster)
    job = served.run_job(token, {"process": small_graph()})
    about = served.ask("GET", f"/jobs/{job}", token).json()
    assert about["status"] == "finished", served.ask("GET", f"/jobs/{job}/logs", token).text
    assert tasks_done(cluster) > before
    assert about["usage"]["cpu"]["value"] > 0
    # The same bytes as of threads of one process.
    (tmp_path / "graph.json").write_text(json.dumps(small_graph()))
    command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "execute"]
    command += [str(tmp_path / "graph.json"), "--catalog", str(catalog), "--out", str(tmp_path / "out.tif")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert result(served, token, job) == (tmp_path / "out.tif").read_bytes()


def test_a_job_that_is_stopped_leaves_the_workers_to_others(served: Served) -> None:
    token = served.login("dora")
    fine = small_graph()["process_graph"]
    fine["fine"] = node("resample_spatial", data="@load", resolution=0.02, method="near")
    fine["save"] = {**node("save_result", data="@fine", format="GTiff"), "result": True}
    made = served.ask("POST", "/jobs", token, json={"process": {"process_graph": fine}})
    job = made.headers["OpenEO-Identifier"]
    served.ask("POST", f"/jobs/{job}/results", token)
    until = time.monotonic() + 60
    while served.ask("GET", f"/jobs/{job}", token).json()["status"] != "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    served.ask("DELETE", f"/jobs/{job}/results", token)
    again = served.run_job(token, {"process": small_graph()})
    assert served.ask("GET", f"/jobs/{job}", token).json()["status"] == "canceled"
    assert served.ask("GET", f"/jobs/{again}", token).json()["status"] == "finished"
