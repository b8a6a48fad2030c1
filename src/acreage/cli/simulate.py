"""`acreage simulate`: a simulated archive with known truth."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acreage.core.errors import InvalidInput
from acreage.core.temporal import Season

if TYPE_CHECKING:
    from acreage.simulate.archive import Archive
    from acreage.simulate.settings import ArchiveSettings

DEFAULT_CENTRE = "6.0,48.92"
DEFAULT_SIZE_KM = 2.56


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not be there yet.")],
    area: Annotated[
        str | None, typer.Option("--area", metavar="W,S,E,N", help="Area in degrees, in Europe.")
    ] = None,
    centre: Annotated[
        str | None,
        typer.Option(
            "--centre", metavar="LON,LAT", help=f"Centre of a square, degrees. (default: {DEFAULT_CENTRE})"
        ),
    ] = None,
    size_km: Annotated[
        float | None, typer.Option("--size-km", help=f"Its side, km. (default: {DEFAULT_SIZE_KM})")
    ] = None,
    year: Annotated[
        int | None, typer.Option("--year", help="Season: 1 March to 31 October of this year. (default: 2019)")
    ] = None,
    season: Annotated[
        str | None, typer.Option("--season", metavar="FIRST/LAST", help="Another season, both days included.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the landscape and all random numbers.")] = 1,
    form: Annotated[
        str,
        typer.Option("--form", help="Form of the catalog: earth-search, planetary-computer or cdse."),
    ] = "earth-search",
    radar: Annotated[
        str | None,
        typer.Option(
            "--radar", help="Sentinel-1 as sigma0, sigma0-db or rtc; what suits the form if not given."
        ),
    ] = None,
    s2_orbits: Annotated[
        int, typer.Option("--s2-orbits", min=1, help="Relative orbits of Sentinel-2, the widest first.")
    ] = 2,
    s1_orbits: Annotated[
        int, typer.Option("--s1-orbits", min=1, help="Relative orbits of Sentinel-1 in each direction.")
    ] = 1,
    full_granules: Annotated[
        bool, typer.Option("--full-granules", help="Whole granules and tiles: a great deal of pixels.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Products that are made at once.")] = 2,
) -> None:
    """Simulate an archive of Sentinel-1 and Sentinel-2 whose crops are known.

    Writes a static STAC catalog in the form of a real one (Sentinel-2 L2A with clouds, swath edges,
    overlapping granules, both sides of processing baseline 04.00 and reprocessed duplicates; calibrated
    Sentinel-1; DEM and WorldCover tiles), parcels and points with labels, the truth, and a
    picture. Nothing in it is real.

    Example: `acreage simulate build/archive --centre 6.0,48.92 --size-km 2.56 --form earth-search`
    """
    # Drawing and raster libraries load only when the command runs.
    from acreage.simulate.archive import simulate_archive

    settings = _settings(
        area, centre, size_km, season, year, seed, form, radar, s2_orbits, s1_orbits, full_granules
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Simulating", total=None)

        def show(done: int, total: int, item: str) -> None:
            bar.update(task, completed=done, total=total, description=item or "Simulating")

        archive = simulate_archive(out, settings, show, threads=threads)
    _tell(archive)


def _settings(
    area: str | None,
    centre: str | None,
    size_km: float | None,
    season: str | None,
    year: int | None,
    seed: int,
    form: str,
    radar: str | None,
    s2_orbits: int,
    s1_orbits: int,
    full_granules: bool,
) -> ArchiveSettings:
    from acreage.simulate.settings import ArchiveSettings, parse_form, parse_radar

    if area is not None and (centre is not None or size_km is not None):
        raise InvalidInput("An area is given twice.", hint="Give --area, or --centre and --size-km.")
    if season is not None and year is not None:
        raise InvalidInput("A season is given twice.", hint="Give --season or --year.")
    when = Season.parse(season) if season is not None else _season_of(2019 if year is None else year)
    rest = {
        "season": when,
        "seed": seed,
        "form": parse_form(form),
        "radar": None if radar is None else parse_radar(radar),
        "s2_orbits": s2_orbits,
        "s1_orbits": s1_orbits,
        "full_granules": full_granules,
    }
    if area is not None:
        west, south, east, north = _numbers(area, 4, "an area", "5.9,50.6,6.1,50.8")
        return ArchiveSettings.within((west, south, east, north), **rest)
    longitude, latitude = _numbers(centre or DEFAULT_CENTRE, 2, "a centre", "6.0,48.92")
    return ArchiveSettings.around(
        (longitude, latitude), DEFAULT_SIZE_KM if size_km is None else size_km, **rest
    )


def _season_of(year: int) -> Season:
    if not 2017 <= year <= 2100:
        raise InvalidInput(f"The year {year} cannot be simulated.", hint="2018 to 2100.")
    return Season(date(year, 3, 1), date(year, 10, 31))


def _numbers(text: str, count: int, what: str, example: str) -> tuple[float, ...]:
    parts = text.split(",")
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) != count:
        raise InvalidInput(f"{text!r} is not {what}.", hint=f"Write {count} numbers in degrees: {example}")
    return values


def _tell(archive: Archive) -> None:
    """What was written, where, and how large."""
    typer.echo("Simulated; nothing in it is real.")
    for folder in sorted(p for p in archive.folder.iterdir() if p.is_dir()):
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        typer.echo(f"  {folder.name:22} {archive.count(folder.name):5} items {size / 1e6:9.1f} MB")
    typer.echo(f"Catalog:  {archive.catalog}")
    typer.echo(f"Labels:   {archive.parcels} and {archive.points.name}")
    typer.echo(f"Truth:    {archive.truth} and {archive.landcover.name}")
    typer.echo(f"Picture:  {archive.picture}")
    area = ",".join(f"{v:.5f}" for v in archive.bbox)
    typer.echo(f"Area:     {area} (west, south, east, north)")
