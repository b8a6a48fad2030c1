"""`acreage udf`: a UDF on a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from acreage.cli import main
from acreage.cli.main import app

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
    if "udf" not in main.COMMANDS:
        monkeypatch.setitem(main.COMMANDS, "udf", "acreage.cli.udf:udf")  # type: ignore[arg-type]
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
            "cube": str(tmp_path / "cube.nc"),
            "out": str(tmp_path / "out.nc"),
            "context": '{"red": "B04"}',
        } | options
        source = given.pop("code", str(tmp_path / "ndvi.py"))
        arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
        return CliRunner().invoke(app, ["udf", source, *arguments])

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
        ({"cube": "none.nc"}, "data cube none.nc cannot be read"),
        ({"cube": "none.tif"}, "is no data cube file"),
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
