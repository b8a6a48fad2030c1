"""One job with one Dask worker and with two, alternating: the ratio of wall-clock times.

    .venv/bin/python benchmarks/dask_scaling.py --archive build/demo/archive

The job is the preprocessing graph of the crop type workflow over the whole archive, written as netCDF, which
the client does alone; with --model it is the map that this model makes, as in a production. Each
cluster is made once, computes the job once unmeasured (kernels are compiled, files are in the system's
cache), and is then used in turn. Both jobs are cut into the same windows, so that they do the same work, and
their outputs are compared. Without --archive, one is simulated.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from acreage.catalog import open_catalog
from acreage.cli.croptype_area import parse_area
from acreage.cli.runtime import udf_runner
from acreage.core.settings import load_settings
from acreage.core.udf import UdfRunner
from acreage.croptype.mapping import MapJob, map_graph
from acreage.croptype.memory import plan_batch
from acreage.croptype.modelfile import open_model
from acreage.croptype.workflow import CubeSettings, preprocess, to_graph
from acreage.engine.budget import Budget
from acreage.engine.dask.clusters import open_executor
from acreage.engine.dask.config import LocalCluster
from acreage.engine.executors import Executor
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.simulate.archive import Archive, open_archive, simulate_archive
from acreage.simulate.settings import ArchiveSettings

MEMORY = 3_000_000_000


@dataclass(frozen=True)
class Scaling:
    """Wall-clock seconds of the job, run by run, and what follows.

    Attributes:
        one: with one worker.
        two: with two.
        windows: of the plan.
        same_bytes: whether all outputs were equal.
    """

    one: tuple[float, ...]
    two: tuple[float, ...]
    windows: int
    same_bytes: bool

    @property
    def ratio(self) -> float:
        """Median with one worker over median with two."""
        return statistics.median(self.one) / statistics.median(self.two)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Run by run, neighbours in time."""
        return tuple(a / b for a, b in zip(self.one, self.two, strict=True))


def measure(archive: Archive, repeat: int = 3, area: str | None = None, model: Path | None = None) -> Scaling:
    """Run the job in turn on a cluster of one worker and one of two, each of one thread.

    Args:
        archive: simulated.
        repeat: runs on each cluster that are measured.
        area: as `acreage map` takes it; the whole archive where it is not given.
        model: what a map is made with; None: the cube is written instead.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        udf = None if model is None else stack.enter_context(udf_runner(load_settings(), 2))
        plan = _plan(archive, area, model, udf)
        executors = [
            stack.enter_context(
                open_executor(LocalCluster(workers=n), scratch=folder, memory=MEMORY, threads=n)
            )
            for n in (1, 2)
        ]
        hashes = {_run(plan, executor, folder, udf)[1] for executor in executors}
        times: tuple[list[float], list[float]] = [], []
        for _ in range(repeat):
            for executor, taken in zip(executors, times, strict=True):
                seconds, digest = _run(plan, executor, folder, udf)
                taken.append(seconds)
                hashes.add(digest)
    windows = sum(len(s.windows) for s in plan.stages)
    return Scaling(tuple(times[0]), tuple(times[1]), windows, len(hashes) == 1)


def _plan(archive: Archive, area: str | None, model: Path | None, udf: UdfRunner | None) -> Plan:
    settings = CubeSettings()
    box, _ = parse_area(area or ",".join(map(repr, archive.bbox)), settings)
    budget = Budget(MEMORY, 1, processes=2)
    if model is None:
        # Compressing is the client's work alone, and would be most of what is measured.
        cube = preprocess(box, archive.settings.season, settings).cube
        graph = to_graph(cube, "netCDF", {"compression": "none"})
    else:
        batch = plan_batch(open_model(model), MEMORY // 8)
        job = MapJob(box, "scaling", archive.settings.season, model, settings, batch_pixels=batch.pixels)
        graph, budget = map_graph(job)[0], replace(budget, udf=batch.memory)
    return make_plan(parse_graph(graph), open_catalog(archive.catalog), budget, udf)


def _run(plan: Plan, executor: Executor, folder: Path, udf: UdfRunner | None) -> tuple[float, str]:
    out = folder / ("cube.nc" if udf is None else "map.tif")
    started = time.perf_counter()
    run_plan(plan, out, udf=udf, executor=executor, scratch=folder, overwrite=True)
    seconds = time.perf_counter() - started
    with out.open("rb") as file:
        return seconds, hashlib.file_digest(file, "sha256").hexdigest()


def report(found: Scaling) -> Sequence[str]:
    """Lines for a person."""
    return (
        f"one worker:  {', '.join(f'{t:.2f}' for t in found.one)} s",
        f"two workers: {', '.join(f'{t:.2f}' for t in found.two)} s",
        f"ratio {found.ratio:.2f} (run by run {', '.join(f'{r:.2f}' for r in found.ratios)})",
        f"{found.windows} windows, outputs {'equal' if found.same_bytes else 'NOT EQUAL'}",
    )


def main() -> None:
    """Print the times and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--size-km", type=float, default=5.12)
    parser.add_argument("--area", help="part of the archive, as EPSG:3035:west,south,east,north")
    parser.add_argument("--model", type=Path, help="make maps with this model")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.archive is None:
            settings = ArchiveSettings.around((6.0, 48.92), given.size_km)
            archive = simulate_archive(Path(folder) / "archive", settings)
        else:
            archive = open_archive(given.archive)
        print("\n".join(report(measure(archive, given.repeat, given.area, given.model))))


if __name__ == "__main__":
    main()
