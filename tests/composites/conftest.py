"""An archive of random pixels: two granules a date on one lattice, holes, overlaps and land cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.composites.scenes import DATES, make_scenes, write_scenes

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    made = make_scenes(np.random.default_rng(20260301), DATES)
    return write_scenes(tmp_path_factory.mktemp("scenes"), made), made


@pytest.fixture(scope="session")
def catalog(scenes: tuple[Path, list]) -> Catalog:
    return open_catalog(str(scenes[0]))
