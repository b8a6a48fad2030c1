"""`acreage execute`: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.support.tiny_archive import Layer, TinyArchive, chain, extent, load, node
from typer.testing import CliRunner, Result

from acreage.cli.main import app

MARCH = ["2019-03-01", "2019-04-01"]
AREA = extent(40, 40)
GRAPH = chain(load(["B04"], AREA, MARCH))
FAR = {"west": 1, "east": 2, "south": 1, "north": 2}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["execute", *map(str, arguments)], env={"COLUMNS": "200", "TERM": "dumb"})


def refused(result: Result, *words: str) -> None:
    """A message, an exit code, no traceback."""
    assert result.exit_code not in (0, 1) or isinstance(result.exception, SystemExit)
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(GRAPH))
    return path


def written(folder: Path, document: Any) -> Path:
    path = folder / "changed.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_help_has_an_example_and_every_option() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "acreage execute graph.json --catalog catalog.json --out cube.nc" in " ".join(
        result.output.split()
    )
    for option in (
        "--catalog",
        "--out",
        "--plan",
        "--draw",
        "--parameter",
        "--memory",
        "--threads",
        "--tolerate",
    ):
        assert option in result.output


def test_a_graph_is_executed_and_the_cube_is_written(archive: Path, graph_file: Path, tmp_path: Path) -> None:
    result = run(graph_file, "--catalog", archive, "--out", tmp_path / "cube.nc")
    assert result.exit_code == 0, result.output
    assert "Written:" in result.output
    assert "3 items read" in result.output
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        assert cube.B04.shape == (3, 40, 40)


def test_save_result_decides_the_format_of_a_folder(archive: Path, tmp_path: Path) -> None:
    graph = chain(load(["B04"], AREA, MARCH), node("save_result", format="GTiff"))
    result = run(written(tmp_path, graph), "--catalog", archive, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").glob("n1_2019-03-*.tif"))) == 3


def test_the_plan_is_printed_and_nothing_is_computed(archive: Path, graph_file: Path, tmp_path: Path) -> None:
    result = run(graph_file, "--catalog", archive, "--out", tmp_path / "cube.nc", "--plan")
    assert result.exit_code == 0, result.output
    for word in (
        "SENTINEL2_L2A",
        "items",
        "windows",
        "decoded",
        "times the blocks needed",
        "memory",
        "core-seconds",
    ):
        assert word in result.output
    assert not (tmp_path / "cube.nc").exists()


def test_the_plan_is_drawn(archive: Path, graph_file: Path, tmp_path: Path) -> None:
    result = run(graph_file, "--catalog", archive, "--draw", tmp_path / "plan.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in (tmp_path / "plan.svg").read_text()


def test_parameters_are_json_or_text(archive: Path, tmp_path: Path) -> None:
    graph = chain(
        load(None, AREA, MARCH),
        node("filter_bands", bands={"from_parameter": "bands"}),
    )
    graph["n0"]["arguments"]["id"] = {"from_parameter": "collection"}
    process = written(
        tmp_path, {"process_graph": graph, "parameters": [{"name": "bands"}, {"name": "collection"}]}
    )
    options = ["--parameter", 'bands=["B08"]', "--parameter", "collection=SENTINEL2_L2A"]
    result = run(process, "--catalog", archive, "--out", tmp_path / "cube.nc", *options)
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        assert "B08" in cube
    refused(run(process, "--catalog", archive, "--plan"), "'bands'", "--parameter bands=")
    refused(run(process, "--catalog", archive, "--plan", "--parameter", "bands"), "NAME=VALUE")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", ["not JSON", "line 1"]),
        ("", ["not JSON"]),
        ("[" * 100_000, ["nested"]),
        ("[1, 2]", ["no process graph"]),
        ({"a": {"process_id": "load_collektion", "arguments": {}}}, ["ProcessUnsupported", "load_coll"]),
        (chain(load(["B04"], AREA, MARCH), node("filter_bands", bands=["B99"])), ["B99"]),
        (chain(load(["B04"], AREA, MARCH, "NOTHING")), ["NOTHING", "SENTINEL2_L2A"]),
        (chain(load(["B04"], AREA, ["2031-01-01", "2031-02-01"])), ["no items", "2031-01-01"]),
        (chain(load(["B04"], AREA, MARCH), node("save_result", format="Zarr")), ["Zarr"]),
        (chain(load(["B04"], AREA, ["yesterday", "today"])), ["yesterday"]),
        (chain(load(["B04"], {"west": 1, "east": 2}, MARCH)), ["west, south, east"]),
        (chain(load(["B04"], AREA, MARCH), node("resample_spatial", projection=999999)), ["999999"]),
        (chain(load(["B04"], AREA, MARCH), node("apply_kernel", kernel=[[1, 2], [1]])), ["n1"]),
        (chain(load(["B04"], AREA, MARCH), node("filter_bbox", extent=FAR)), []),
    ],
)  # fmt: skip
def test_a_bad_graph_is_refused_with_a_message(
    archive: Path, tmp_path: Path, document: Any, words: list[str]
) -> None:
    result = run(written(tmp_path, document), "--catalog", archive, "--out", tmp_path / "cube.nc")
    refused(result, *words)
    assert not (tmp_path / "cube.nc").exists()


def test_bad_options_are_refused(archive: Path, graph_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "cube.nc"
    refused(run(graph_file, "--catalog", archive), "--out")
    refused(run(graph_file, "--out", out), "--catalog")
    refused(run(tmp_path / "none.json", "--catalog", archive, "--out", out), "none.json")
    refused(run(tmp_path, "--catalog", archive, "--out", out))
    refused(run(graph_file, "--catalog", tmp_path / "none.json", "--out", out), "none.json")
    refused(run(graph_file, "--catalog", archive, "--out", out, "--memory", "lots"), "lots", "4GB")
    refused(run(graph_file, "--catalog", archive, "--out", out, "--threads", "0"), "--threads")
    refused(run(graph_file, "--catalog", archive, "--draw", tmp_path / "plan.png"), "SVG")
    refused(run(graph_file, "--catalog", archive, "--out", tmp_path / "graph.json" / "cube.nc"))
    refused(run(graph_file, "--catalog", archive, "--out", out, "--memory", "1MB"), "GB")


def test_an_output_that_is_there_needs_overwrite(archive: Path, graph_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cube.nc").write_text("precious")
    refused(run(graph_file, "--catalog", archive, "--out", tmp_path / "cube.nc"), "--overwrite")
    assert (tmp_path / "cube.nc").read_text() == "precious"
    assert run(graph_file, "--catalog", archive, "--out", tmp_path / "cube.nc", "--overwrite").exit_code == 0


def test_gaps_are_refused_and_reported_when_tolerated(tmp_path: Path) -> None:
    made = TinyArchive(tmp_path / "archive")
    red = np.random.default_rng(0).integers(200, 900, (64, 64)).astype(np.uint16)
    for day in (2, 12):
        layers = {
            "B04": Layer(red + np.uint16(day)),
            "SCL": Layer(np.full((32, 32), 4, np.uint8), 20),
        }
        made.s2(f"d{day}", f"2019-03-{day:02}", layers)
    root = made.write()
    (made.folder / "sentinel-2-l2a" / "d12" / "red.tif").write_text("<html>gone</html>")
    graph = written(tmp_path, GRAPH)
    refused(run(graph, "--catalog", root, "--out", tmp_path / "cube.nc"), "d12", "B04", "--tolerate")
    result = run(graph, "--catalog", root, "--out", tmp_path / "cube.nc", "--tolerate", "1")
    assert result.exit_code == 0, result.output
    assert "failed: not-an-image: Item d12, band B04" in result.output
    assert "1 items read, 1 assets failed" in result.output
    again = run(graph, "--catalog", root, "--out", tmp_path / "again.nc")
    assert again.exit_code == 0, again.output
    assert "d12: In quarantine" in again.output
