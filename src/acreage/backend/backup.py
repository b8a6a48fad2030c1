"""Backups of a server: its database and its files in one archive, taken while it runs or not.

The database is copied first, by its own means and at one moment. Files come after: a result is written before
its job counts as finished, and removed after its record, so that of all results which the copy of the
database names only those can be missing that were deleted meanwhile. Restoring says so on their jobs.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, select

from acreage import __version__
from acreage.backend.database import postgresql
from acreage.backend.database.session import known_revisions, open_database
from acreage.backend.database.tables import Base, JobRow
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.store import FINISHED, now
from acreage.backend.storage import Storage
from acreage.core.database import Database, url_of
from acreage.core.errors import InvalidInput, WriteFailed
from acreage.core.outputs import check_folder, whole_file

_FORMAT = 1
_ABOUT, _SQLITE, _DUMP, _FILES = "about.json", "database.sqlite", "database.dump", "storage"


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        jobs: records of them.
        files: results, logs, files of users.
        missing: results that were deleted while the backup was taken.
    """

    jobs: int
    files: int
    missing: int = 0


@dataclass(frozen=True)
class _Wanted:
    """Of a job: what is kept of it."""

    job_id: str
    attempt: int
    names: tuple[str, ...]


def back_up(address: str, storage: Storage, out: Path) -> BackedUp:
    """Write a backup; it appears whole or not at all.

    Args:
        address: of the database.
        storage: of the server.
        out: a tar file, which must not exist.

    Raises:
        InvalidInput: the database cannot be used, or the file exists.
        WriteFailed: there is no room.
    """
    if out.exists():
        raise InvalidInput(f"{out} is there already.", hint="Name another file.")
    with whole_file(out) as part:
        part.touch(mode=0o600)  # it holds the key that links are signed with
        with (
            tempfile.TemporaryDirectory(dir=part.parent, prefix=".backup-") as folder,
            tarfile.open(part, "w") as archive,
        ):
            return _written(archive, address, storage, Path(folder))


def _written(archive: tarfile.TarFile, address: str, storage: Storage, folder: Path) -> BackedUp:
    is_sqlite = url_of(address).drivername == "sqlite"
    copy = folder / (_SQLITE if is_sqlite else _DUMP)
    with (_copied_sqlite if is_sqlite else _dumped_postgresql)(address, copy) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        jobs = [_wanted(row) for row in connection.execute(_JOBS)]
    about = {
        "format": _FORMAT,
        "acreage": __version__,
        "created": now().isoformat(timespec="seconds"),
        "database": "sqlite" if is_sqlite else "postgresql",
        "revision": revision,
    }
    _add_text(archive, _ABOUT, json.dumps(about, indent=1))
    archive.add(copy, copy.name)
    files = sum(_add(archive, storage.root, path) for path in _kept(storage))
    missing = 0
    for job in jobs:
        place = JobFolder(storage.jobs / job.job_id, job.attempt)
        files += _add(archive, storage.root, place.log().path)
        for name in job.names:
            added = _add(archive, storage.root, place.results / name)
            files, missing = files + added, missing + (not added)
    return BackedUp(len(jobs), files, missing)


_JOBS = select(JobRow.id, JobRow.status, JobRow.attempt, JobRow.result)


def _wanted(row: Any) -> _Wanted:
    result = (row.result or {}) if row.status == FINISHED else {}
    names = () if result.get("place") else tuple(str(f["name"]) for f in result.get("files", ()))
    return _Wanted(row.id, row.attempt, names)


def _kept(storage: Storage) -> Iterator[Path]:
    """Files beside those of jobs that cannot be made again."""
    for name in ("secret.key", "installation"):
        if (storage.root / name).is_file():
            yield storage.root / name
    for at, _, names in os.walk(storage.root / "files"):
        yield from (Path(at) / name for name in names if not name.startswith("."))


