"""Databases of both kinds, and a server with its catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.oidc_server import Served, running_server
from tests.support.postgresql import Cluster, is_installed, running_cluster
from tests.support.suite_catalog import make_catalog

from acreage.backend.database.session import open_database
from acreage.core.database import Database


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """PostgreSQL, of Debian's package."""
    if not is_installed():
        pytest.skip("no PostgreSQL: Debian's package `postgresql` is not installed")
    with running_cluster(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    made: str = request.getfixturevalue("cluster").new_database()
    return made


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """An open database with all tables."""
    opened = open_database(address)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collections of openEO's own test suite."""
    return make_catalog(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Iterator[Served]:
    """A server in a process of its own."""
    with running_server(tmp_path_factory.mktemp("server"), catalog) as running:
        yield running
