"""`acreage bench`: the benchmarks, on a simulated archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from acreage.bench.archives import archive_at, settings_for
from acreage.bench.goals import goals
from acreage.bench.page import TITLES, part_rows, write_page
from acreage.bench.parts import PARTS, parse_parts
from acreage.bench.process import compile_modules
from acreage.bench.results import PartResult, Results, read_parts, read_results, write_part, write_results
from acreage.bench.setup import Bench
from acreage.bench.variants import VARIANTS
from acreage.cli.runtime import budget_of
from acreage.core.errors import InvalidInput
from acreage.core.settings import load_settings
from acreage.core.temporal import Season

QUICK_PARTS = "preprocessing,planning"
RESULTS = "benchmarks.json"


def bench(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for numbers, tables, plots and what jobs need.")
    ] = Path("build/bench"),
    only: Annotated[
        str | None, typer.Option(help=f"Parts, separated by commas: {', '.join(PARTS)}. All if not given.")
    ] = None,
    size_km: Annotated[float, typer.Option(help="Side of the tile, km: 10 or 20.")] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each thing is measured, in turn.")] = 3,
    archive: Annotated[
        Path | None,
        typer.Option(help="Simulated archive to use, or to make where there is none. In --out if not given."),
    ] = None,
    season: Annotated[
        str | None, typer.Option(help="First and last day of the jobs, 2019-03-01/2019-10-31 if not given.")
    ] = None,
    memory: Annotated[str, typer.Option(help="Memory that a job may use.")] = "1900MB",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the preprocessing that is compared.")] = 1,
    scripts: Annotated[
        Path, typer.Option(help="The checkout's folder with the peers and further measurements.")
    ] = Path("benchmarks"),
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Run of the preprocessing to leave out, as `RUN` or `CASE: RUN`. May be repeated."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="1.28 km, two dekads and one round: tries whether it runs.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure what was measured before anew.")] = False,
    docs: Annotated[
        Path | None, typer.Option(help="Also write the page, its plots and numbers into this folder.")
    ] = None,
) -> None:
    """Measure the product against decoding alone and against other tools.

    A part that was measured into the folder before, on this machine with these versions, is not measured
    again. Other tools need the packages of the extra `bench`; what is not installed is left out.

    Example: `acreage bench --size-km 20 --rounds 3 --out build/bench`
    """
    console = Console(stderr=True)
    parts = parse_parts(only or (QUICK_PARTS if quick else None))
    given = _bench(
        out, archive, size_km, season, memory, threads, scripts, 1 if quick else rounds, quick, console
    )
    given = replace(given, skip=frozenset(skip or ()))
    found = {} if again else read_parts(out, parts)
    compile_modules()
    with _bar(console) as progress:
        task = progress.add_task("Benchmarks", total=len(parts), completed=len(found))
        told = replace(given, tell=lambda text: progress.update(task, description=text))
        for name in parts:
            if name not in found:
                found[name] = write_part(out, PARTS[name](told))
                progress.advance(task)
    # Parts that an earlier call measured stay in the page.
    known = {**read_parts(out, PARTS), **found}
    path = write_results(out, [known[name] for name in PARTS if name in known])
    results = read_results(path)
    for folder in (out, docs):
        if folder is not None:
            page = write_page(results, folder)
            if folder is docs:
                (folder / RESULTS).write_bytes(path.read_bytes())
            console.print(f"Written: {page}", markup=False, soft_wrap=True)
    _tell(results, console)
    console.print(f"Numbers: {path}", markup=False, soft_wrap=True)


def _bench(
    out: Path,
    archive: Path | None,
    size_km: float,
    season: str | None,
    memory: str,
    threads: int,
    scripts: Path,
    rounds: int,
    quick: bool,
    console: Console,
) -> Bench:
    budget_of(load_settings(), memory, threads)  # refuses what is no amount of memory
    settings = settings_for(size_km, quick=quick)
    period = Season.parse(season) if season is not None else None
    folder = archive or out / f"archive-{settings.area[2] - settings.area[0]:.0f}m"
    with _bar(console) as progress:
        task = progress.add_task("Simulating", total=None)

        def show(done: int, total: int, item: str) -> None:
            progress.update(task, completed=done, total=total, description=item or "Simulating")

        found = archive_at(folder.resolve(), settings, show, load_settings().threads)
    days = period or (found.settings.season if quick else Bench.season)
    if days.first < found.settings.season.first or days.last > found.settings.season.last:
        raise InvalidInput(
            f"The season {days} is not in the archive ({found.settings.season}).", hint="Give --season."
        )
    return Bench(
        archive=found,
        work=(out / "work").resolve(),
        season=days,
        rounds=rounds,
        memory=memory,
        threads=threads,
        scripts=scripts.resolve() if scripts.is_dir() else None,
        variants=("clear",) if quick else VARIANTS,
        quick=quick,
    )


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _tell(results: Results, console: Console) -> None:
    for part in results.parts:
        console.print(_table(part))
        for what, why in part.skipped:
            console.print(f"Not measured: {what}: {why}.", style="yellow", markup=False)
    table = Table("aim", "measured", "met", title="Aims", title_justify="left")
    for goal in goals(results):
        table.add_row(goal.text, goal.measured, "yes" if goal.met else "no")
    if table.row_count:
        console.print(table)


def _table(part: PartResult) -> Table:
    table = Table(title=f"{TITLES[part.part]}: {part.about}", title_justify="left")
    for name in ("case", "run"):
        table.add_column(name)
    for name in ("CPU s", "wall s", "peak GB", "to the floor"):
        table.add_column(name, justify="right")
    for row in part_rows(part):
        table.add_row(*row)
    return table
