"""`acreage demo`: the whole chain on a simulated archive, over a boundary of UTM zones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import geopandas as gpd
import numpy as np
import rasterio
import typer
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from acreage.catalog import open_catalog
from acreage.cli.croptype_area import parse_area
from acreage.cli.demo_truth import MappedTile, against_truth, draw_tiles
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.map import tell
from acreage.cli.runtime import budget_of, room_for_batches, udf_runner
from acreage.core.errors import InvalidInput
from acreage.core.outputs import whole_file
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.agreement import agreement
from acreage.croptype.labels import open_legend
from acreage.croptype.mapping import MapJob, make_map
from acreage.croptype.memory import plan_batch
from acreage.croptype.model_card import model_card
from acreage.croptype.model_item import write_model_item
from acreage.croptype.modelfile import open_model, save_model
from acreage.croptype.reference import read_reference
from acreage.croptype.reports import score_table
from acreage.croptype.sampling import points_in_parcels, sample_series
from acreage.croptype.series import read_samples, write_samples
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.workflow import CubeSettings
from acreage.simulate.archive import Archive, open_archive, simulate_archive
from acreage.simulate.settings import ArchiveSettings

# Six degrees east, where UTM zones 31 and 32 meet, and the swath of a Sentinel-2 orbit ends.
CENTRE = (6.0, 48.92)
TILE_M = 2560.0
POINTS_PER_PARCEL = 4
NOTE = "Simulated archive: no real satellite data."
T = TypeVar("T")


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for everything that the demo makes.")
    ] = Path("build/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated archive and of the training.")] = 1,
    memory: Annotated[str | None, typer.Option(help="Memory that a job may use, as 4GB.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Windows that are computed at once.")] = None,
) -> None:
    """Run the whole chain on two small simulated tiles: sample, train, map, compare with the truth.

    The tiles of 2.56 km lie side by side over a boundary of UTM zones. What an earlier run left in the folder
    is used again; give another folder to start anew.

    Example: `acreage demo --out build/demo`
    """
    console = Console(stderr=True)
    steps = _Demo(out, demo_settings(seed), console, memory, threads)
    started = time.monotonic()
    archive = steps.archive()
    model = steps.model(archive)
    tiles = steps.map(archive, model)
    steps.compare(archive, model, tiles)
    console.print(
        f"All in {time.monotonic() - started:.0f} s. Everything lies in {out}.", markup=False, soft_wrap=True
    )


def demo_settings(seed: int) -> ArchiveSettings:
    """The demo's archive: two tiles, the western one mostly in zone 31, the eastern one in zone 32."""
    square = ArchiveSettings.around(CENTRE, 2 * TILE_M / 1000).area
    south = (square[1] + square[3] - TILE_M) / 2
    return ArchiveSettings((square[0], south, square[2], south + TILE_M), seed=seed, s2_every=2)


def tile_bounds(settings: ArchiveSettings) -> dict[str, tuple[float, float, float, float]]:
    """Name and bounds in EPSG:3035 of each tile."""
    west, south, east, north = settings.area
    middle = (west + east) / 2
    return {"west": (west, south, middle, north), "east": (middle, south, east, north)}


