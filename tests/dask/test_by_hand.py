"""A scheduler and workers that were started by hand; the command line on a cluster, interrupted and not."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import rasterio
from tests.support.breakable_archive import AREA, MARCH, Archive, over_time
from tests.support.tiny_archive import chain, load
from typer.testing import CliRunner

from acreage.cli.main import app

PATIENCE_S = 60
# Every window of the interrupted job waits for a file that never comes.
BLOCKING = """
import time
from pathlib import Path

import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    if cube.shape[-1] > 40:  # not the cube that planning tries it on
        Path(context["started"]).touch()
        time.sleep(600)
    return cube
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `dask scheduler`, with one `dask worker`, as docs/dask.md starts them."""
    folder = tmp_path_factory.mktemp("by-hand")
    file = folder / "scheduler.json"
    scheduler = _start(
        f"dask scheduler --host 127.0.0.1 --port 0 --scheduler-file {file} --dashboard-address 127.0.0.1:0",
        folder / "scheduler.log",
    )
    _until(file.is_file, scheduler, folder / "scheduler.log")
    address = str(json.loads(file.read_text())["address"])
    worker = _start(
        f"dask worker {address} --host 127.0.0.1 --nthreads 1 --memory-limit 2GB --no-dashboard --no-nanny "
        f"--local-directory {folder}",
        folder / "worker.log",
    )
    yield address
    for process in (worker, scheduler):
        process.send_signal(signal.SIGTERM)
    assert [p.wait(PATIENCE_S) for p in (worker, scheduler)] == [0, 0]


def _start(command: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        words = [sys.executable, "-m", *shlex.split(command)]
        return subprocess.Popen(words, stdout=out, stderr=out, env=_environment())


def _environment() -> Mapping[str, str]:
    # The function tells by a file that it runs: in a sandbox it could not.
    more = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "ACREAGE_UDF_ISOLATION": "none"}
    return {**os.environ, **more}


def _until(
    so: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not so():
        alive = process is None or process.poll() is None
        assert alive, log.read_text() if log else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _graph(folder: Path, *steps: Mapping[str, object]) -> Path:
    path = folder / "graph.json"
    path.write_text(json.dumps(chain(load(["B04", "SCL"], AREA, MARCH), over_time(), *map(dict, steps))))
    return path


def _execute(archive: Archive, graph: Path, out: Path, *more: str) -> str:
    """The command line in a process of its own, whose memory is the job's alone."""
    code = "from acreage.cli.main import main; main()"
    options = ["--catalog", str(archive.root), "--out", str(out), "--memory", "1.5GB", "--threads", "1"]
    command = [sys.executable, "-c", code, "execute", str(graph), *options, *more]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_command_on_a_cluster_by_hand_writes_what_threads_write(
    cluster: str, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("ACREAGE_SCRATCH", str(scratch))
    graph = _graph(tmp_path)
    _execute(archive, graph, tmp_path / "threads.tif")
    told = _execute(archive, graph, tmp_path / "dask.tif", "--dask", cluster)
    with rasterio.open(tmp_path / "threads.tif") as a, rasterio.open(tmp_path / "dask.tif") as b:
        assert str(a.profile) == str(b.profile)
        assert a.read().tobytes() == b.read().tobytes()
        assert a.read().any()
    assert re.search(r"items read, 0 assets failed", told)
    assert list(scratch.iterdir()) == []


def test_workers_with_less_memory_than_the_plan_may_use_are_refused(
    cluster: str, archive: Archive, tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        app,
        shlex.split(
            f"execute {_graph(tmp_path)} --catalog {archive.root} --out {tmp_path}/o.tif --memory 3GB"
        )
        + shlex.split(f"--dask {cluster}"),
    )
    assert done.exit_code == 2
    assert re.search(r"is ended\s+above 2GB", done.output)


@pytest.mark.proof
def test_an_interrupted_job_leaves_no_process_and_no_file(archive: Archive, tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches every process of its group: here, too."""
    started, scratch = tmp_path / "started", tmp_path / "scratch"
    scratch.mkdir()
    context = {"started": str(started)}
    udf = {"process_id": "run_udf", "arguments": {"udf": BLOCKING, "runtime": "Python", "context": context}}
    code = "from acreage.cli.main import main; main()"
    options = f"--catalog {archive.root} --out {tmp_path}/out.tif --dask local --threads 1 --memory 1.5GB"
    command = [sys.executable, "-c", code, "execute", str(_graph(tmp_path, udf)), *shlex.split(options)]
    job = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**_environment(), "ACREAGE_SCRATCH": str(scratch)},
    )
    deadline = time.monotonic() + PATIENCE_S
    while not started.exists():
        assert job.poll() is None, job.stderr.read() if job.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes = psutil.Process(job.pid).children(recursive=True)
    assert len(processes) >= 2
    os.killpg(job.pid, signal.SIGINT)
    _, said = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 130
    assert said.split() == ["Interrupted."]
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    assert not (tmp_path / "out.tif").exists()
    assert list(scratch.iterdir()) == []
