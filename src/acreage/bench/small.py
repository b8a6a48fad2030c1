"""What a person waits for: start-up, planning, a job on one square kilometre, sampling points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
from pydantic import ByteSize, TypeAdapter

from acreage.bench.jobs import centred
from acreage.bench.process import Measured
from acreage.bench.results import PartResult, Row
from acreage.bench.rounds import in_turn
from acreage.bench.setup import Bench, acreage, answer, probe

POINTS = 1000
_TIMES = 5  # a probe repeats inside of its process


def memory_of(bench: Bench) -> int:
    """The memory of a job in bytes."""
    return int(TypeAdapter(ByteSize).validate_python(bench.memory))


def measure_start_up(bench: Bench) -> PartResult:
    """The help, and the plan of the tile's preprocessing, by the command line."""
    graph, catalog = bench.graph(), bench.catalog("natural")
    runs = {
        "acreage --help": lambda: bench.run(lambda folder: acreage("--help")),
        "acreage execute --plan": lambda: bench.run(
            lambda folder: acreage("execute", str(graph), "--catalog", str(catalog), "--plan")
        ),
    }
    done = in_turn(runs, bench.rounds, bench.teller("command line"))
    rows = tuple(Row.of("cold", name, measured) for name, measured in done.items())
    return PartResult("start-up", "command line, files in the page cache", rows)


def measure_planning(bench: Bench) -> PartResult:
    """The plan of the tile's preprocessing in a running process: catalog opened, graph parsed, plan made."""
    bench.tell("planning")
    arguments = {
        "graph": str(bench.graph()),
        "catalog": str(bench.catalog("natural")),
        "memory": memory_of(bench),
        "threads": bench.threads,
        "times": _TIMES,
    }
    measured = bench.run(lambda folder: probe("planning", **arguments))
    told = answer(measured)
    case = f"{bench.area.width * 10 / 1000:g} km tile"
    facts = {k: told[k] for k in ("windows", "amplification", "memory_bytes", "core_seconds")}
    cpu, wall = told["cpu_seconds"], told["wall_seconds"]
    rows = (
        Row(case, "first plan of a process", (cpu[0],), (wall[0],), (), facts),
        Row(case, "later plans", tuple(cpu[1:]), tuple(wall[1:]), (measured.peak_memory,)),
    )
    return PartResult("planning", "catalog opened, graph parsed, plan made; imports not counted", rows)


def measure_job(bench: Bench) -> PartResult:
    """The preprocessing of one square kilometre: in a process that has run one before, and from the shell."""
    area = centred(bench.area, 1000.0)
    if bench.area.width > 3 * area.width:
        away = (bench.area.width - area.width) // 2
        elsewhere = type(area)(area.grid, area.x0 - away, area.y0, area.x1 - away, area.y1)
    else:
        elsewhere = area
    catalog, graph = bench.catalog("natural"), bench.graph(area)
    warm_graph = bench.graph(elsewhere, name="warm.json")
    bench.tell("1 km2, warm")
    arguments = {
        "graph": str(graph),
        "warm_graph": str(warm_graph),
        "catalog": str(catalog),
        "memory": memory_of(bench),
        "threads": 2,
        "times": max(bench.rounds, 2),
    }
    warm = bench.run(lambda folder: probe("warm-jobs", **arguments))
    told = answer(warm)
    runs = {"command line, cold": lambda: bench.run(bench.execute(catalog, graph, threads=2))}
    cold = in_turn(runs, bench.rounds, bench.teller("1 km2"))
    rows = (
        Row(
            "1 km2",
            "warm process",
            tuple(told["cpu_seconds"]),
            tuple(told["wall_seconds"]),
            (warm.peak_memory,),
        ),
        *(Row.of("1 km2", name, measured) for name, measured in cold.items()),
    )
    return PartResult("job", f"preprocessing, {bench.season}, 2 threads, catalog search included", rows)


def measure_sampling(bench: Bench) -> PartResult:
    """`acreage sample` of points that are spread over the archive."""
    points = points_of(bench)
    count = len(gpd.read_file(points))
    runs: dict[str, Callable[[], Measured]] = {
        "acreage sample": lambda: bench.run(lambda folder: _sample(bench, points, folder))
    }
    done = in_turn(runs, bench.rounds, bench.teller("command line"))
    rows = tuple(Row.of(f"{count} points", name, measured) for name, measured in done.items())
    return PartResult("sampling", f"dekad series, {bench.season}, 2 threads", rows)


def _sample(bench: Bench, points: Path, folder: Path) -> Sequence[str]:
    return acreage(
        *("sample", str(points), "--catalog", str(bench.catalog("natural"))),
        *("--season", str(bench.season), "--out", str(folder / "samples.parquet"), "--threads", "2"),
    )


def points_of(bench: Bench) -> Path:
    """Points of the archive, drawn once."""
    path = bench.work / "points.gpkg"
    if not path.exists():
        bench.work.mkdir(parents=True, exist_ok=True)
        frame = gpd.read_file(bench.archive.points)
        frame.sample(n=min(POINTS, len(frame)), random_state=1).to_file(path, driver="GPKG")
    return path
