"""The real site's catalog, and its observations read by rasterio alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.real_site import Observations, read_observations

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog


@pytest.fixture(scope="session")
def site(real_data: Path) -> Path:
    return real_data / "flanders-2019"


@pytest.fixture(scope="session")
def site_catalog(site: Path) -> Catalog:
    return open_catalog(str(site / "catalog.json"))


@pytest.fixture(scope="session")
def observations(site: Path) -> Observations:
    """Sentinel-2 of the season, straight from the files."""
    return read_observations(site)
