"""Accuracy on samples that were not trained on: repeated stratified folds, and one region for another."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from acreage.core.errors import InvalidInput
from acreage.croptype.features import feature_matrix, fit_features
from acreage.croptype.labels import Labelled
from acreage.croptype.metrics import Scores, score
from acreage.croptype.model import TrainedModel
from acreage.croptype.series import Samples
from acreage.croptype.training import TrainingOptions, train_labelled

Method = Callable[[Labelled, Samples, int], NDArray[np.int64]]
"""(training part, samples to predict, seed) to class indices (N,) of the training part's legend."""

Report = Callable[[str], None]
"""Called with one line after each fit."""


@dataclass(frozen=True)
class Run:
    """One method on one split."""

    method: str
    experiment: str
    seed: int
    fold: int
    trained_on: int
    scores: Scores


@dataclass(frozen=True)
class Split:
    """Which samples to train on and which to score, as indices."""

    experiment: str
    seed: int
    fold: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def model_method(options: TrainingOptions) -> Method:
    """Our own model, trained with these options and the split's seed."""

    def fit_predict(part: Labelled, unseen: Samples, seed: int) -> NDArray[np.int64]:
        # Land cover plays no part in scoring: nothing is masked here.
        model = train_labelled(part, (), replace(options, seed=seed))
        return np.asarray(model.predict(unseen).argmax(axis=1))

    return fit_predict


def forest_method(options: TrainingOptions, trees: int = 500) -> Method:
    """scikit-learn's random forest on the same features: 500 trees, balanced class weights, leaves of two.

    Missing values are given to it as NaN, which it splits on.
    """

    def fit_predict(part: Labelled, unseen: Samples, seed: int) -> NDArray[np.int64]:
        known, asked = part.samples, unseen
        if not options.terrain:
            known, asked = known.without_terrain(), asked.without_terrain()
        spec = fit_features(known)
        forest = RandomForestClassifier(trees, class_weight="balanced", min_samples_leaf=2, random_state=seed)
        forest.fit(feature_matrix(known.values, spec), part.targets)
        return np.asarray(forest.predict(feature_matrix(asked.values, spec)), np.int64)

    return fit_predict


METHODS: dict[str, Callable[[TrainingOptions], Method]] = {
    "model": model_method,
    "random-forest": forest_method,
}
"""Methods by the names that `acreage validate --compare` takes."""


def fold_splits(labelled: Labelled, folds: int, seeds: int) -> Iterator[Split]:
    """Stratified folds that never split a group, once for every seed 0 .. seeds - 1.

    Raises:
        InvalidInput: fewer samples of every class than folds.
    """
    for seed in range(seeds):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            try:
                parts = list(splitter.split(labelled.targets, labelled.targets, labelled.samples.groups))
            except ValueError as error:
                raise InvalidInput(f"The samples cannot be split into {folds} folds: {error}") from error
        for fold, (fit, test) in enumerate(parts):
            yield Split("folds", seed, fold, fit, test)


def region_splits(labelled: Labelled, seeds: int, min_samples: int = 100) -> Iterator[Split]:
    """Train on one region, score on another, for every ordered pair of regions with enough samples.

    Raises:
        InvalidInput: fewer than two such regions.
    """
    regions, counts = np.unique(labelled.samples.regions, return_counts=True)
    large = [str(r) for r, n in zip(regions, counts, strict=True) if n >= min_samples]
    if len(large) < 2:
        raise InvalidInput(
            f"Only {len(large)} regions have {min_samples} samples or more: "
            + ", ".join(f"{r} ({n})" for r, n in zip(regions, counts, strict=True)),
        )
    for source in large:
        for target in large:
            if source != target:
                fit, test = (np.flatnonzero(labelled.samples.regions == r) for r in (source, target))
                for seed in range(seeds):
                    yield Split(f"{source} -> {target}", seed, 0, fit, test)


def evaluate(
    labelled: Labelled, splits: Iterator[Split], methods: dict[str, Method], report: Report | None = None
) -> list[Run]:
    """Every method on every split; all see the same training and test samples."""
    runs = []
    for split in splits:
        part = replace(
            labelled, samples=labelled.samples.select(split.train), targets=labelled.targets[split.train]
        )
        unseen = labelled.samples.select(split.test)
        for name, method in methods.items():
            found = method(part, unseen, split.seed)
            scores = score(labelled.targets[split.test], found, labelled.names)
            runs.append(Run(name, split.experiment, split.seed, split.fold, len(split.train), scores))
            if report:
                report(f"{split.experiment}, seed {split.seed}, fold {split.fold}: {name}")
    return runs


@dataclass(frozen=True)
class Summary:
    """One method in one experiment. A seed's folds are pooled first, then seeds are averaged."""

    method: str
    experiment: str
    tested: int
    """Samples scored for each seed."""
    seeds: int
    accuracy: float
    accuracy_sd: float
    """Standard deviation over seeds (n - 1), 0 for a single seed."""
    macro_f1: float
    macro_f1_sd: float
    pooled: Scores
    """All seeds and folds together."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        own = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "pooled"}
        return {**own, "pooled": self.pooled.to_dict()}


def summarise(runs: list[Run]) -> list[Summary]:
    """Summaries in the order in which experiments and methods first appear."""
    result = []
    for experiment, method in dict.fromkeys((r.experiment, r.method) for r in runs):
        chosen = [r for r in runs if (r.experiment, r.method) == (experiment, method)]
        seeds = sorted({r.seed for r in chosen})
        pooled = [_pool([r.scores for r in chosen if r.seed == seed]) for seed in seeds]
        accuracy, f1 = np.array([p.accuracy for p in pooled]), np.array([p.macro_f1 for p in pooled])
        ddof = 1 if len(seeds) > 1 else 0
        result.append(
            Summary(
                method,
                experiment,
                int(pooled[0].confusion.sum()),
                len(seeds),
                float(accuracy.mean()),
                float(accuracy.std(ddof=ddof)),
                float(f1.mean()),
                float(f1.std(ddof=ddof)),
                _pool(pooled),
            )
        )
    return result


def score_model(model: TrainedModel, samples: Samples) -> tuple[Scores, dict[str, int]]:
    """Scores of a finished model on samples, and the labels (with counts) that its legend does not know.

    Raises:
        ModelMismatch: the samples lack the model's bands or dekads.
        InvalidInput: no sample has a label of the model's legend.
    """
    found = [model.legend.classify(label) for label in samples.labels.tolist()]
    known = np.array([c is not None for c in found])
    unknown = {
        str(k): int(v) for k, v in zip(*np.unique(samples.labels[~known], return_counts=True), strict=True)
    }
    if not known.any():
        raise InvalidInput("No sample has a label that the model's legend knows.")
    position = {c.code: i for i, c in enumerate(model.legend.classes)}
    wanted = np.array([position[c.code] for c in found if c is not None], np.int64)
    guessed = model.predict(samples.select(known)).argmax(axis=1)
    return score(wanted, guessed, [c.name for c in model.legend.classes]), unknown


def _pool(scores: list[Scores]) -> Scores:
    return Scores(scores[0].names, functools.reduce(np.add, [s.confusion for s in scores]))
