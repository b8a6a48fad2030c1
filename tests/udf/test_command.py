"""`acreage udf`: a UDF on a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from acreage.cli.main import app
from acreage.udf.isolation import isolation_available

Call = Callable[..., Result]
NDVI = """
import xarray
def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    print("from", cube.attrs["crs"][:6], cube.sizes["t"])
    red, nir = cube.sel(bands=context["red"]), cube.sel(bands="B08")
    return ((nir - red) / (nir + red)).expand_dims(bands=["ndvi"], axis=1)
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("ACREAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "ndvi.py").write_text(NDVI)
    values = np.random.default_rng(1).random((2, 3, 4)).astype(np.float32)
    values[0, 0, 0] = np.nan
    coords = {
        "t": np.array(["2019-03-01", "2019-03-11"], "M8[ns]"),
        "y": [25.0, 15.0, 5.0],
        "x": [5.0, 15.0, 25.0, 35.0],
    }
    dataset = xr.Dataset({n: (("t", "y", "x"), values + i) for i, n in enumerate(("B04", "B08"))}, coords)
    dataset["crs"] = ((), 0, {"crs_wkt": "PROJCRS[...]"})
    dataset.to_netcdf(tmp_path / "cube.nc")

    def run(**options: str) -> Result:
        given = {
            "data": str(tmp_path / "cube.nc"),
            "out": str(tmp_path / "out.nc"),
            "context": '{"red": "B04"}',
        } | options
        source, more = given.pop("code", str(tmp_path / "ndvi.py")), given.pop("more", "").split()
        given.pop(given.pop("drop", ""), None)
        arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
        return CliRunner().invoke(app, ["udf", "run", source, *arguments, *more])

    return run


def test_a_udf_file_is_run_on_a_cube_file(call: Call, tmp_path: Path) -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert "from PROJCR 2" in result.stderr
    assert "t 2 x bands 1 x y 3 x x 4 of float32" in result.stderr
    with xr.open_dataset(tmp_path / "cube.nc") as cube, xr.open_dataset(tmp_path / "out.nc") as out:
        expected = (cube.B08 - cube.B04) / (cube.B08 + cube.B04)
        xr.testing.assert_allclose(out.ndvi, expected)
        assert (out.t == cube.t).all()
    assert sorted(p.name for p in tmp_path.glob("*")) == ["cube.nc", "ndvi.py", "out.nc"]


def test_a_json_cube_is_written_too(call: Call, tmp_path: Path) -> None:
    assert call(out=str(tmp_path / "out.json")).exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text())["dims"] == ["t", "bands", "y", "x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code": "none.py"}, "UDF none.py cannot be read"),
        ({"data": "none.nc"}, "data cube none.nc cannot be read"),
        ({"data": "none.tif"}, "is no data cube file"),
        ({"context": "{"}, "context is not JSON"),
        ({"context": "[1]"}, "not a JSON object"),
        ({"context": '{"red": "B99"}'}, "ndvi.py, line 5"),
        ({"context": '{"red": "B04", "model": "none.pt"}'}, "model none.pt cannot be read"),
        ({"out": "no-such-folder/out.nc"}, "no-such-folder/out.nc cannot be written"),
        ({"timeout": "0"}, "timeout_s is 0"),
    ],
)
def test_bad_input_is_told_in_words(
    call: Call, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    result = call(**options)
    assert result.exit_code not in (0, 1)
    assert message in " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "out.nc").exists()


def test_without_isolation_the_udf_runs_in_the_command_itself(call: Call, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import os, xarray\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    return cube.isel(bands=[0]) * 0 + os.getpid()\n"
    )
    result = call(code=str(tmp_path / "own.py"), more="--no-isolation")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert float(out.B04.max()) == os.getpid()
    broken = call(out=str(tmp_path / "other.nc"), context="{}", more="--no-isolation")
    assert isinstance(broken.exception, KeyError)  # its own exception, for a debugger to stop at


@pytest.mark.parametrize(
    ("drop", "more", "message"),
    [
        ("data", "", "nothing to run the UDF on"),
        ("", "--no-isolation --features x.json", "takes data cubes only"),
        ("", "--features none.json", "features none.json cannot be read"),
        ("", "--features {folder}/list.json", "no GeoJSON FeatureCollection"),
    ],
)
def test_features_that_cannot_be_used_are_told(
    call: Call, tmp_path: Path, drop: str, more: str, message: str
) -> None:
    (tmp_path / "list.json").write_text("[]")
    result = call(drop=drop, more=more.format(folder=tmp_path))
    assert result.exit_code not in (0, 1)
    assert message in " ".join(result.output.split())


def test_what_is_missing_for_a_sandbox_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acreage.udf.bubblewrap.PROGRAM", "no-such-program")
    isolation_available.cache_clear()
    try:
        result = CliRunner().invoke(app, ["udf", "check"])
    finally:
        monkeypatch.undo()
        isolation_available.cache_clear()
    assert result.exit_code == 1
    assert "bubblewrap is not installed" in result.output
