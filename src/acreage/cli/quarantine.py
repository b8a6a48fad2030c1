"""`acreage quarantine`: products that no job uses."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from acreage.cli.inputs import quarantine_of
from acreage.core.settings import load_settings
from acreage.engine.quarantine import QuarantineEntry

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""List products that no job uses; decide on proposed ones, take repaired ones out.

A product whose file failed in a job that allowed it (`--tolerate`) is in quarantine for every later job. One
that made a job fail is proposed, and waits for `accept` or `release`. The list lies in the folder
`ACREAGE_QUARANTINE`.

Example: `acreage quarantine list`
""",
)

ItemArgument = Annotated[str, typer.Argument(help="Item id.")]
CollectionOption = Annotated[
    str | None, typer.Option(help="Only of this collection, where several have the id.")
]


@app.command("list")
def list_products(
    proposed: Annotated[bool, typer.Option("--proposed", help="Only what waits for a decision.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for a program.")] = False,
) -> None:
    """List products in quarantine, and proposed ones.

    Example: `acreage quarantine list --proposed`
    """
    store = quarantine_of(load_settings())
    known = store.read()
    entries = [e for e in known.entries.values() if e.state == "proposed" or not proposed]
    out = Console(file=sys.stdout)
    if as_json:
        rows = [
            {
                "collection": e.collection, "item": e.item, "href": e.href, "state": e.state, "kind": e.kind,
                "reason": e.reason, "since": e.since, "first_job": e.job, "jobs": len(e.jobs), "by": e.by,
            }
            for e in entries
        ]  # fmt: skip
        out.print_json(json.dumps(rows))
    else:
        out.print(_told(entries) if entries else Text("Nothing is in quarantine."), soft_wrap=True)
    if known.damaged:
        Console(stderr=True).print(
            Text(f"{known.damaged} lines of {store.folder} could not be read.", style="yellow")
        )


@app.command("accept")
def accept(item: ItemArgument, collection: CollectionOption = None) -> None:
    """Put a proposed product into quarantine.

    Example: `acreage quarantine accept S2B_33TWM_20230813_0_L2A`
    """
    found = quarantine_of(load_settings()).accept(item, collection)
    _tell(found, "is in quarantine")


@app.command("release")
def release(item: ItemArgument, collection: CollectionOption = None) -> None:
    """Take a product out, because it was repaired or was never at fault.

    Example: `acreage quarantine release S2B_33TWM_20230813_0_L2A`
    """
    found = quarantine_of(load_settings()).release(item, collection)
    _tell(found, "is out of quarantine")


@app.command("add")
def add(
    collection: Annotated[str, typer.Argument(help="Collection id, as in process graphs.")],
    item: ItemArgument,
    reason: Annotated[str, typer.Option(help="Why; it stands in the metadata of every map without it.")],
    href: Annotated[str, typer.Option(help="Only the copy whose item JSON lies at this address.")] = "",
) -> None:
    """Put a product into quarantine by hand.

    Example: `acreage quarantine add SENTINEL2_L2A S2B_33TWM_20230813_0_L2A --reason "shifted by 40 m"`
    """
    quarantine_of(load_settings()).add(collection, item, reason, href)
    Console(stderr=True).print(Text(f"{collection} {item} is in quarantine."))


def _tell(entries: tuple[QuarantineEntry, ...], what: str) -> None:
    for entry in entries:
        Console(stderr=True).print(Text(f"{entry.collection} {entry.item} {what}."))


def _told(entries: list[QuarantineEntry]) -> Text:
    """Three lines an entry; proposed ones first. A table would have no room for the reasons."""
    lines = Text()
    for e in sorted(entries, key=lambda e: (e.state == "quarantined", e.key)):
        jobs = f", first job {e.job}, {len(e.jobs)} in all" if e.job else ""
        place = f"\n    only {e.href}" if e.href else ""
        lines.append(f"{e.state}  {e.collection}  {e.item}\n", "yellow" if e.state == "proposed" else "bold")
        lines.append(f"    {e.kind}: {e.reason}{place}\n    by {e.by} since {e.since}{jobs}\n")
    lines.rstrip()
    return lines
