"""Connections to the database, and its state of migration."""

from __future__ import annotations

import secrets
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from acreage import __version__
from acreage.backend.database.tables import InstallationRow
from acreage.core.database import Database, check_encoding, make_engine
from acreage.core.errors import InvalidInput

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(address: str) -> Database:
    """A database, brought to the present state of its tables.

    Args:
        address: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.

    Raises:
        InvalidInput: it cannot be reached, holds no Unicode, or was made by a later release.
    """
    engine = make_engine(address, pool_size=10, max_overflow=20)
    try:
        check_encoding(engine)
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
