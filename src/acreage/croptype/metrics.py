"""Scores of a classification: accuracy, F1 per class, confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """All numbers follow from the confusion matrix: rows are the reference, columns the prediction."""

    names: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def support(self) -> NDArray[np.int64]:
        """(K,) reference samples of each class."""
        return np.asarray(self.confusion.sum(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of samples whose class is right; NaN for no samples."""
        total = int(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total else float("nan")

    @property
    def precision(self) -> NDArray[np.float64]:
        """(K,) user's accuracy; 0 for a class that is never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) producer's accuracy; 0 for a class without reference."""
        return _ratio(np.diag(self.confusion), self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(K,) harmonic mean of precision and recall: 2 TP / (reference + predicted)."""
        return _ratio(2 * np.diag(self.confusion), self.support + self.confusion.sum(axis=0))

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that the reference holds; NaN for no samples."""
        present = self.support > 0
        return float(self.f1[present].mean()) if present.any() else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with the derived numbers."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "classes": [
                {"name": n, "samples": int(s), "precision": float(p), "recall": float(r), "f1": float(f)}
                for n, s, p, r, f in zip(
                    self.names, self.support, self.precision, self.recall, self.f1, strict=True
                )
            ],
            "confusion": self.confusion.tolist(),
        }


def score(reference: NDArray[np.int64], predicted: NDArray[np.int64], names: list[str]) -> Scores:
    """Scores of class indices against reference class indices, both (N,)."""
    size = len(names)
    flat = np.bincount(reference * size + predicted, minlength=size * size)
    return Scores(tuple(names), flat.reshape(size, size).astype(np.int64))


def paired_interval(
    difference: NDArray[np.float64], blocks: NDArray[np.int64], draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of the mean of paired differences.

    Args:
        difference: (N,) of two methods on the same samples, such as right (1) or wrong (0).
        blocks: (N,) numbers; samples that are not independent of each other share one. Whole blocks are drawn
            with replacement.
        draws: how often.
        seed: of the draws.
    """
    index = np.unique(blocks, return_inverse=True)[1]
    sums, counts = np.bincount(index, difference), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
