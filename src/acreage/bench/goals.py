"""What the product aims at, and what was measured beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from acreage.bench.peers import ODC_STAC
from acreage.bench.preprocessing import ALL, NEEDED, OURS, SMALLER
from acreage.bench.results import PartResult, Results, Row
from acreage.bench.rounds import paired_ratio

MEMORY = 1.9e9
_TILE_S, _JOB_S, _PLAN_S = 240.0, 3.0, 1.0


@dataclass(frozen=True)
class Goal:
    """An aim with its measurement.

    Attributes:
        text: what is aimed at.
        measured: in words.
        met: whether the measurement meets it.
    """

    text: str
    measured: str
    met: bool


def goals(results: Results) -> list[Goal]:
    """The aims of which something was measured."""
    parts = {part.part: part for part in results.parts}
    found: list[Goal] = []
    for name, find in _FINDERS.items():
        if name in parts:
            found += find(parts[name])
    return found


def _preprocessing(part: PartResult) -> Iterator[Goal]:
    for case in part.cases:
        ours, needed, every = (part.find(case, n) for n in (OURS, NEEDED, ALL))
        if ours is None or needed is None or every is None:
            continue
        if case == "half-cloudy":
            ratio = paired_ratio(ours.cpu_seconds, every.cpu_seconds)
            text = f"{case}: CPU below decoding all blocks once"
            yield Goal(text, f"{ratio.median:.2f} x", ratio.median < 1)
        else:
            ratio = paired_ratio(ours.cpu_seconds, needed.cpu_seconds)
            text = f"{case}: CPU at most 2.0 x decoding the needed blocks once"
            yield Goal(text, f"{ratio.median:.2f} x", ratio.median <= 2)
        peers = [row for name in ODC_STAC if (row := part.find(case, name)) is not None]
        if peers:
            best = min(peers, key=lambda row: row.cpu)
            times = paired_ratio(best.cpu_seconds, ours.cpu_seconds).median
            text = f"{case}: at least 12 x less CPU than the better odc-stac variant ({best.name})"
            yield Goal(text, f"{times:.1f} x", times >= 12)
        yield _memory(case, ours)


def _smaller(part: PartResult) -> Iterator[Goal]:
    return (replace(goal, text=f"10 km, {goal.text}") for goal in _preprocessing(part))


def _memory(case: str, row: Row) -> Goal:
    peak = max(row.peak_memory)
    return Goal(f"{case}: peak memory at most 1.9 GB", f"{peak / 1e9:.2f} GB", peak <= MEMORY)


def _tile(part: PartResult) -> Iterator[Goal]:
    for row in part.rows:
        text = f"{row.name}, {row.case}: at most 4 minutes on two cores"
        yield Goal(text, f"{row.wall:.0f} s", row.wall <= _TILE_S)
        yield _memory(f"{row.name}, {row.case}", row)


def _large(part: PartResult) -> Iterator[Goal]:
    for row in part.rows:
        yield _memory(f"{row.name}, {row.case}", row)


def _inference(part: PartResult) -> Iterator[Goal]:
    for case in part.cases:
        bare, ours = part.find(case, "bare network"), part.find(case, "acreage")
        if bare is not None and ours is not None:
            share = paired_ratio(bare.cpu_seconds, ours.cpu_seconds).median
            text = f"Inference, {case}: at least 80 % of the bare network's pixels per second"
            yield Goal(text, f"{100 * share:.0f} %", share >= 0.8)


def _job(part: PartResult) -> Iterator[Goal]:
    row = part.find("1 km2", "warm process")
    if row is not None:
        yield Goal("1 km2 in a warm process: under 3 s", f"{row.wall:.2f} s", row.wall < _JOB_S)


def _planning(part: PartResult) -> Iterator[Goal]:
    for row in part.rows:
        yield Goal(f"Planning, {row.name}: under 1 s", f"{row.wall:.2f} s", row.wall < _PLAN_S)


def _dask(part: PartResult) -> Iterator[Goal]:
    for case in dict.fromkeys(r.case for r in part.rows):
        one, two = part.find(case, "1 worker"), part.find(case, "2 workers")
        if one is not None and two is not None:
            ratio = paired_ratio(one.wall_seconds, two.wall_seconds).median
            what = case.partition(",")[0]
            yield Goal(f"Two Dask workers, {what}: at least 1.8 x one", f"{ratio:.2f} x", ratio >= 1.8)


_FINDERS: Mapping[str, Callable[[PartResult], Iterator[Goal]]] = {
    "preprocessing": _preprocessing,
    SMALLER: _smaller,
    "tile": _tile,
    "inference": _inference,
    "job": _job,
    "planning": _planning,
    "large": _large,
    "dask": _dask,
}
