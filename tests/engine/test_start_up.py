"""What a command does not load: libraries that it does not need are what a person would wait for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.tiny_archive import chain, extent, load, node

# Of these, no plan and no job needs any that reads a catalog of files and writes a raster.
HEAVY = {
    *("dask", "distributed", "geopandas", "matplotlib", "odc", "openeo", "pandas", "pyarrow"),
    *("pystac_client", "sklearn", "stac_geoparquet", "torch", "xarray"),
}
# numba loads these with its first compiled function.
WITH_KERNELS = {"numba.np.arraymath", "scipy.linalg", "scipy.ndimage"}
RUN = """
import json, sys
from acreage.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(sys.modules)))
"""


def callback(process: str) -> dict[str, object]:
    """A process graph of one process on `data`."""
    arguments = {"data": {"from_parameter": "data"}}
    return {"process_graph": {"one": {"process_id": process, "arguments": arguments, "result": True}}}


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    """Dekad medians with their gaps filled: both are tried on nulls when planning."""
    graph = chain(
        load(["B04"], extent(40, 40), ["2019-03-01", "2019-04-01"]),
        node("aggregate_temporal_period", period="dekad", reducer=callback("median")),
        node("apply_dimension", dimension="t", process=callback("array_interpolate_linear")),
    )
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph))
    return path


def loaded_by(*arguments: str | Path) -> set[str]:
    """Names of the modules that a process has loaded at the end of a command."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_plan_loads_neither_heavy_libraries_nor_compiled_functions(archive: Path, graph_file: Path) -> None:
    loaded = loaded_by("execute", graph_file, "--catalog", archive, "--plan")
    assert "acreage.engine.planner" in loaded
    assert loaded & (HEAVY | WITH_KERNELS) == set()


@pytest.mark.parametrize("name", ["cube.nc", "cube.tif"])
def test_a_job_loads_no_library_that_it_does_not_need(
    archive: Path, graph_file: Path, tmp_path: Path, name: str
) -> None:
    loaded = loaded_by("execute", graph_file, "--catalog", archive, "--out", tmp_path / name)
    assert "acreage.engine.run" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_help_and_the_version_load_nothing_of_what_commands_need(option: str) -> None:
    loaded = loaded_by(option)
    assert loaded & {*HEAVY, "numba", "numpy", "pydantic", "rasterio", "scipy"} == set()
