"""Small models in every kind of file, and the STAC items that describe them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

EXTENSION = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
CLASSES = [{"value": 10, "name": "low"}, {"value": 20, "name": "middle"}, {"value": 30, "name": "high"}]
WEIGHTS = np.array([[0.5, -1.0], [0.1, 0.2], [-0.75, 1.5]], np.float32)  # (classes, bands)
BIAS = np.array([0.25, 0.5, -0.125], np.float32)


class OfPixels(nn.Module):
    """(N, 2) to (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(WEIGHTS))
            self.linear.bias.copy_(torch.from_numpy(BIAS))

    def forward(self, values: Tensor) -> Tensor:
        return self.linear(values)  # type: ignore[no-any-return]


class OfSeasons(nn.Module):
    """(N, time, 2) to (N, 1): the season's mean of the first band less the second's greatest value."""

    def forward(self, values: Tensor) -> Tensor:
        return (values[:, :, 0].mean(dim=1) - values[:, :, 1].amax(dim=1)).unsqueeze(1)


class OfPatches(nn.Module):
    """(N, 2, rows, columns) to (N, 1, rows, columns): the sum of each pixel's neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        with torch.no_grad():
            self.sum.weight.fill_(1.0)

    def forward(self, values: Tensor) -> Tensor:
        return self.sum(values)  # type: ignore[no-any-return]


def save_script(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module.eval()), path)  # type: ignore[no-untyped-call]


def save_program(module: nn.Module, example: Tensor, path: Path) -> None:
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},))
        torch.export.save(program, path)


def save_onnx(path: Path) -> None:
    """`OfPixels` as ONNX."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["values", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["scores"]),
        ],
        "pixels",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(WEIGHTS.T.copy(), "weights"), numpy_helper.from_array(BIAS, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def item(
    path: Path,
    artifact_type: str,
    given: Mapping[str, Any],
    result: Mapping[str, Any],
    *,
    framework: str = "PyTorch",
    href: str | None = None,
    properties: Mapping[str, Any] | None = None,
    asset: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The item of a model's file.

    Args:
        given: entry of `mlm:input`, its name left out.
        result: entry of `mlm:output`, its name left out.
        href: of the file; its name where it is not given.
        properties, asset: laid over the item's.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [EXTENSION],
        "id": "model",
        "geometry": None,
        "properties": {
            "datetime": "2024-01-01T00:00:00Z",
            "mlm:name": "tiny",
            "mlm:architecture": "linear",
            "mlm:framework": framework,
            "mlm:tasks": ["classification"],
            "mlm:input": [{"name": "input", **given}],
            "mlm:output": [{"name": "output", **result}],
            **(properties or {}),
        },
        "links": [],
        "assets": {
            "model": {
                "href": href or path.name,
                "type": "application/octet-stream",
                "roles": ["mlm:model"],
                "mlm:artifact_type": artifact_type,
                "file:checksum": f"1220{digest}",
                **(asset or {}),
            }
        },
    }
    return deepcopy(document)  # tests change it


def array(shape: list[int], order: list[str], data_type: str = "float32") -> dict[str, Any]:
    return {"shape": shape, "dim_order": order, "data_type": data_type}


def pixels_input(**more: Any) -> dict[str, Any]:
    """`OfPixels` takes B04 and B8A."""
    return {"bands": ["B04", "B8A"], "input": array([-1, 2], ["batch", "bands"]), **more}


def classes_result(**more: Any) -> dict[str, Any]:
    """`OfPixels` gives a value for each class."""
    return {
        "tasks": ["classification"],
        "result": array([-1, 3], ["batch", "class"]),
        "classification:classes": CLASSES,
        **more,
    }


def put(folder: Path, document: Mapping[str, Any], name: str = "model.json") -> str:
    """Write an item; its name."""
    (folder / name).write_text(json.dumps(document))
    return name
