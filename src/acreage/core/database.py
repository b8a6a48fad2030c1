"""What databases of the product need of SQLAlchemy: addresses, and SQLite that processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from acreage.core.errors import InvalidInput

_BUSY_S = 30


@dataclass(frozen=True)
class Database:
    """A database; safe to use from many threads and processes.

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

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing; lighter than a session, for what is done all the time."""
        with self._reads.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end; lighter than a session."""
        with self.engine.begin() as connection:
            yield connection

    @cached_property
    def _reads(self) -> Engine:
        return self.engine.execution_options(reads_only=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether one file is all of it."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """End all connections."""
        self.engine.dispose()


def url_of(address: str) -> URL:
    """The address of a database with the driver that is used here.

    Raises:
        ArgumentError: it is none.
    """
    url = make_url(address)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def make_engine(address: str, **options: Any) -> Engine:
    """Connections to a database, none of which is opened yet; a transaction locks SQLite when it begins.

    A transaction of an engine or connection with the execution option `reads_only` does not.

    Args:
        address: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
        options: of PostgreSQL's pool.

    Raises:
        InvalidInput: it is none of these.
    """
    try:
        url = url_of(address)
        # Without an encoding of our own, the driver gives bytes for the text of a database that has none.
        encoded = {**options, "connect_args": {"client_encoding": "utf8"}}
        mine = {} if url.drivername.startswith("sqlite") else encoded
        # Parameters of statements are what users sent: they have no place in a log.
        remote = not url.drivername.startswith("sqlite")  # a file needs no asking whether it is there
        engine = create_engine(url, pool_pre_ping=remote, hide_parameters=True, **mine)
    except (ArgumentError, ImportError, ValueError) as error:
        raise InvalidInput(
            "The address of the database cannot be used.",
            hint="Write it as sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        ) from error
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def check_encoding(engine: Engine) -> None:
    """Refuse a PostgreSQL database that does not hold Unicode.

    Raises:
        InvalidInput: it has another encoding.
        SQLAlchemyError: it cannot be reached.
    """
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
