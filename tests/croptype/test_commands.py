from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from acreage.cli.main import app
from acreage.croptype.modelfile import model_sha256, open_model
from acreage.croptype.series import Samples, write_samples

QUICK = ["--members", "2", "--epochs", "6"]


@pytest.fixture
def samples_file(samples: Samples, tmp_path: Path) -> Path:
    write_samples(samples, tmp_path / "samples.parquet")
    return tmp_path / "samples.parquet"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def words_of(result: Result) -> str:
    return " ".join(result.output.split())


def test_train_writes_a_model_and_its_card_and_scores_what_was_held_out(
    samples_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.pt"
    result = run("train", samples_file, "--out", out, "--holdout", "region=south", *QUICK)
    assert result.exit_code == 0, result.output
    assert model_sha256(out) in words_of(result).replace(" ", "") or model_sha256(out) in result.output
    assert "On the 60 samples of region=south, never trained on" in words_of(result)
    assert open_model(out).training["regions"] == ["north"]
    card = out.with_suffix(".md").read_text()
    assert model_sha256(out) in card
    assert "In bf16 0 of 60 training samples" in " ".join(card.split())


def test_train_takes_the_architecture_that_it_is_told(samples_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.pt"
    words = ("--architecture", "temporal_cnn", "--teacher", "patch_mlp", "--members", 2, "--epochs", 1)
    result = run("train", samples_file, "--out", out, *words)
    assert result.exit_code == 0, result.output
    model = open_model(out)
    assert model.network["architecture"] == "temporal_cnn"
    assert model.training["options"]["teacher"] == "patch_mlp"


def test_a_model_that_is_there_is_not_overwritten_unasked(samples_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.pt"
    out.write_text("precious")
    result = run("train", samples_file, "--out", out, *QUICK)
    assert (result.exit_code, out.read_text()) == (2, "precious")
    assert "--overwrite" in result.output
    assert run("train", samples_file, "--out", out, "--overwrite", *QUICK).exit_code == 0
    assert open_model(out).landcover == (40,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--legend", "none"], "no legend 'none'"),
        (["--landcover", "41"], "--landcover is '41'"),
        (["--season", "2019-01-01/2019-03-31"], "lack 6 dekads"),
        (["--season", "spring"], "'spring' is not a season"),
        (["--without", "wheet"], "no class wheet"),
        (["--holdout", "region=east"], "Values of region: north, south"),
        (["--holdout", "east"], "region=NAME"),
        (["--members", "1"], "at least 2 members"),
        (["--architecture", "oracle"], "no architecture 'oracle'"),
        (["--teacher", "oracle"], "no architecture 'oracle' for a teacher"),
    ],
)
def test_wrong_options_of_train_end_in_a_message(
    samples_file: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run("train", samples_file, "--out", tmp_path / "m.pt", *arguments)
    assert result.exit_code == 2
    assert words in words_of(result)
    assert "Traceback" not in result.output
    assert not (tmp_path / "m.pt").exists()


def test_validate_reports_folds_and_regions_of_both_methods(samples_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    result = run(
        "validate", samples_file, "--folds", 2, "--seeds", 1, "--members", 2, "--compare", "random-forest",
        "--regions", 60, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads(out.read_text())
    assert [(r["experiment"], r["method"], r["tested"]) for r in data["results"]] == [
        ("folds", "model", 120),
        ("folds", "random-forest", 120),
        ("north -> south", "model", 60),
        ("north -> south", "random-forest", 60),
        ("south -> north", "model", 60),
        ("south -> north", "random-forest", 60),
    ]
    assert all(np.sum(r["pooled"]["confusion"]) == r["tested"] for r in data["results"])
    assert "--compare random-forest --regions 60" in data["command"]
    assert "random-forest" in result.output


def test_validate_scores_a_finished_model(
    samples_file: Path, model_file: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "report.md"
    result = run("validate", samples_file, "--model", model_file[0], "--out", out)
    assert result.exit_code == 0, result.output
    assert "on 120 samples" in words_of(result)
    assert "| maize | 60 |" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "none.pt"], "The model none.pt cannot be read"),
        (["--compare", "oracle"], "There are: model, random-forest"),
        (["--out", "report.pdf"], "ends in .md or .json"),
        (["--regions", "100"], "Only 0 regions"),
    ],
)
def test_wrong_options_of_validate_end_in_a_message(
    samples_file: Path, arguments: list[str], words: str
) -> None:
    result = run("validate", samples_file, *arguments)
    assert result.exit_code == 2
    assert words in words_of(result)


def test_a_model_for_another_season_is_refused(samples_file: Path, model_file: tuple[Path, str]) -> None:
    result = run("validate", samples_file, "--model", model_file[0], "--season", "2019-04-01/2019-10-31")
    assert result.exit_code == 2
    assert "dekads missing from the cube: 03-01, 03-11, 03-21" in words_of(result)
