"""Backups, taken while everything changes, put back elsewhere."""

from __future__ import annotations

import tarfile
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from tests.backend.test_dispatcher import GRAPH
from tests.support.postgresql import Cluster

from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.backup import back_up, restore
from acreage.backend.database.session import open_database
from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.folder import JobFolder, JobSpec
from acreage.backend.jobs.store import JobStore
from acreage.backend.storage import Storage
from acreage.core.database import Database
from acreage.core.errors import InvalidInput, OutputExists


def filled(database: Database, folder: Path) -> tuple[Storage, JobStore]:
    """A storage with a user who has a file."""
    storage = Storage.at(folder)
    storage.secret()
    Accounts(database, Passwords.of({}), timedelta(days=1)).known(User("anna", "anna", "basic"))
    place = storage.files_of("anna") / "maps" / "a.txt"
    place.parent.mkdir(parents=True)
    place.write_text("of anna")
    return storage, JobStore(database, 10_000, 2, timedelta(seconds=30))


def finished(store: JobStore, storage: Storage) -> str:
    """A job that has run: files first, then its record, as servers do."""
    job = store.create("anna", process=GRAPH, options={})
    store.queue("anna", job.id)
    claimed = store.claim("one")
    assert claimed is not None
    folder = JobFolder(storage.jobs / claimed.id, 1)
    folder.begin(JobSpec(claimed.id, "anna", False, GRAPH))
    folder.log().add("info", f"This is {claimed.id}.")
    (folder.results / "answer.json").write_text(claimed.id)
    result = {"files": [{"name": "answer.json", "size": 10}], "about": {}, "place": ""}
    store.end("one", claimed.id, 1, "finished", result=result)
    return claimed.id


@pytest.fixture
def elsewhere(address: str, request: pytest.FixtureRequest) -> str | None:
    """The address of another, empty database; None for SQLite."""
    if address.startswith("sqlite"):
        return None
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_database()


def test_a_backup_of_a_busy_server_is_whole(
    address: str, database: Database, elsewhere: str | None, tmp_path: Path
) -> None:
    if elsewhere is None:
        address = f"sqlite:///{tmp_path / 'test.db'}"
    storage, store = filled(database, tmp_path / "storage")
    kept = [finished(store, storage) for _ in range(5)]
    done, failures = threading.Event(), []

    def work() -> None:
        """Jobs come and go, as fast as they can."""
        try:
            while not done.is_set():
                job_id = finished(store, storage)
                store.delete("anna", job_id)
                JobFolder(storage.jobs / job_id).remove()
                finished(store, storage)
        except Exception as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        backups = [tmp_path / f"backup-{n}.tar" for n in range(3)]
        for path in backups:
            back_up(address, storage, path)
    finally:
        done.set()
        thread.join()
    assert not failures
    assert backups[0].stat().st_mode & 0o077 == 0
    restored = tmp_path / "restored"
    told = restore(backups[-1], elsewhere, restored)
    opened = open_database(elsewhere or Storage(restored).database)
    with opened.read() as session:
        jobs = list(session.scalars(select(JobRow)))
    opened.close()
    assert told.jobs == len(jobs) >= 5
    there = 0
    for job in jobs:
        folder = JobFolder(restored / "jobs" / job.id, 1)
        if job.status == "finished" and job.results_deleted is None:
            assert (folder.results / "answer.json").read_text() == job.id
            assert folder.log().entries()[0]["message"] == f"This is {job.id}."
            there += 1
        else:
            assert job.result is None
    assert there >= 5
    assert set(kept) <= {j.id for j in jobs if j.results_deleted is None}
    assert (Storage(restored).files_of("anna") / "maps" / "a.txt").read_text() == "of anna"
    assert Storage(restored).secret() == storage.secret()


def test_results_that_are_not_in_a_backup_are_told(
    database: Database, elsewhere: str | None, tmp_path: Path
) -> None:
    address = database.engine.url.set(drivername=database.engine.dialect.name)
    storage, store = filled(database, tmp_path / "storage")
    job_id = finished(store, storage)
    JobFolder(storage.jobs / job_id, 1).remove_results()
    told = back_up(address.render_as_string(hide_password=False), storage, tmp_path / "b.tar")
    assert told.missing == 1
    assert restore(tmp_path / "b.tar", elsewhere, tmp_path / "new").missing == 1
    opened = open_database(elsewhere or Storage(tmp_path / "new").database)
    assert JobStore(opened, 1, 1, timedelta()).get("anna", job_id).results_deleted is not None
    opened.close()


def test_nothing_is_overwritten_and_nothing_half_is_left(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    storage, _ = filled(database, tmp_path / "storage")
    address, out = f"sqlite:///{tmp_path / 'test.db'}", tmp_path / "b.tar"
    back_up(address, storage, out)
    with pytest.raises(InvalidInput, match="there already"):
        back_up(address, storage, out)
    with pytest.raises(OutputExists):
        restore(out, None, storage.root)
    with pytest.raises(InvalidInput, match="no database"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", storage, tmp_path / "c.tar")
    with pytest.raises(InvalidInput, match="Unset ACREAGE_SERVER_DATABASE"):
        restore(out, "postgresql://postgres@127.0.0.1:9/x", tmp_path / "new")
    (tmp_path / "torn.tar").write_bytes(out.read_bytes()[:3000])
    with pytest.raises(InvalidInput, match=r"no whole backup of acreage: it ends early"):
        restore(tmp_path / "torn.tar", None, tmp_path / "new")
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(__file__, "about.txt")
    with pytest.raises(InvalidInput, match=r"no whole backup of acreage: it has no about\.json"):
        restore(tmp_path / "other.tar", None, tmp_path / "new")
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    back_up(address, storage, tmp_path / "later.tar")
    with pytest.raises(InvalidInput, match="later release"):
        restore(tmp_path / "later.tar", None, tmp_path / "new")
    left = {p.name for p in tmp_path.iterdir()}
    assert left <= {
        "b.tar",
        "later.tar",
        "other.tar",
        "torn.tar",
        "storage",
        "test.db",
        "test.db-shm",
        "test.db-wal",
    }
    database.close()


def test_a_database_with_tables_is_not_restored_into(cluster: Cluster, tmp_path: Path) -> None:
    address = cluster.new_database()
    database = open_database(address)
    storage, _ = filled(database, tmp_path / "storage")
    back_up(address, storage, tmp_path / "b.tar")
    with pytest.raises(InvalidInput, match="not empty"):
        restore(tmp_path / "b.tar", address, tmp_path / "new")
    database.close()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "it is empty"), (b"PK\x03\x04 or whatever" * 99, "it is no tar archive")]
)
def test_a_file_that_is_no_archive_is_refused_in_words(content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "some.tar").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        restore(tmp_path / "some.tar", None, tmp_path / "new")
    assert caught.value.message == f"{tmp_path / 'some.tar'} is no whole backup of acreage: {what}."
    assert "acreage backup" in (caught.value.hint or "")
    assert not (tmp_path / "new").exists()
