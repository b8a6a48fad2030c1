"""Where a ledger is, and how it is made and opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from acreage import __version__
from acreage.core.database import Database, check_encoding, make_engine
from acreage.core.errors import InvalidInput, LedgerError, LedgerVersion, OutputExists
from acreage.production.ledger.schema import (
    SCHEMA_VERSION,
    BackEndRow,
    Base,
    EventRow,
    ProductionRow,
    TileRow,
)
from acreage.production.ledger.values import BackEndRecord, Event, Production, TileRecord

FILE = "ledger.db"
_PAGE = 1000  # rows that are written at once


@dataclass(frozen=True)
class Ledger:
    """An open ledger; safe to use from many threads, and by many processes at once.

    Attributes:
        database: its tables.
        production: what is produced.
    """

    database: Database
    production: Production

    def close(self) -> None:
        """End all connections."""
        self.database.close()


def is_database(place: str) -> bool:
    """Whether a production is named by a database's address, not by a folder."""
    return place.startswith(("postgresql://", "postgresql+psycopg://"))


def address_of(place: str) -> str:
    """The address of the database of a production."""
    return place if is_database(place) else f"sqlite:///{Path(place) / FILE}"


def has_ledger(place: str) -> bool:
    """Whether there is a ledger.

    Raises:
        LedgerError: the database cannot be reached.
    """
    if not is_database(place) and not (Path(place) / FILE).exists():
        return False
    with _connected(address_of(place)) as database:
        return _is_ledger(database)


def create_ledger(
    place: str,
    production: Production,
    back_ends: Iterable[BackEndRecord],
    tiles: Iterable[TileRecord],
    events: Iterable[Event] = (),
) -> Ledger:
    """Make a ledger, whole or not at all.

    Args:
        place: a folder, made where it is not there, or the address of a PostgreSQL database.
        production: its version and release are set here.
        back_ends, tiles: what it holds at the beginning.
        events: what its history begins with.

    Raises:
        OutputExists: there is one already.
        LedgerError: the database cannot be used.
    """
    if has_ledger(place):
        raise OutputExists(
            f"The production {shown(place)} is there already.",
            hint="Change it with `acreage plan --load`, or name another folder.",
        )
    if not is_database(place):
        Path(place).mkdir(parents=True, exist_ok=True)
    database = Database(make_engine(address_of(place)))
    try:
        check_encoding(database.engine)
        with database.write() as session:
            Base.metadata.create_all(session.connection())
            session.add(
                ProductionRow(
                    id=1,
                    version=SCHEMA_VERSION,
                    release=__version__,
                    name=production.name,
                    created=production.created,
                    config=dict(production.config),
                    results=str(production.results),
                )
            )
            session.add_all(BackEndRow(**_columns(b)) for b in back_ends)
            session.flush()
            for page in batched_rows(tiles):
                session.execute(insert(TileRow), page)
            session.add_all(EventRow(**_event_columns(e)) for e in events)
        return Ledger(database, _production(database, place))
    except SQLAlchemyError as error:
        database.close()
        raise LedgerError(
            f"The ledger {shown(place)} cannot be made: {getattr(error, 'orig', error)}."
        ) from error


def open_ledger(place: str) -> Ledger:
    """A ledger that is there.

    Raises:
        InvalidInput: there is none.
        LedgerVersion: it was made by a release with other tables.
        LedgerError: it cannot be read.
    """
    if not is_database(place) and not (Path(place) / FILE).exists():
        raise InvalidInput(
            f"There is no production in {place}: it has no {FILE}.", hint="Make one with `acreage plan`."
        )
    database = Database(make_engine(address_of(place), pool_size=10, max_overflow=20))
    try:
        if not _is_ledger(database):
            raise InvalidInput(f"{shown(place)} holds no ledger.", hint="Make one with `acreage plan`.")
        return Ledger(database, _production(database, place))
    except SQLAlchemyError as error:
        database.close()
        raise LedgerError(
            f"The ledger {shown(place)} cannot be used: {getattr(error, 'orig', error)}."
        ) from error
    except (InvalidInput, LedgerError):
        database.close()
        raise


def shown(place: str) -> str:
    """A place for people: without the password of a database."""
    return make_engine(place).url.render_as_string(hide_password=True) if is_database(place) else place


def batched_rows(tiles: Iterable[TileRecord]) -> Iterator[list[dict[str, Any]]]:
    """Tiles as rows, some at a time."""
    rows = iter(_columns(t) for t in tiles)
    while page := [row for _, row in zip(range(_PAGE), rows, strict=False)]:
        yield page


@contextmanager
def _connected(address: str) -> Iterator[Database]:
    database = Database(make_engine(address))
    try:
        yield database
    except SQLAlchemyError as error:
        # The driver's text, and not the address, which holds a password.
        raise LedgerError(f"The database cannot be used: {getattr(error, 'orig', error)}.") from error
    finally:
        database.close()


def _is_ledger(database: Database) -> bool:
    with database.read() as session:
        return inspect(session.connection()).has_table(ProductionRow.__tablename__)


def _production(database: Database, place: str) -> Production:
    with database.read() as session:
        # Of a later version not all columns are known: these two never change.
        version, release = session.execute(select(ProductionRow.version, ProductionRow.release)).one()
        if version != SCHEMA_VERSION:
            raise LedgerVersion(
                f"The ledger {shown(place)} is of version {version}, made by acreage {release}; this is "
                f"acreage {__version__}, whose ledgers are of version {SCHEMA_VERSION}. Nothing was changed.",
                hint=f"Use acreage {release} for it.",
            )
        row = session.execute(select(ProductionRow)).scalar_one()
        return Production(row.name, row.created, row.config, Path(row.results), row.version, row.release)


def _columns(value: Any) -> dict[str, Any]:
    return {
        f.name: (dict(found) if hasattr(found := getattr(value, f.name), "keys") else found)
        for f in fields(value)
    }


def _event_columns(event: Event) -> dict[str, Any]:
    return {k: v for k, v in asdict(event).items() if k != "id"}
