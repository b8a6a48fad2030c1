"""Jobs on Dask workers end as they do with threads: same cubes, same account of inputs, same errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.breakable_archive import (
    AREA,
    GRAPH,
    MARCH,
    Archive,
    along_x,
    over_time,
)
from tests.support.engine_runs import MEMORY, assert_same_cube, settled
from tests.support.tiny_archive import WEST, chain, extent, load, node

from acreage.core.udf import UdfRunner
from acreage.engine.budget import Budget
from acreage.engine.dask.executor import DaskExecutor
from acreage.engine.executors import ThreadExecutor
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.tolerance import TooManyFailures
from acreage.udf.contract import UdfLimits
from acreage.udf.errors import UdfModelUnavailable, UdfRaised
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

ADD = """
import os
import signal
from pathlib import Path

import numpy as np
import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    print("seen", cube.shape)
    flag = context.get("kill")
    # Planning tries the function on a cube of another size.
    if flag and cube.shape[-1] == 32 and not Path(flag).exists():
        Path(flag).write_text(f"{os.getppid()} {os.getpid()}")
        os.kill(os.getppid(), signal.SIGKILL)
    if context.get("fail") and float(cube.max()) > 0:
        raise RuntimeError("not today")
    added = len(Path(context["model"]).read_bytes()) if "model" in context else 0
    return cube.astype(np.float32) * 2 + added
"""


def _udf(**context: Any) -> dict[str, Any]:
    return {
        "process_id": "run_udf",
        "arguments": {"udf": ADD, "runtime": "Python", "context": context},
    }


def _graph(*steps: Mapping[str, Any]) -> dict[str, Any]:
    return chain(load(["B04", "B05", "SCL"], AREA, MARCH), over_time(), *map(dict, steps))


@pytest.fixture(scope="module")
def udf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    models = ModelCache(tmp_path_factory.mktemp("models"))
    # One of the functions kills the worker that asked it: in a sandbox it could not.
    with ProcessUdfRunner(UdfLimits(timeout_s=120), models=models, isolation="none") as runner:
        yield runner


def _plan(archive: Archive, graph: Mapping[str, Any], udf: UdfRunner | None) -> Plan:
    return make_plan(parse_graph(graph), archive.catalog(), Budget(MEMORY, 1, 32, processes=2), udf)


def test_a_graph_with_a_udf_and_two_stages_gives_the_same_bytes(
    executor: DaskExecutor, archive: Archive, udf: UdfRunner, shared_scratch: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(b"12345")
    plan = _plan(archive, _graph(along_x(), _udf(model=str(tmp_path / "model"))), udf)
    assert len(plan.stages) >= 2
    assert sum(len(s.windows) for s in plan.stages) >= 12
    cubes, threads = settled(plan, udf=udf, executor=ThreadExecutor(1))
    made, dask = settled(plan, udf=udf, executor=executor, scratch=shared_scratch)
    for key, cube in cubes.items():
        assert_same_cube(cube, made[key])
        assert cube.validity().any()
    assert dask.inputs == threads.inputs
    assert dask.udf_log == threads.udf_log != ()
    assert dask.usage.source_pixels == threads.usage.source_pixels
    assert dask.usage.cpu_seconds > 0


def _await_end(pid: int) -> None:
    """A process that nobody waits for may stay a while as a zombie."""
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the process of the UDF goes on without its worker"
        time.sleep(0.05)


def test_sums_over_geometries_are_the_same(
    executor: DaskExecutor, archive: Archive, shared_scratch: Path
) -> None:
    squares = [extent(8, 8, WEST + 10 * x, 5_600_000.0 - 10 * y) for x in (3, 40, 80) for y in (2, 30)]
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [
                        [s["west"], s["south"]], [s["east"], s["south"]], [s["east"], s["north"]],
                        [s["west"], s["north"]], [s["west"], s["south"]],
                    ]
                ],
            },
        }
        for s in squares
    ]  # fmt: skip
    collection = {
        "type": "FeatureCollection",
        "features": features,
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}},
    }
    reducer = {"r": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    plan = _plan(
        archive,
        _graph(node("aggregate_spatial", geometries=collection, reducer={"process_graph": reducer})),
        None,
    )
    cubes, _ = settled(plan, executor=ThreadExecutor(1))
    made, _ = settled(plan, executor=executor, scratch=shared_scratch)
    for key, cube in cubes.items():
        assert_same_cube(cube, made[key])
        assert cube.validity().all()


def test_tolerated_failures_are_the_same(
    executor: DaskExecutor, archive: Archive, shared_scratch: Path
) -> None:
    archive.file("east1", "B04").write_bytes(archive.file("east1", "B04").read_bytes()[:3000])
    plan = _plan(archive, GRAPH, None)
    cubes, threads = settled(plan, executor=ThreadExecutor(1), tolerance=1)
    made, dask = settled(plan, executor=executor, scratch=shared_scratch, tolerance=1)
    # The sentence is that of the window that met the fault first.
    told = [[replace(asset, reason="") for asset in r.inputs.assets] for r in (dask, threads)]
    assert told[0] == told[1]
    assert {f[0] for f in dask.failures} == {"east1"}
    for key, cube in cubes.items():
        assert_same_cube(cube, made[key])


def test_more_failures_than_tolerated_end_the_job(
    executor: DaskExecutor, archive: Archive, shared_scratch: Path
) -> None:
    archive.file("east1", "B04").unlink()
    with pytest.raises(TooManyFailures, match="east1"):
        settled(_plan(archive, GRAPH, None), executor=executor, scratch=shared_scratch)


def test_what_a_udf_raises_comes_with_its_log(
    executor: DaskExecutor, archive: Archive, udf: UdfRunner, shared_scratch: Path
) -> None:
    plan = _plan(archive, _graph(_udf(fail=True)), udf)
    with pytest.raises(UdfRaised, match="not today") as caught:
        settled(plan, udf=udf, executor=executor, scratch=shared_scratch)
    assert any(line.startswith("seen") for line in caught.value.log)
    assert caught.value.hint


def test_a_model_that_a_worker_does_not_see_is_named_with_the_machine(
    executor: DaskExecutor, archive: Archive, udf: UdfRunner, shared_scratch: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"1")
    plan = _plan(archive, _graph(_udf(model=str(model))), udf)
    model.unlink()
    with pytest.raises(UdfModelUnavailable, match="cannot be read: No such file") as caught:
        settled(plan, udf=udf, executor=executor, scratch=shared_scratch)
    assert "must be there on" in caught.value.hint


def test_a_worker_killed_in_a_window_costs_the_window_only(
    executor: DaskExecutor, archive: Archive, udf: UdfRunner, shared_scratch: Path, tmp_path: Path
) -> None:
    """The user-defined function kills the worker that asked it, once; its own process ends with it."""
    flag = tmp_path / "killed"
    flag.write_text("not yet")
    plan = _plan(archive, _graph(along_x(), _udf(kill=str(flag))), udf)
    whole, _ = settled(plan, udf=udf, executor=ThreadExecutor(1))
    flag.unlink()
    made, result = settled(plan, udf=udf, executor=executor, scratch=shared_scratch)
    for key, cube in whole.items():
        assert_same_cube(cube, made[key])
    worker, child = map(int, flag.read_text().split())
    assert not psutil.pid_exists(worker)
    _await_end(child)
    assert not result.failures
