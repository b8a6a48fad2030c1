"""The executor's promises: every task once, errors as raised, lost workers cost their tasks only."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st
from tests.support.dask_tasks import Counted, Fails, Waits

import acreage
from acreage.core.errors import ItemUnreadable
from acreage.engine.dask.errors import ClusterFailed, ScratchNotShared
from acreage.engine.dask.executor import DaskExecutor
from acreage.engine.dask.groups import MOST_GROUPED, Groups
from acreage.engine.dask.inspection import check_workers
from acreage.engine.dask.worker import WorkerFacts, file_system
from acreage.engine.executors import Executor, ThreadExecutor


def test_every_task_gives_its_result_once(executor: DaskExecutor) -> None:
    given = list(range(300))
    made = list(executor.map(operator.neg, given))
    assert len(made) == len(given)
    assert dict(made) == dict(ThreadExecutor(2).map(operator.neg, given)) == {n: -n for n in given}


def test_nothing_is_done_for_no_tasks(executor: DaskExecutor) -> None:
    assert list(executor.map(operator.neg, [])) == []


def test_the_function_is_loaded_once_by_each_worker(executor: DaskExecutor, tmp_path: Path) -> None:
    assert dict(executor.map(Counted(tmp_path), range(40))) == {n: -n for n in range(40)}
    names = [p.name for p in tmp_path.iterdir()]
    ran_by = {name.split("-")[1] for name in names if name.startswith("ran-")}
    loaded_by = [name.split("-")[1] for name in names if name.startswith("loaded-")]
    assert len(ran_by) == 2
    assert sorted(loaded_by) == sorted(ran_by)


def test_an_error_is_raised_as_it_was_and_starts_nothing_more(executor: DaskExecutor, tmp_path: Path) -> None:
    with pytest.raises(ItemUnreadable) as caught:
        list(executor.map(Fails(3, tmp_path), range(1000)))
    error = caught.value
    assert (error.message, error.hint) == ("It is broken.", "Mend it.")
    assert (error.item, error.asset, error.kind) == ("S2A", "B04", "truncated")
    assert len(list(tmp_path.iterdir())) < 100
    before = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == before


def test_an_error_of_the_software_is_not_tried_again(executor: DaskExecutor, tmp_path: Path) -> None:
    (tmp_path / "counts").mkdir()
    with pytest.raises(ItemUnreadable):
        list(executor.map(Fails(0, tmp_path / "counts"), [0]))
    assert [p.name for p in (tmp_path / "counts").iterdir()] == ["0"]


def test_closing_waits_for_what_is_under_way(executor: DaskExecutor, tmp_path: Path) -> None:
    """Else a window would write into a scratch folder that is being taken away."""
    started, may_end = tmp_path / "started", tmp_path / "may-end"
    started.mkdir()
    first = _FirstAtOnce(Waits(started, may_end))
    with closing(executor.map(first, range(50))) as results:
        next(results)
        _until(lambda: any(started.iterdir()))
        may_end.touch()
    names = {p.name for p in started.iterdir()}
    assert {n for n in names if not n.startswith("ended-")} == {
        n[6:] for n in names if n.startswith("ended-")
    }
    assert len(names) < 20


class _FirstAtOnce:
    """Task 0 at once, the others by another function."""

    def __init__(self, others: Callable[[int], int]) -> None:
        self.others = others

    def __call__(self, number: int) -> int:
        return self.others(number) if number else 0


def test_scratch_that_workers_do_not_see_is_refused(executor: DaskExecutor, tmp_path: Path) -> None:
    client: Client = executor._client
    folder = tmp_path / "gone"
    folder.mkdir()
    real, told = client.run, {}

    def elsewhere(function: Callable[..., object], place: Path, *rest: object, **options: object) -> object:
        told["asked"] = function
        return real(function, place / "of-another-machine", *rest, **options)

    client.run = elsewhere
    try:
        with pytest.raises(ScratchNotShared, match=r"cannot use the scratch folder.*No such file") as caught:
            check_workers(client, folder)
    finally:
        client.run = real
    assert "ACREAGE_SCRATCH" in caught.value.hint


def test_scratch_of_the_same_name_on_another_machine_is_refused(
    executor: DaskExecutor, tmp_path: Path
) -> None:
    """There may be a folder of that name there; it is not the client's."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "token").write_text("of someone else")
    client: Client = executor._client
    real = client.run

    def elsewhere(function: Callable[..., object], _: Path, *rest: object, **options: object) -> object:
        return real(function, other, *rest, **options)

    client.run = elsewhere
    (tmp_path / "mine").mkdir()
    try:
        with pytest.raises(ScratchNotShared, match="another file"):
            check_workers(client, tmp_path / "mine")
    finally:
        client.run = real


