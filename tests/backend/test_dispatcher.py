"""Jobs run to an end, whatever happens to their processes and servers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.database.session import open_database
from acreage.backend.database.tables import JobRow
from acreage.backend.disk import Disk
from acreage.backend.jobs.dispatcher import Dispatcher, DispatcherLimits
from acreage.backend.jobs.folder import JobFolder, JobSpec
from acreage.backend.jobs.store import JobStore
from acreage.core.database import Database
from acreage.core.errors import ProcessUnsupported
from acreage.core.instances import Instances
from acreage.core.tariff import Tariff

ROOT = Path(__file__).resolve().parents[2]
GRAPH = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
WAIT_S = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    Accounts(opened, Passwords.of({}), timedelta(days=1)).known(User("anna", "anna", "basic"))
    yield opened
    opened.close()


def command(attempt: Path) -> list[str]:
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support.imitated_job import main; main()"
    )
    return [sys.executable, "-c", start, str(attempt)]


def prepare(job: JobRow) -> JobSpec:
    if "refused" in job.options:
        raise ProcessUnsupported("Process 'x' is not supported.")
    return JobSpec(job.id, job.user_id, False, job.process, job.options)


@contextmanager
def dispatching(
    database: Database,
    folder: Path,
    tariff: Tariff | None = None,
    budget: float | None = None,
    reserve: int = 0,
    **limits: Any,
) -> Iterator[Dispatcher]:
    store = JobStore(database, per_user=100, attempts=2, lease=timedelta(seconds=30))
    limited = DispatcherLimits(**{"at_once": 2, "timeout_s": 60.0, "lease_s": 30.0, **limits})
    instances = Instances(folder / "instances")
    folder.mkdir(exist_ok=True)
    budgets = Budgets(database, tariff or Tariff(), budget)
    disk = Disk(folder, reserve)
    made = Dispatcher(store, folder / "jobs", command, prepare, budgets, limited, instances, disk)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def started(dispatcher: Dispatcher, **options: Any) -> str:
    fields = {k: options.pop(k) for k in ("budget",) if k in options}
    job = dispatcher.store.create("anna", process=GRAPH, options=options, **fields)
    dispatcher.store.queue("anna", job.id)
    dispatcher.wake()
    return job.id


def until(test: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not test():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def ended(dispatcher: Dispatcher, job_id: str) -> JobRow:
    until(lambda: dispatcher.store.get("anna", job_id).status not in ("queued", "running"))
    return dispatcher.store.get("anna", job_id)


def messages(dispatcher: Dispatcher, job_id: str) -> str:
    entries = JobFolder(dispatcher.folder / job_id).log().entries()
    return "\n".join(e["message"] for e in entries)


def test_a_finished_job_has_its_files_its_usage_and_its_price(database: Database, tmp_path: Path) -> None:
    with dispatching(database, tmp_path, Tariff("EUR", cpu_hour=2.0, job=0.5)) as dispatcher:
        job = ended(dispatcher, started(dispatcher))
    assert (job.status, job.progress, job.costs, job.attempt) == ("finished", 100.0, 2.5, 1)
    assert job.result is not None
    assert [f["name"] for f in job.result["files"]] == ["answer.json"]
    folder = JobFolder(tmp_path / "jobs" / job.id, 1)
    assert (folder.results / "answer.json").exists()
    assert not folder.scratch.exists()


def test_a_job_that_fails_says_why_and_is_not_begun_again(database: Database, tmp_path: Path) -> None:
    with dispatching(database, tmp_path) as dispatcher:
        job = ended(dispatcher, started(dispatcher, how="error"))
        refused = ended(dispatcher, started(dispatcher, refused=True))
    assert (job.status, job.attempt) == ("error", 1)
    assert job.error == {"code": "NoDataAvailable", "message": "There is nothing."}
    assert refused.error == {"code": "ProcessUnsupported", "message": "Process 'x' is not supported."}


@pytest.mark.parametrize(
    ("how", "status", "attempt"),
    [("killed once", "finished", 2), ("killed", "error", 2), ("silent", "error", 2)],
)
def test_a_process_that_dies_is_begun_again_but_not_for_ever(
    database: Database, tmp_path: Path, how: str, status: str, attempt: int
) -> None:
    with dispatching(database, tmp_path) as dispatcher:
        job = ended(dispatcher, started(dispatcher, how=how))
        assert (job.status, job.attempt) == (status, attempt)
        assert "begun again" in messages(dispatcher, job.id)
    if status == "error":
        assert job.error is not None
        assert ("SIGKILL" in job.error["message"]) == (how == "killed")


def test_cancelling_ends_the_process_and_all_that_it_started_in_seconds(
    database: Database, tmp_path: Path
) -> None:
    with dispatching(database, tmp_path) as dispatcher:
        job_id = started(dispatcher, seconds=600, helper=True)
        pid_file = tmp_path / "jobs" / job_id / "helper.pid"
        until(lambda: pid_file.exists() and bool(pid_file.read_text()))
        pid = int(pid_file.read_text())
        began = time.monotonic()
        assert dispatcher.store.cancel("anna", job_id)
        dispatcher.wake()
        assert ended(dispatcher, job_id).status == "canceled"
        until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert time.monotonic() - began < 10
        after = ended(dispatcher, started(dispatcher))
    assert after.status == "finished"


def test_a_job_and_all_that_it_starts_give_way_to_the_server(database: Database, tmp_path: Path) -> None:
    with dispatching(database, tmp_path) as dispatcher:
        job_id = started(dispatcher, seconds=600, helper=True)
        pid_file = tmp_path / "jobs" / job_id / "helper.pid"
        until(lambda: pid_file.exists() and bool(pid_file.read_text()))
        helper = psutil.Process(int(pid_file.read_text()))
        own = psutil.Process().nice()
        assert [p.nice() for p in (helper, helper.parent())] == [min(19, own + 10)] * 2


def test_a_job_that_takes_too_long_or_too_much_is_ended(database: Database, tmp_path: Path) -> None:
    with dispatching(database, tmp_path, timeout_s=1.0) as dispatcher:
        late = ended(dispatcher, started(dispatcher, seconds=600))
    assert late.error is not None
    assert late.error["code"] == "Timeout"
    dear = Tariff("EUR", cpu_hour=36_000.0)
    with dispatching(database, tmp_path / "dear", dear) as dispatcher:
        job = ended(dispatcher, started(dispatcher, seconds=600, budget=0.001))
    assert job.error is not None
    assert job.error["code"] == "PaymentRequired"
    assert job.costs is not None
    assert job.costs > 0.001


def test_a_server_that_stops_gives_its_jobs_back(database: Database, tmp_path: Path) -> None:
    with dispatching(database, tmp_path) as dispatcher:
        job_id = started(dispatcher, seconds=2)
        until(lambda: dispatcher.store.get("anna", job_id).status == "running")
    assert dispatcher.store.get("anna", job_id).status == "queued"
    with dispatching(database, tmp_path) as other:
        job = ended(other, job_id)
    assert (job.status, job.attempt) == ("finished", 1)


def serve_until_killed(address: str, folder: str) -> None:
    """A server that has begun a job; for a process of its own."""
    with dispatching(open_database(address), Path(folder)) as dispatcher:
        started(dispatcher, seconds=600)
        time.sleep(600)


def test_the_jobs_of_a_killed_server_are_taken_back_at_once(database: Database, tmp_path: Path) -> None:
    address, path = str(database.engine.url), f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    called = f"serve_until_killed({address!r}, {str(tmp_path)!r})"
    start = f"{path}; from tests.backend.test_dispatcher import serve_until_killed; {called}"
    server = subprocess.Popen([sys.executable, "-c", start])
    store = JobStore(database, 100, 2, timedelta(seconds=30))
    until(lambda: store.counts().get("running") == 1)
    server.kill()
    server.wait()
    (job,) = store.listed("anna", 10)[0]
    with database.write() as session:  # what the next attempt does is quick
        row = session.get(JobRow, job.id)
        assert row is not None
        row.options = {}
    with dispatching(database, tmp_path) as dispatcher:
        assert ended(dispatcher, job.id).status == "finished"
        assert "server was lost" in messages(dispatcher, job.id)


def test_a_job_whose_servers_died_too_often_has_the_reason_in_its_log(
    database: Database, tmp_path: Path
) -> None:
    store = JobStore(database, per_user=100, attempts=2, lease=timedelta(seconds=-1))
    job = store.create("anna", process=GRAPH, options={})
    store.queue("anna", job.id)
    with database.write() as session:
        row = session.get(JobRow, job.id)
        assert row is not None
        row.attempt = 1
    assert store.claim("a server that died") is not None
    with dispatching(database, tmp_path) as dispatcher:
        found = ended(dispatcher, job.id)
        until(lambda: JobFolder(tmp_path / "jobs" / job.id).log().entries(level="error") != [])
    assert found.status == "error"
    assert "server was lost 2 times" in messages(dispatcher, job.id)
