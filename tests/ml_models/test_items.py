"""load_ml_model: what is no model, or none for this cube, is told when a graph is planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.ml_models import array, classes_result, item, pixels_input, put, save_onnx
from tests.support.servers.faulty import folder_backend, serving
from tests.support.user_files import NoCollections
from tests.support.written import raster_meta, write

from acreage.catalog.access import Policy
from acreage.catalog.access.public import PublicTransport
from acreage.core.cube import Cube, empty_cube
from acreage.core.errors import (
    AcreageError,
    AddressRefused,
    DimensionNotAvailable,
    FileNotFound,
    FilePathInvalid,
    InvalidProcessGraph,
    MlModelInvalid,
    MlModelUnsuitable,
    MlModelUnsupported,
    ProcessParameterInvalid,
    UdfError,
)
from acreage.engine.budget import Budget
from acreage.engine.models.places import load_model
from acreage.engine.ops import to_labelled
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.user_files import FolderWorkspace, UserFiles
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

pytestmark = pytest.mark.usefixtures("kept_helper")

QUICK = Policy(attempts=1, backoff_s=0.01, patience_s=5.0, connect_timeout_s=2.0, read_timeout_s=2.0)
Json = dict[str, Any]
Change = Callable[[Json], Any]


@pytest.fixture
def model(tmp_path: Path) -> Json:
    """The item of an ONNX model, in `tmp_path` as its file is."""
    save_onnx(tmp_path / "model.onnx")
    return item(tmp_path / "model.onnx", "onnx", pixels_input(), classes_result(), framework="ONNX")


def properties(document: Json) -> Json:
    found: Json = document["properties"]
    return found


def given(document: Json) -> Json:
    found: Json = properties(document)["mlm:input"][0]
    return found


def result(document: Json) -> Json:
    found: Json = properties(document)["mlm:output"][0]
    return found


def asset(document: Json) -> Json:
    found: Json = document["assets"]["model"]
    return found


def load(folder: Path, document: Any, **files: Any) -> Any:
    put(folder, document)
    return load_model({"uri": "model.json"}, UserFiles(FolderWorkspace(folder), **files))


INVALID: list[tuple[Change, str]] = [
    (lambda d: d.update(type="Collection"), "no STAC item"),
    (lambda d: d.update(properties={"datetime": None}), "describes no model"),
    (lambda d: asset(d).update(roles=["data"]), "0 assets with the role"),
    (lambda d: asset(d).pop("href"), "no href"),
    (lambda d: properties(d).pop("mlm:input"), "no mlm:input"),
    (lambda d: properties(d).update({"mlm:output": []}), "no mlm:output"),
    (lambda d: given(d).update(input={"shape": [2], "dim_order": ["batch", "bands"]}), "shape and dim_order"),
    (lambda d: given(d).update(input=array([-1, 0], ["batch", "bands"])), "shape and dim_order"),
    (
        lambda d: given(d).update(input=array([-1, 3], ["batch", "bands"])),
        "names 2 bands, and its input has 3",
    ),
    (lambda d: given(d).update(input=array([-1, 2, 2], ["batch", "bands", "channel"])), "'bands' twice"),
    (lambda d: given(d).update(bands=[{"title": "red"}, "B8A"]), "a band without a name"),
    (lambda d: given(d).update(value_scaling=[{"type": "scale"}]), "without a number for 'value'"),
    (lambda d: given(d).update(value_scaling=[{"type": "scale", "value": 1}] * 3), "scales 3 bands"),
    (lambda d: result(d)["classification:classes"].pop(), "gives 3 values, and has 2 classes"),
    (lambda d: asset(d).update({"file:checksum": "1220" + "ab" * 32}), "has the SHA-256"),
    (lambda d: asset(d).update({"href": "other.onnx"}), "There is no file"),
]
UNSUPPORTED: list[tuple[Change, str]] = [
    (lambda d: properties(d).update({"mlm:framework": "TensorFlow"}), "framework 'TensorFlow'"),
    (lambda d: asset(d).update({"mlm:artifact_type": "torch.save"}), "is a pickle"),
    (lambda d: asset(d).update({"mlm:artifact_type": "tf.keras.Model.save"}), "is not known here"),
    (lambda d: asset(d).update({"file:checksum": "1114" + "ab" * 20}), "multihash of sha2-256"),
    (lambda d: properties(d)["mlm:input"].append(given(d)), "2 entries in mlm:input"),
    (
        lambda d: given(d).update(pre_processing_function={"format": "python", "expression": "a:b"}),
        "pre_proc",
    ),
    (lambda d: given(d).update(resize_type="crop"), "resize_type"),
    (lambda d: given(d).update(value_scaling=[{"type": "processing"}]), "scales its values by 'processing'"),
    (lambda d: given(d).update(input=array([-1, 2], ["batch", "token"])), "dimensions batch, token"),
    (lambda d: given(d).update(input=array([-1, 2], ["batch", "bands"], "complex64")), "type 'complex64'"),
    (
        lambda d: given(d).update(bands=[{"name": "a", "expression": "b + 1"}, "c"]),
        "computed by an expression",
    ),
    (lambda d: result(d).update(post_processing_function={"format": "x", "expression": "y"}), "post_proc"),
    (lambda d: result(d).update(result=array([3], ["class"])), "gives class for an input of batch, bands"),
]


@pytest.mark.parametrize(("change", "said"), INVALID, ids=[said for _, said in INVALID])
def test_what_describes_no_model_is_refused(tmp_path: Path, model: Json, change: Change, said: str) -> None:
    change(model)
    with pytest.raises((MlModelInvalid, FileNotFound), match=said):
        load(tmp_path, model)


@pytest.mark.parametrize(("change", "said"), UNSUPPORTED, ids=[said for _, said in UNSUPPORTED])
def test_what_is_not_run_here_is_refused_with_a_way_out(
    tmp_path: Path, model: Json, change: Change, said: str
) -> None:
    change(model)
    with pytest.raises(MlModelUnsupported, match=said) as caught:
        load(tmp_path, model)
    assert caught.value.hint


def test_a_patch_must_come_back_as_it_was_given(tmp_path: Path, model: Json) -> None:
    order = ["batch", "channel", "height", "width"]
    given(model).update(input=array([-1, 2, 16, 16], order))
    for wrong in (array([-1, 3], ["batch", "class"]), array([-1, 3, 8, 8], order)):
        result(model).update(result=wrong)
        with pytest.raises(MlModelUnsupported):
            load(tmp_path, model)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("<html>")
    with pytest.raises(MlModelInvalid, match="not JSON"):
        load_model({"uri": "model.json"}, UserFiles(FolderWorkspace(tmp_path)))
    for arguments in ({}, {"uri": "model.json", "id": "model.json"}):
        with pytest.raises(ProcessParameterInvalid):
            load_model(arguments, UserFiles(FolderWorkspace(tmp_path)))


# --- cubes ---


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    """Two dates of two bands, in `cube.nc`."""
    made = empty_cube(raster_meta("f4", rows=4, columns=4))
    (path,) = write(made, "netCDF", tmp_path)
    path.rename(tmp_path / "cube.nc")
    return made


def planned(folder: Path, dimensions: list[str], *, process: str = "ml_predict", **arguments: Any) -> Any:
    graph: Json = {
        "load": {
            "process_id": "load_uploaded_files",
            "arguments": {"paths": ["cube.nc"], "format": "netCDF"},
        },
        "model": {"process_id": "load_ml_model", "arguments": {"uri": "model.json"}},
        "predict": {
            "process_id": process,
            "arguments": {
                "data": {"from_node": "load"},
                "model": {"from_node": "model"},
                "dimensions": dimensions,
                **arguments,
            },
            "result": True,
        },
    }
    files = UserFiles(FolderWorkspace(folder))
    with ProcessUdfRunner(UdfLimits(timeout_s=60), isolation="none") as runner:
        return make_plan(parse_graph(graph), NoCollections(), Budget(10**9, 1), runner, files=files)


@pytest.mark.parametrize(
    ("change", "dimensions", "error", "said"),
    [
        (lambda d: given(d).update(bands=["B04", "B99"]), ["bands"], MlModelUnsuitable, "lacks B99"),
        (lambda d: None, ["t"], MlModelUnsuitable, "reduces bands, and `dimensions` is t"),
        (lambda d: None, ["spectrum"], DimensionNotAvailable, "spectrum"),
        (
            lambda d: given(d).update(input=array([-1, 3, 2], ["batch", "time", "bands"])),
            ["t", "bands"],
            MlModelUnsuitable,
            "takes 3 time steps, and the cube has 2",
        ),
        (
            lambda d: given(d).update(bands=[], input=array([-1, 5], ["batch", "bands"])),
            ["bands"],
            MlModelUnsuitable,
            "takes 5 bands, and the cube has 2",
        ),
        # What the item says wrongly of the file shows when the model is tried.
        (
            lambda d: result(d).update({"result": array([-1, 1], ["batch", "v"]), "tasks": ["regression"]}),
            ["bands"],
            UdfError,
            "gave 3 values",
        ),
    ],
)
def test_a_cube_that_does_not_suit_is_refused_when_planned(
    tmp_path: Path, model: Json, cube: Cube, change: Change, dimensions: list[str], error: type, said: str
) -> None:
    change(model)
    put(tmp_path, model)
    with pytest.raises(error, match=said):
        planned(tmp_path, dimensions)


def test_values_of_classes_need_classes(tmp_path: Path, model: Json, cube: Cube) -> None:
    result(model).update(tasks=["regression"], **{"classification:classes": []})
    put(tmp_path, model)
    with pytest.raises(MlModelUnsuitable, match="no value for each class"):
        planned(tmp_path, ["bands"], process="ml_predict_probabilities")


def test_a_model_is_that_of_load_ml_model(tmp_path: Path, model: Json, cube: Cube) -> None:
    put(tmp_path, model)
    for wrong in ({"model": {"from_node": "load"}}, {"model": {"name": "tiny"}}):
        with pytest.raises((ProcessParameterInvalid, InvalidProcessGraph)):
            planned(tmp_path, ["bands"], **wrong)


# --- places ---


def test_an_item_and_its_file_come_from_the_public_internet_only(tmp_path: Path, model: Json) -> None:
    put(tmp_path, model)
    with serving(folder_backend(tmp_path)) as public, serving(folder_backend(tmp_path)) as private:
        downloads = tmp_path / "downloads"
        downloads.mkdir()
        transport = PublicTransport(QUICK, [urlsplit(public.address).netloc])
        files = UserFiles(downloads=downloads, transport=transport)
        found = load_model({"id": f"{public.address}/model.json"}, files)
        assert (found.address, found.path) == (f"{public.address}/model.onnx", None)
        with pytest.raises(AddressRefused, match="not on the public internet"):
            load_model({"uri": f"{private.address}/model.json"}, files)
        asset(model).update(href=f"{private.address}/model.onnx")
        asset(model).pop("file:checksum")
        put(tmp_path, model)
        with pytest.raises(AddressRefused, match="not on the public internet"):
            load_model({"uri": f"{public.address}/model.json"}, files)
        assert private.requests == []
        asset(model).update(href="model.onnx")
        put(tmp_path, model)
        found = load_model({"uri": f"{public.address}/model.json"}, files)
        assert found.path is not None
        assert found.path.read_bytes() == (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    "href", ["/etc/passwd", "file:///etc/passwd", "../secret.onnx", "a/../../secret.onnx"]
)
def test_a_file_outside_of_the_workspace_is_none(tmp_path: Path, model: Json, href: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    save_onnx(tmp_path / "secret.onnx")
    asset(model).update(href=href)
    with pytest.raises((FilePathInvalid, FileNotFound)):
        load(home, model)


def test_an_item_on_the_web_names_no_file_of_the_machine(tmp_path: Path, model: Json) -> None:
    asset(model).update(href=f"file://{tmp_path}/model.onnx")
    put(tmp_path, model)
    with serving(folder_backend(tmp_path)) as public:
        transport = PublicTransport(QUICK, [urlsplit(public.address).netloc])
        with pytest.raises(AddressRefused, match="no address of the web"):
            load_model({"uri": f"{public.address}/model.json"}, UserFiles(transport=transport))


def test_a_file_at_an_address_must_have_the_items_checksum(tmp_path: Path, model: Json, cube: Cube) -> None:
    asset(model).update({"file:checksum": "1220" + "ab" * 32})
    with serving(folder_backend(tmp_path)) as public:
        asset(model).update(href=f"{public.address}/model.onnx")
        put(tmp_path, model)
        files = UserFiles(FolderWorkspace(tmp_path))
        found = load_model({"uri": "model.json"}, files)
        cache = ModelCache(tmp_path / "cache")
        with pytest.raises(AcreageError, match="has the SHA-256"):
            cache.fetch(found.address, found.sha256)


def test_a_model_that_changes_after_planning_is_not_run(tmp_path: Path, model: Json, cube: Cube) -> None:
    put(tmp_path, model)
    plan = planned(tmp_path, ["bands"])
    (op,) = [n.op for n in plan.nodes if n.process_id == "run_udf"]
    assert op.code.model == tmp_path / "model.onnx"
    (tmp_path / "model.onnx").write_bytes(b"something else")
    with (
        ProcessUdfRunner(UdfLimits(timeout_s=60), isolation="none") as runner,
        pytest.raises(UdfError, match="has the SHA-256"),
    ):
        runner.run(op.code, to_labelled(cube), dict(op.context))
