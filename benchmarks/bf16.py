"""What bf16 changes with the default network: classes of the pixels that the study scores, and the time.

    .venv/bin/python benchmarks/bf16.py --data ../shared/data --out build/bf16.json

The networks are trained as in `benchmarks/architectures.py`. Times are CPU seconds on one thread: of a batch
from series to probabilities, and of a whole window from the cube to classes, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

import inference
import pixel_series
from acreage.croptype.precision import compare_precisions
from acreage.croptype.training import train_labelled
from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS, Classifier, cpu_multiplies_bf16
from architectures import Experiment, real, simulated

TURNS = 5


@dataclass(frozen=True)
class Change:
    """What bf16 changes in one experiment.

    Attributes:
        experiment: `real` or `simulated`.
        scored: pixels.
        differ: share of them whose class is another one.
        fp32, bf16: accuracy.
        fp32_batch_s, bf16_batch_s: of one batch, median over the splits.
    """

    experiment: str
    scored: int
    differ: float
    fp32: float
    bf16: float
    fp32_batch_s: float
    bf16_batch_s: float


def change(experiment: Experiment) -> Change:
    """Train on every split and classify its scored part in both precisions."""
    labelled, right, apart, times = experiment.labelled, [], [], []
    for seed, chosen, scored in experiment.splits:
        part = replace(
            labelled, samples=labelled.samples.select(chosen), targets=experiment.trained_on[chosen]
        )
        classifier = train_labelled(part, (), replace(experiment.networks, seed=seed)).classifier
        values, wanted = labelled.samples.values[scored], labelled.targets[scored]
        single, half = (
            classifier.probabilities(values, precision=p).argmax(axis=1) for p in ("fp32", "bf16")
        )
        apart.append(single != half)
        right.append(np.stack([single == wanted, half == wanted], axis=1))
        times.append(compare_precisions(classifier, values[:BATCH_PIXELS], TURNS))
    accuracy = np.concatenate(right).mean(axis=0)
    return Change(
        experiment.name,
        sum(len(a) for a in apart),
        float(np.concatenate(apart).mean()),
        float(accuracy[0]),
        float(accuracy[1]),
        statistics.median(t.fp32_s for t in times),
        statistics.median(t.bf16_s for t in times),
    )


def pixels_per_s(classifier: Classifier) -> dict[str, float]:
    """From the cube to classes, in both precisions in turns: medians."""
    found: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(TURNS):
        for precision, speeds in found.items():
            speeds.append(
                inference.measure(classifier, side=128, rounds=3, precision=precision).ours_pixels_per_s
            )
    return {p: statistics.median(speeds) for p, speeds in found.items()}


def main() -> None:
    """Measure, print, and write the numbers with `--out`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not cpu_multiplies_bf16():
        print("This processor does not multiply in bf16: the times are those of an emulation.")
    speeds = pixels_per_s(inference.untrained())
    print(
        ", ".join(f"{p}: {s:,.0f} pixels/s from the cube to classes" for p, s in speeds.items()), flush=True
    )
    changes = []
    for experiment in (real(given.data, 1), simulated(pixel_series.Recipe())):
        changes.append(found := change(experiment))
        print(
            f"{found.experiment}: {found.differ:.2%} of {found.scored} classes differ; accuracy "
            f"{found.fp32:.4f} in fp32, {found.bf16:.4f} in bf16; a batch "
            f"{1000 * found.fp32_batch_s:.1f} and {1000 * found.bf16_batch_s:.1f} ms",
            flush=True,
        )
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        content = {"pixels_per_s": speeds, "changes": [asdict(c) for c in changes]}
        given.out.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
