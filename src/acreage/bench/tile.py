"""The whole tile, all cropland, from archive to COG with a model of the default kind, on two cores."""

from __future__ import annotations

from pathlib import Path

from acreage.bench.process import run_measured
from acreage.bench.results import PartResult, Row
from acreage.bench.rounds import in_turn
from acreage.bench.setup import Bench, acreage
from acreage.bench.small import points_of

THREADS = 2


def measure_tile(bench: Bench) -> PartResult:
    """`acreage map` of the tile, wall and memory."""
    model, catalog = default_model(bench), bench.catalog("clear")
    area = ",".join(map(str, bench.area.bounds))
    runs = {
        "acreage map": lambda: bench.run(
            lambda folder: acreage(
                *("map", "--catalog", str(catalog), "--area", f"EPSG:3035:{area}"),
                *("--season", str(bench.season), "--model", str(model), "--out", str(folder / "map")),
                *("--memory", bench.memory, "--threads", str(THREADS)),
            )
        )
    }
    done = in_turn(runs, bench.rounds, bench.teller("command line"))
    case = f"{bench.area.width * 10 / 1000:g} km, no cloud, all cropland"
    rows = tuple(Row.of(case, name, measured) for name, measured in done.items())
    return PartResult("tile", f"archive to COG, {bench.season}, {THREADS} threads, {bench.memory}", rows)


def default_model(bench: Bench) -> Path:
    """A model of the default kind, trained on the archive's own points; made once."""
    model, samples = bench.work / "model.pt", bench.work / "samples.parquet"
    if not samples.exists():
        bench.tell("sampling for the model")
        run_measured(
            acreage(
                *("sample", str(points_of(bench)), "--catalog", str(bench.catalog("natural"))),
                *("--season", str(bench.season), "--out", str(samples), "--threads", str(THREADS)),
            )
        )
    if not model.exists():
        bench.tell("training the model")
        run_measured(acreage("train", str(samples), "--out", str(model)))
    return model
