"""Scratch that is full or not there, and a job that is asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from acreage.cli.main import app
from acreage.core.cube import CubeMeta, Dimension
from acreage.core.errors import ScratchFailed
from acreage.engine.store import ScratchCube, scratch_folder
from acreage.udf.errors import UdfModelUnavailable
from acreage.udf.models import ModelCache

META = CubeMeta((Dimension("n", "other", (0, 1, 2)),), np.dtype(np.float32))


def test_a_full_scratch_disk_is_an_error_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file would take its space later: the system then kills the process, without a word."""

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ScratchFailed, match="No space left on device"):
        ScratchCube.create(tmp_path / "job" / "0", META)


def test_scratch_takes_its_space_when_it_is_made(tmp_path: Path) -> None:
    cube = ScratchCube.create(
        tmp_path / "job" / "0",
        CubeMeta((Dimension("n", "other", tuple(range(50_000))),), np.dtype(np.float32)),
    )
    assert (cube.folder / "values").stat().st_blocks * 512 >= 200_000
    assert not cube.read(None).validity().any()


def test_a_scratch_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScratchFailed, match="nowhere"), scratch_folder(tmp_path / "nowhere"):
        pass


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UdfModelUnavailable, match="cannot be kept in"):
        ModelCache(tmp_path / "file" / "models").fetch(str(tmp_path / "model.pt"), None)


def test_what_the_system_refuses_anywhere_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("acreage.cli.udf.load_settings", refuse)
    result = CliRunner().invoke(app, ["udf", "run", "none.py", "--data", "none.nc", "--out", "none-out.nc"])
    assert result.exit_code == 5
    assert "No space left on device (/somewhere/file)" in result.output


def test_a_job_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from acreage.cli.main import main; main()"]
    job = subprocess.Popen(
        [*command, "simulate", str(tmp_path / "scene"), "--size-km", "2"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=60)
    assert (job.returncode, list(tmp_path.iterdir())) == (130, [])
    assert "Interrupted." in said
    assert "Traceback" not in said
