"""A small archive with overlapping granules, whole again after every test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.support.breakable_archive import DAYS, Archive, layers
from tests.support.tiny_archive import WEST, TinyArchive


@pytest.fixture(scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    made, rng = TinyArchive(folder), np.random.default_rng(5)
    for n, day in enumerate(DAYS):
        for side, west in (("west", WEST), ("east", WEST + 320)):
            tile = "MGRS-31UES" if side == "west" else "MGRS-31UFS"
            made.s2(f"{side}{n}", day, layers(rng, west), **{"grid:code": tile, "eo:cloud_cover": 10.0 * n})
    return Archive(folder, made)


@pytest.fixture
def archive(_archive: Archive) -> Iterator[Archive]:
    """The archive, whole again after every test."""
    yield _archive
    _archive.mend()
