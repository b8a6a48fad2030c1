"""Sources and cubes that the tests of UDFs share."""

from __future__ import annotations

import textwrap

import numpy as np
import psutil

from acreage.core.udf import LabelledArray, UdfCode

SIGNATURE = "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"


def udf(body: str, before: str = "") -> UdfCode:
    """A UDF over xarray with this body."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return UdfCode(f"import xarray\n{textwrap.dedent(before)}\n{SIGNATURE}{lines}\n")


def small_cube(bands: int = 2, size: int = 3) -> LabelledArray:
    """t, bands, y, x with labels as the engine gives them; one value is null."""
    values = np.arange(2 * bands * size * size, dtype=np.float32).reshape(2, bands, size, size)
    values[0, 0, 0, 0] = np.nan
    labels = {
        "t": ("2019-03-01", "2019-03-11"),
        "bands": tuple(f"B{i:02d}" for i in range(bands)),
        "y": tuple(3_000_005.0 - 10 * i for i in range(size)),
        "x": tuple(4_000_005.0 + 10 * i for i in range(size)),
    }
    return LabelledArray(values, ("t", "bands", "y", "x"), labels, attrs={"crs": "EPSG:3035"})


def processes_with(word: str) -> list[int]:
    """Processes of this machine that run and have this word in their command line."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if word in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
