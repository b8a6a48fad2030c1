"""What a part of the benchmarks is given, and the commands that it measures."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from acreage.bench.jobs import SEASON, area_of, write_graph
from acreage.bench.process import Measured, run_measured
from acreage.bench.variants import VARIANTS, Variant, make_variant
from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.simulate.archive import Archive

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """What the parts share.

    Attributes:
        archive: the archive with the simulator's own clouds and fields.
        work: folder for variants, graphs, models and outputs.
        season: of the jobs, 1 March to 31 October by default.
        rounds: how often each thing is measured.
        memory: that a job may use, as the command line takes it.
        threads: of the jobs that are compared.
        scripts: the checkout's folder `benchmarks`, with the peers; None where there is none.
        variants: clouds and land cover that the preprocessing is measured with.
        skip: names of runs of the preprocessing that are left out, because they take too long.
        tell: told what is measured next.
    """

    archive: Archive
    work: Path
    season: Season = SEASON
    rounds: int = 3
    memory: str = "1900MB"
    threads: int = 1
    scripts: Path | None = None
    variants: tuple[Variant, ...] = VARIANTS
    quick: bool = False
    skip: frozenset[str] = frozenset()
    tell: Tell = lambda text: None

    @cached_property
    def area(self) -> Box:
        """The pixels of the tile."""
        return area_of(self.archive.settings.area)

    def teller(self, what: str) -> Callable[[str, int], None]:
        """Tells of the runs of something, for `in_turn`."""
        return lambda name, number: self.tell(f"{what}: {name}, round {number + 1} is done")

    def catalog(self, variant: Variant) -> Path:
        """The catalog of a variant, made where it is missing."""
        return self.folder(variant) / "catalog.json"

    def folder(self, variant: Variant) -> Path:
        """The archive of a variant, made where it is missing."""
        if variant == "natural":
            return self.archive.folder
        folder = self.archive.folder.with_name(f"{self.archive.folder.name}-{variant}")
        make_variant(self.archive.folder, folder, variant)
        return folder

    def graph(self, area: Box | None = None, season: Season | None = None, name: str = "") -> Path:
        """The preprocessing graph of an area, a JSON file."""
        box, days = area or self.area, season or self.season
        file = name or f"preprocess-{box.width}-{days.first}-{days.last}.json"
        return write_graph(self.work / file, box, days)

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty folder that is removed with everything in it."""
        self.work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".run-", dir=self.work))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, arguments: Callable[[Path], Sequence[str]], **environment: str) -> Measured:
        """Measure a command in an empty folder, with empty caches of catalogs and of looked-at files."""
        with self.fresh() as folder:
            return run_measured(
                arguments(folder),
                environment={
                    "ACREAGE_CACHE": str(folder / "cache"),
                    "ACREAGE_QUARANTINE": str(folder / "quarantine"),
                    "ACREAGE_SCRATCH": str(folder),
                    **environment,
                },
            )

    def execute(
        self, catalog: Path, graph: Path, *options: str, threads: int | None = None
    ) -> Callable[[Path], list[str]]:
        """`acreage execute` of a graph into `cube.nc`."""
        return lambda folder: acreage(
            "execute",
            str(graph),
            "--catalog",
            str(catalog),
            "--out",
            str(folder / "cube.nc"),
            "--memory",
            self.memory,
            "--threads",
            str(threads or self.threads),
            *options,
        )


def acreage(*arguments: str) -> list[str]:
    """The command line with this interpreter, whether or not its program is on the path."""
    return [sys.executable, "-c", "from acreage.cli.main import main; main()", *arguments]


def probe(name: str, **arguments: Any) -> list[str]:
    """A measurement inside of a process of its own (`acreage.bench.probes`)."""
    return [sys.executable, "-m", "acreage.bench.probes", name, json.dumps(arguments)]


def answer(measured: Measured) -> Mapping[str, Any]:
    """What a probe printed last, as JSON."""
    found: Mapping[str, Any] = json.loads(measured.output.splitlines()[-1])
    return found
