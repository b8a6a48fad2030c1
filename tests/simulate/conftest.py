"""The archive over the boundary of UTM zones, in Earth Search's form and in the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.simulated import TINY, archive_of, boundary_archive

from acreage.simulate.archive import Archive


@pytest.fixture(scope="session")
def archive() -> Archive:
    return boundary_archive()


@pytest.fixture(scope="session")
def tiny() -> Archive:
    return archive_of(TINY)


@pytest.fixture(scope="session")
def planetary() -> Archive:
    return archive_of(replace(TINY, form="planetary-computer"))


@pytest.fixture(scope="session")
def cdse() -> Archive:
    return archive_of(replace(TINY, form="cdse"))