def _facts(host: str, kind: str) -> WorkerFacts:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return WorkerFacts(host, acreage.__version__, python, "", kind)


@pytest.mark.parametrize(
    ("hosts", "kind", "refused"),
    [(("a", "b"), "nfs4", True), (("a", "a"), "nfs4", False), (("a", "b"), "lustre", False)],
)
def test_nfs_is_refused_between_machines(
    hosts: tuple[str, str], kind: str, refused: bool, executor: DaskExecutor, tmp_path: Path
) -> None:
    def answer(_: object, folder: Path, token: str, **__: object) -> dict[str, WorkerFacts]:
        for number in range(2):
            (folder / f"seen-{token}-{number}").touch()
        return {f"tcp://{n}": _facts(host, kind) for n, host in enumerate(hosts)}

    with mock.patch.object(executor._client, "run", answer):
        if refused:
            with pytest.raises(ScratchNotShared, match=r"is on NFS.*2 machines"):
                check_workers(executor._client, tmp_path)
        else:
            check_workers(executor._client, tmp_path)


def test_a_worker_with_another_version_is_refused(executor: DaskExecutor, tmp_path: Path) -> None:
    old = {"tcp://1": replace(_facts("a", "ext4"), version="0.0.1")}
    with (
        mock.patch.object(executor._client, "run", return_value=old),
        pytest.raises(ClusterFailed, match=r"on a has acreage 0\.0\.1"),
    ):
        check_workers(executor._client, tmp_path)


def test_the_file_system_of_a_folder_is_known() -> None:
    assert file_system(Path("/proc/self")) == "proc"


def test_what_workers_use_is_counted(executor: DaskExecutor) -> None:
    before = executor.use()
    list(executor.map(operator.neg, range(50)))
    used = executor.use().since(before)
    assert used.cpu_seconds > 0
    assert used.peak_memory > 20_000_000


@given(
    tasks=st.integers(0, 500),
    threads=st.integers(1, 40),
    seconds=st.lists(st.floats(1e-5, 10), min_size=1, max_size=30),
)
def test_groups_hold_every_task_once_and_leave_work_for_every_thread(
    tasks: int, threads: int, seconds: list[float]
) -> None:
    groups, taken = Groups(range(tasks)), []
    while fresh := groups.take(2, threads):
        for group in fresh:
            left = tasks - sum(len(g) for g in taken)
            assert len(group) <= max(1, min(MOST_GROUPED, left // threads))
            taken.append(group)
        groups.took(seconds[len(taken) % len(seconds)])
    assert [n for group in taken for n in group] == list(range(tasks))


def test_tasks_that_take_long_are_sent_one_by_one() -> None:
    groups = Groups(range(1000))
    groups.took(5.0)
    assert [len(g) for g in groups.take(10, 2)] == [1] * 10


def test_both_executors_keep_the_protocol(executor: DaskExecutor) -> None:
    kept: list[Executor] = [executor, ThreadExecutor(1)]
    assert [sorted(e.map(abs, [-1, -2])) for e in kept] == [[(0, 1), (1, 2)]] * 2


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not so() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert so()
