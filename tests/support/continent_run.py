"""The production of the small continent: two servers that differ, and what is done to them meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
from rasterio.windows import from_bounds
from tests.support.back_end_servers import BackEndServer
from tests.support.continent import large_tile, small_tiles
from tests.support.other_words import in_other_words
from tests.support.tcp_proxy import Network

from acreage.production.clock import SystemClock
from acreage.production.ledger.store import Ledger, create_ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import BackEndRecord, Production, TileRecord, TileState
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.parts import RunSettings
from acreage.production.products import TileJobs, TileProducts
from acreage.production.profiles import Profile
from acreage.production.runner import make_runner
from acreage.production.tile_job import Recipe, upload_path
from acreage.production.tiles import Tile
from acreage.production.work import Threads
from acreage.simulate.archive import Archive

USER = "carla"
TOKEN_S = 45.0
NOTE = "Simulated archive: no real satellite data."


@dataclass
class Trouble:
    """What is done to the back ends, by how many tiles are done.

    Attributes:
        west, east: the servers.
        network: between the runner and the western one.
        marks: what was done, by time.
    """

    west: BackEndServer
    east: BackEndServer
    network: Network
    marks: dict[float, str] = field(default_factory=dict)
    _after: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._due = [
            (4, self._damage),
            (10, self._kill),
            (22, self._cut),
            (36, self._throttle),
            (48, self._restart_west),
        ]

    def step(self, done: int) -> None:
        """Do what is due."""
        while self._due and done >= self._due[0][0]:
            self._due.pop(0)[1]()
        now = time.monotonic()
        for at, action in [a for a in self._after if a[0] <= now]:
            self._after.remove((at, action))
            action()

    @property
    def is_over(self) -> bool:
        return not self._due and not self._after

    def _mark(self, text: str) -> None:
        self.marks[time.time()] = text
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._after.append((time.monotonic() + seconds, action))

    def _damage(self) -> None:
        self.network.damage = 1
        self._mark("an image will be damaged on its way")

    def _kill(self) -> None:
        self.east.kill()
        self._mark("east is killed")
        self._later(60, self._again)

    def _again(self) -> None:
        self.east.start(wait=False)
        self._mark("east is started again")

    def _cut(self) -> None:
        self.network.cut()
        self._mark("network of west is cut")
        self._later(60, self._mend)

    def _mend(self) -> None:
        self.network.mend()
        self._mark("network of west is there again")

    def _throttle(self) -> None:
        self.network.bytes_per_s = 20_000
        self._mark("network of west: 20 kB/s")
        self._later(90, self._free)

    def _free(self) -> None:
        self.network.bytes_per_s = None
        self._mark("network of west is fast again")

    def _restart_west(self) -> None:
        self.west.kill()
        self.west.start(wait=False)
        self._mark("west is killed and started")


@dataclass(frozen=True)
class Continent:
    """What was produced.

    Attributes:
        archive: that it was made of.
        ledger: of it.
        recipe: of its jobs.
        records: what each back end has on record of its jobs.
        network: that carried the western one's answers.
        marks: what was done to the back ends.
        folder: of everything.
        seconds: that the run took.
        runner_cpu_s: of the runner's process meanwhile, verification included.
    """

    archive: Archive
    ledger: Ledger
    recipe: Recipe
    records: dict[str, list[dict[str, Any]]]
    network: Network
    marks: dict[float, str]
    folder: Path
    seconds: float
    runner_cpu_s: float

    def product(self, tile: Tile) -> Path:
        return self.folder / "results" / tile.id


def record_of(tile: Tile, archive: Archive) -> TileRecord:
    """A tile as a plan has it: its cropland from the land cover, its work by its area."""
    with rasterio.open(archive.folder / "landcover.tif") as source:
        window = from_bounds(*tile.bounds, transform=source.transform).round_offsets().round_lengths()
        share = float((source.read(1, window=window) == 40).mean())
    pixels = tile.box(10.0).size
    west, south, east, north = tile.outline.bounds
    return TileRecord(
        tile.id,
        tile.crs,
        *tile.bounds,
        west,
        south,
        east,
        north,
        zone="31N" if (west + east) / 2 < 6 else "32N",
        cropland_share=share,
        orbit="ascending",
        memory_mb=1_900,
        core_seconds=15 + 120 * pixels / 4e6,
        cost=0.01,
        priority=share + (1 if pixels > 1e6 else 0),
    )


def profiles_of(west: str, east: str, words: dict[str, Any]) -> dict[str, Profile]:
    """Two back ends that differ: the eastern one has names of its own, one job at a time, and is dearer."""

    def login(variable: str) -> dict[str, Any]:
        return {"kind": "basic", "username": USER, "password_variable": variable}

    common = {"model": {"kind": "upload"}, "job": {"memory": {"memory": "{mb}MB"}, "cores": "cores"}}
    return {
        "west": Profile.from_dict(
            {
                **common,
                "url": west,
                "login": login("CONTINENT_WEST"),
                "download_part": 20_000,
                "timeout_s": 120,
                "machine": {"cores": 2, "memory_mb": 8_000, "worker_memory_mb": 3_000},
            }
        ),
        "east": Profile.from_dict(
            {
                **common,
                "url": east,
                "login": login("CONTINENT_EAST"),
                "collections": words,
                "timeout_s": 120,
                "machine": {"cores": 1, "memory_mb": 4_000, "worker_memory_mb": 3_000},
            }
        ),
    }


def prices(folder: Path, cpu_hour: float) -> str:
    path = folder / "tariff.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"currency": "EUR", "cpu_hour": cpu_hour}))
    return str(path)


def servers(archive: Archive, folder: Path) -> tuple[BackEndServer, BackEndServer, dict[str, Any]]:
    (folder / "east").mkdir(parents=True, exist_ok=True)
    catalog, words = in_other_words(archive.catalog, folder / "east")
    west = BackEndServer(
        folder / "west",
        archive.catalog,
        {"ACREAGE_SERVER_JOBS_AT_ONCE": "2", "ACREAGE_SERVER_TARIFF": prices(folder / "west", 0.04)},
    )
    east = BackEndServer(
        folder / "east",
        catalog,
        {
            "ACREAGE_SERVER_JOBS_AT_ONCE": "1",
            "ACREAGE_THREADS": "1",
            "ACREAGE_MEMORY": "3GB",
            "ACREAGE_SERVER_TARIFF": prices(folder / "east", 0.09),
            # A login ends in the middle of the production, again and again.
            "ACREAGE_SERVER_TOKEN_DAYS": str(TOKEN_S / 86400),
        },
    )
    return west, east, words


def produce(
    folder: Path, archive: Archive, recipe: Recipe, profiles: dict[str, Profile], trouble: Trouble
) -> Continent:
    production = Production("A small continent", time.time(), {"currency": "EUR"}, folder / "results", 0, "")
    records = [BackEndRecord(name, p.to_dict()) for name, p in profiles.items()]
    every = [record_of(tile, archive) for tile in (large_tile(), *small_tiles())]
    ledger = create_ledger(str(folder), production, records, every)
    jobs = TileJobs(recipe, profiles)
    runner = make_runner(
        ledger,
        f"proof-{os.getpid()}",
        {
            name: OpenEoBackEnd(name, p, ((recipe.model_file, upload_path(recipe, p)),))
            for name, p in profiles.items()
        },
        jobs,
        TileProducts(jobs, folder / "results"),
        SystemClock(),
        Threads(default=4),
        RunSettings(look_s=(3.0, 15.0), settle_s=20.0, broken_jobs=50),
    )
    counted = [0.0, -1]

    def each_step() -> None:
        if time.monotonic() - counted[0] < 1:
            return
        counted[0] = time.monotonic()
        done = sum(t.state is TileState.DONE for t in tiles(ledger))
        if done != counted[1]:
            counted[1] = done
            print(f"{time.strftime('%H:%M:%S')} {done} tiles are done", flush=True)
        trouble.step(done)

    began, cpu = time.monotonic(), time.process_time()
    runner.run(each_step)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    recorded = {"west": trouble.west.jobs(USER), "east": trouble.east.jobs(USER)}
    return Continent(archive, ledger, recipe, recorded, trouble.network, trouble.marks, folder, seconds, cpu)
