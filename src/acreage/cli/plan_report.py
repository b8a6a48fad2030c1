"""A production's plan as tables and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import reasons, sums, tiles
from acreage.production.ledger.values import TileRecord, TileState
from acreage.production.picture import Panel, draw_values
from acreage.production.planning.edits import Edit
from acreage.production.planning.ledgers import outlook
from acreage.production.planning.packing import Forecast
from acreage.production.planning.plan import Planned

_SHOWN = 40


def duration_text(seconds: float) -> str:
    """A duration as people say it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_planned(planned: Planned, console: Console) -> None:
    """How the plan was made."""
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in planned.seconds.items())
    console.print(f"{len(planned.tiles):,} tiles planned ({took}).")
    for name, bad in planned.unusable.items():
        if bad.number:
            told = f"{name}: {bad.number:,} products of its catalog cannot be used, the first: {bad.first}"
            console.print(told, style="yellow", markup=False, soft_wrap=True)
    model = planned.model
    if model.samples:
        console.print(
            f"Needs follow from {model.samples} sample tiles; told by the others, one of them is off by "
            f"{100 * model.error:.0f} % (median)."
        )
    else:
        console.print("Needs are those that acreage comes with: no sample tile was planned.")


def print_forecast(ledger: Ledger, found: Forecast, console: Console) -> None:
    """Tiles by state, what each back end takes alone, and all of them together."""
    currency = str(ledger.production.config.get("currency", ""))
    console.print(_states(ledger, currency))
    table = Table(title="Back ends, each alone", title_justify="left")
    for name in (
        "back end",
        "workers",
        "tiles",
        "too large",
        "duration",
        f"cost, {currency}",
        "share",
    ):
        table.add_column(name, justify="left" if name == "back end" else "right")
    for one in found.back_ends:
        table.add_row(
            one.name,
            f"{one.workers}{' (assumed)' if one.assumed else ''}",
            f"{one.tiles:,}",
            f"{one.too_large:,}",
            duration_text(one.seconds),
            f"{one.cost:,.2f}",
            f"{100 * one.share:.0f} %",
        )
    console.print(table)
    console.print(
        f"Together: {found.tiles:,} tiles, {duration_text(found.seconds)}, {found.cost:,.2f} {currency}.",
        style="bold",
    )


def print_edits(edits: Sequence[Edit], console: Console) -> None:
    """What a table changes, value by value."""
    if not edits:
        console.print("The table changes nothing.")
        return
    table = Table(title="Changes", title_justify="left")
    for name in ("tile", "column", "before", "after"):
        table.add_column(name)
    for edit in edits[:_SHOWN]:
        before, after = (Text("" if v is None else str(v)) for v in (edit.before, edit.after))
        table.add_row(edit.tile, edit.column, before, after)
    console.print(table)
    if len(edits) > _SHOWN:
        console.print(f"... and {len(edits) - _SHOWN} more.")
    counts = {c: sum(e.column == c for e in edits) for c in dict.fromkeys(e.column for e in edits)}
    told = ", ".join(f"{column} of {number:,}" for column, number in counts.items())
    console.print(f"{len({e.tile for e in edits}):,} tiles: {told}.")


def draw_plan(ledger: Ledger, out: Path) -> None:
    """Maps of cropland, products, and cost (core-seconds where nothing costs); totals below."""
    found, production = outlook(ledger), ledger.production
    currency = str(production.config.get("currency", ""))
    free = all(total.cost == 0 for total in sums(ledger).values())
    panels = [
        Panel(
            "Cropland",
            "% of the tile",
            lambda t: None if t.cropland_share is None else 100 * t.cropland_share,
        ),
        Panel("Sentinel-2", "products in the season", lambda t: _most(t, "s2_items"), "cividis"),
        Panel("Sentinel-1", "products in the season", lambda t: _most(t, "s1_items"), "cividis"),
        Panel("Time", "core-seconds", lambda t: _planned(t, t.core_seconds))
        if free
        else Panel("Cost", currency, lambda t: _planned(t, t.cost)),
    ]
    lines = [
        f"{one.name}: {one.tiles:,} tiles, {one.workers} workers, {duration_text(one.seconds)}, "
        f"{one.cost:,.2f} {currency}"
        for one in found.back_ends
    ]
    lines.append(
        f"All together: {found.tiles:,} tiles, {duration_text(found.seconds)}, {found.cost:,.2f} {currency}"
    )
    config = production.config
    title = f"{production.name}: {config.get('grid', '')} tiles, {config.get('season', '')}"
    draw_values(tiles(ledger), panels, out, title=title, note="\n".join(lines))


def _most(tile: TileRecord, name: str) -> float | None:
    return _planned(tile, float(max(getattr(tile, name).values(), default=0)))


def _planned(tile: TileRecord, value: float) -> float | None:
    return None if tile.state is TileState.SKIPPED else value


def _states(ledger: Ledger, currency: str) -> Table:
    table = Table(title=f"{ledger.production.name}: tiles", title_justify="left")
    for name in ("state", "tiles", "core-hours", f"cost, {currency}", "reasons"):
        table.add_column(name, justify="left" if name in ("state", "reasons") else "right")
    found = sums(ledger)
    for state in TileState:
        if state not in found:
            continue
        total = found[state]
        why = reasons(ledger, state) if state in (TileState.SKIPPED, TileState.HELD) else {}
        told = "\n".join(f"{number:,} {reason}" for reason, number in list(why.items())[:5])
        table.add_row(
            str(state), f"{total.tiles:,}", f"{total.core_seconds / 3600:,.1f}", f"{total.cost:,.2f}", told
        )
    spent = sum(b.spent for b in back_ends(ledger))
    if spent:
        table.caption = f"{spent:,.2f} {currency} spent."
    return table
