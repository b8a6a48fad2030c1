"""ml_predict: what models give for the pixels of a cube, whatever their files are and the windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.engine_runs import MEMORY, WHOLE, assert_same_cube, cubes_of
from tests.support.ml_models import (
    BIAS,
    WEIGHTS,
    OfPatches,
    OfPixels,
    OfSeasons,
    array,
    classes_result,
    item,
    pixels_input,
    put,
    save_onnx,
    save_program,
    save_script,
)
from tests.support.user_files import NoCollections
from tests.support.written import raster_meta, write

from acreage.core.cube import Cube, Dimension
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.user_files import FolderWorkspace, UserFiles
from acreage.udf.contract import UdfLimits
from acreage.udf.isolation import isolation_available
from acreage.udf.runner import ProcessUdfRunner

pytestmark = pytest.mark.usefixtures("kept_helper")

ROWS, COLUMNS = 37, 45


@pytest.fixture(scope="module")
def runner() -> Iterator[ProcessUdfRunner]:
    # One process for all models; the last test has the sandbox.
    with ProcessUdfRunner(UdfLimits(timeout_s=120), isolation="none") as made:
        yield made


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    """Two bands of two dates with a few nulls, in `cube.nc`."""
    rng = np.random.default_rng(5)
    meta = raster_meta("f4", rows=ROWS, columns=COLUMNS)
    values = rng.normal(0, 2, meta.shape).astype(np.float32)
    made = Cube.of(values, rng.random(meta.shape) > 0.02, meta)
    (path,) = write(made, "netCDF", tmp_path)
    path.rename(tmp_path / "cube.nc")
    return made


def predict(
    folder: Path,
    runner: ProcessUdfRunner,
    dimensions: list[str],
    *,
    window: int = WHOLE,
    process: str = "ml_predict",
    first: bool = True,
) -> Cube:
    """The model of `model.json` on the cube, on its first date alone unless told otherwise."""
    reduced = {
        "m": {"process_id": "first", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    }
    arguments = {"data": {"from_node": "load"}, "dimension": "t", "reducer": {"process_graph": reduced}}
    graph: dict[str, Any] = {
        "load": {
            "process_id": "load_uploaded_files",
            "arguments": {"paths": ["cube.nc"], "format": "netCDF"},
        },
        "first": {"process_id": "reduce_dimension", "arguments": arguments},
        "model": {"process_id": "load_ml_model", "arguments": {"uri": "model.json"}},
        "predict": {
            "process_id": process,
            "arguments": {
                "data": {"from_node": "first" if first else "load"},
                "model": {"from_node": "model"},
                "dimensions": dimensions,
            },
            "result": True,
        },
    }
    if not first:
        del graph["first"]
    budget = Budget(MEMORY, 1, window)
    files = UserFiles(FolderWorkspace(folder))
    plan = make_plan(parse_graph(graph), NoCollections(), budget, runner, files=files)
    (found,) = cubes_of(plan, udf=runner).values()
    return found


def at_first_date(cube: Cube) -> tuple[Any, Any]:
    """(bands, y, x) of the first date that a pixel has, and validity."""
    values, valid = cube.values, cube.validity()
    found = np.where(valid[0], values[0], values[1])
    return found, valid.any(axis=0)


def scores_of(values: Any) -> Any:
    """(classes, y, x) of `OfPixels`, in float64."""
    return np.einsum("kb,byx->kyx", WEIGHTS.astype(np.float64), values) + BIAS[:, None, None]


SAVED = {
    "torch.jit.save": ("PyTorch", lambda p: save_script(OfPixels(), p)),
    "torch.export.save": ("PyTorch", lambda p: save_program(OfPixels(), torch.zeros(4, 2), p)),
    "onnx": ("ONNX", save_onnx),
}


@pytest.mark.parametrize("artifact", sorted(SAVED))
def test_a_class_is_that_of_the_greatest_value(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner, artifact: str
) -> None:
    framework, save = SAVED[artifact]
    path = tmp_path / "model.bin"
    save(path)
    put(tmp_path, item(path, artifact, pixels_input(), classes_result(), framework=framework))
    values, valid = at_first_date(cube)
    scores = scores_of(values)
    found = predict(tmp_path, runner, ["bands"])
    assert found.meta.dims[0] == Dimension("predictions", "bands", ("0",))
    np.testing.assert_array_equal(found.validity()[0], valid.all(axis=0))
    wanted = np.array([10, 20, 30])[scores.argmax(axis=0)]
    clear = valid.all(axis=0) & (np.sort(scores, axis=0)[-1] - np.sort(scores, axis=0)[-2] > 1e-4)
    np.testing.assert_array_equal(found.values[0][clear], wanted[clear])
    assert clear.mean() > 0.9
    windowed = predict(tmp_path, runner, ["bands"], window=16)
    assert_same_cube(windowed, found)
    if artifact == "onnx":
        several = predict(tmp_path, runner, ["bands"], process="ml_predict_probabilities", window=16)
        assert several.meta.dim("predictions").labels == ("low", "middle", "high")
        np.testing.assert_allclose(several.values[:, clear], scores[:, clear], rtol=1e-5, atol=1e-5)


def test_values_are_scaled_and_bands_found_by_name(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner
) -> None:
    scaling = [
        {"type": "z-score", "mean": 1.5, "stddev": 2.0},
        {"type": "min-max", "minimum": -2, "maximum": 6},
    ]
    path = tmp_path / "model.onnx"
    save_onnx(path)
    given = {**pixels_input(value_scaling=scaling), "bands": ["B8A", "B04"]}
    result = {"tasks": ["regression"], "result": array([-1, 3], ["batch", "values"])}
    put(tmp_path, item(path, "onnx", given, result, framework="ONNX"))
    values, valid = at_first_date(cube)
    scaled = np.stack([(values[1] - 1.5) / 2.0, (values[0] + 2) / 8.0]).astype(np.float32)
    found = predict(tmp_path, runner, ["bands"], window=20)
    assert found.meta.dim("predictions").labels == ("0", "1", "2")
    seen = valid.all(axis=0)
    np.testing.assert_array_equal(found.validity()[0], seen)
    np.testing.assert_allclose(found.values[:, seen], scores_of(scaled)[:, seen], rtol=1e-5, atol=1e-5)


def test_a_band_without_a_value_is_given_as_its_nodata(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner
) -> None:
    path = tmp_path / "model.onnx"
    save_onnx(path)
    about = {"bands": [{"name": "B04", "nodata": -3}, {"name": "B8A", "nodata": 7}]}
    result = {"tasks": ["regression"], "result": array([-1, 3], ["batch", "values"])}
    put(tmp_path, item(path, "onnx", pixels_input(), result, framework="ONNX", properties=about))
    values, valid = at_first_date(cube)
    filled = np.where(valid, values, np.array([-3, 7])[:, None, None])
    found = predict(tmp_path, runner, ["bands"])
    seen = valid.any(axis=0)
    np.testing.assert_array_equal(found.validity()[0], seen)
    np.testing.assert_allclose(found.values[:, seen], scores_of(filled)[:, seen], rtol=1e-5, atol=1e-5)


def test_a_model_of_seasons_reduces_time_and_bands(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner
) -> None:
    path = tmp_path / "model.pt"
    save_script(OfSeasons(), path)
    given = {"bands": ["B04", "B8A"], "input": array([-1, 2, 2], ["batch", "time", "bands"])}
    result = {"tasks": ["regression"], "result": array([-1, 1], ["batch", "value"])}
    put(tmp_path, item(path, "torch.jit.save", given, result))
    found = predict(tmp_path, runner, ["t", "bands"], first=False, window=16)
    wanted = cube.values[:, 0].mean(axis=0) - cube.values[:, 1].max(axis=0)
    seen = cube.validity().all(axis=(0, 1))
    np.testing.assert_array_equal(found.validity()[0], seen)
    np.testing.assert_allclose(found.values[0][seen], wanted[seen], rtol=1e-5, atol=1e-6)


def test_dimensions_that_a_model_does_not_know_stay(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner
) -> None:
    path = tmp_path / "model.onnx"
    save_onnx(path)
    put(tmp_path, item(path, "onnx", pixels_input(), classes_result(), framework="ONNX"))
    found = predict(tmp_path, runner, ["bands"], first=False, process="ml_predict_probabilities")
    assert set(found.meta.names) == {"predictions", "t", "y", "x"}
    at = found.meta.names.index("t")
    seen = cube.validity().all(axis=1)
    for date in range(2):
        own = np.take(found.values, date, axis=at)[:, seen[date]]
        np.testing.assert_allclose(own, scores_of(cube.values[date])[:, seen[date]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", [16, -1])
def test_a_model_of_patches_gets_whole_patches_in_every_window(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner, side: int
) -> None:
    path = tmp_path / "model.pt"
    save_script(OfPatches(), path)
    shape = [-1, 2, side, side]
    given = {"bands": ["B04", "B8A"], "input": array(shape, ["batch", "channel", "height", "width"])}
    result = {
        "tasks": ["regression"],
        "result": array([-1, 1, side, side], ["batch", "v", "height", "width"]),
    }
    put(tmp_path, item(path, "torch.jit.save", given, result))
    values, valid = at_first_date(cube)
    seen = valid.all(axis=0)
    found = predict(tmp_path, runner, ["bands"])
    np.testing.assert_array_equal(found.validity()[0], seen)
    # A pixel that lacks a value takes no part in the sums of others.
    total = np.where(seen, values, 0).astype(np.float64).sum(axis=0)
    step = 256 if side == -1 else side
    wanted = np.zeros((ROWS, COLUMNS))
    for top in range(0, ROWS, step):
        for left in range(0, COLUMNS, step):
            block = total[top : top + step, left : left + step]
            around = np.pad(block, 1)
            rows, columns = block.shape
            wanted[top : top + step, left : left + step] = sum(
                around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)
            )
    np.testing.assert_allclose(found.values[0][seen], wanted[seen], rtol=1e-4, atol=1e-4)
    assert_same_cube(predict(tmp_path, runner, ["bands"], window=20), found)


def test_in_the_sandbox_of_strangers_a_model_gives_the_same(
    tmp_path: Path, cube: Cube, runner: ProcessUdfRunner
) -> None:
    path = tmp_path / "model.onnx"
    save_onnx(path)
    put(tmp_path, item(path, "onnx", pixels_input(), classes_result(), framework="ONNX"))
    if not isolation_available().available:
        pytest.skip(isolation_available().reason)
    with ProcessUdfRunner(UdfLimits(timeout_s=120), isolation="bubblewrap", trusted=False) as isolated:
        assert_same_cube(predict(tmp_path, isolated, ["bands"]), predict(tmp_path, runner, ["bands"]))
