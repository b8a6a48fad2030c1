"""What is chosen for a tile from what its catalog holds: orbit direction, and how many products may fail."""

from __future__ import annotations

from acreage.core.temporal import Season, periods
from acreage.croptype.orbits import DIRECTIONS
from acreage.production.planning.observations import Observed


def chosen_orbit(observed: Observed, asked: str) -> str:
    """`ascending`, `descending` or `both`; for `best` the direction whose passes cover more of the tile."""
    if asked != "best":
        return asked
    first, second = (round(observed.coverage.get(d, 0.0), 6) for d in DIRECTIONS)
    return DIRECTIONS[1] if second > first else DIRECTIONS[0]


def chosen_tolerance(observed: Observed, orbit: str, season: Season, most: float) -> float:
    """The share of a tile's Sentinel-1 products that may fail.

    So many that each dekad still keeps one pass over the whole tile on average, and never more than `most`:
    where passes are few, each is needed.
    """
    directions = DIRECTIONS if orbit == "both" else (orbit,)
    coverage = sum(observed.coverage.get(d, 0.0) for d in directions)
    dekads = sum(1 for _ in periods("dekad", *season.interval))
    spare = 1 - dekads / coverage if coverage > dekads else 0.0
    return round(min(most, spare), 4)
