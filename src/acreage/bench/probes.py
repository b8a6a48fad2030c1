"""Measurements inside of a process of their own: `python -m acreage.bench.probes NAME '{"argument": ...}'`.

Each prints one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any


def imports(graph: str) -> dict[str, Any]:
    """Import what `acreage execute` needs and parse a graph; compute nothing."""
    importlib.import_module("acreage.cli.execute")
    parser = importlib.import_module("acreage.engine.parser")
    nodes = len(parser.parse_graph(json.loads(Path(graph).read_text("utf-8"))).nodes)
    return {"nodes": nodes}


def writing(shape: list[int], bands: int, out: str) -> dict[str, Any]:
    """Write float32 numbers of a cube's shape (t, y, x) and bands as uncompressed netCDF."""
    import netCDF4
    import numpy as np

    values = np.random.default_rng(1).random((shape[0], min(256, shape[1]), shape[2]), dtype=np.float32)
    cpu, wall = time.process_time(), time.monotonic()
    with netCDF4.Dataset(out, "w", format="NETCDF4") as file:
        file.set_fill_off()
        for name, length in zip("tyx", shape, strict=True):
            file.createDimension(name, length)
        variables = [
            file.createVariable(f"band{n}", "f4", ("t", "y", "x"), fill_value=False) for n in range(bands)
        ]
        for row in range(0, shape[1], values.shape[1]):
            rows = min(values.shape[1], shape[1] - row)
            for variable in variables:
                variable[:, row : row + rows] = values[:, :rows]
    return _took(cpu, wall)


def planning(graph: str, catalog: str, memory: int, threads: int, times: int) -> dict[str, Any]:
    """Open the catalog and plan a graph, several times; the first is cold."""
    from acreage.catalog import open_catalog
    from acreage.engine.budget import Budget
    from acreage.engine.parser import parse_graph
    from acreage.engine.planner import make_plan

    document = json.loads(Path(graph).read_text("utf-8"))
    cpu, wall = [], []
    for _ in range(times):
        c, w = time.process_time(), time.monotonic()
        plan = make_plan(parse_graph(document), open_catalog(catalog), Budget(memory, threads))
        cpu.append(time.process_time() - c)
        wall.append(time.monotonic() - w)
    e = plan.estimate
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "windows": e.windows,
        "amplification": e.amplification,
        "memory_bytes": e.memory_bytes,
        "core_seconds": e.core_seconds,
    }


def warm_jobs(
    graph: str, warm_graph: str, catalog: str, memory: int, threads: int, times: int
) -> dict[str, Any]:
    """Jobs of an engine that has run one before: from the graph to its files, catalog search included."""
    from acreage.catalog import open_catalog
    from acreage.engine.budget import Budget
    from acreage.engine.parser import parse_graph
    from acreage.engine.planner import make_plan
    from acreage.engine.run import run_plan

    budget = Budget(memory, threads)

    def job(path: str, out: Path) -> None:
        document = json.loads(Path(path).read_text("utf-8"))
        run_plan(make_plan(parse_graph(document), open_catalog(catalog), budget), out)

    cpu, wall = [], []
    with tempfile.TemporaryDirectory() as folder:
        job(warm_graph, Path(folder) / "warm.nc")
        for n in range(times):
            c, w = time.process_time(), time.monotonic()
            job(graph, Path(folder) / f"{n}.nc")
            cpu.append(time.process_time() - c)
            wall.append(time.monotonic() - w)
    return {"cpu_seconds": cpu, "wall_seconds": wall}


def script(folder: str, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`measure(**arguments)` of a script in the checkout's folder `benchmarks`."""
    sys.path.insert(0, folder)
    found: dict[str, Any] = asdict(importlib.import_module(module).measure(**arguments))
    return found


def dask(
    folder: str, archive: str, area: list[float], season: str, repeat: int, model: str | None
) -> dict[str, Any]:
    """`measure` of benchmarks/dask_scaling.py on a part of an archive."""
    from dataclasses import replace

    from acreage.core.temporal import Season
    from acreage.simulate.archive import Archive, open_archive

    whole = open_archive(Path(archive))
    west, south, east, north = area
    part = replace(whole.settings, area=(west, south, east, north), season=Season.parse(season))
    sys.path.insert(0, folder)
    scaling = importlib.import_module("dask_scaling")
    found: dict[str, Any] = asdict(
        scaling.measure(Archive(whole.folder, part), repeat, model=None if model is None else Path(model))
    )
    return found


PROBES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "imports": imports,
    "writing": writing,
    "planning": planning,
    "warm-jobs": warm_jobs,
    "script": script,
    "dask": dask,
}


def _took(cpu: float, wall: float) -> dict[str, Any]:
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}


def main() -> None:
    """Run a probe and print what it found."""
    sys.stdout.write(json.dumps(PROBES[sys.argv[1]](**json.loads(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    main()
