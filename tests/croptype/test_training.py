from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from acreage.core.errors import InvalidInput, ModelMismatch
from acreage.core.legend import Legend
from acreage.core.temporal import Season
from acreage.croptype.labels import apply_legend, open_legend, open_samples
from acreage.croptype.metrics import score
from acreage.croptype.model import TrainedModel
from acreage.croptype.modelfile import model_bytes
from acreage.croptype.reports import summary_table, validation_data, validation_report
from acreage.croptype.series import Samples
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.udf_source.crop_type_udf import read_model
from acreage.croptype.validation import (
    METHODS,
    Split,
    evaluate,
    fold_splits,
    forest_method,
    region_splits,
    score_model,
    summarise,
)
from support.croptype_samples import QUICK, make_samples


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before), "training moved the global random state"


def test_the_same_seed_gives_the_same_model_to_the_bit(
    samples: Samples, legend: Legend, model: TrainedModel
) -> None:
    state = torch.random.get_rng_state()
    torch.rand(7)
    assert model_bytes(train(samples, legend, (40,), QUICK)) == model_bytes(model)
    torch.random.set_rng_state(state)


def test_another_seed_or_another_value_gives_another_fingerprint(
    samples: Samples, legend: Legend, model: TrainedModel
) -> None:
    short = replace(QUICK, epochs=1)
    first = train(samples, legend, (40,), short).training["fingerprint"]
    assert train(samples, legend, (40,), replace(short, seed=1)).training["fingerprint"] != first
    changed = samples.values.copy()
    changed[0, 0, samples.bands.index("VH")] = 0.5
    assert train(replace(samples, values=changed), legend, (40,), short).training["fingerprint"] != first
    assert first != model.training["fingerprint"]


def test_a_rule_that_is_in_the_series_is_learned(model: TrainedModel) -> None:
    scores, unknown = score_model(model, make_samples(200, seed=9))
    assert scores.accuracy > 0.95
    assert unknown == {}
    assert model.metrics["accuracy"] > 0.9
    assert model.training["samples"] == {"wheat": 60, "maize": 60}


def test_progress_is_told_after_each_epoch_and_training_stops_early(samples: Samples, legend: Legend) -> None:
    told: list[tuple[int, int, int, float]] = []
    options = replace(QUICK, epochs=200, patience=2, learning_rate=0.02)
    train(samples, legend, (40,), options, lambda *a: told.append(a))
    last = {member: epoch for member, epoch, _, _ in told}
    assert set(last) == {0, 1}
    assert all(epoch < 200 for epoch in last.values())
    for member in last:
        epochs = [e for m, e, _, _ in told if m == member]
        losses = [loss for m, _, _, loss in told if m == member]
        assert epochs == list(range(1, last[member] + 1))
        assert losses == sorted(losses, reverse=True)


def test_a_class_that_the_mask_removes_is_refused(samples: Samples) -> None:
    labels = np.where(np.arange(len(samples)) % 2, "grassland", "wheat")
    with pytest.raises(InvalidInput, match="removes grassland"):
        train(replace(samples, labels=labels), open_legend("europe"), (40,), QUICK)
    train(replace(samples, labels=labels), open_legend("europe"), (30, 40), replace(QUICK, epochs=1))


