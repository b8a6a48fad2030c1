"""The quick benchmark's archive, simulated once for each state of the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.simulated import archive_of

from acreage.bench.archives import settings_for
from acreage.bench.variants import make_variant, share_archive
from acreage.simulate.archive import Archive


@pytest.fixture(scope="session")
def quick_archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """In a folder of this session, so that variants beside it are made by the code as it is."""
    kept = archive_of(settings_for(1.28, quick=True))
    folder = tmp_path_factory.mktemp("bench") / "archive"
    folder.mkdir()
    share_archive(kept.folder, folder)
    return Archive(folder, kept.settings)


@pytest.fixture(scope="session")
def clear(quick_archive: Archive) -> Path:
    """Where the command looks for the variant."""
    folder = quick_archive.folder.with_name("archive-clear")
    return make_variant(quick_archive.folder, folder, "clear").parent
