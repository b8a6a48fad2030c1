"""The archive over the boundary of UTM zones, in Earth Search's form and in the others."""

from __future__ import annotations

import pytest
from tests.support.simulated import boundary_archive

from acreage.simulate.archive import Archive


@pytest.fixture(scope="session")
def archive() -> Archive:
    return boundary_archive()


@pytest.fixture(scope="session")
def planetary() -> Archive:
    return boundary_archive(form="planetary-computer")


@pytest.fixture(scope="session")
def cdse() -> Archive:
    return boundary_archive(form="cdse")
