"""Inputs at the command line: what may fail, inspection, quarantine, and the account as tables and files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acreage.core.errors import InvalidInput
from acreage.core.inputs import InputAsset, Inputs
from acreage.core.outputs import whole_file
from acreage.core.settings import Settings
from acreage.engine.inspected import RememberedInspection
from acreage.engine.inspection import inspect_items
from acreage.engine.plan import Expectation, Plan
from acreage.engine.quarantine import Quarantine
from acreage.engine.run import Inspect
from acreage.engine.tolerance import failure_text

TolerateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerate",
        metavar="LIMIT",
        help=(
            "Items that may fail before a job does: N or P% in all, COLLECTION=N or COLLECTION=P% for one "
            "collection; may be given several times. None by default."
        ),
    ),
]
NoInspectOption = Annotated[
    bool,
    typer.Option("--no-inspect", help="Do not look at the files before the first window; recorded."),
]
_MOST_SHOWN = 20


def quarantine_of(settings: Settings) -> Quarantine:
    """The quarantine that the settings name."""
    return Quarantine(settings.quarantine or settings.cache / "quarantine")


def inspector(settings: Settings, *, wanted: bool) -> Inspect | None:
    """Inspection with its memory beside the quarantine; None where it is switched off."""
    if not wanted:
        return None
    return RememberedInspection(inspect_items, quarantine_of(settings).folder / "inspected")


def inputs_table(inputs: Inputs) -> Table:
    """Collections by what became of their items, skipped and failed ones by kind."""
    table = Table(title="Inputs", title_justify="left")
    for name in ("collection", "items", "read", "skipped", "failed", "assets read"):
        left = name in ("collection", "skipped", "failed")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for collection, counts in inputs.counts().items():
        items, assets = counts["items"], counts["assets"]
        table.add_row(
            collection,
            str(items["expected"]),
            str(items["read"]),
            _by_kind(counts["skipped"]),
            Text(_by_kind(counts["failed"]), style="yellow" if counts["failed"] else ""),
            f"{assets['read']} of {assets['expected']}",
        )
    return table


def tell_inputs(inputs: Inputs, console: Console) -> None:
    """The account in short, and by name what failed or is in quarantine."""
    console.print(inputs_table(inputs))
    failed = [f"{a.kind}: {failure_text(a)}" for a in inputs.failed]
    kept_out = [f"{a.item}: {a.reason}" for a in _one_an_item(inputs.quarantined)]
    for what, texts in (("failed: ", failed), ("", kept_out)):
        for text in texts[:_MOST_SHOWN]:
            console.print(Text(f"{what}{text}", style="yellow"), soft_wrap=True)
        if len(texts) > _MOST_SHOWN:
            console.print(Text(f"{what or 'In quarantine: '}{len(texts) - _MOST_SHOWN} more", style="yellow"))
    if not inputs.inspected:
        console.print(Text("Files were not inspected before the run.", style="dim"))


def expected_table(plan: Plan) -> Table:
    """Collections by what a plan expects of them, in items."""
    table = Table(title="Inputs", title_justify="left")
    for name in ("collection", "items", "assets", "to be read", "skipped", "failed"):
        left = name in ("collection", "skipped", "failed")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for collection in sorted({e.collection for e in plan.expected}):
        own = [e for e in plan.expected if e.collection == collection]
        state: dict[str, Expectation] = {}
        for e in sorted(own, key=lambda e: ("failed", "expected", "skipped").index(e.state)):
            state.setdefault(e.item, e)
        by_state = {s: [e for e in state.values() if e.state == s] for s in ("expected", "skipped", "failed")}
        failed = _by_kind(_counted(by_state["failed"]))
        table.add_row(
            collection,
            str(len(state)),
            str(sum(bool(e.band) for e in own)),
            str(len(by_state["expected"])),
            _by_kind(_counted(by_state["skipped"])),
            Text(failed, style="yellow" if by_state["failed"] else ""),
        )
    return table


def expected_rows(plan: Plan) -> list[dict[str, str]]:
    """Every expected asset of a plan: collection, item, band, state, kind, reason and address."""
    names = ("collection", "item", "band", "state", "kind", "reason", "href")
    return [{name: str(getattr(e, name)) for name in names} for e in plan.expected]


def expected_list(plan: Plan) -> Table:
    """The same rows as a table for people, without addresses."""
    table = Table(title="Expected inputs", title_justify="left")
    for name in ("collection", "item", "band", "state", "reason"):
        table.add_column(name, overflow="fold")
    for row in expected_rows(plan):
        state = f"{row['state']}: {row['kind']}" if row["kind"] else row["state"]
        table.add_row(*(Text(row[n]) for n in ("collection", "item", "band")), state, Text(row["reason"]))
    return table


def write_expected(plan: Plan, out: Path) -> None:
    """The rows as a CSV or JSON file, by its suffix.

    Raises:
        InvalidInput: another suffix.
        WriteFailed: the disk refused.
    """
    rows = expected_rows(plan)
    if out.suffix.lower() not in (".csv", ".json"):
        raise InvalidInput(f"{out.name} is neither .csv nor .json.", hint="Name it with one of these.")
    with whole_file(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        if out.suffix.lower() == ".json":
            json.dump(rows, file, indent=1, ensure_ascii=False)
            return
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["collection"])
        writer.writeheader()
        writer.writerows(rows)


def _counted(found: Sequence[Expectation]) -> dict[str, int]:
    kinds = sorted(e.kind for e in found)
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _by_kind(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items()) or "0"


def _one_an_item(assets: Sequence[InputAsset]) -> tuple[InputAsset, ...]:
    first: dict[tuple[str, str], InputAsset] = {}
    for asset in assets:
        first.setdefault((asset.collection, asset.item), asset)
    return tuple(first.values())
