"""`acreage sample`: reference data to labelled dekad series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from acreage.cli.croptype_input import parse_landcover
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.executors import DaskOption, means
from acreage.cli.inputs import NoInspectOption, TolerateOption, inspector, quarantine_of, tell_inputs
from acreage.cli.radar_options import CoefficientOption, OrbitOption, OrbitPicker, UnitOption
from acreage.cli.radar_options import s1_unit as parse_unit
from acreage.cli.runtime import budget_of, catalog_at, window_progress
from acreage.core.errors import OutputExists
from acreage.core.outputs import check_writable, whole_file
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.orbits import check_orbit
from acreage.croptype.reference import read_reference
from acreage.croptype.sampling import points_in_parcels, sample_series
from acreage.croptype.series import write_samples
from acreage.croptype.workflow import CubeSettings
from acreage.engine.tolerance import Tolerance


def sample_command(
    reference: Annotated[
        Path, typer.Argument(help="Labelled parcels or points: GeoPackage, GeoJSON, GeoParquet, ...")
    ],
    season: Annotated[str, typer.Option(help="First and last day, both included: 2019-03-01/2019-10-31.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="GeoParquet file to write.")],
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    region: Annotated[
        str | None, typer.Option(help="Column of larger cells, for validation across regions.")
    ] = None,
    points: Annotated[
        int, typer.Option(min=0, help="Pixels drawn in each parcel; 0 takes the mean over its pixels.")
    ] = 0,
    landcover: Annotated[str, typer.Option(help="WorldCover classes that are mapped.")] = "40",
    orbit: OrbitOption = "both",
    s1_coefficient: CoefficientOption = "sigma0-ellipsoid",
    s1_unit: UnitOption = "linear",
    seed: Annotated[int, typer.Option(help="The same seed draws the same pixels.")] = 0,
    memory: Annotated[str | None, typer.Option(help="Memory that a job may use, as 4GB.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Windows that are computed at once.")] = None,
    dask: DaskOption = None,
    tolerate: TolerateOption = None,
    no_inspect: NoInspectOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Sample dekad time series at labelled parcels and points.

    Example: `acreage sample parcels.gpkg --season 2019-03-01/2019-10-31 --catalog catalog.json
    --out samples.parquet`
    """
    if out.exists() and not overwrite:
        raise OutputExists(f"{out} is there already.", hint="Choose another name, or give --overwrite.")
    app_settings, console = load_settings(), Console(stderr=True)
    tolerance = Tolerance.parse(tolerate or [])
    budget = budget_of(app_settings, memory, threads)
    check_orbit(orbit)
    settings = CubeSettings(
        cropland_codes=tuple(parse_landcover(landcover)),
        s1_coefficient=s1_coefficient,
        s1_unit=parse_unit(s1_unit),
    )
    period = Season.parse(season)
    check_writable(out)
    data = read_reference(reference, label_column=label, region_column=region)
    table = points_in_parcels(data.table, points, settings, seed) if points else data.table
    sources = catalog_at(catalog, app_settings)
    picker = OrbitPicker(sources, period, settings, orbit)
    with (
        means(app_settings, budget, dask, threads=1) as use,
        window_progress(console, "Sampling") as progress,
    ):
        runner = EmbeddedRunner(
            sources,
            use.budget,
            use.udf,
            app_settings.scratch,
            tolerance,
            inspector(app_settings, wanted=not no_inspect),
            quarantine_of(app_settings),
            executor=use.executor,
        )
        sampled = sample_series(table, period, settings, runner, progress, settings_of=picker)
    console.print(picker.told(), markup=False, soft_wrap=True)
    write_samples(sampled.samples, out)
    account = out.with_name(f"{out.name}.inputs.json")
    with whole_file(account) as part:
        part.write_text(json.dumps(sampled.inputs.to_dict(), indent=1, ensure_ascii=False), "utf-8")
    tell_inputs(sampled.inputs, console)
    console.print(f"Written: {out}, its inputs: {account}", markup=False, soft_wrap=True)
    read = len(sampled.inputs.items_read)
    console.print(
        f"{len(sampled.samples)} samples of {len(table)} geometries from {read} items; "
        f"left out: {data.without_label} without label, {data.without_geometry} without geometry, "
        f"{len(sampled.without_data)} where the archive has nothing, "
        f"{len(sampled.without_observation)} without any observation (cloud, or masked by land cover)."
    )
