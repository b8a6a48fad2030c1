"""One cluster of two worker processes for all tests of the folder, and a small archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.support.breakable_archive import DAYS, Archive, layers
from tests.support.tiny_archive import WEST, TinyArchive

from acreage.engine.dask.clusters import open_executor
from acreage.engine.dask.config import LocalCluster
from acreage.engine.dask.executor import DaskExecutor

MEMORY = 2_000_000_000


@pytest.fixture(scope="session")
def shared_scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def executor(shared_scratch: Path) -> Iterator[DaskExecutor]:
    """Two workers of one thread each; those that a test kills come back."""
    before = _children()
    with open_executor(LocalCluster(workers=2), scratch=shared_scratch, memory=MEMORY, threads=2) as made:
        yield made
    assert _children() - before == set(), "processes were left behind"
    assert [p for p in shared_scratch.iterdir() if p.name.startswith("acreage-")] == []


def _children() -> set[int]:
    """Processes of this one; not multiprocessing's own tracker, which lives as long as the interpreter."""
    found = set()
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "resource_tracker" not in " ".join(child.cmdline()):
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


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
    """Two granules a date; whole again after every test."""
    yield _archive
    _archive.mend()
