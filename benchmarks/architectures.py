"""Which network is worth its arithmetic: accuracy against pixels a second, on real and on simulated series.

    .venv/bin/python benchmarks/architectures.py --data ../shared/data --out build/architectures

Every prediction and speed is kept in the output folder; what is there is not computed again, so that tables
and plot can be redone. Tables are printed as Markdown; the plot is `architectures.png`.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

import pixel_series
from acreage.core.temporal import Season
from acreage.croptype.features import feature_matrix, fit_features
from acreage.croptype.labels import Labelled, apply_legend, open_legend, open_samples
from acreage.croptype.metrics import paired_interval
from acreage.croptype.training import TrainingOptions, train_labelled
from acreage.croptype.validation import fold_splits
from method_speeds import classical_speed, measure_speeds, network_speed

REAL = "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet"
SEASON = "2023-03-01/2023-10-31"
CLASSICAL = ("random forest", "boosting")
TAUGHT = ", taught"
CLASSICAL_SAMPLES = 4000
"""That a forest or a boosting is fitted to, at most, for measuring its speed."""
MARGIN = 0.01
"""Of accuracy, within which a network counts as no worse."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.int64]]
Fit = Callable[[Labelled, int], Predict]
"""(training part, seed) to a function from values (N, T, bands) to class indices (N,)."""


@dataclass(frozen=True)
class Experiment:
    """One data set with its splits.

    Attributes:
        name: `real` or `simulated`.
        labelled: all samples, with the true classes.
        trained_on: the same samples with the classes that training sees.
        splits: (seed, training part, part to score) as indices; a seed's scored parts cover all once.
        blocks: (N,) what the bootstrap draws: samples that are not independent of each other share a block.
        networks: options of every network, without its architecture.
    """

    name: str
    labelled: Labelled
    trained_on: NDArray[np.int64]
    splits: tuple[tuple[int, NDArray[np.int64], NDArray[np.int64]], ...]
    blocks: NDArray[np.int64]
    networks: TrainingOptions


def real(data: Path, seeds: int) -> Experiment:
    """The French series: five folds that never split a parcel, all classes."""
    samples = open_samples(data / REAL).in_season(Season.parse(SEASON)).with_gaps_filled()
    labelled = apply_legend(samples.without_terrain(), open_legend("europe"), 10)
    splits = tuple((s.seed, s.train, s.test) for s in fold_splits(labelled, 5, seeds))
    blocks = np.unique(labelled.samples.groups, return_inverse=True)[1]
    options = TrainingOptions(members=3, epochs=40, patience=10)
    return Experiment("real", labelled, labelled.targets, splits, blocks, options)


def simulated(recipe: pixel_series.Recipe) -> Experiment:
    """Pixels of simulated regions, each for training or for scoring; labels are wrong in training only."""
    made = pixel_series.simulate(recipe)
    labelled = apply_legend(made.samples, open_legend("europe"), 10)
    position = {c.name: i for i, c in enumerate(labelled.legend.classes)}
    seen = np.array([position[name] for name in made.noisy_labels.tolist()], np.int64)
    splits = ((0, np.flatnonzero(made.training), np.flatnonzero(~made.training)),)
    blocks = np.unique(labelled.samples.regions, return_inverse=True)[1]
    options = TrainingOptions(members=2, epochs=32, patience=32, batch=64, learning_rate=4e-3)
    return Experiment("simulated", labelled, seen, splits, blocks, options)


def network(options: TrainingOptions) -> Fit:
    """An ensemble of networks as `acreage train` makes it."""

    def fit(part: Labelled, seed: int) -> Predict:
        model = train_labelled(part, (), replace(options, seed=seed))
        return lambda values: np.asarray(model.classifier.probabilities(values).argmax(axis=1))

    return fit


