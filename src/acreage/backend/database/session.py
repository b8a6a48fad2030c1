"""Connections to the database, and its state of migration."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from acreage import __version__
from acreage.backend.database.tables import InstallationRow
from acreage.core.errors import InvalidInput

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 30


@dataclass(frozen=True)
class Database:
    """The database of a server; safe to use from many threads and processes.

    Attributes:
        engine: of SQLAlchemy.
    """

    engine: Engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that changes nothing."""
        engine = self.engine.execution_options(reads_only=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that is committed at the end, and rolled back by an exception."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @property
    def is_sqlite(self) -> bool:
        """Whether one file is all of it."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """End all connections."""
        self.engine.dispose()


def open_database(address: str) -> Database:
    """A database, brought to the present state of its tables.

    Args:
        address: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.

    Raises:
        InvalidInput: it cannot be reached, holds no Unicode, or was made by a later release.
    """
    try:
        url = url_of(address)
        # Parameters of statements are what users sent: they have no place in a log.
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, **_options(url.drivername))
    except (ArgumentError, ImportError, ValueError) as error:
        raise InvalidInput(
            "The address of the database cannot be used.",
            hint="Write it as sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        ) from error
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    try:
        _check_encoding(engine)
        migrate(engine)
    except CommandError as error:
        found = revision_of(engine)
        engine.dispose()
        raise InvalidInput(
            f"The database was made by another release of acreage than this one ({__version__}): its tables "
            f"are at revision {found}, which this release does not know. Nothing was changed.",
            hint="Run the release that made it or a later one, or restore a backup from before the upgrade.",
        ) from error
    except SQLAlchemyError as error:
        engine.dispose()
        # The driver's text, and not the address, which holds a password.
        raise InvalidInput(f"The database cannot be used: {getattr(error, 'orig', error)}.") from error
    return Database(engine)


def url_of(address: str) -> URL:
    """The address of a database with the driver that is used here.

    Raises:
        ArgumentError: it is none.
    """
    url = make_url(address)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def known_revisions() -> set[str]:
    """Revisions of tables that this release can bring to its own."""
    return {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to a revision; servers that start at once wait for each other."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(4920113)"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def revision_of(engine: Engine) -> str | None:
    """The revision that the tables are at; None where there are none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def installation_of(database: Database) -> str:
    """The name of the installation that a database belongs to, made once.

    Servers that start at once find the same: who is second sees the first one's row.
    """
    with database.write() as session:
        if not database.is_sqlite:
            session.execute(text("LOCK TABLE installation IN EXCLUSIVE MODE"))
        row = session.scalar(select(InstallationRow).limit(1))
        if row is None:
            row = InstallationRow(id=secrets.token_hex(16))
            session.add(row)
        return row.id


def _options(driver: str) -> dict[str, Any]:
    if driver.startswith("sqlite"):
        return {}
    # Without an encoding of our own, the driver gives bytes for the text of a database that has none.
    return {"pool_size": 10, "max_overflow": 20, "connect_args": {"client_encoding": "utf8"}}


def _check_encoding(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        engine.dispose()
        raise InvalidInput(
            f"The database's encoding is {encoding}, and must be UTF8.",
            hint="Make another one: createdb --encoding=UTF8 --template=template0 NAME.",
        )


def _prepare_sqlite(engine: Engine) -> None:
    """Readers beside one writer, who locks when a transaction begins: else it may be refused halfway."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # so that BEGIN is ours
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        reads = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
