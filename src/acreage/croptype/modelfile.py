"""Model files: one file with weights and everything needed to use them rightly.

A file of `torch.save` holding only text and tensors: `format`, `version`, `metadata` (JSON), `state` (the
weights). It is read with `weights_only`, so that no code of it is ever run.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import torch

from acreage.core.errors import InvalidInput
from acreage.core.legend import Legend
from acreage.core.outputs import whole_file
from acreage.croptype.model import TrainedModel
from acreage.croptype.udf_source.crop_type_udf import FILE_FORMAT, FILE_VERSION, read_model


def model_bytes(model: TrainedModel) -> bytes:
    """The content of a model's file; the same model gives the same bytes."""
    state = {name: tensor.detach().clone() for name, tensor in model.classifier.network.state_dict().items()}
    content = {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "metadata": json.dumps(model.metadata, sort_keys=True),
        "state": state,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def save_model(model: TrainedModel, path: Path) -> str:
    """Write the model file, whole or not at all; returns its sha256.

    Raises:
        WriteFailed: it cannot be written.
    """
    content = model_bytes(model)
    with whole_file(path) as partial:
        partial.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def open_model(path: Path) -> TrainedModel:
    """A model from its file.

    Raises:
        InvalidInput: no such file, not a model, damaged, or of another format version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The model {path} cannot be read: {error.strerror}.") from error
    try:
        metadata, classifier = read_model(content)
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}.", hint="`acreage train` writes model files.") from error
    return TrainedModel(
        Legend.from_dict(metadata["legend"]),
        classifier,
        tuple(metadata["landcover"]),
        metadata["network"],
        metadata["training"],
        metadata["metrics"],
    )


def model_sha256(path: Path) -> str:
    """The digest that a job's context carries beside the model's address."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidInput(f"The model {path} cannot be read: {error.strerror}.") from error
