"""`acreage index`: ask a catalog once, and keep the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from acreage.catalog.catalog import CompositeCatalog, SourceCatalog
from acreage.catalog.index import Changes, IndexPolicy, IndexReport
from acreage.catalog.index.source import Told
from acreage.cli.croptype_area import parse_area
from acreage.cli.plan_table import bytes_text
from acreage.cli.runtime import catalog_at, index_policy
from acreage.core.errors import InvalidInput
from acreage.core.grid import transformer
from acreage.core.settings import load_settings
from acreage.core.temporal import Season, format_instant
from acreage.croptype.workflow import CubeSettings

_NAMED = 10  # changed items that are named, of each kind


def index_command(
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            help="Vector file, west,south,east,north in degrees, or EPSG:3035:w,s,e,n in its metres."
        ),
    ] = None,
    season: Annotated[
        str | None, typer.Option(help="First and last day, both included: 2019-03-01/2019-10-31.")
    ] = None,
    collections: Annotated[
        str | None,
        typer.Option(help="Collections, with commas between; without: those of a map that the catalog has."),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask anew what was asked before, and say what changed.")
    ] = False,
    max_age: Annotated[
        float | None, typer.Option(min=0, help="Ask anew only what was asked more than these days ago.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder of the index; without: that of ACREAGE_INDEX.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write what is kept as stac-geoparquet, a file a collection, into this folder."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only say what is kept.")] = False,
) -> None:
    """Ask a catalog for an area and season once, and keep the answer for every later job.

    Example: `acreage index --catalog https://earth-search.aws.element84.com/v1 --area 4.2,50.6,4.5,50.8
    --season 2025-03-01/2025-10-31 --collections SENTINEL2_L2A`
    """
    _check_options(
        show, {"--area": area, "--season": season, "--refresh": refresh or None, "--max-age": max_age}
    )
    settings, console = load_settings(), Console(stderr=True)
    policy = index_policy(settings)
    policy = replace(
        policy,
        folder=index or policy.folder,
        use="always",
        refresh=refresh,
        max_age_days=policy.max_age_days if max_age is None else max_age,
    )
    opened = catalog_at(catalog, settings, policy)
    wanted = _wanted(opened, collections, everything=show and collections is None)
    if not show:
        if area is None or season is None:
            raise InvalidInput(
                "An area and a season are needed.", hint="Give --area and --season, or --show to look only."
            )
        changes = _gather(opened, wanted, area, Season.parse(season), policy, console)
        _tell_changes(changes, refresh or max_age is not None, console)
    if export is not None:
        for name in wanted:
            console.print(f"{opened.export(name, export):,} items of {name} written", markup=False)
    # Several collections may share one of the catalog: both years of WorldCover do.
    reports = list({report.folder: report for report in map(opened.indexed, wanted)}.values())
    console.print(_table([r for r in reports if r.asked is not None or not show]))
    for folder in dict.fromkeys(report.folder.parent for report in reports):
        console.print(f"index: {folder}", markup=False, soft_wrap=True)


def _check_options(show: bool, others: Mapping[str, object]) -> None:
    """Refuse options that would be ignored.

    Raises:
        InvalidInput: naming them.
    """
    given = [name for name, value in others.items() if value is not None]
    if show and given:
        raise InvalidInput(
            f"--show only says what is kept: {', '.join(given)} would do nothing.",
            hint="Leave these out, or leave out --show.",
        )
    if {"--refresh", "--max-age"} <= set(given):
        raise InvalidInput(
            "--refresh asks everything anew, whatever its age: --max-age would do nothing.",
            hint="Give one of them.",
        )


def _wanted(opened: SourceCatalog | CompositeCatalog, named: str | None, everything: bool) -> tuple[str, ...]:
    there = opened.collections()
    if everything:
        return there
    if named is not None:
        return tuple(dict.fromkeys(name.strip() for name in named.split(",") if name.strip()))
    found = tuple(name for name in CubeSettings().collections if name in there)
    if not found:
        raise InvalidInput(
            "The catalog has none of the collections of a map.",
            hint=f"Name some with --collections; it has: {', '.join(there)}.",
        )
    return found


def _gather(
    opened: SourceCatalog | CompositeCatalog,
    wanted: Sequence[str],
    area: str,
    season: Season,
    policy: IndexPolicy,
    console: Console,
) -> Changes:
    box, _ = parse_area(area, CubeSettings())
    bounds = transformer(box.grid.crs, "EPSG:4326").transform_bounds(*box.bounds, densify_pts=21)
    policy.folder.mkdir(parents=True, exist_ok=True)
    changes = Changes()
    with _progress(console) as told:
        for name in wanted:
            changes += opened.gather(name, bounds, season.interval, told)[0]
    return changes


@contextmanager
def _progress(console: Console) -> Iterator[Told]:
    """A progress bar over searches; on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("searches"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        tasks: dict[str, int] = {}

        def told(collection: str, done: int, total: int) -> None:
            if collection not in tasks:
                tasks[collection] = int(progress.add_task(collection))
            progress.update(tasks[collection], completed=done, total=total)  # type: ignore[arg-type]

        yield told


def _tell_changes(changes: Changes, anew: bool, console: Console) -> None:
    kinds = (("new", changes.added), ("gone", changes.removed), ("changed", changes.changed))
    console.print(", ".join(f"{len(items):,} items {kind}" for kind, items in kinds))
    for kind, items in kinds if anew else ():
        for item in items[:_NAMED]:
            console.print(f"{kind}: {item}", markup=False, soft_wrap=True)
        if len(items) > _NAMED:
            console.print(f"{kind}: and {len(items) - _NAMED:,} more")


def _table(reports: Sequence[IndexReport]) -> Table:
    table = Table(title="Index", title_justify="left", caption_justify="left")
    table.add_column("collection", no_wrap=True)
    for name in ("items", "degrees²", "asked", "size", "problems"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        asked = "never" if report.asked is None else format_instant(np.datetime64(report.asked[0], "ms"))[:10]
        area = "whole" if report.whole else f"{report.degrees:,.2f}"
        table.add_row(
            report.collection, f"{report.items:,}", area, asked, bytes_text(report.size), str(report.problems)
        )
    if reports:
        table.caption = "asked: the part asked longest ago"
    return table
