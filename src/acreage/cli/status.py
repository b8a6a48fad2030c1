"""`acreage status`: where a production stands."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acreage.cli.plan import Place
from acreage.cli.plan_report import print_forecast
from acreage.core.errors import InvalidInput, OutputExists
from acreage.production.ledger.events import history
from acreage.production.ledger.outcomes import attempts_of, totals
from acreage.production.ledger.settings import back_ends, control
from acreage.production.ledger.store import Ledger, open_ledger
from acreage.production.ledger.tiles import failures, reasons, sums, tile, tiles
from acreage.production.ledger.values import Attempt, TileRecord, TileState
from acreage.production.picture import draw_states
from acreage.production.planning.ledgers import outlook


def status(
    production: Place,
    tile_id: Annotated[str | None, typer.Option("--tile", help="Tell this tile's whole history.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the tiles by state into this PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="States, back ends and failures as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
) -> None:
    """Tell where a production stands: states, back ends, failures by cause; a map; a tile's history.

    Example: `acreage status europe --picture states.png`
    """
    ledger, console = open_ledger(production), Console(file=sys.stdout)
    try:
        if tile_id is not None:
            _history(ledger, tile_id, console)
        elif as_json:
            sys.stdout.write(json.dumps(_document(ledger), indent=1) + "\n")
        else:
            print_forecast(ledger, outlook(ledger), console)
            console.print(_back_ends(ledger))
            if (table := _failures(ledger)) is not None:
                console.print(table)
            if settings := control(ledger):
                told = ", ".join(f"{k} = {v}" for k, v in sorted(settings.items()))
                console.print(f"Controls: {told}", markup=False, soft_wrap=True)
        if picture is not None:
            if picture.exists() and not overwrite:
                raise OutputExists(f"{picture} is there already.", hint="Give --overwrite.")
            draw_states(tiles(ledger), picture, title=ledger.production.name, note=_done_text(ledger))
            Console(stderr=True).print(f"Picture: {picture}", markup=False, soft_wrap=True)
    finally:
        ledger.close()


def _document(ledger: Ledger) -> dict[str, object]:
    """For other programs."""
    found = outlook(ledger)
    return {
        "name": ledger.production.name,
        "config": dict(ledger.production.config),
        "tiles": {str(state): total.tiles for state, total in sums(ledger).items()},
        "reasons": {str(s): reasons(ledger, s) for s in (TileState.SKIPPED, TileState.HELD)},
        "failures": [
            {"class": name, "backend": backend, "attempts": number, "tiles": touched}
            for name, backend, number, touched in failures(ledger)
        ],
        "backends": {
            b.name: {"state": str(b.state), "note": b.note, "spent": b.spent, "factor": b.factor}
            for b in back_ends(ledger)
        },
        "expected": {"tiles": found.tiles, "seconds": found.seconds, "cost": found.cost},
        "control": control(ledger),
    }


def _back_ends(ledger: Ledger) -> Table:
    table = Table(title="Back ends", title_justify="left")
    for name in ("back end", "state", "jobs", "spent", "committed", "note"):
        table.add_column(name, justify="right" if name in ("spent", "committed") else "left")
    busy = totals(ledger)
    for record in back_ends(ledger):
        mine = busy.get(record.name)
        jobs = ", ".join(f"{n} {state}" for state, n in mine.live.items()) if mine else "none"
        until = f" until {_when(record.until)}" if record.until else ""
        table.add_row(
            record.name,
            f"{record.state}{until}",
            jobs,
            f"{record.spent:,.2f}",
            f"{mine.committed if mine else 0.0:,.2f}",
            Text(record.note),
        )
    return table


def _failures(ledger: Ledger) -> Table | None:
    found = failures(ledger)
    if not found:
        return None
    table = Table(title="Failures by cause", title_justify="left")
    for name in ("cause", "back end", "attempts", "tiles"):
        table.add_column(name, justify="right" if name in ("attempts", "tiles") else "left")
    for name, backend, number, touched in found:
        table.add_row(Text(name), backend, f"{number:,}", f"{touched:,}")
    return table


def _history(ledger: Ledger, tile_id: str, console: Console) -> None:
    """A tile, its attempts, and all that happened."""
    found = tile(ledger, tile_id)
    if found is None:
        raise InvalidInput(
            f"There is no tile {tile_id} in the production.", hint="Ids are those of the exported table."
        )
    console.print(_tile(found))
    attempts = attempts_of(ledger, tile_id)
    if attempts:
        console.print(_attempts(attempts))
    table = Table(title="History", title_justify="left")
    for name in ("when", "what", "attempt", "back end", "text"):
        table.add_column(name, overflow="fold")
    table.add_row(_when(ledger.production.created), "planned", "", "", Text(f"priority {found.priority:g}"))
    for event in history(ledger, tile_id):
        number = "" if event.attempt is None else str(event.attempt)
        table.add_row(_when(event.at), event.kind, number, event.backend or "", Text(event.text))
    console.print(table)


def _tile(found: TileRecord) -> Table:
    table = Table(title=f"Tile {found.id}", title_justify="left", show_header=False)
    share = "not known" if found.cropland_share is None else f"{100 * found.cropland_share:.2f} %"
    rows = {
        "state": f"{found.state}{f': {found.reason}' if found.reason else ''}",
        "where": f"{found.country or 'no country'}, UTM zone {found.zone}, {found.crs} "
        f"{', '.join(f'{v:.0f}' for v in found.bounds)}",
        "cropland": share,
        "Sentinel-2, Sentinel-1": f"{dict(found.s2_items)}, {dict(found.s1_items)}",
        "settings": f"orbit {found.orbit}, {found.s1_coefficient}, "
        f"{100 * found.s1_tolerance:g} % of Sentinel-1 may fail",
        "estimated": f"{found.core_seconds:,.0f} core-seconds, {found.memory:,} MB, cost {found.cost:,.4f}",
        "priority": f"{found.priority:g}",
        "back end": found.backend or "any",
        "tries": str(found.tries),
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _attempts(attempts: tuple[Attempt, ...]) -> Table:
    table = Table(title="Attempts", title_justify="left")
    for name in ("attempt", "back end", "job", "state", "memory", "cost", "cpu s", "peak MB", "error"):
        table.add_column(name, overflow="fold")
    for one in attempts:
        measured = ("" if v is None else f"{v:,.2f}" for v in (one.cost, one.cpu_seconds, one.peak_memory_mb))
        error = " ".join(t for t in (one.error_class, one.error_text) if t)
        table.add_row(
            str(one.id),
            one.backend,
            one.remote_id or one.token,
            str(one.state),
            f"{one.memory_mb:,}",
            *measured,
            Text(error),
        )
    return table


def _done_text(ledger: Ledger) -> str:
    found = sums(ledger)
    done = found[TileState.DONE].tiles if TileState.DONE in found else 0
    every = sum(total.tiles for state, total in found.items() if state is not TileState.SKIPPED)
    return f"{done:,} of {every:,} tiles done ({100 * done / every if every else 0:.1f} %)"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
