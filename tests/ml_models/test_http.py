"""Models through the API: uploaded, at an address, synchronous and as a batch job."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
from tests.support.ml_models import BIAS, WEIGHTS, array, classes_result, item, save_onnx
from tests.support.oidc_server import ACCOUNTS, Served, running_server
from tests.support.servers.faulty import folder_backend, serving
from tests.support.tiny_archive import Layer, TinyArchive, extent, load, node

from acreage.udf.isolation import isolation_available

TIME = ["2024-05-01", "2024-05-02"]


def made_item(folder: Path, **more: Any) -> dict[str, Any]:
    """The item of an ONNX model of B02 and B04 of Sentinel-2."""
    save_onnx(folder / "model.onnx")
    given = {
        "bands": ["B02", "B04"],
        "input": array([-1, 2], ["batch", "bands"]),
        "value_scaling": [{"type": "scale", "value": 1000}],
    }
    return item(folder / "model.onnx", "onnx", given, classes_result(), framework="ONNX", **more)


@pytest.fixture(scope="module")
def pixels() -> dict[str, Any]:
    rng = np.random.default_rng(8)
    return {name: rng.integers(100, 5000, (32, 32)).astype(np.uint16) for name in ("B02", "B04")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pixels: dict[str, Any]) -> Iterator[Served]:
    """Users are not trusted: models run in the sandbox, as their own code would."""
    if not isolation_available().available:
        pytest.skip(isolation_available().reason)
    archive = TinyArchive(tmp_path_factory.mktemp("archive"))
    archive.s2("S2A_1", "2024-05-01", {name: Layer(values) for name, values in pixels.items()})
    with running_server(tmp_path_factory.mktemp("server"), archive.write()) as running:
        yield running


@pytest.fixture(scope="module")
def token(server: Served) -> str:
    return server.login("carla")


@pytest.fixture(scope="module")
def uploaded(server: Served, token: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The item, which is in the user's workspace with its file."""
    folder = tmp_path_factory.mktemp("model")
    document = made_item(folder)
    content = {"item.json": json.dumps(document).encode(), "model.onnx": (folder / "model.onnx").read_bytes()}
    for name, data in content.items():
        assert server.ask("PUT", f"/files/models/{name}", token, data=data).status_code == 200
    return document


def predicting(uri: str, bands: list[str] | None = None, **more: Any) -> dict[str, Any]:
    first = {"m": {**node("first", data={"from_parameter": "data"}), "result": True}}
    return {
        "process_graph": {
            "load": load(bands or ["B04", "B02"], extent(32, 32), TIME),
            "first": node("reduce_dimension", data="@load", dimension="t", reducer={"process_graph": first}),
            "model": node("load_ml_model", uri=uri),
            "predict": node("ml_predict", data="@first", model="@model", **{"dimensions": ["bands"], **more}),
            "save": {**node("save_result", data="@predict", format="GTiff"), "result": True},
        }
    }


def check(content: bytes, pixels: dict[str, Any]) -> None:
    scores = np.einsum("kb,byx->kyx", WEIGHTS, np.stack([pixels["B02"], pixels["B04"]]) / 1000)
    scores = scores + BIAS[:, None, None]
    with rasterio.open(io.BytesIO(content)) as file:
        found = file.read(1)
    assert len(set(np.unique(found))) > 1
    clear = np.sort(scores, axis=0)[-1] - np.sort(scores, axis=0)[-2] > 1e-4
    assert found.shape == clear.shape
    np.testing.assert_array_equal(found[clear], np.array([10, 20, 30])[scores.argmax(axis=0)][clear])