@pytest.mark.parametrize(
    "change",
    [
        {"members": 1},
        {"epochs": 0},
        {"drop_observations": 1.0},
        {"architecture": "oracle"},
        {"teacher": "oracle"},
        {"teacher_weight": 1.5},
        {"temperature": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        TrainingOptions(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("temporal_cnn", {"width": 8, "hidden": 8}),
        ("gru", {"hidden": 8}),
        ("transformer", {"width": 8, "heads": 2, "layers": 1}),
    ],
)
def test_every_architecture_is_trained_kept_in_a_file_and_read_again(
    samples: Samples, legend: Legend, architecture: str, settings: dict[str, int]
) -> None:
    options = replace(QUICK, architecture=architecture, settings=settings, epochs=4)
    made = train(samples, legend, (40,), options)
    assert model_bytes(train(samples, legend, (40,), options)) == model_bytes(made)
    metadata, classifier = read_model(model_bytes(made))
    assert metadata["network"] == {"architecture": architecture, "settings": settings, "members": 2}
    again = classifier.probabilities(made.values_of(samples))
    np.testing.assert_array_equal(again, made.predict(samples))


def test_a_member_that_learns_from_a_teacher_follows_it(samples: Samples, legend: Legend) -> None:
    alone = replace(QUICK, epochs=24, patience=24)
    taught = replace(alone, teacher="temporal_cnn", teacher_weight=1.0)
    model = train(samples, legend, (40,), taught)
    assert model_bytes(train(samples, legend, (40,), taught)) == model_bytes(model)
    fingerprints = {train(samples, legend, (40,), o).training["fingerprint"] for o in (alone, taught)}
    assert len(fingerprints) == 2
    # The labels have no part in the student's loss, so what it knows it knows from the teacher.
    assert score_model(model, make_samples(200, seed=9))[0].accuracy > 0.9


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    wanted, found = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    scores = score(wanted, found, list("abcde"))
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(wanted, found))
    assert scores.accuracy == pytest.approx(accuracy_score(wanted, found))
    per_class = f1_score(wanted, found, average=None, labels=range(5), zero_division=0)
    np.testing.assert_allclose(scores.f1, per_class)
    # Class e is predicted but never there: it is no class to average over.
    assert scores.macro_f1 == pytest.approx(per_class[:4].mean())


def test_folds_cover_every_sample_once_a_seed_and_split_no_group(samples: Samples, legend: Legend) -> None:
    groups = np.array([f"parcel {i // 3}" for i in range(len(samples))])
    labelled = apply_legend(replace(samples, groups=groups), legend)
    splits = list(fold_splits(labelled, 4, 2))
    assert len(splits) == 8
    for seed in (0, 1):
        tested = np.concatenate([s.test for s in splits if s.seed == seed])
        assert sorted(tested.tolist()) == list(range(len(samples)))
    for split in splits:
        assert not set(groups[split.train]) & set(groups[split.test])
        share = labelled.targets[split.test].mean()
        assert 0.4 < share < 0.6
    first, second = ([s.test.tolist() for s in splits if s.seed == seed] for seed in (0, 1))
    assert first != second


def test_regions_are_never_mixed_and_small_ones_left_out(samples: Samples, legend: Legend) -> None:
    labelled = apply_legend(samples, legend)
    splits = list(region_splits(labelled, 1, 50))
    assert [s.experiment for s in splits] == ["north -> south", "south -> north"]
    for split in splits:
        source, target = split.experiment.split(" -> ")
        assert set(samples.regions[split.train]) == {source}
        assert set(samples.regions[split.test]) == {target}
    with pytest.raises(InvalidInput, match="north \\(60\\), south \\(60\\)"):
        list(region_splits(labelled, 1, 61))


def test_all_methods_are_scored_on_the_same_samples_and_summed_up_by_seed(
    samples: Samples, legend: Legend
) -> None:
    labelled = apply_legend(samples, legend)
    methods = {"model": METHODS["model"](QUICK), "random-forest": forest_method(QUICK, 30)}
    told: list[str] = []
    runs = evaluate(labelled, fold_splits(labelled, 2, 2), methods, told.append)
    assert len(runs) == len(told) == 8
    summaries = summarise(runs)
    assert [(s.method, s.tested, s.seeds) for s in summaries] == [
        ("model", 120, 2),
        ("random-forest", 120, 2),
    ]
    forest = [r for r in runs if r.method == "random-forest"]
    by_seed = [sum(np.trace(r.scores.confusion) for r in forest if r.seed == seed) / 120 for seed in (0, 1)]
    assert summaries[1].accuracy == pytest.approx(np.mean(by_seed))
    assert summaries[1].accuracy_sd == pytest.approx(np.std(by_seed, ddof=1))
    assert summaries[1].accuracy > 0.9
    report = validation_report(labelled, summaries, "the command")
    assert "the command" in report
    assert summary_table(summaries) in report
    assert validation_data(labelled, summaries, "x")["results"][1]["pooled"]["accuracy"] > 0.9


def test_a_class_that_training_never_saw_is_never_predicted(samples: Samples, legend: Legend) -> None:
    labels = samples.labels.astype("U10")
    labels[:15] = "other"
    labelled = apply_legend(replace(samples, labels=labels), legend)
    split = Split("x", 0, 0, np.arange(40, 120), np.arange(40))
    runs = evaluate(
        labelled, iter([split]), {"model": METHODS["model"](QUICK), "random-forest": forest_method(QUICK, 30)}
    )
    for run in runs:
        assert run.scores.support[labelled.names.index("other")] == 15
        assert run.scores.recall[labelled.names.index("other")] == 0


def test_a_model_is_scored_only_on_series_it_can_read(samples: Samples, model: TrainedModel) -> None:
    labels = samples.labels.astype("U10")
    labels[:7] = "forest"
    scores, unknown = score_model(model, replace(samples, labels=labels))
    assert unknown == {"forest": 7}
    assert scores.support.sum() == len(samples) - 7
    with pytest.raises(ModelMismatch, match="dekads missing from the cube: 10-21"):
        score_model(model, replace(samples, dekads=samples.dekads[:-1], values=samples.values[:, :-1]))
    with pytest.raises(InvalidInput, match="No sample has a label"):
        score_model(model, replace(samples, labels=np.full(len(samples), "forest")))


def test_real_series_teach_more_than_the_most_frequent_class(real_data: Path) -> None:
    """Only the direction is asserted; docs/training.md has the numbers."""
    season = Season.parse("2023-03-01/2023-10-31")
    real = open_samples(real_data / "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet").in_season(season)
    arable = open_legend("europe").without(["grassland", "vineyards", "other_permanent"])
    labelled = apply_legend(real.with_gaps_filled(), arable)
    split = next(fold_splits(labelled, 4, 1))
    options = TrainingOptions(members=2, epochs=30)
    (run,) = evaluate(labelled, iter([split]), {"model": METHODS["model"](options)})
    assert run.scores.accuracy > 1.5 * run.scores.support.max() / run.scores.support.sum()
