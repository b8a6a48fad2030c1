"""`acreage demo`: the whole chain on a simulated scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import geopandas as gpd
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from acreage.catalog import open_catalog
from acreage.cli.croptype_area import parse_area
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.map import tell
from acreage.cli.runtime import budget_of, udf_runner
from acreage.core.errors import InvalidInput
from acreage.core.outputs import whole_file
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.agreement import agreement
from acreage.croptype.labels import open_legend
from acreage.croptype.mapping import MapJob, make_map
from acreage.croptype.model_card import model_card
from acreage.croptype.modelfile import open_model, save_model
from acreage.croptype.picture import draw_product
from acreage.croptype.reference import read_reference
from acreage.croptype.reports import score_table
from acreage.croptype.sampling import points_in_parcels, sample_series
from acreage.croptype.series import read_samples, write_samples
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.workflow import CubeSettings
from acreage.simulate.scene import SceneFiles, open_scene, simulate_scene
from acreage.simulate.settings import SceneSettings

POINTS_PER_PARCEL = 8
NOTE = "Simulated scene: no real satellite data."
T = TypeVar("T")


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for everything that the demo makes.")
    ] = Path("build/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated scene and of the training.")] = 1,
    memory: Annotated[str | None, typer.Option(help="Memory that a job may use, as 4GB.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Windows that are computed at once.")] = None,
) -> None:
    """Run the whole chain on a small simulated scene: sample, train, map, compare with the truth.

    What an earlier run left in the folder is used again; give another folder to start anew.

    Example: `acreage demo --out build/demo`
    """
    console = Console(stderr=True)
    settings = SceneSettings(seed=seed)
    steps = _Demo(out, settings, console, memory, threads)
    started = time.monotonic()
    scene = steps.scene()
    steps.check_settings(scene)
    model = steps.model(scene)
    folder = steps.map(scene, model)
    steps.compare(scene, model, folder)
    console.print(
        f"All in {time.monotonic() - started:.0f} s. Everything lies in {out}.", markup=False, soft_wrap=True
    )


class _Demo:
    """The steps; each makes what is missing and uses what is there."""

    def __init__(
        self, out: Path, settings: SceneSettings, console: Console, memory: str | None, threads: int | None
    ) -> None:
        self.out, self.settings, self.console = out, settings, console
        self.app = load_settings()
        self.budget = budget_of(self.app, memory, threads)
        self.cube = CubeSettings()

    @property
    def season(self) -> Season:
        return self.settings.season

    def scene(self) -> SceneFiles:
        """A simulated archive with known truth."""
        folder = self.out / "scene"
        if folder.exists():
            self.console.print(f"Scene: {folder} is there already and is used.", markup=False)
            return open_scene(folder)
        scene = self._timed(
            "Simulating",
            lambda show: simulate_scene(folder, self.settings, lambda done, total, _: show(done, total)),
        )
        self.console.print(
            f"Simulated {scene.s2_dates} Sentinel-2 and {scene.s1_dates} Sentinel-1 dates: {scene.catalog}",
            markup=False,
            soft_wrap=True,
        )
        return scene

    def check_settings(self, scene: SceneFiles) -> None:
        """Refuse a folder that another seed made."""
        if scene.seed != self.settings.seed:
            raise InvalidInput(
                f"{self.out} holds a scene of seed {scene.seed}, not {self.settings.seed}.",
                hint="Give another --out.",
            )

    def model(self, scene: SceneFiles) -> Path:
        """A model trained on pixels of the parcels that are marked for training."""
        path, samples = self.out / "model.pt", self.out / "samples.parquet"
        if not samples.exists():
            table = self._parcels(scene, "train")
            points = points_in_parcels(table, POINTS_PER_PARCEL, self.cube, self.settings.seed)
            with udf_runner(self.app) as udf:
                runner = EmbeddedRunner(open_catalog(scene.catalog), self.budget, udf, self.app.scratch)
                sampled = self._timed(
                    "Sampling", lambda show: sample_series(points, self.season, self.cube, runner, show)
                )
            write_samples(sampled.samples, samples)
            self.console.print(
                f"Sampled {len(sampled.samples)} pixels of {len(table)} training parcels: {samples}"
            )
        if not path.exists():
            options = TrainingOptions(
                members=3, epochs=60, patience=12, seed=self.settings.seed, min_samples=8
            )
            series, legend = read_samples(samples), open_legend("europe").without(["grassland"])
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
        self.console.print(
            f"Model: {path}, its card: {path.with_suffix('.md')}", markup=False, soft_wrap=True
        )
        return path

    def map(self, scene: SceneFiles, model: Path) -> Path:
        """The map of the scene."""
        folder = self.out / "map"
        if not folder.exists():
            area, _ = parse_area(",".join(map(repr, scene.bbox)), self.cube)
            job = MapJob(area, "demo", self.season, model, self.cube, NOTE)
            with udf_runner(self.app, self.budget.threads) as udf:
                runner = EmbeddedRunner(open_catalog(scene.catalog), self.budget, udf, self.app.scratch)
                result = self._timed("Mapping", lambda show: make_map(job, runner, folder, progress=show))
            tell(result, self.console)
        return folder

    def compare(self, scene: SceneFiles, model: Path, folder: Path) -> None:
        """The map against parcels that were not trained on, in numbers and as a picture."""
        legend = open_model(model).legend
        test = self._parcels(scene, "test")
        found = agreement(folder / "classes.tif", test, legend)
        self.console.print(
            f"On {len(found.scored)} parcels that were not trained on: {found.parcels_right} right "
            "by majority; "
            f"pixels: accuracy {found.pixels.accuracy:.3f}, macro-F1 {found.pixels.macro_f1:.3f}."
        )
        self.console.print(score_table(found.pixels), markup=False, highlight=False)
        picture = self.out / "comparison.png"
        title = f"Crop types of a simulated scene, {self.season}"
        with whole_file(picture) as part:
            draw_product(
                folder, part, legend=legend, title=title, note=NOTE, reference=self._parcels(scene, None)
            )
        self.console.print(f"Picture of truth and map: {picture}", markup=False, soft_wrap=True)

    def _parcels(self, scene: SceneFiles, split: str | None) -> gpd.GeoDataFrame:
        table = read_reference(scene.parcels, label_column="label").table
        marked = gpd.read_file(scene.parcels)["split"].to_numpy()
        if len(marked) != len(table):
            raise InvalidInput(
                f"{scene.parcels} has parcels without geometry or label.", hint="Simulate it anew."
            )
        return table[marked != ""] if split is None else table[marked == split]

    def _timed(self, what: str, run: Callable[[Callable[[int, int], None]], T]) -> T:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            return run(lambda done, total: bar.update(task, completed=done, total=total))
