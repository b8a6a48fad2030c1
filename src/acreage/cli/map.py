"""`acreage map`: one area, embedded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from acreage.cli.croptype_area import parse_area, within_catalog
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.executors import DaskOption, means
from acreage.cli.inputs import NoInspectOption, TolerateOption, inspector, quarantine_of, tell_inputs
from acreage.cli.plan_table import bytes_text
from acreage.cli.radar_options import CoefficientOption, OrbitOption
from acreage.cli.radar_options import s1_unit as parse_unit
from acreage.cli.runtime import NoRewriteOption, budget_of, catalog_at, room_for_batches, window_progress
from acreage.core.legend import RESERVED, Legend
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.mapping import MapJob, MapResult, make_map
from acreage.croptype.memory import plan_batch
from acreage.croptype.modelfile import open_model
from acreage.croptype.orbits import check_orbit, choose_orbit
from acreage.croptype.workflow import CubeSettings
from acreage.engine.tolerance import Tolerance


def map_command(
    area: Annotated[
        str,
        typer.Option(
            help="Vector file, west,south,east,north in degrees, or EPSG:3035:w,s,e,n in its metres."
        ),
    ],
    season: Annotated[str, typer.Option(help="First and last day, both included: 2019-03-01/2019-10-31.")],
    model: Annotated[Path, typer.Option(help="Model file of `acreage train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the map.")],
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the area, for titles and the STAC item.")] = None,
    orbit: OrbitOption = "both",
    s1_coefficient: CoefficientOption = "sigma0-ellipsoid",
    memory: Annotated[str | None, typer.Option(help="Memory that the job may use, as 4GB.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Windows that are computed at once.")] = None,
    dask: DaskOption = None,
    tolerate: TolerateOption = None,
    no_inspect: NoInspectOption = False,
    no_rewrite: NoRewriteOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a map that is there already.")
    ] = False,
) -> None:
    """Map the crop types of one area.

    The land cover classes that are mapped are the ones that the model was trained for.

    Example: `acreage map --catalog catalog.json --area parcels.gpkg --season 2019-03-01/2019-10-31
    --model model.pt --out map`
    """
    app_settings, console = load_settings(), Console(stderr=True)
    tolerance = Tolerance.parse(tolerate or [])
    budget = budget_of(app_settings, memory, threads)
    trained = open_model(model)
    check_orbit(orbit)
    settings = CubeSettings(
        cropland_codes=tuple(trained.landcover),
        s1_coefficient=s1_coefficient,
        s1_unit=parse_unit(trained.spec.s1_unit),
    )
    box, found_name = parse_area(area, settings)
    sources = catalog_at(catalog, app_settings)
    within_catalog(box, sources, settings)
    period = Season.parse(season)
    choice = choose_orbit(sources, box, period, settings, orbit)
    console.print(str(choice), markup=False, soft_wrap=True)
    job = MapJob(box, name or found_name, period, model, choice.applied(settings), orbit=choice)
    with means(app_settings, budget, dask) as use, window_progress(console, "Mapping") as progress:
        batch = plan_batch(trained, room_for_batches(app_settings, use.budget))
        runner = EmbeddedRunner(
            sources,
            replace(use.budget, udf=batch.memory),
            use.udf,
            app_settings.scratch,
            tolerance,
            inspector(app_settings, wanted=not no_inspect),
            quarantine_of(app_settings),
            frozenset(no_rewrite or ()),
            use.executor,
        )
        job = replace(job, batch_pixels=batch.pixels)
        result = make_map(job, runner, out, overwrite=overwrite, progress=progress)
    tell(result, console)


def tell(result: MapResult, console: Console) -> None:
    """What was mapped, and where the files are."""
    console.print(_areas(result, result.model.legend))
    tell_inputs(result.job.inputs, console)
    for sensor, unseen in zip(("Sentinel-2", "Sentinel-1"), result.product.unseen, strict=True):
        if unseen:
            console.print(
                f"{unseen:,} cropland pixels have no valid {sensor} observation in the season.",
                style="yellow",
            )
    usage = result.job.usage
    console.print(
        f"{len(result.job.items)} items read; {len(result.job.inputs.failed)} assets failed; "
        f"{usage['wall_seconds']} s, {usage['cpu_seconds']} CPU seconds, "
        f"peak memory {bytes_text(float(usage['peak_memory_bytes']))} ({usage['peak_memory_stage']}). "
        f"Map: {result.product.folder}, picture: {result.product.quicklook}",
        markup=False,
        soft_wrap=True,
    )


def _areas(result: MapResult, legend: Legend) -> Table:
    names = {**legend.names, **{r.code: r.name for r in RESERVED}}
    total = sum(result.product.pixels.values())
    table = Table(title="Mapped", title_justify="left")
    table.add_column("class")
    table.add_column("pixels", justify="right")
    table.add_column("share", justify="right")
    for code, pixels in sorted(result.product.pixels.items(), key=lambda p: -p[1]):
        table.add_row(names[code], f"{pixels:,}", f"{100 * pixels / total:.1f} %")
    return table
