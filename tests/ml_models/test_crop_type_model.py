"""A crop type model by load_ml_model and ml_predict, as by its UDF."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import requests
from tests.support.croptype_samples import BANDS, QUICK, SEASON, make_samples
from tests.support.engine_runs import MEMORY, WHOLE, cubes_of
from tests.support.oidc_server import running_server, tiny_catalog
from tests.support.user_files import NoCollections
from tests.support.written import box_of, write

from acreage.cli.runtime import model_code
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import MlModelInvalid, MlModelUnsuitable, UdfError
from acreage.core.legend import Legend, LegendClass
from acreage.core.temporal import parse_instant
from acreage.croptype.model import TrainedModel
from acreage.croptype.model_item import write_model_item
from acreage.croptype.modelfile import save_model
from acreage.croptype.series import season_dekads
from acreage.croptype.training import train
from acreage.croptype.udf_source import ARTIFACT_TYPE, udf_source
from acreage.croptype.udf_source.crop_type_udf import FILE_FORMAT
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.user_files import FolderWorkspace, UserFiles
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

pytestmark = pytest.mark.usefixtures("kept_helper")

ROWS, COLUMNS = 20, 30


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    classes = (
        LegendClass(3, "wheat", "Wheat", "#e2b007", (40,), ("wheat",)),
        LegendClass(17, "maize", "Maize", "#f4d03f", (40,), ("maize",)),
    )
    return train(make_samples(), Legend("test", classes), (40,), QUICK)


@pytest.fixture(scope="module")
def folder(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `model.pt`, its item `model.json`, and `cube.nc`."""
    made = tmp_path_factory.mktemp("workspace")
    write_model_item(trained, made / "model.pt", save_model(trained, made / "model.pt"))
    pixels = make_samples(ROWS * COLUMNS, seed=3)
    values = pixels.values.transpose(1, 2, 0).reshape(24, len(BANDS), ROWS, COLUMNS)
    rng = np.random.default_rng(3)
    cropland = np.broadcast_to(rng.choice([0, 1, 1, 1, np.nan], (ROWS, COLUMNS)), (24, 1, ROWS, COLUMNS))
    # Bands in another order than the model's.
    values = np.concatenate([cropland, values[:, ::-1]], axis=1).astype(np.float32)
    values[:, :, :3, :3] = np.nan
    values[:, 0, :3, :3] = 1
    dates = tuple(parse_instant(d.isoformat()) for d in season_dekads(SEASON))
    dims = (
        Dimension("t", "temporal", dates),
        Dimension("bands", "bands", ("CROPLAND", *reversed(BANDS))),
        Dimension("y", "y"),
        Dimension("x", "x"),
    )
    meta = CubeMeta(dims, np.dtype(np.float32), box_of(ROWS, COLUMNS))
    (path,) = write(Cube.of(values, ~np.isnan(values), meta), "netCDF", made)
    path.rename(made / "cube.nc")
    return made


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessUdfRunner]:
    cache = ModelCache(tmp_path_factory.mktemp("models"))
    with ProcessUdfRunner(UdfLimits(timeout_s=120), models=cache) as made:
        yield made


def run(folder: Path, runner: ProcessUdfRunner, window: int = WHOLE, **nodes: Any) -> Cube:
    load = {
        "process_id": "load_uploaded_files",
        "arguments": {"paths": ["cube.nc"], "format": "netCDF"},
    }
    files = UserFiles(FolderWorkspace(folder), model_code=model_code())
    plan = make_plan(
        parse_graph({"load": load, **nodes}), NoCollections(), Budget(MEMORY, 1, window), runner, files=files
    )
    (found,) = cubes_of(plan, udf=runner).values()
    return found


def predicting(dimensions: list[str], item: str = "model.json") -> dict[str, Any]:
    arguments = {"data": {"from_node": "load"}, "model": {"from_node": "model"}, "dimensions": dimensions}
    return {
        "model": {"process_id": "load_ml_model", "arguments": {"uri": item}},
        "predict": {"process_id": "ml_predict", "arguments": arguments, "result": True},
    }


@pytest.mark.parametrize("window", [WHOLE, 7])
def test_ml_predict_gives_what_the_udf_gives_bit_for_bit(
    folder: Path, trained: TrainedModel, runner: ProcessUdfRunner, window: int
) -> None:
    digest = json.loads((folder / "model.json").read_text())["assets"]["model"]["file:checksum"][4:]
    udf = {
        "process_id": "run_udf",
        "arguments": {
            "data": {"from_node": "load"},
            "udf": udf_source(),
            "runtime": "Python",
            "context": {"model": str(folder / "model.pt"), "model_sha256": digest},
        },
        "result": True,
    }
    by_udf = run(folder, runner, udf=udf)
    found = run(folder, runner, window, **predicting(["t", "bands"]))
    assert found.meta.dims[0] == Dimension("predictions", "bands", ("class", "confidence"))
    assert found.values.dtype == by_udf.values.dtype == np.uint8
    np.testing.assert_array_equal(found.values, by_udf.values)
    # All kinds of pixels are among them.
    assert set(np.unique(found.values[0])) == {0, 3, 17, 254, 255}


