"""What a tile's job takes: core-seconds, memory and pixels read, by its products and its cropland.

A few sample tiles are planned in full. What others take follows from these by their numbers of products,

    a + pixels * (b * s2 + c * s1 + d)          (pixels in millions, coefficients of 0 or more)

which reading, masking, compositing and classifying are proportional to, times the part of it that is left
where only some pixels are kept (`kept_part`). Actual jobs correct it later, back end by back end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from acreage.core.tariff import Use

IDLE_PART = 0.25
"""Of the core-seconds of a tile that is all cropland: what one with hardly any takes. Assumed."""
SHARE_POWER = 0.5
"""How the rest grows with the share of cropland: parcels touch many blocks, decoded whole. Assumed, too."""
MEMORY_STEP = 100  # megabytes that memory is rounded up to


@dataclass(frozen=True)
class Load:
    """What a job has to do.

    Attributes:
        megapixels: of the tile, in millions of pixels.
        share: of cropland, 0 to 1.
        s2, s1: products.
    """

    megapixels: float
    share: float
    s2: int
    s1: int


@dataclass(frozen=True)
class Need:
    """What a job takes.

    Attributes:
        core_seconds: of a core of the reference.
        memory_mb: peak, 10 ** 6 bytes.
        source_megapixels: asked of the files.
    """

    core_seconds: float
    memory_mb: float
    source_megapixels: float

    def use(self, cores: int = 1) -> Use:
        """What a tariff counts."""
        seconds = self.core_seconds / cores
        return Use(self.core_seconds, self.memory_mb / 1e3 * seconds, self.source_megapixels)


def kept_part(share: float) -> float:
    """What is left of the work where only a share of the pixels is kept; 1 where all are."""
    left: float = min(max(share, 0.0), 1.0) ** SHARE_POWER
    return IDLE_PART + (1 - IDLE_PART) * left


Coefficients = tuple[float, float, float, float]


@dataclass(frozen=True)
class JobModel:
    """How needs follow from loads.

    Attributes:
        seconds, source: coefficients a, b, c, d of core-seconds and of source megapixels.
        memory_mb: what a job with no products takes, and what each product adds.
        samples: sample tiles that it was fitted to; 0: the coefficients that acreage comes with.
        error: median of the relative errors of core-seconds, each sample told by the others; 0 without.
    """

    seconds: Coefficients
    source: Coefficients
    memory_mb: tuple[float, float]
    samples: int = 0
    error: float = 0.0

    def need(self, load: Load) -> Need:
        """What a job takes."""
        terms = _terms(load)
        memory = self.memory_mb[0] + self.memory_mb[1] * (load.s2 + load.s1)
        return Need(
            float(np.dot(self.seconds, terms)) * kept_part(load.share),
            float(math.ceil(memory / MEMORY_STEP - 1e-9) * MEMORY_STEP),
            float(np.dot(self.source, terms)) * kept_part(load.share),
        )


SHIPPED = JobModel(seconds=(20.9, 0.61, 0.0, 0.0), source=(22.1, 2.73, 6.64, 0.0), memory_mb=(2060.0, 3.9))
"""Of tiles of a simulated archive (docs/production.md); where no sample tiles are planned."""


def fit(samples: Sequence[tuple[Load, Need]]) -> JobModel:
    """The model of sample tiles whose needs were planned as if all of their pixels were kept.

    With fewer than four samples, or where products do not vary, several coefficients would fit: those of 0 or
    more that fit best are taken, and tiles like the samples are told right.

    Args:
        samples: at least one.
    """
    terms = np.array([_terms(load) for load, _ in samples])
    seconds = np.array([need.core_seconds for _, need in samples])
    source = np.array([need.source_megapixels for _, need in samples])
    errors = []
    for n in range(len(samples) if len(samples) > 1 else 0):
        others = np.arange(len(samples)) != n
        told = float(terms[n] @ _nonnegative(terms[others], seconds[others]))
        errors.append(abs(told / seconds[n] - 1) if seconds[n] else 0.0)
    return JobModel(
        _four(_nonnegative(terms, seconds)),
        _four(_nonnegative(terms, source)),
        _memory(samples),
        len(samples),
        float(np.median(errors)) if errors else 0.0,
    )


def choose_samples(loads: Sequence[Load], number: int) -> tuple[int, ...]:
    """Positions of tiles that stand for all: spread evenly over the numbers of products.

    Args:
        loads: of tiles that are mapped.
        number: how many at most.
    """
    if not loads or number < 1:
        return ()
    order = sorted(range(len(loads)), key=lambda n: (loads[n].s2 + loads[n].s1, loads[n].share, n))
    steps = np.linspace(0, len(order) - 1, min(number, len(order)))
    return tuple(dict.fromkeys(order[round(float(s))] for s in steps))


def _terms(load: Load) -> NDArray[np.float64]:
    return np.array([1.0, load.megapixels * load.s2, load.megapixels * load.s1, load.megapixels])


def _nonnegative(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    # In columns of one size, for the sake of numerical stability.
    size = np.maximum(np.abs(terms).max(axis=0), 1e-12)
    found, _ = nnls(terms / size, values)
    return np.asarray(found / size, dtype=np.float64)


def _memory(samples: Sequence[tuple[Load, Need]]) -> tuple[float, float]:
    """A line over all samples: a job must not get less than it takes."""
    products = np.array([[1.0, load.s2 + load.s1] for load, _ in samples])
    memory = np.array([need.memory_mb for _, need in samples])
    found = _nonnegative(products, memory)
    short = float(np.max(memory - products @ found))
    return float(found[0]) + max(short, 0.0), float(found[1])


def _four(values: NDArray[np.float64]) -> Coefficients:
    a, b, c, d = (float(v) for v in values)
    return a, b, c, d
