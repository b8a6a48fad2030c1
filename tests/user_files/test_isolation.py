"""Files are opened in a process of its own, and what ends that process is an error like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tests.support.user_files import aborts, answers, hangs, takes_memory
from tests.support.written import raster_meta, write
from tests.user_files.conftest import Load

from acreage.core.cube import Cube
from acreage.core.errors import FileContentInvalid, FileSizeExceeded
from acreage.engine.user_files import Limits
from acreage.engine.user_files.isolation import opened_apart


def test_what_is_found_comes_back() -> None:
    assert opened_apart(answers, "mine.nc", Limits(), 1, {"crs": 3035}) == (1, {"crs": 3035})


@pytest.mark.parametrize("open_", [aborts, hangs])
def test_a_reader_that_ends_or_hangs_is_a_damaged_file(open_: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileContentInvalid, match=r"mine\.nc is damaged"):
        opened_apart(open_, "mine.nc", Limits(open_seconds=5.0 if open_ is aborts else 0.2))
    assert capfd.readouterr().err == ""


def test_a_reader_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(FileSizeExceeded, match=r"mine\.nc takes more memory"):
        opened_apart(takes_memory, "mine.nc", Limits(open_bytes=50_000_000), 100_000_000)


def helpers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "isolation import serve" in " ".join(p.cmdline())]


def test_the_process_has_ended_before_pixels_are_read(load: Load, tmp_path: Path) -> None:
    meta = raster_meta("u1")
    (path,) = write(Cube(np.ones(meta.shape, np.uint8), None, meta), "netCDF", tmp_path)
    opened_apart(answers, "mine.nc", Limits())
    assert len(helpers()) == 1
    load("netCDF", path.name)
    assert helpers() == []
