"""An area much larger than a tile in one job: 100 km x 100 km streams to disk in bounded memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from acreage.bench.archives import CENTRE, archive_at
from acreage.bench.jobs import area_of
from acreage.bench.results import PartResult, Row
from acreage.bench.rounds import in_turn
from acreage.bench.setup import Bench
from acreage.core.temporal import Season
from acreage.simulate.settings import ArchiveSettings

THREADS = 2
SEASON = Season(date(2019, 6, 1), date(2019, 6, 10))
"""One dekad: memory depends on the area and on the dates of a period, not on the number of periods."""
_KM, _QUICK_KM = 100.0, 2.56


def measure_large(bench: Bench) -> PartResult:
    """The preprocessing of the whole area, wall and memory; its archive is simulated once."""
    side = _QUICK_KM if bench.quick else _KM
    settings = replace(
        ArchiveSettings.around(CENTRE, side, season=SEASON, s2_orbits=1),
        s1_directions=("ascending",),
        s1_orbits=1,
        reprocessed_every=0,
    )
    folder = bench.archive.folder.with_name(f"{bench.archive.folder.name}-{side:g}km")
    bench.tell(f"simulating {side:g} km x {side:g} km")
    archive = archive_at(folder, settings, None, THREADS)
    graph = bench.graph(area_of(archive.settings.area), SEASON, f"preprocess-{side:g}km.json")
    runs = {
        "acreage execute": lambda: bench.run(
            bench.execute(folder / "catalog.json", graph, threads=THREADS),
        )
    }
    done = in_turn(runs, 1, bench.teller("command line"))
    rows = tuple(Row.of(f"{side:g} km", name, measured) for name, measured in done.items())
    return PartResult("large", f"preprocessing, {SEASON}, {THREADS} threads, {bench.memory}", rows)
