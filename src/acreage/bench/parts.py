"""The parts of the benchmarks by name, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from acreage.bench.growth import measure_growth
from acreage.bench.large import measure_large
from acreage.bench.preprocessing import SMALLER, measure_preprocessing, measure_smaller
from acreage.bench.results import PartResult
from acreage.bench.scripts import measure_dask, measure_inference
from acreage.bench.setup import Bench
from acreage.bench.small import measure_job, measure_planning, measure_sampling, measure_start_up
from acreage.bench.tile import measure_tile
from acreage.core.errors import InvalidInput

PARTS: Mapping[str, Callable[[Bench], PartResult]] = {
    "preprocessing": measure_preprocessing,
    SMALLER: measure_smaller,
    "tile": measure_tile,
    "inference": measure_inference,
    "start-up": measure_start_up,
    "planning": measure_planning,
    "job": measure_job,
    "sampling": measure_sampling,
    "growth": measure_growth,
    "large": measure_large,
    "dask": measure_dask,
}


def parse_parts(text: str | None) -> tuple[str, ...]:
    """Names of parts, separated by commas; all of them without any.

    Raises:
        InvalidInput: there is no part of a name.
    """
    if text is None:
        return tuple(PARTS)
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise InvalidInput(
            f"The benchmarks have no part {', '.join(map(repr, unknown))}.",
            hint=f"They have {', '.join(PARTS)}.",
        )
    return tuple(name for name in PARTS if name in wanted)
