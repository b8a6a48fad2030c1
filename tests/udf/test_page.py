"""docs/udf.md: its files, and its commands as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from acreage.udf import errors
from acreage.udf.isolation import isolation_available

PAGE = Path(__file__).parents[2] / "docs" / "udf.md"


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for text in blocks("python"):
        if name := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / name.group(1)).write_text(text)
    (parcels,) = blocks("json")
    (tmp_path / "parcels.json").write_text(parcels)
    return tmp_path


def test_the_commands_of_the_page_run(folder: Path) -> None:
    (commands,) = blocks("sh")
    environment = os.environ | {"ACREAGE_CACHE": str(folder / "cache")}
    for line in commands.strip().splitlines():
        name, *arguments = shlex.split(line)
        program = sys.executable if name == "python" else str(Path(sys.executable).with_name(name))
        done = subprocess.run(
            [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=200, env=environment
        )
        if line == "acreage udf check":
            assert done.returncode == (0 if isolation_available().available else 1)
            assert isolation_available().reason in done.stdout
            continue
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if "ndvi.py" in line and "--no-isolation" not in line:
            assert "dates: 3" in done.stderr
    with xr.open_dataset(folder / "cube.nc") as cube, xr.open_dataset(folder / "ndvi.nc") as ndvi:
        xr.testing.assert_allclose(ndvi.ndvi, (cube.B08 - cube.B04) / (cube.B08 + cube.B04))
        for other in ("limited.nc", "direct.nc"):
            with xr.open_dataset(folder / other) as same:
                xr.testing.assert_identical(same.ndvi, ndvi.ndvi)
    areas = json.loads((folder / "areas.json").read_text())
    feature = areas["feature_collection_list"][0]["data"]["features"][0]
    assert feature["properties"] == {"crop": "wheat", "area": 800.0}


def test_the_page_names_every_error() -> None:
    text = PAGE.read_text("utf-8")
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and k.__module__ == errors.__name__]
    assert [k.code for k in kinds if f"`{k.code}`" not in text and k.code != "UdfArgumentInvalid"] == []