def forest(part: Labelled, seed: int) -> Predict:
    """scikit-learn's random forest: 100 trees, leaves of at least two samples, balanced class weights."""
    spec = fit_features(part.samples)
    made = RandomForestClassifier(100, class_weight="balanced", min_samples_leaf=2, random_state=seed)
    made.fit(feature_matrix(part.samples.values, spec), part.targets)
    return lambda values: np.asarray(made.predict(feature_matrix(values, spec)), np.int64)


def boosting(part: Labelled, seed: int) -> Predict:
    """scikit-learn's histogram gradient boosting: at most 40 rounds at a rate of 0.2, 63 bins."""
    spec = fit_features(part.samples)
    made = HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.2,
        max_leaf_nodes=15,
        max_bins=63,
        early_stopping=True,
        n_iter_no_change=6,
        class_weight="balanced",
        random_state=seed,
    )
    matrix = feature_matrix(part.samples.values, spec)
    # Its binning cannot take a column without two different values.
    known = np.array([len(np.unique(c[np.isfinite(c)])) > 1 for c in matrix.T])
    made.fit(matrix[:, known], part.targets)
    return lambda values: np.asarray(made.predict(feature_matrix(values, spec)[:, known]), np.int64)


def methods(options: TrainingOptions) -> dict[str, Fit]:
    """All that are compared, by name."""

    def alone(*names: str) -> dict[str, Fit]:
        return {name: network(replace(options, architecture=name)) for name in names}

    taught = {f"patch_cnn{TAUGHT}": network(replace(options, architecture="patch_cnn", teacher="gru"))}
    classical = {"random forest": forest, "boosting": boosting}
    return {
        **alone("patch_cnn", "temporal_cnn", "patch_mlp"),
        **classical,
        **alone("gru", "transformer"),
        **taught,
    }


def predictions(experiment: Experiment, name: str, fit: Fit, folder: Path) -> NDArray[np.int64]:
    """(seeds, N) class indices of every scored sample, -1 elsewhere; kept in the folder."""
    path = folder / f"{experiment.name}-{name.replace(', ', '-').replace(' ', '-')}.npy"
    if path.exists():
        return np.asarray(np.load(path))
    samples = experiment.labelled.samples
    seeds = 1 + max(seed for seed, _, _ in experiment.splits)
    found = np.full((seeds, len(samples)), -1, np.int64)
    start = time.process_time()
    for seed, chosen, scored in experiment.splits:
        part = replace(
            experiment.labelled, samples=samples.select(chosen), targets=experiment.trained_on[chosen]
        )
        with threadpool_limits(1):
            found[seed, scored] = _in_parts(fit(part, seed), samples.values[scored])
    print(f"{experiment.name}: {name}, {time.process_time() - start:.0f} CPU seconds", flush=True)
    np.save(path, found)
    return found


def _in_parts(predict: Predict, values: NDArray[np.float32]) -> NDArray[np.int64]:
    parts = [predict(values[at : at + 16384]) for at in range(0, len(values), 16384)]
    return np.concatenate(parts)


