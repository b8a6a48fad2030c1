"""Synchronous requests end with their server, and what a dead server left is removed later."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest
from tests.backend.test_dispatcher import GRAPH, command

from acreage.backend.disk import Disk
from acreage.backend.jobs.folder import JobSpec
from acreage.backend.requests import RequestFailed, SyncRequests


def made(folder: Path, timeout_s: float = 60.0) -> SyncRequests:
    folder.mkdir(exist_ok=True)
    return SyncRequests(folder, command, at_once=2, timeout_s=timeout_s, disk=Disk(folder))


def spec(**options: object) -> JobSpec:
    return JobSpec("", "anna", False, GRAPH, options)


def test_a_server_that_stops_leaves_the_requests_of_another_alone(tmp_path: Path) -> None:
    folder, before = tmp_path / "requests", set(psutil.Process().children(recursive=True))
    one, other = made(folder), made(folder)

    async def both() -> tuple[object, object]:
        slow = asyncio.create_task(one.run(spec(seconds=50.0)))
        kept = asyncio.create_task(other.run(spec(seconds=3.0)))
        while len(list(folder.glob("*/attempt-1/progress.json"))) < 2:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(one.stop)
        return await asyncio.gather(slow, kept, return_exceptions=True)

    stopped, finished = asyncio.run(both())
    assert isinstance(stopped, RequestFailed)
    assert isinstance(finished, tuple), finished
    assert finished[1].status == "finished"
    assert [p.name for p in folder.iterdir()] == [finished[0].path.name]
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [p for p in left if p.status() != psutil.STATUS_ZOMBIE]


def test_only_what_is_old_is_swept(tmp_path: Path) -> None:
    requests = made(tmp_path / "requests", timeout_s=10.0)
    for name, age in (("old", 4000.0), ("new", 5.0)):
        (requests.folder / name / "attempt-1").mkdir(parents=True)
        stamp = time.time() - age
        os.utime(requests.folder / name, (stamp, stamp))
    requests.sweep()
    assert [p.name for p in requests.folder.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("how", "code"), [("error", "NoDataAvailable"), ("silent", "Internal"), ("killed", "Internal")]
)
def test_a_failed_request_leaves_nothing(tmp_path: Path, how: str, code: str) -> None:
    requests = made(tmp_path / "requests")
    with pytest.raises(RequestFailed) as raised:
        asyncio.run(requests.run(spec(how=how)))
    assert raised.value.code == code
    assert list(requests.folder.iterdir()) == []
