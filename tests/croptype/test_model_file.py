from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from acreage.core.errors import InvalidInput, WriteFailed
from acreage.croptype.model import TrainedModel
from acreage.croptype.model_card import model_card
from acreage.croptype.modelfile import model_bytes, model_sha256, open_model, save_model
from acreage.croptype.series import Samples

ModelFile = tuple[Path, str]


def test_a_model_comes_back_from_its_file_as_it_was(
    samples: Samples, model: TrainedModel, model_file: ModelFile
) -> None:
    path, digest = model_file
    again = open_model(path)
    assert json.dumps(again.metadata, sort_keys=True) == json.dumps(model.metadata, sort_keys=True)
    assert again.legend == model.legend
    np.testing.assert_array_equal(again.predict(samples), model.predict(samples))
    assert model_sha256(path) == digest
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_a_file_saved_again_has_the_same_bytes(model_file: ModelFile) -> None:
    assert model_bytes(open_model(model_file[0])) == model_file[0].read_bytes()


def test_a_damaged_file_is_refused(model_file: ModelFile, tmp_path: Path) -> None:
    content = model_file[0].read_bytes()
    path = tmp_path / "model.pt"
    for damaged in (b"", b"not a model", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match="cannot be read"):
            open_model(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_model(tmp_path / "none.pt")


def test_a_file_with_one_changed_bit_in_its_weights_is_refused(model_file: ModelFile, tmp_path: Path) -> None:
    content = bytearray(model_file[0].read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        open_model(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "something else"}, "not a crop type model"),
        ({"version": 99}, "format version 99"),
        ({"state": {}}, "Missing key"),
        ({"metadata": "{}"}, "features"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    model_file: ModelFile, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    stored = torch.load(model_file[0], weights_only=True)
    torch.save({**stored, **change}, tmp_path / "model.pt")
    with pytest.raises(InvalidInput, match=words):
        open_model(tmp_path / "model.pt")


def test_an_unknown_architecture_is_refused_by_name(model_file: ModelFile, tmp_path: Path) -> None:
    stored = torch.load(model_file[0], weights_only=True)
    metadata = json.loads(stored["metadata"])
    metadata["network"]["architecture"] = "oracle"
    torch.save({**stored, "metadata": json.dumps(metadata)}, tmp_path / "model.pt")
    with pytest.raises(InvalidInput, match="'oracle'; known: gru, patch_cnn, patch_mlp, temporal_cnn"):
        open_model(tmp_path / "model.pt")


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of a model file was run')",)


def test_code_in_a_model_file_is_never_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"format": "acreage-crop-type-model", "trap": _Trap()}, buffer)
    (tmp_path / "model.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InvalidInput, match="cannot be read") as refusal:
        open_model(tmp_path / "model.pt")
    assert "weights_only" not in str(refusal.value)  # PyTorch's advice to run the file's code


def test_a_model_that_cannot_be_written_leaves_nothing(model: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "model.pt").mkdir()
    with pytest.raises(WriteFailed, match="could not be written"):
        save_model(model, tmp_path / "model.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_the_card_says_what_the_model_is_made_of(model: TrainedModel) -> None:
    training = {**model.training, "unmapped_labels": {"forest": 3}, "merged_classes": ["rye"]}
    card = model_card(replace(model, training=training), "ab" * 32)
    for words in (
        "ab" * 32,
        model.training["fingerprint"],
        "03-01 to 10-21",
        "| 17 | maize | Maize | 60 |",
        "forest (3)",
        "rye",
        "north, south",
        f"Accuracy {model.metrics['accuracy']:.3f}",
        "torch 2.",
    ):
        assert words in card, words
