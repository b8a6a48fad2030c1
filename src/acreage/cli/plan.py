"""`acreage plan`: a production's tiles, what they take and cost, and their order, as a ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from acreage.catalog.items import Catalog
from acreage.cli.plan_report import draw_plan, print_edits, print_forecast, print_planned
from acreage.cli.plan_samples import EngineSampler
from acreage.cli.runtime import catalog_at, udf_runner
from acreage.core.errors import InvalidInput, OutputExists
from acreage.core.settings import Settings, load_settings
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings
from acreage.production.areas import find_area
from acreage.production.ledger.store import Ledger, create_ledger, has_ledger, is_database, open_ledger, shown
from acreage.production.ledger.values import Event, Production
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.planning.asking import ask
from acreage.production.planning.edits import apply_edits, find_edits
from acreage.production.planning.kept import Kept
from acreage.production.planning.ledgers import check_threshold, outlook, settings_document
from acreage.production.planning.packing import OPEN
from acreage.production.planning.plan import Planned, PlanOptions, Sources, Tell, make_plan
from acreage.production.planning.tables import read_table, write_table
from acreage.production.profiles import Profile, read_profiles
from acreage.production.tile_job import Recipe
from acreage.production.tiles import parse_grid

TABLES = ("plan.csv", "plan.parquet")
PICTURE = "plan.png"
_ASKED = 3  # sample jobs that each back end is asked about

Place = Annotated[str, typer.Argument(metavar="PRODUCTION", help="Folder, or postgresql://USER@HOST/NAME.")]


def plan_command(
    production: Place,
    area: Annotated[
        str | None,
        typer.Option(help="EU27, countries (FR,DE), a vector file, west,south,east,north or EPSG:n:w,s,e,n."),
    ] = None,
    season: Annotated[
        str | None, typer.Option(help="First and last day, both included: 2023-03-01/2023-10-31.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model file of `acreage train`.")] = None,
    backends: Annotated[Path | None, typer.Option(help="Profiles of the back ends, a YAML file.")] = None,
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    grid: Annotated[
        str, typer.Option(help="Side of the tiles and, where it is not EPSG:3035, their CRS: 20km@utm.")
    ] = "20km",
    resolution: Annotated[float, typer.Option(min=0.1, help="Metres of a pixel of the map.")] = 10.0,
    name: Annotated[str | None, typer.Option(help="Name of the production, for titles.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the products; needed where PRODUCTION is a database.")
    ] = None,
    priority: Annotated[
        str, typer.Option(help="Column or expression of columns; higher comes first.")
    ] = "cropland_share",
    least_cropland: Annotated[
        float, typer.Option(min=0, max=1, help="Share of cropland below which a tile is skipped.")
    ] = 0.0,
    landcover_resolution: Annotated[
        float,
        typer.Option(min=0, help="Metres of the overviews that cropland is counted in; 0: every pixel."),
    ] = 80.0,
    orbit: Annotated[
        str, typer.Option(help="S1 orbit direction: ascending, descending, both, or best for each tile.")
    ] = "best",
    s1_coefficient: Annotated[
        str, typer.Option(help="What the S1 collection is calibrated to.")
    ] = "sigma0-ellipsoid",
    s1_tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="The most of a tile's S1 products that may fail, as a share.")
    ] = 0.0,
    samples: Annotated[
        int, typer.Option(min=0, help="Tiles that are planned in full to estimate all others.")
    ] = 12,
    ask_back_ends: Annotated[
        bool, typer.Option("--ask", help="Ask each back end what sample jobs will cost; none is started.")
    ] = False,
    refuse_over: Annotated[
        float | None, typer.Option(min=0, help="Cost over which `acreage run` refuses.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Cost at which `acreage run` stops making jobs.")
    ] = None,
    failure_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of failed jobs over which `acreage run` pauses.")
    ] = 0.3,
    load: Annotated[Path | None, typer.Option(help="Take the edits of this table into the plan.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take the edits without asking.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the tiles into this .csv or .parquet file.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the plan into this PNG file.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of --export and --picture.")
    ] = False,
) -> None:
    """Plan a production: tiles, cropland, products, cost and order, as a ledger that people may edit.

    With --area a new production is planned. Without it, the plan that is there is told, exported, drawn, or
    changed by an edited table.

    Example: `acreage plan europe --area EU27 --season 2023-03-01/2023-10-31 --model model.pt
    --backends backends.yaml --catalog catalog.yaml`
    """
    console, settings = Console(stderr=True), load_settings()
    if area is None:
        _with_plan(production, load, yes, export, picture, overwrite, console)
        return
    if load is not None or export is not None:
        raise InvalidInput("--area makes a new plan, --load and --export need one that is there.")
    if has_ledger(production):
        raise OutputExists(
            f"The production {shown(production)} is there already.",
            hint="Change it with --load, or name another folder.",
        )
    where = _results(production, results)
    if season is None or model is None or backends is None:
        raise InvalidInput("A new plan needs --season, --model and --backends.")
    profiles = read_profiles(backends)
    chosen = CubeSettings(resolution=resolution, s1_coefficient=s1_coefficient)
    recipe = Recipe.of(model, Season.parse(season), chosen)
    place, squares = find_area(area), parse_grid(grid, resolution)
    options = PlanOptions(
        landcover_resolution or None, least_cropland, orbit, s1_tolerance, priority, samples
    )
    sources = _sources(profiles, catalog, settings)
    kept = Kept(where.parent / f".{where.name}.planning")
    with _progress(console) as tell, udf_runner(settings) as udf:
        sampler = EngineSampler(sources.catalogs[next(iter(profiles))], recipe, profiles, udf)
        planned = make_plan(place, squares, recipe, profiles, sources, options, sampler, kept, tell)
    if ask_back_ends:
        planned = _asked(planned, profiles, recipe, console)
    config = {
        "area": area,
        "grid": grid,
        "resolution": resolution,
        "season": str(recipe.season),
        "model": str(model.resolve()),
        "model_sha256": recipe.sha256,
        "landcover": list(recipe.settings.cropland_codes),
        "settings": settings_document(recipe.settings),
        "priority": priority,
        "currency": planned.currency,
        "refuse_over": refuse_over,
        "budget": budget,
        "failure_share": failure_share,
    }
    now = time.time()
    made = Production(name or place.name, now, config, where.resolve(), 0, "")
    told = f"{len(planned.tiles)} tiles of {area}, {grid}"
    ledger = create_ledger(production, made, planned.back_ends, planned.tiles, [Event(now, "planned", told)])
    kept.forget()
    print_planned(planned, console)
    _tell(ledger, console)
    _files(ledger, where.parent, console)
    ledger.close()


def _with_plan(
    production: str,
    load: Path | None,
    yes: bool,
    export: Path | None,
    picture: Path | None,
    overwrite: bool,
    console: Console,
) -> None:
    """Tell, export, draw or change a plan that is there."""
    ledger = open_ledger(production)
    try:
        if load is not None:
            edits = find_edits(ledger, read_table(load))
            print_edits(edits, console)
            if not edits:
                return
            if not yes and not (console.is_terminal and typer.confirm("Change the plan?", err=True)):
                console.print("Nothing was changed. Give --yes to change the plan.")
                return
            apply_edits(ledger, edits, time.time())
            console.print(f"{len({e.tile for e in edits})} tiles changed.")
        if export is not None:
            number = write_table(ledger, export, overwrite=overwrite)
            console.print(f"{number} tiles: {export}", markup=False, soft_wrap=True)
        if picture is not None:
            if picture.exists() and not overwrite:
                raise OutputExists(f"{picture} is there already.", hint="Give --overwrite.")
            draw_plan(ledger, picture)
            console.print(f"Picture: {picture}", markup=False, soft_wrap=True)
        _tell(ledger, console)
    finally:
        ledger.close()


def _tell(ledger: Ledger, console: Console) -> None:
    print_forecast(ledger, outlook(ledger), console)
    try:
        check_threshold(ledger)
    except InvalidInput as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)


def _files(ledger: Ledger, folder: Path, console: Console) -> None:
    for file in TABLES:
        write_table(ledger, folder / file, overwrite=True)
    draw_plan(ledger, folder / PICTURE)
    for file in (*TABLES, PICTURE):
        console.print(f"Written: {folder / file}", markup=False, soft_wrap=True)


def _results(production: str, results: Path | None) -> Path:
    """Where the products will lie; tables and the picture are written beside them."""
    if results is None and is_database(production):
        raise InvalidInput("A production in a database needs --results: the folder of its products.")
    found = results or Path(production) / "results"
    if found.parent.is_dir() and (there := [f for f in (*TABLES, PICTURE) if (found.parent / f).exists()]):
        raise OutputExists(f"{found.parent} holds {', '.join(there)} already.", hint="Name another folder.")
    return found


def _sources(profiles: dict[str, Profile], catalog: str | None, settings: Settings) -> Sources:
    own = catalog_at(catalog, settings)
    opened: dict[str, Catalog] = {"": own}
    for profile in profiles.values():
        if profile.catalog is not None and profile.catalog not in opened:
            opened[profile.catalog] = catalog_at(profile.catalog, settings)
    addresses = {name: profile.catalog or "" for name, profile in profiles.items()}
    at_home = catalog or settings.catalog or ""
    return Sources(
        own,
        {name: opened[at] for name, at in addresses.items()},
        {"": at_home, **{name: at or at_home for name, at in addresses.items()}},
    )


def _asked(planned: Planned, profiles: dict[str, Profile], recipe: Recipe, console: Console) -> Planned:
    mapped = sorted((t for t in planned.tiles if t.state in OPEN), key=lambda t: (t.core_seconds, t.id))
    step = max(1, len(mapped) // _ASKED)
    samples, records = mapped[step // 2 :: step][:_ASKED], []
    for record in planned.back_ends:
        found = ask(OpenEoBackEnd(record.name, profiles[record.name]), recipe, samples)
        told = "nothing of cost" if found.cost_factor is None else f"{found.cost_factor:.2f} times the cost"
        console.print(f"{record.name} says of {found.jobs} sample jobs: {told} that was estimated.")
        records.append(found.applied(record))
    return replace(planned, back_ends=tuple(records))


@contextmanager
def _progress(console: Console) -> Iterator[Tell]:
    """Progress bars, one a part; on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def tell(what: str, done: int, every: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=every)
            progress.update(tasks[what], completed=done, total=every)

        yield tell
