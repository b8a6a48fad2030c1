"""What is old goes, what servers that were killed left goes, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.in_process import ask, engineless

from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.database.tables import JobRow
from acreage.backend.housekeeping import Housekeeper, Limits
from acreage.backend.jobs.folder import JobFolder, JobSpec
from acreage.backend.jobs.logs import MOST_BYTES, JobLog
from acreage.backend.jobs.store import JobStore, now
from acreage.backend.services import Services
from acreage.backend.storage import Storage
from acreage.core.database import Database
from acreage.core.errors import InvalidInput

GRAPH: dict[str, Any] = {
    "process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
}
DAY = timedelta(days=1)


@pytest.fixture
def store(database: Database) -> JobStore:
    Accounts(database, Passwords.of({}), timedelta(days=1)).known(User("anna", "anna", "basic"))
    return JobStore(database, 100, 2, timedelta(seconds=30))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path / "storage")


def keeper(store: JobStore, storage: Storage, **limits: Any) -> Housekeeper:
    services = Services(store.database, storage.tiles)
    return Housekeeper(store, storage, None, Limits(**limits), lambda: None, services.existing)


def job(store: JobStore, storage: Storage, status: str = "finished", *, ended: timedelta = DAY) -> JobFolder:
    """A job that ended so long ago, with a file in its attempt."""
    made = store.create("anna", process=GRAPH, options={})
    with store.database.write() as session:
        row = session.get(JobRow, made.id)
        assert row is not None
        row.status, row.attempt = status, 1
        row.ended = None if status in ("queued", "running") else now() - ended
        row.result = {"files": [{"name": "a.tif"}], "place": ""} if status == "finished" else None
    folder = JobFolder(storage.jobs / made.id, 1)
    folder.begin(JobSpec(made.id, "anna", False, GRAPH))
    (folder.results / "a.tif").write_bytes(b"x")
    folder.log().add("info", "Done.")
    return folder


def aged(folder: Path, seconds: float = 7200) -> None:
    """Let a folder and all in it seem old."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_results_go_after_their_time_and_their_job_says_so(store: JobStore, storage: Storage) -> None:
    old, young = job(store, storage), job(store, storage, ended=timedelta(hours=1))
    keeper(store, storage, results=timedelta(hours=12)).round()
    assert not (old.results / "a.tif").exists()
    assert (young.results / "a.tif").exists()
    row = store.get("anna", old.path.name)
    assert (row.status, row.result) == ("finished", None)
    assert row.results_deleted is not None
    assert "deleted, 0.5 days after" in old.log().entries()[-1]["message"]
    # It can be computed anew.
    assert store.queue("anna", row.id)
    assert store.get("anna", row.id).results_deleted is None


def test_the_api_tells_until_when_results_are_kept_and_that_they_are_gone(tmp_path: Path) -> None:
    server = engineless(tmp_path / "s", results_days=0.5, retention_days=30)
    made = job(server.jobs, server.storage, ended=timedelta(hours=1)).path.name
    about = ask(server, f"/jobs/{made}").json()
    assert about["results_expire"] < about["expires"]
    (asset,) = ask(server, f"/jobs/{made}/results").json()["assets"].values()
    assert ask(server, asset["href"]).content == b"x"
    with server.database.write() as session:
        row = session.get(JobRow, made)
        assert row is not None
        row.ended = now() - DAY
    server.housekeeper.round()
    about = ask(server, f"/jobs/{made}").json()
    assert (about["status"], "results_expire" in about, "results_deleted" in about) == (
        "finished",
        False,
        True,
    )
    for path in (f"/jobs/{made}/results", asset["href"]):
        answer = ask(server, path)
        assert (answer.status_code, answer.json()["code"]) == (410, "ResultsExpired")
        assert "Start the job again" in answer.json()["message"]
    server.database.close()


def test_jobs_go_with_all_that_is_known_of_them(store: JobStore, storage: Storage) -> None:
    old = [job(store, storage, status) for status in ("finished", "error", "canceled")]
    kept = [
        job(store, storage, ended=timedelta(0)),
        job(store, storage, "queued"),
        job(store, storage, "running"),
    ]
    keeper(store, storage, jobs=timedelta(hours=12)).round()
    assert [f.path.exists() for f in old] == [False] * 3
    assert [f.path.exists() for f in kept] == [True] * 3
    assert {j.id for j in store.listed("anna", 10)[0]} == {f.path.name for f in kept}


def test_what_no_record_wants_is_swept_when_it_is_old(store: JobStore, storage: Storage) -> None:
    finished, failed, running = (job(store, storage, s) for s in ("finished", "error", "running"))
    forgotten = job(store, storage)
    store.delete("anna", forgotten.path.name)  # and then the server was killed
    keeper(store, storage).round()
    assert forgotten.path.exists()  # young: somebody may be at work
    for folder in (finished, failed, running, forgotten):
        aged(folder.path)
    keeper(store, storage).round()
    assert not forgotten.path.exists()
    assert (finished.results / "a.tif").exists()
    assert (running.results / "a.tif").exists()
    assert not failed.attempt_path.exists()
    assert failed.log().entries()


def test_tiles_that_were_not_used_for_longest_go_first(store: JobStore, storage: Storage) -> None:
    services = Services(store.database, storage.tiles)
    row = services.create("anna", {"type": "XYZ", "process": GRAPH})
    tiles = [storage.tiles / row.id / "0" / f"{n}.png" for n in range(10)]
    gone = storage.tiles / "s-gone" / "0" / "1.png"
    for path in [*tiles, gone]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    for n, path in enumerate(tiles):
        os.utime(path, (1e9 + n, 1e9 + n))
    keeper(store, storage, tiles=10_000).round()
    assert not gone.parent.parent.exists()  # of a service that is no more
    assert all(p.exists() for p in tiles)
    keeper(store, storage, tiles=5_000).round()
    assert [p.exists() for p in tiles] == [False] * 6 + [True] * 4


def test_one_task_that_fails_does_not_keep_the_others_from_their_work(
    store: JobStore, storage: Storage
) -> None:
    old = job(store, storage)

    def refuse() -> None:
        raise OSError(5, "Input/output error")

    services = Services(store.database, storage.tiles)
    made = Housekeeper(store, storage, None, Limits(jobs=timedelta(hours=1)), refuse, services.existing)
    made.round()
    assert not old.path.exists()


def test_a_storage_belongs_to_one_database(storage: Storage) -> None:
    storage.claim("one")
    storage.claim("one")
    with pytest.raises(InvalidInput, match="another database"):
        storage.claim("two")


def test_a_log_does_not_grow_for_ever_and_errors_still_come(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log.jsonl")
    log.path.write_bytes(b"x" * MOST_BYTES + b"\n")
    for n in range(3):
        assert log.add("info", f"entry {n}")
    assert log.add("error", "It failed.")
    assert [e["level"] for e in log.entries()] == ["warning", "error"]


def test_an_entry_that_a_full_disk_tore_does_not_spoil_the_next(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log.jsonl")
    log.add("info", "one")
    with log.path.open("ab") as file:
        file.write(b'{"time": "2026-01-01T00:00:00Z", "lev')
    log.add("info", "two")
    assert [e["message"] for e in log.entries()] == ["one", "two"]
    assert not JobLog(tmp_path / "no" / "folder" / "log.jsonl").add("info", "nowhere")