def _measures(experiment: Experiment, fits: dict[str, Fit]) -> dict[str, Callable[[], float]]:
    """What measures the speed of each method; taught networks are as fast as untaught ones."""
    found: dict[str, Callable[[], float]] = {}
    samples = experiment.labelled.samples
    for name, fit in fits.items():
        if name not in CLASSICAL:
            found[name] = network_speed(name.partition(",")[0])
            continue
        seed, chosen, scored = experiment.splits[0]
        chosen = chosen[:: -(-len(chosen) // CLASSICAL_SAMPLES)]
        part = replace(
            experiment.labelled, samples=samples.select(chosen), targets=experiment.trained_on[chosen]
        )
        found[name] = classical_speed(functools.partial(fit, part, seed), samples.values[scored])
    return found


@dataclass(frozen=True)
class Row:
    """One method in one experiment."""

    method: str
    accuracy: float
    macro_f1: float
    difference: float
    """Accuracy minus that of the most accurate network that learns from labels alone."""
    low: float
    high: float
    """Ends of the 95 % interval of the difference: paired bootstrap over blocks."""
    pixels_per_s: float


def rows(experiment: Experiment, found: dict[str, NDArray[np.int64]], speeds: dict[str, float]) -> list[Row]:
    """Every method against the most accurate of the networks that learn from labels alone."""
    targets = experiment.labelled.targets
    scored = next(iter(found.values()))[0] >= 0
    right = {name: (p[:, scored] == targets[scored]).mean(axis=0) for name, p in found.items()}
    networks = [n for n in found if n not in CLASSICAL and not n.endswith(TAUGHT)]
    best = max(networks, key=lambda n: float(right[n].mean()))
    result = []
    for name, p in found.items():
        low, high = paired_interval(right[name] - right[best], experiment.blocks[scored])
        f1 = float(np.mean([f1_score(targets[scored], one[scored], average="macro") for one in p]))
        mean = float(right[name].mean())
        result.append(Row(name, mean, f1, mean - float(right[best].mean()), low, high, speeds[name]))
    return sorted(result, key=lambda r: -r.accuracy)


def table(result: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| method | accuracy | macro-F1 | difference to the best network | pixels/s |",
        "|---|---:|---:|---|---:|",
    ]
    for r in result:
        apart = (
            "-"
            if r.difference == r.low == r.high == 0
            else (f"{100 * r.difference:+.1f} ({100 * r.low:+.1f} to {100 * r.high:+.1f}) points")
        )
        lines.append(
            f"| {r.method} | {r.accuracy:.3f} | {r.macro_f1:.3f} | {apart} | {r.pixels_per_s:,.0f} |"
        )
    return "\n".join(lines)


def draw(results: dict[str, list[Row]], path: Path) -> None:
    """Accuracy over pixels a second, one panel an experiment."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(5.2 * len(results), 4.8), squeeze=False)
    names = sorted({r.method for result in results.values() for r in result})
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        best = max(r.accuracy for r in result if r.difference == 0)
        for r in result:
            error = [[max(0.0, r.difference - r.low)], [max(0.0, r.high - r.difference)]]
            colour, mark = f"C{names.index(r.method)}", "osD^v<>PX"[names.index(r.method) % 9]
            axis.errorbar(
                r.pixels_per_s, 100 * r.accuracy, 100 * np.array(error), fmt=mark, color=colour, capsize=3,
                label=r.method,
            )  # fmt: skip
        axis.axhline(100 * (best - MARGIN), color="grey", linewidth=0.8, linestyle="--")
        axis.set_xscale("log")
        axis.margins(x=0.1)
        axis.set_xlabel("pixels a second, one thread")
        axis.set_ylabel("accuracy, %")
        axis.set_title(f"{name} series")
    marks = {
        label: mark for axis in axes[0] for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend([marks[n] for n in names], names, loc="lower center", ncols=5, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run what is not there yet, print the tables, draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path("build/architectures"))
    parser.add_argument("--only", choices=("real", "simulated"), help="one of the two experiments")
    parser.add_argument("--methods", help="some of the methods, separated by semicolons")
    parser.add_argument("--seeds", type=int, default=1, help="repetitions of the real folds")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    results: dict[str, list[Row]] = {}
    for name in ("real", "simulated"):
        if given.only in (None, name):
            made = real(given.data, given.seeds) if name == "real" else simulated(pixel_series.Recipe())
            fits = methods(made.networks)
            if given.methods:
                fits = {m: fits[m] for m in given.methods.split(";")}
            found = {m: predictions(made, m, fit, given.out) for m, fit in fits.items()}
            speeds = measure_speeds(_measures(made, fits), given.out / f"{name}-speeds.json")
            results[name] = rows(made, found, speeds)
            scored = int((next(iter(found.values()))[0] >= 0).sum())
            print(f"\n{name}: {scored} scored\n\n{table(results[name])}\n", flush=True)
    draw(results, given.out / "architectures.png")


if __name__ == "__main__":
    main()
