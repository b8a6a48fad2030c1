"""A map of one area: the graph, the job, the product."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acreage import __version__
from acreage.core.grid import Box
from acreage.core.outputs import check_folder, check_writable
from acreage.core.provenance import Provenance
from acreage.core.temporal import Season
from acreage.croptype.model import TrainedModel, check_landcover
from acreage.croptype.modelfile import model_sha256, open_model
from acreage.croptype.orbits import OrbitChoice
from acreage.croptype.product import FILES, ProductFiles, write_product
from acreage.croptype.runner import JobResult, Progress, Runner
from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS
from acreage.croptype.workflow import CubeSettings, map_cube, to_graph


@dataclass(frozen=True)
class MapJob:
    """A map that is to be made.

    Attributes:
        area: pixels on the map's grid.
        area_name: for titles and the STAC item's id.
        season: both days included; must be the model's.
        model: path of the model file.
        settings: preprocessing.
        note: a sentence for whoever uses the map.
        orbit: the S1 orbit direction that `settings` has, and why; None where nothing was chosen.
        batch_pixels: pixels that are classified at once; `acreage.croptype.memory` says what fits.
    """

    area: Box
    area_name: str
    season: Season
    model: Path
    settings: CubeSettings = field(default_factory=CubeSettings)
    note: str = ""
    orbit: OrbitChoice | None = None
    batch_pixels: int = BATCH_PIXELS


@dataclass(frozen=True)
class MapResult:
    """A map that was made."""

    product: ProductFiles
    job: JobResult
    model: TrainedModel


def map_graph(job: MapJob) -> tuple[dict[str, Any], TrainedModel, str]:
    """The process graph of a map, its model and the model file's hash.

    Raises:
        ModelMismatch: the model was trained for another season, or knows classes that the mask removes.
        InvalidInput: the model file cannot be read.
    """
    model = open_model(job.model)
    model.check_season(job.season)
    model.check_backscatter(job.settings.s1_unit)
    check_landcover(model.legend, job.settings.cropland_codes)
    digest = model_sha256(job.model)
    context: dict[str, Any] = {"model": str(job.model.resolve()), "model_sha256": digest}
    if job.batch_pixels != BATCH_PIXELS:
        context["batch_pixels"] = job.batch_pixels
    return to_graph(map_cube(job.area, job.season, job.settings, context), "GTiff"), model, digest


def make_map(
    job: MapJob, runner: Runner, out: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> MapResult:
    """Run the job of a map and write its product folder.

    Raises:
        OutputExists: `out` is there and `overwrite` is False.
        InvalidInput: `out` is a file, or holds other things than an earlier map.
        WriteFailed: nothing can be written there.
        AcreageError: whatever stopped the job; nothing is left under `out`.
    """
    check_folder(out, overwrite=overwrite, ours=FILES)
    graph, model, digest = map_graph(job)
    check_writable(out)
    with tempfile.TemporaryDirectory(prefix=".map-", dir=out.parent) as folder:
        done = runner.run(graph, Path(folder) / "map.tif", progress)
        provenance = Provenance(
            process_graph=graph,
            model_id=job.model.stem,
            model_sha256=digest,
            items=done.items,
            season=job.season,
            software={"acreage": __version__},
            usage=_usage(done),
            note=job.note,
            preprocessing=_preprocessing(job),
            inputs=done.inputs.summary(),
        )
        product = write_product(
            done.files[0],
            out,
            legend=model.legend,
            provenance=provenance,
            inputs=done.inputs,
            area_name=job.area_name,
            overwrite=overwrite,
        )
    return MapResult(product, done, model)


def _preprocessing(job: MapJob) -> dict[str, Any]:
    settings = job.settings
    chosen = {"s1_coefficient": settings.s1_coefficient, "s1_unit": settings.s1_unit}
    return chosen if job.orbit is None else {**chosen, "s1_orbit": job.orbit.to_dict()}


def _usage(done: JobResult) -> Mapping[str, float | int | str]:
    return {**done.usage, "items_read": len(done.items)}
