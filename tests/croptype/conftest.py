"""Generated samples, their legend, and a small model trained on them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from acreage.core.legend import Legend, LegendClass
from acreage.croptype.model import TrainedModel
from acreage.croptype.modelfile import save_model
from acreage.croptype.series import Samples
from acreage.croptype.training import train
from support.croptype_samples import QUICK, make_samples


@pytest.fixture(scope="session")
def samples() -> Samples:
    return make_samples()


@pytest.fixture(scope="session")
def legend() -> Legend:
    return Legend(
        "test",
        (
            LegendClass(3, "wheat", "Wheat", "#e2b007", (40,), ("110101????", "1110")),
            LegendClass(17, "maize", "Maize", "#f4d03f", (40,), ("110106????", "12??")),
            LegendClass(40, "other", "Other", "#888888", (40,), ("11????????",)),
        ),
        other=40,
    )


@pytest.fixture(scope="session")
def model(samples: Samples, legend: Legend) -> TrainedModel:
    return train(samples, legend, (40,), QUICK)


@pytest.fixture(scope="session")
def model_file(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    return path, save_model(model, path)
