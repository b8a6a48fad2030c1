"""`acreage simulate`: a simulated scene with known truth."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acreage.core.errors import InvalidInput
from acreage.core.temporal import Season


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not be there yet.")],
    size_km: Annotated[float, typer.Option("--size-km", help="Side of the square scene, km.")] = 2.56,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 1,
    centre: Annotated[
        str, typer.Option("--centre", metavar="LON,LAT", help="Centre of the scene, degrees.")
    ] = "4.06,50.75",
    year: Annotated[
        int, typer.Option("--year", min=2016, max=2100, help="Season: 1 March to 31 October of this year.")
    ] = 2019,
) -> None:
    """Simulate Sentinel-1 and Sentinel-2 images of a landscape whose crops are known.

    Writes a static STAC catalog of COGs (Sentinel-2 L2A with clouds, Sentinel-1 sigma0, elevation, land
    cover), the parcels with their labels, the true map, and a picture of the landscape. Nothing is real.

    Example: `acreage simulate build/scene --size-km 2.56 --seed 1 --centre 4.06,50.75 --year 2019`
    """
    # Drawing and raster libraries load only when the command runs.
    from acreage.simulate.scene import simulate_scene
    from acreage.simulate.settings import SceneSettings

    settings = SceneSettings(
        centre=_parse_centre(centre),
        size_km=size_km,
        seed=seed,
        season=Season(date(year, 3, 1), date(year, 10, 31)),
    )
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Simulating", total=None)

        def show(done: int, total: int, item: str) -> None:
            bar.update(task, completed=done, total=total, description=item)

        files = simulate_scene(out, settings, show)
    area = ",".join(f"{v:.5f}" for v in files.bbox)
    typer.echo(
        f"Simulated {files.s2_dates} Sentinel-2 and {files.s1_dates} Sentinel-1 dates; nothing is real."
    )
    typer.echo(f"Catalog:  {files.catalog}")
    typer.echo(f"Parcels:  {files.parcels}")
    typer.echo(f"Truth:    {files.truth}")
    typer.echo(f"Picture:  {files.picture}")
    typer.echo(f"Area:     {area} (west, south, east, north)")


def _parse_centre(text: str) -> tuple[float, float]:
    try:
        longitude, latitude = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is not a centre.", hint="Write longitude and latitude in degrees: 4.06,50.75"
        ) from error
    return longitude, latitude
