"""Tables and migrations on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from tests.support.postgresql import Cluster

from acreage.backend.database import session as sessions
from acreage.backend.database.session import migrate, open_database
from acreage.backend.database.tables import Base
from acreage.core.database import Database
from acreage.core.errors import InvalidInput


def test_migrations_make_the_tables_that_the_code_has(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_go_back_and_forth(address: str) -> None:
    database = open_database(address)
    config = Config()
    config.set_main_option("script_location", str(Path(sessions.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    migrate(database.engine)
    assert set(Base.metadata.tables) <= set(inspect(database.engine).get_table_names())
    database.close()


def test_a_database_of_a_later_release_is_not_touched(address: str) -> None:
    database = open_database(address)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(InvalidInput, match="another release"):
        open_database(address)


@pytest.mark.parametrize(
    "wrong",
    ["nonsense", "oracle://x/y", "postgresql://u:sesame@127.0.0.1:9/x", "sqlite:////no/such/folder/x"],
)
def test_a_database_that_cannot_be_used_is_an_error_without_its_password(wrong: str) -> None:
    with pytest.raises(InvalidInput) as told:
        open_database(wrong)
    assert "sesame" not in str(told.value)


def test_a_database_without_unicode_is_refused(cluster: Cluster) -> None:
    ascii_only = ("--encoding=SQL_ASCII", "--locale=C", "--template=template0")
    with pytest.raises(InvalidInput, match=r"encoding is SQL_ASCII, and must be UTF8") as told:
        open_database(cluster.new_database(*ascii_only))
    assert "createdb" in (told.value.hint or "")
