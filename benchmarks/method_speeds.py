"""Pixels a second of the methods of the architecture study, on one thread and in CPU seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import inference
from acreage.croptype.training import TrainingOptions

TURNS = 3
PIXELS = 2048
"""That forest and boosting classify at once."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def measure_speeds(measures: dict[str, Callable[[], float]], path: Path) -> dict[str, float]:
    """Pixels a second of every method; what the file knows is not measured again.

    All are measured in turns and the median counts: the machine is not equally fast all the time.
    """
    known: dict[str, float] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    missing = {name: measure for name, measure in measures.items() if name not in known}
    turns = [{name: measure() for name, measure in missing.items()} for _ in range(TURNS)]
    known |= {name: float(np.median([turn[name] for turn in turns])) for name in missing}
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    return known


def network_speed(architecture: str) -> Callable[[], float]:
    """From the cube to classes, an ensemble as `acreage train` makes it, with random weights."""
    classifier = inference.untrained(architecture, TrainingOptions().members)
    side = 128 if architecture in ("patch_cnn", "patch_mlp") else 64
    return lambda: inference.measure(classifier, side=side, rounds=3).ours_pixels_per_s


def classical_speed(fit: Callable[[], Predict], values: NDArray[np.float32]) -> Callable[[], float]:
    """From values (N, T, bands) to classes, features included."""
    with threadpool_limits(1):
        predict = fit()
    some = np.resize(values[:PIXELS], (PIXELS, *values.shape[1:]))

    def measure() -> float:
        times = []
        with threadpool_limits(1):
            for _ in range(3):
                start = time.process_time()
                predict(some)
                times.append(time.process_time() - start)
        return PIXELS / float(np.median(times))

    return measure