def _add(archive: tarfile.TarFile, root: Path, path: Path) -> int:
    """Add a file as it is now, also where it is replaced or grows meanwhile; 0 where there is none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        info = archive.gettarinfo(arcname=f"{_FILES}/{path.relative_to(root)}", fileobj=file)
        archive.addfile(info, file)
    return 1


def _add_text(archive: tarfile.TarFile, name: str, content: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content.encode()), 0o600, int(datetime.now(UTC).timestamp())
    archive.addfile(info, io.BytesIO(content.encode()))


@contextmanager
def _copied_sqlite(address: str, copy: Path) -> Iterator[Connection]:
    """The database by SQLite's online backup: of one moment, whoever writes meanwhile."""
    source = Path(url_of(address).database or "")
    if not source.is_file():
        raise InvalidInput(f"There is no database {source}.", hint="Name the server's storage folder.")
    try:
        with closing(sqlite3.connect(source, timeout=30)) as from_, closing(sqlite3.connect(copy)) as to:
            from_.backup(to)
            to.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise WriteFailed(f"The database {source} cannot be copied: {error}.") from error
    engine = create_engine(f"sqlite:///{copy}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _dumped_postgresql(address: str, copy: Path) -> Iterator[Connection]:
    """The database by pg_dump; what is read of it meanwhile is of the same moment."""
    with postgresql.snapshot(address) as (connection, name):
        postgresql.dump(address, copy, name)
        yield connection


def restore(archive: Path, address: str | None, root: Path) -> BackedUp:
    """Put a backup into an empty storage folder and, where it is one of PostgreSQL, an empty database.

    Args:
        archive: of `back_up`.
        address: of the PostgreSQL database; None: the backup's database is a file of the folder.
        root: of the storage; it appears whole or not at all.

    Raises:
        InvalidInput: the file is no backup, or of a later release, or folder or database are not empty.
        WriteFailed: there is no room.
    """
    check_folder(root, overwrite=False, ours=())
    part = root.absolute().with_name(f".{root.name}.restored")
    shutil.rmtree(part, ignore_errors=True)
    try:
        about = _unpacked(archive, part)
        is_sqlite = about["database"] == "sqlite"
        if is_sqlite != (address is None):
            raise InvalidInput(
                f"The backup's database is of {about['database']}.",
                hint="Unset ACREAGE_SERVER_DATABASE." if is_sqlite else "Set ACREAGE_SERVER_DATABASE.",
            )
        content = Storage.at(part / _FILES)
        if is_sqlite:
            (part / _SQLITE).rename(content.root / "acreage.db")
        else:
            assert address is not None
            postgresql.restore(address, part / _DUMP, list(Base.metadata.tables))
        database = open_database(address or content.database)
        try:
            found = _reconciled(database, content)
        finally:
            database.close()
        if root.exists():
            root.rmdir()
        content.root.rename(root)
    except OSError as error:
        raise WriteFailed(f"The backup cannot be restored: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def _unpacked(archive: Path, part: Path) -> dict[str, Any]:
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(_ABOUT)
            about: dict[str, Any] = json.loads(member.read()) if member is not None else {}
            if about.get("format") != _FORMAT:
                raise InvalidInput(
                    f"{archive} is a backup of another release ({about.get('acreage')}).",
                    hint="Restore it with the release that made it.",
                )
            if about["revision"] not in known_revisions():
                raise InvalidInput(
                    f"{archive} was made by a later release of acreage ({about['acreage']}) than this one "
                    f"({__version__}).",
                    hint="Restore it with that release.",
                )
            part.mkdir(parents=True, mode=0o700)
            tar.extractall(part, filter="data")
            return about
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise InvalidInput(
            f"{archive} is no whole backup of acreage: {_what_is_wrong(archive, error)}.",
            hint="Name a file that `acreage backup` wrote, and copied whole.",
        ) from error


def _what_is_wrong(archive: Path, error: Exception) -> str:
    """In our words: the library tells every format that it tried, and of members that it missed."""
    if isinstance(error, tarfile.ReadError) and not tarfile.is_tarfile(archive):
        return "it is empty" if not archive.stat().st_size else "it is no tar archive"
    if isinstance(error, KeyError):
        return f"it has no {_ABOUT} that says what it holds"
    if isinstance(error, json.JSONDecodeError):
        return f"its {_ABOUT} cannot be read"
    return "it ends early, or holds what cannot be unpacked"


def _reconciled(database: Database, storage: Storage) -> BackedUp:
    """Enter which results are not there any more; jobs that ran are those of a lost server."""
    missing, files, jobs = 0, 0, 0
    with database.write() as session:
        for job in session.scalars(select(JobRow)):
            jobs += 1
            job.lease_until = now() if job.lease_until is not None else None
            wanted = _wanted(job)
            results = JobFolder(storage.jobs / job.id, job.attempt).results
            there = [name for name in wanted.names if (results / name).is_file()]
            files += len(there)
            if len(there) < len(wanted.names):
                missing += 1
                job.result, job.result_bytes, job.results_deleted = None, None, now()
    return BackedUp(jobs, files, missing)