def test_another_season_or_other_bands_are_refused_when_planned(
    folder: Path, runner: ProcessUdfRunner
) -> None:
    nodes = predicting(["t", "bands"])
    later = {
        "process_id": "filter_temporal",
        "arguments": {"data": {"from_node": "load"}, "extent": ["2019-03-05", "2019-12-01"]},
    }
    nodes["predict"]["arguments"]["data"] = {"from_node": "later"}
    with pytest.raises(MlModelUnsuitable, match="takes 24 time steps, and the cube has 23"):
        run(folder, runner, later=later, **nodes)
    fewer = {
        "process_id": "filter_bands",
        "arguments": {"data": {"from_node": "load"}, "bands": ["B02", "CROPLAND"]},
    }
    nodes["predict"]["arguments"]["data"] = {"from_node": "fewer"}
    with pytest.raises(MlModelUnsuitable, match="the cube lacks B03, B04"):
        run(folder, runner, fewer=fewer, **nodes)


def test_a_file_that_is_another_model_is_refused(
    folder: Path, runner: ProcessUdfRunner, tmp_path: Path
) -> None:
    item = json.loads((folder / "model.json").read_text())
    (tmp_path / "cube.nc").write_bytes((folder / "cube.nc").read_bytes())
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 no model")
    (tmp_path / "model.json").write_text(json.dumps(item))
    with pytest.raises(MlModelInvalid, match="has the SHA-256"):
        run(tmp_path, runner, **predicting(["t", "bands"]))
    del item["assets"]["model"]["file:checksum"]
    (tmp_path / "model.json").write_text(json.dumps(item))
    with pytest.raises(UdfError, match="no model file, or damaged"):
        run(tmp_path, runner, **predicting(["t", "bands"]))


def test_the_item_describes_the_model(folder: Path, trained: TrainedModel) -> None:
    document = json.loads((folder / "model.json").read_text())
    # The core alone: schemas of extensions are on the web.
    pystac.Item.from_dict({**document, "stac_extensions": []}).validate()
    assert ARTIFACT_TYPE == FILE_FORMAT
    properties = document["properties"]
    (given,) = properties["mlm:input"]
    assert given["bands"] == [*trained.spec.bands, "CROPLAND"]
    assert given["input"]["shape"] == [-1, 24, len(given["bands"])]
    assert {b["name"] for b in properties["bands"]} == set(given["bands"])
    classes = {c["value"]: c["name"] for c in properties["mlm:output"][0]["classification:classes"]}
    assert classes == {
        0: "outside", 3: "wheat", 17: "maize", 254: "not_cropland", 255: "no_observation",
    }  # fmt: skip
    assert document["assets"]["model"]["file:size"] == (folder / "model.pt").stat().st_size
    write_model_item(trained, folder / "model.pt", document["assets"]["model"]["file:checksum"][4:])
    assert json.loads((folder / "model.json").read_text()) == document


def test_through_the_api_it_gives_the_same_at_once_and_as_a_job(
    folder: Path, runner: ProcessUdfRunner, tmp_path: Path
) -> None:
    wanted = run(folder, runner, **predicting(["t", "bands"]))
    with running_server(tmp_path, tiny_catalog(tmp_path / "archive")) as server:
        token = server.login("carla")
        for name in ("model.pt", "model.json", "cube.nc"):
            put = server.ask("PUT", f"/files/{name}", token, data=(folder / name).read_bytes())
            assert put.status_code == 200
        load = {"paths": ["cube.nc"], "format": "netCDF"}
        nodes: dict[str, Any] = {
            "load": {"process_id": "load_uploaded_files", "arguments": load},
            **predicting(["t", "bands"]),
        }
        del nodes["predict"]["result"]
        saved = {"data": {"from_node": "predict"}, "format": "GTiff"}
        nodes["save"] = {"process_id": "save_result", "arguments": saved, "result": True}
        process = {"process": {"process_graph": nodes}}
        answer = server.ask("POST", "/result", token, json=process)
        assert answer.status_code == 200, answer.text
        job = server.run_job(token, process)
        (asset,) = server.ask("GET", f"/jobs/{job}/results", token).json()["assets"].values()
        of_job = requests.get(asset["href"], timeout=60).content
    for content in (answer.content, of_job):
        with rasterio.open(io.BytesIO(content)) as file:
            assert file.descriptions == ("class", "confidence")
            np.testing.assert_array_equal(file.read(), wanted.values)