def test_an_uploaded_model_runs_at_once_and_as_a_job(
    server: Served, token: str, uploaded: dict[str, Any], pixels: dict[str, Any]
) -> None:
    process = predicting("models/item.json")
    assert server.ask("POST", "/validation", token, json=process).json() == {"errors": []}
    answer = server.ask("POST", "/result", token, json={"process": process})
    assert answer.status_code == 200, answer.text
    check(answer.content, pixels)
    job = server.run_job(token, {"process": process})
    about = server.ask("GET", f"/jobs/{job}/results", token).json()
    (asset,) = about["assets"].values()
    assert requests.get(asset["href"], timeout=30).content == answer.content
    # The prediction can be loaded again, with its own name.
    again = {
        "load": node("load_stac", url=f"{server.url}/jobs/{job}/results"),
        "save": {**node("save_result", data="@load", format="GTiff"), "result": True},
    }
    answer = server.ask("POST", "/result", token, json={"process": {"process_graph": again}})
    check(answer.content, pixels)


def test_the_official_client_loads_a_model(
    server: Served, uploaded: dict[str, Any], pixels: dict[str, Any], tmp_path: Path
) -> None:
    connection = openeo.connect(server.url).authenticate_basic("carla", ACCOUNTS["carla"])
    cube = connection.load_collection(
        "SENTINEL2_L2A", spatial_extent=extent(32, 32), temporal_extent=TIME, bands=["B02", "B04"]
    ).reduce_dimension(dimension="t", reducer="first")
    model = connection.load_ml_model("models/item.json")
    predicted = cube.process("ml_predict", data=cube, model=model, dimensions=["bands"])
    predicted.download(tmp_path / "p.tif", format="GTiff")
    check((tmp_path / "p.tif").read_bytes(), pixels)
    listed = {p["id"] for p in connection.list_processes()}
    assert {"load_ml_model", "ml_predict", "ml_predict_probabilities"} <= listed


def problems(server: Served, token: str, process: dict[str, Any]) -> list[tuple[str, str]]:
    found = server.ask("POST", "/validation", token, json=process).json()["errors"]
    return [(e["code"], e["message"]) for e in found]


def test_what_does_not_go_is_told_when_validated(
    server: Served, token: str, uploaded: dict[str, Any], tmp_path: Path
) -> None:
    ((code, message),) = problems(server, token, predicting("models/item.json", ["B02"]))
    assert code == "MlModelUnsuitable"
    assert "lacks B04" in message
    ((code, message),) = problems(server, token, predicting("models/item.json", dimensions=["t"]))
    assert code == "DimensionNotAvailable"
    ((code, _),) = problems(server, token, predicting("models/none.json"))
    assert code == "FileNotFound"
    tensorflow = {**uploaded, "properties": {**uploaded["properties"], "mlm:framework": "TensorFlow"}}
    no_model = {**uploaded, "properties": {"datetime": None}}
    for name, document, wanted in (
        ("tf.json", tensorflow, "MlModelUnsupported"),
        ("no.json", no_model, "MlModelInvalid"),
    ):
        put = server.ask("PUT", f"/files/models/{name}", token, data=json.dumps(document).encode())
        assert put.status_code == 200
        ((code, message),) = problems(server, token, predicting(f"models/{name}"))
        assert code == wanted, message
        answer = server.ask("POST", "/result", token, json={"process": predicting(f"models/{name}")})
        assert (answer.status_code, answer.json()["code"]) == (400, wanted)


def test_models_of_others_and_of_the_private_network_are_not_reached(
    server: Served, token: str, uploaded: dict[str, Any], tmp_path: Path
) -> None:
    dora = server.login("dora")
    ((code, _),) = problems(server, dora, predicting("models/item.json"))
    assert code == "FileNotFound"
    (tmp_path / "item.json").write_text(json.dumps(made_item(tmp_path)))
    with serving(folder_backend(tmp_path)) as private:
        ((code, message),) = problems(server, token, predicting(f"{private.address}/item.json"))
        assert code == "AddressRefused", message
        away = {**uploaded["assets"]["model"], "href": f"{private.address}/model.onnx"}
        document = {**uploaded, "assets": {"model": away}}
        put = server.ask("PUT", "/files/models/away.json", token, data=json.dumps(document).encode())
        assert put.status_code == 200
        ((code, message),) = problems(server, token, predicting("models/away.json"))
        assert "not on the public internet" in message
        assert private.requests == []
