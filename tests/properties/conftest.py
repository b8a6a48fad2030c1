"""The random archive, its catalog, and a runner of user-defined functions, each made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.random_archive import make_archive, served_in_ranges

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.udf.contract import UdfLimits
from acreage.udf.runner import ProcessUdfRunner


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def address(archive: Path) -> Iterator[str]:
    """The archive over HTTP, on loopback."""
    with served_in_ranges(archive.parent) as found:
        yield found


@pytest.fixture(scope="session")
def catalog(archive: Path) -> Catalog:
    return open_catalog(str(archive))


@pytest.fixture(scope="session")
def udf_runner() -> Iterator[ProcessUdfRunner]:
    with ProcessUdfRunner(UdfLimits(timeout_s=120), workers=2) as runner:
        yield runner
