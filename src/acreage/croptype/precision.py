"""Whether a model says the same in bf16 as in fp32, and what either costs on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS, Classifier, cpu_multiplies_bf16


@dataclass(frozen=True)
class PrecisionCheck:
    """Classes of the same samples in both precisions.

    Attributes:
        samples: how many.
        disagreement: share of them whose class differs.
        fp32_s, bf16_s: CPU seconds of this process for one batch.
        batch_pixels: pixels of that batch.
        native: whether this processor multiplies in bf16; otherwise bf16 is emulated, and slow.
    """

    samples: int
    disagreement: float
    fp32_s: float
    bf16_s: float
    batch_pixels: int
    native: bool


def disagreement(classifier: Classifier, values: NDArray[np.float32]) -> float:
    """Share of samples (N, T, bands) whose class is another one in bf16 than in fp32; 0 for none."""
    single, half = (classifier.probabilities(values, precision=p).argmax(axis=1) for p in ("fp32", "bf16"))
    return float((single != half).mean()) if len(values) else 0.0


def compare_precisions(classifier: Classifier, values: NDArray[np.float32], turns: int = 3) -> PrecisionCheck:
    """Classes and times in both precisions for samples (N, T, bands) in the model's order.

    The times are those of one batch filled with the samples, medians of `turns` runs in alternation.
    """
    batch = np.resize(values, (BATCH_PIXELS, *values.shape[1:]))
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(turns):
        for precision, found in times.items():
            start = time.process_time()
            classifier.probabilities(batch, precision=precision)
            found.append(time.process_time() - start)
    return PrecisionCheck(
        samples=len(values),
        disagreement=disagreement(classifier, values),
        fp32_s=float(np.median(times["fp32"])),
        bf16_s=float(np.median(times["bf16"])),
        batch_pixels=BATCH_PIXELS,
        native=cpu_multiplies_bf16(),
    )