class _Demo:
    """The steps; each makes what is missing and uses what is there."""

    def __init__(
        self,
        out: Path,
        settings: ArchiveSettings,
        console: Console,
        memory: str | None,
        threads: int | None,
    ) -> None:
        self.out, self.settings, self.console = out, settings, console
        self.app = load_settings()
        self.budget = budget_of(self.app, memory, threads)
        self.cube = CubeSettings()

    @property
    def season(self) -> Season:
        return self.settings.season

    def archive(self) -> Archive:
        """A simulated archive with known truth."""
        folder = self.out / "archive"
        if folder.exists():
            self.console.print(f"Archive: {folder} is there already and is used.", markup=False)
            archive = open_archive(folder)
            if archive.settings != self.settings:
                raise InvalidInput(
                    f"{folder} was simulated with other settings (seed {archive.settings.seed}).",
                    hint="Give another --out.",
                )
            return archive
        archive = self._timed(
            "Simulating",
            lambda show: simulate_archive(
                folder,
                self.settings,
                lambda done, total, _: show(done, total),
                threads=self.budget.threads,
            ),
        )
        s2, s1 = archive.count("sentinel-2-l2a"), archive.count("sentinel-1-sigma0")
        self.console.print(
            f"Simulated {s2} Sentinel-2 and {s1} Sentinel-1 products: {archive.catalog}",
            markup=False,
            soft_wrap=True,
        )
        return archive

    def model(self, archive: Archive) -> Path:
        """A model trained on pixels of the parcels that are marked for training."""
        path, samples = self.out / "model.pt", self.out / "samples.parquet"
        if not samples.exists():
            table = self._parcels(archive, "train")
            points = points_in_parcels(table, POINTS_PER_PARCEL, self.cube, self.settings.seed)
            with udf_runner(self.app) as udf:
                runner = EmbeddedRunner(open_catalog(archive.catalog), self.budget, udf, self.app.scratch)
                sampled = self._timed(
                    "Sampling", lambda show: sample_series(points, self.season, self.cube, runner, show)
                )
            write_samples(sampled.samples, samples)
            self.console.print(
                f"Sampled {len(sampled.samples)} pixels of {len(table)} training parcels: {samples}"
            )
        if not path.exists():
            self._train(samples, path)
        self.console.print(
            f"Model: {path}, its card: {path.with_suffix('.md')}", markup=False, soft_wrap=True
        )
        return path

    def _train(self, samples: Path, path: Path) -> None:
        options = TrainingOptions(members=3, epochs=60, patience=12, seed=self.settings.seed, min_samples=8)
        # What the cropland mask takes away is not trained.
        legend = open_legend("europe").without(["grassland", "vineyards", "other_permanent"])
        series = read_samples(samples)
        trained = self._timed(
            "Training",
            lambda show: train(
                series,
                legend,
                self.cube.cropland_codes,
                options,
                lambda member, epoch, most, _: show(member * most + epoch, options.members * most),
            ),
        )
        digest = save_model(trained, path)
        with whole_file(path.with_suffix(".md")) as card:
            card.write_text(model_card(trained, digest), "utf-8")
        write_model_item(trained, path, digest)

    def map(self, archive: Archive, model: Path) -> list[MappedTile]:
        """A map of each tile."""
        tiles = []
        for name, bounds in tile_bounds(self.settings).items():
            folder = self.out / "map" / name
            if not folder.exists():
                area, _ = parse_area(f"EPSG:3035:{','.join(map(repr, bounds))}", self.cube)
                job = MapJob(area, f"demo {name}", self.season, model, self.cube, NOTE)
                batch = plan_batch(open_model(model), room_for_batches(self.app, self.budget))
                job, budget = replace(job, batch_pixels=batch.pixels), replace(self.budget, udf=batch.memory)
                with udf_runner(self.app, self.budget.threads) as udf:
                    runner = EmbeddedRunner(open_catalog(archive.catalog), budget, udf, self.app.scratch)
                    result = self._timed(
                        f"Mapping {name}",
                        lambda show, job=job, runner=runner, folder=folder: make_map(  # type: ignore[misc]
                            job, runner, folder, progress=show
                        ),
                    )
                tell(result, self.console)
            tiles.append(MappedTile(f"{name}ern tile", folder))
        return tiles

    def compare(self, archive: Archive, model: Path, tiles: list[MappedTile]) -> None:
        """The maps against the truth and parcels that were not trained on, in numbers and as a picture."""
        legend = open_model(model).legend
        test = self._parcels(archive, "test")
        right = scored = 0
        for tile in tiles:
            found = agreement(tile.folder / "classes.tif", test, legend)
            right, scored = right + found.parcels_right, scored + len(found.scored)
        truth = against_truth(tiles, archive.truth, legend, self._trained(archive))
        self.console.print(score_table(truth.scores), markup=False, highlight=False)
        self.console.print(
            f"Pixels outside of the training parcels: {truth.crops:,} grow a crop of the legend. The map has "
            f"a class for {int(truth.scores.confusion.sum()):,} of them, and {truth.scores.accuracy:.1%} of "
            f"these are right (macro-F1 {truth.scores.macro_f1:.3f}); {truth.masked:,} are masked as no "
            f"cropland, {truth.unseen:,} were never seen: {truth.overall:.1%} right in all. "
            f"{truth.invented:,} of {truth.classified:,} mapped pixels grow none.",
            markup=False,
            highlight=False,
        )
        self.console.print(
            f"Parcels that were not trained on: {right} of {scored} right by majority ({right / scored:.1%})."
        )
        picture = self.out / "comparison.png"
        title = f"Crop types of two simulated tiles over a boundary of UTM zones, {self.season}"
        with whole_file(picture) as part:
            draw_tiles(tiles, archive.truth, legend, part, title, NOTE)
        for name, place in (
            ("Truth", archive.truth),
            ("Landscape", archive.picture),
            ("Maps", self.out / "map"),
            ("Picture of truth and maps", picture),
        ):
            self.console.print(f"{name}: {place}", markup=False, soft_wrap=True)

    def _trained(self, archive: Archive) -> NDArray[np.bool_]:
        """Pixels of the truth's raster that touch a training parcel."""
        table = self._parcels(archive, "train")
        with rasterio.open(archive.truth) as source:
            shapes = table.geometry.to_crs(source.crs.to_wkt())
            burnt = rasterize(
                ((g, 1) for g in shapes), source.shape, transform=source.transform, all_touched=True
            )
        return np.asarray(burnt, bool)

    def _parcels(self, archive: Archive, split: str) -> gpd.GeoDataFrame:
        table = read_reference(archive.parcels, label_column="label").table
        marked = gpd.read_file(archive.parcels)["split"].to_numpy()
        if len(marked) != len(table):
            raise InvalidInput(
                f"{archive.parcels} has parcels without geometry or label.", hint="Simulate it anew."
            )
        return table[marked == split]

    def _timed(self, what: str, run: Callable[[Callable[[int, int], None]], T]) -> T:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            return run(lambda done, total: bar.update(task, completed=done, total=total))
