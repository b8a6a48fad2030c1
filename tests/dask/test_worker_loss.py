"""Workers that end in the middle: one, every one that takes a window, and all. Last tests of the folder."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import psutil
import pytest
from tests.support.dask_tasks import BLOCK, Fatal, WriteBlock

from acreage.engine.dask.errors import WorkersLost
from acreage.engine.dask.executor import DaskExecutor


def test_a_killed_worker_costs_its_tasks_and_what_it_had_half_written(
    executor: DaskExecutor, tmp_path: Path
) -> None:
    file, flag = tmp_path / "raster", tmp_path / "killed"
    file.write_bytes(bytes(24 * BLOCK))
    made = list(executor.map(WriteBlock(file, flag, fatal=5), range(24)))
    assert sorted(made) == [(n, n) for n in range(24)]
    assert file.read_bytes() == b"".join(bytes([n]) * BLOCK for n in range(24))
    assert not psutil.pid_exists(int(flag.read_text()))


def test_a_window_that_ends_every_worker_is_an_error_that_says_so(executor: DaskExecutor) -> None:
    scheduler = executor._client.cluster.scheduler
    with (
        mock.patch.object(scheduler, "allowed_failures", 1),
        pytest.raises(WorkersLost, match=r"2 Dask workers ended one after another.*memory"),
    ):
        list(executor.map(Fatal(), [0]))


def test_a_cluster_without_workers_is_an_error_after_patience(
    executor: DaskExecutor, shared_scratch: Path
) -> None:
    client = executor._client
    with DaskExecutor(client, shared_scratch, patience_s=0.5, interrupts=False) as impatient:
        results = impatient.map(operator.neg, range(400))
        next(results)
        client.cluster.scale(0)
        _until(lambda: not client.nthreads())
        with pytest.raises(WorkersLost, match=r"No Dask worker is left.*0\.5 s"):
            list(results)


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not so() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert so()
