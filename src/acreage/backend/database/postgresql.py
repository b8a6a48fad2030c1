"""PostgreSQL's own programs for backups."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from acreage.core.database import url_of
from acreage.core.errors import InvalidInput, WriteFailed

_INSTALLED = Path("/usr/lib/postgresql")


@contextmanager
def snapshot(address: str) -> Iterator[tuple[Connection, str]]:
    """A connection that sees a database as it is at one moment, and the name by which others see the same.

    Raises:
        InvalidInput: it cannot be reached.
    """
    engine = create_engine(url_of(address), hide_parameters=True, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            name = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            yield connection, name
    except SQLAlchemyError as error:
        raise InvalidInput(f"The database cannot be used: {getattr(error, 'orig', error)}.") from error
    finally:
        engine.dispose()


def dump(address: str, out: Path, snapshot_name: str) -> None:
    """Write a database into a file of PostgreSQL's own form.

    Raises:
        InvalidInput: its programs are missing, or refuse.
    """
    _run(address, "pg_dump", "--format=custom", f"--snapshot={snapshot_name}", f"--file={out}")


def restore(address: str, dump_file: Path, tables: Sequence[str]) -> None:
    """Put the content of such a file into an empty database, whole or not at all.

    Args:
        address: of the database.
        dump_file: of `dump`.
        tables: none of which may be there.

    Raises:
        InvalidInput: the database is not empty, or cannot be used.
        WriteFailed: PostgreSQL's programs refuse.
    """
    engine = create_engine(url_of(address), hide_parameters=True)
    try:
        there = sorted(set(inspect(engine).get_table_names()) & {*tables, "alembic_version"})
    except SQLAlchemyError as error:
        raise InvalidInput(f"The database cannot be used: {getattr(error, 'orig', error)}.") from error
    finally:
        engine.dispose()
    if there:
        raise InvalidInput(
            f"The database is not empty: it has {', '.join(there)}.", hint="Make a new, empty database."
        )
    _run(
        address,
        "pg_restore",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-acl",
        str(dump_file),
    )


def _run(address: str, name: str, *options: str) -> None:
    """The password travels in the environment: others see the command line."""
    url = url_of(address).set(drivername="postgresql")
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    plain = url.set(password=None).render_as_string(hide_password=False)
    command = [_program(name), f"--dbname={plain}", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WriteFailed(f"{name} failed: {done.stderr.strip()[-1000:]}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        installed = sorted(_INSTALLED.glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]))
        found = str(installed[-1]) if installed else None
    if found is None:
        raise InvalidInput(
            f"There is no {name} on this machine.",
            hint="Install PostgreSQL's client programs (Debian: postgresql-client).",
        )
    return found
