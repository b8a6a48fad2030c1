"""What a STAC item says of a model, by the Machine Learning Model (MLM) extension.

https://github.com/stac-extensions/mlm, version 1.5. What cannot be done rightly is refused here, before
anything is read: a model that gets other values than it was trained on answers all the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from acreage.core.errors import MlModelInvalid, MlModelUnsupported
from acreage.engine.models.layout import Input, Output, read_input, read_output

Json = Mapping[str, Any]
Artifact = Literal["torchscript", "torch-export", "onnx", "code"]

_ROLE = "mlm:model"
_ARTIFACTS: Mapping[str, Artifact] = {
    "torch.jit.save": "torchscript",
    "torch.jit.script": "torchscript",
    "torch.jit.trace": "torchscript",
    "torch.export.save": "torch-export",
    "torch.export.export": "torch-export",
    "onnx": "onnx",
    "onnx.save": "onnx",
    "onnx.save_model": "onnx",
    "torch.onnx.export": "onnx",
}
_SUFFIXES: Mapping[str, Artifact] = {".pt2": "torch-export", ".onnx": "onnx"}
_FRAMEWORKS = ("pytorch", "torch", "onnx", "onnxruntime")
# A multihash: which function, how long, the value.
_SHA256 = re.compile(r"1220([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True)
class ModelItem:
    """A model as its item describes it.

    Attributes:
        name: `mlm:name`.
        href: of the model's file, as the item gives it.
        sha256: of the file in hexadecimal, None where the item does not say.
        artifact: how the file is opened; `code`: by the source that is known for `artifact_type`.
        artifact_type: `mlm:artifact_type`.
        input: what it takes.
        output: what it gives.
    """

    name: str
    href: str
    sha256: str | None
    artifact: Artifact
    artifact_type: str
    input: Input
    output: Output


def read_item(document: Any, where: str, known: Collection[str] = ()) -> ModelItem:
    """The model that a STAC item describes.

    Args:
        document: parsed JSON.
        where: the item's address for messages.
        known: artifact types for which there is source code.

    Raises:
        MlModelInvalid: it is no item of the MLM extension, or lacks what it needs.
        MlModelUnsupported: the model is of a kind that is not run here.
    """
    properties = _properties(document, where)
    name = str(properties.get("mlm:name") or document.get("id"))
    what = f"The model {name!r}"
    asset = _asset(document, what)
    artifact_type = str(asset.get("mlm:artifact_type") or "")
    artifact = _artifact(properties, asset, artifact_type, what, known)
    inputs, outputs = properties.get("mlm:input"), properties.get("mlm:output")
    # What a model's own code gives, it says itself when it is tried.
    many = artifact == "code"
    for key, value in (("mlm:input", inputs), ("mlm:output", outputs)):
        if not isinstance(value, list) or not value or not all(isinstance(v, Mapping) for v in value):
            raise MlModelInvalid(f"{what} has no {key}.", hint="The MLM extension requires it.")
        if len(value) > 1 and not (many and key == "mlm:output"):
            raise MlModelUnsupported(
                f"{what} has {len(value)} entries in {key}.",
                hint="Models of one input and one output are run here.",
            )
    assert isinstance(inputs, list)
    assert isinstance(outputs, list)
    bands = _bands(properties)
    for own, band in _bands(asset).items():
        bands[own] = {**bands.get(own, {}), **band}
    read = read_input(inputs[0], what, bands)
    return ModelItem(
        name,
        _href(asset, what),
        _checksum(asset, what),
        artifact,
        artifact_type,
        read,
        Output(("batch",), 0) if many else read_output(outputs[0], what, read),
    )


def _properties(document: Any, where: str) -> Json:
    if not isinstance(document, Mapping) or document.get("type") != "Feature":
        kind = document.get("type") if isinstance(document, Mapping) else type(document).__name__
        raise MlModelInvalid(
            f"{where} is no STAC item: its type is {kind!r}.",
            hint="Give the address of the item that describes the model.",
        )
    properties = document.get("properties")
    if not isinstance(properties, Mapping) or not any(str(k).startswith("mlm:") for k in properties):
        raise MlModelInvalid(
            f"The item at {where} describes no model: it has no properties of the MLM extension.",
            hint="See https://github.com/stac-extensions/mlm for what a model's item holds.",
        )
    return properties


def _asset(document: Json, what: str) -> Json:
    assets = document.get("assets")
    found = [
        a
        for a in (assets.values() if isinstance(assets, Mapping) else ())
        if isinstance(a, Mapping) and _ROLE in (a.get("roles") or ())
    ]
    if len(found) != 1:
        raise MlModelInvalid(
            f"{what} has {len(found)} assets with the role {_ROLE!r}.", hint="Its item needs exactly one."
        )
    return found[0]


def _href(asset: Json, what: str) -> str:
    href = asset.get("href")
    if not isinstance(href, str) or not href:
        raise MlModelInvalid(f"{what} has no file: its asset has no href.")
    return href


def _artifact(
    properties: Json, asset: Json, artifact_type: str, what: str, known: Collection[str]
) -> Artifact:
    framework = properties.get("mlm:framework")
    if framework is not None and str(framework).lower() not in _FRAMEWORKS:
        raise MlModelUnsupported(
            f"{what} is of the framework {framework!r}, which is not run here.",
            hint="PyTorch and ONNX are: export the model to ONNX.",
        )
    if artifact_type in known:
        return "code"
    if artifact_type.lower() in _ARTIFACTS:
        return _ARTIFACTS[artifact_type.lower()]
    if not artifact_type:
        path = str(asset.get("href", "")).split("?")[0].lower()
        found = next((kind for suffix, kind in _SUFFIXES.items() if path.endswith(suffix)), None)
        if found is not None:
            return found
        raise MlModelInvalid(f"{what} does not say what its file is.", hint="Set mlm:artifact_type.")
    pickled = "is a pickle, which would run whatever code it holds" if artifact_type == "torch.save" else ""
    raise MlModelUnsupported(
        f"{what} has a file of the type {artifact_type!r}, which {pickled or 'is not known here'}.",
        hint="Save it by torch.jit.save or torch.export.save, or as ONNX.",
    )


def _checksum(asset: Json, what: str) -> str | None:
    value = asset.get("file:checksum")
    if value is None:
        return None
    found = _SHA256.fullmatch(str(value))
    if found is None:
        raise MlModelUnsupported(
            f"{what} has the checksum {str(value)[:80]!r}.",
            hint="Give file:checksum as a multihash of sha2-256: 1220 and 64 hex digits.",
        )
    return found[1].lower()


def _bands(level: Json) -> dict[str, Json]:
    """Band objects by name, in the spellings of STAC 1.0 and 1.1."""
    found: dict[str, Json] = {}
    for key in ("eo:bands", "raster:bands", "bands"):
        bands = level.get(key)
        for band in bands if isinstance(bands, list) else ():
            if isinstance(band, Mapping) and isinstance(band.get("name"), str):
                found[band["name"]] = {**found.get(band["name"], {}), **band}
    return found
