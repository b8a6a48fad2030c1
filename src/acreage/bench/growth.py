"""How the preprocessing grows with dates, area and threads."""

from __future__ import annotations

from acreage.bench.archives import dates_of, thinned
from acreage.bench.jobs import centred
from acreage.bench.process import Measured
from acreage.bench.results import PartResult, Row
from acreage.bench.rounds import in_turn
from acreage.bench.setup import Bench

EVERY = (4, 2, 1)
SIZES_M = (5000.0, 10_000.0, 20_000.0)
THREADS = (1, 2)
_DATES_M = 5000.0  # side of the square on which dates grow


def measure_growth(bench: Bench) -> PartResult:
    """One thing at a time: dates over a year, the side of the square, threads; no cloud, all cropland."""
    rows = [*_dates(bench), *_areas(bench), *_threads(bench)]
    return PartResult("growth", "preprocessing, no cloud, all cropland", tuple(rows))


def _dates(bench: Bench) -> list[Row]:
    """The archive's whole year with every fourth, every second and every date of Sentinel-2."""
    year = bench.archive.settings.season
    source, total = bench.folder("clear"), dates_of(bench.archive.folder)
    graph = bench.graph(centred(bench.area, min(_DATES_M, bench.area.width * 10.0)), year)
    runs = {}
    for every in EVERY:
        folder = source.with_name(f"{source.name}-every-{every}")
        catalog = thinned(source, folder, every) if every > 1 else source / "catalog.json"
        runs[str(-(-total // every))] = lambda c=catalog: bench.run(bench.execute(c, graph))
    return _rows("dates of Sentinel-2", in_turn(runs, bench.rounds, bench.teller("dates")))


def _areas(bench: Bench) -> list[Row]:
    whole = bench.area.width * 10.0
    sizes = [size for size in SIZES_M if size < whole] + [whole]
    catalog = bench.catalog("clear")
    runs = {}
    for size in sizes:
        graph = bench.graph(centred(bench.area, size))
        runs[f"{size / 1000:g} km"] = lambda g=graph: bench.run(bench.execute(catalog, g))
    return _rows("side of the area", in_turn(runs, bench.rounds, bench.teller("area")))


def _threads(bench: Bench) -> list[Row]:
    graph = bench.graph(centred(bench.area, min(10_000.0, bench.area.width * 10.0)))
    catalog = bench.catalog("clear")
    runs = {str(n): lambda n=n: bench.run(bench.execute(catalog, graph, threads=n)) for n in THREADS}
    return _rows("threads", in_turn(runs, bench.rounds, bench.teller("threads")))


def _rows(case: str, done: dict[str, list[Measured]]) -> list[Row]:
    return [Row.of(case, name, measured) for name, measured in done.items()]
