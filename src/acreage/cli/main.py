"""`acreage`: the root of the command line."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from acreage.cli.boundary import CommandAt, LazyGroup

if TYPE_CHECKING:
    from acreage.core.settings import LogLevel

COMMANDS: Mapping[str, CommandAt] = {
    "demo": CommandAt(
        "acreage.cli.demo:demo",
        "Run the whole chain on two small simulated tiles: sample, train, map, compare with the truth.",
    ),
    "map": CommandAt("acreage.cli.map:map_command", "Map the crop types of one area."),
    "sample": CommandAt(
        "acreage.cli.sample:sample_command", "Sample dekad time series at labelled parcels and points."
    ),
    "execute": CommandAt(
        "acreage.cli.execute:execute", "Run a process graph on a catalog, without a server."
    ),
    "serve": CommandAt("acreage.cli.serve:serve", "Serve the openEO API."),
    "account": CommandAt("acreage.cli.account:app", "Show and set what the users of a server may spend."),
    "backup": CommandAt(
        "acreage.cli.backup:backup",
        "Write database, results, logs and files of users of a server into one archive.",
    ),
    "restore": CommandAt(
        "acreage.cli.backup:restore",
        "Put a backup into a new storage folder and, with ACREAGE_SERVER_DATABASE, an empty database.",
    ),
    "index": CommandAt(
        "acreage.cli.index:index_command",
        "Ask a catalog for an area and season once, and keep the answer for every later job.",
    ),
    "train": CommandAt("acreage.cli.train:train_command", "Train a crop type model on labelled time series."),
    "validate": CommandAt(
        "acreage.cli.validate:validate_command", "Measure accuracy on samples that were not trained on."
    ),
    "simulate": CommandAt(
        "acreage.cli.simulate:simulate",
        "Simulate an archive of Sentinel-1 and Sentinel-2 whose crops are known.",
    ),
    "bench": CommandAt(
        "acreage.cli.bench:bench", "Measure the product against decoding alone and against other tools."
    ),
    "quarantine": CommandAt(
        "acreage.cli.quarantine:app",
        "List products that no job uses; decide on proposed ones, take repaired ones out.",
    ),
    "plan": CommandAt(
        "acreage.cli.plan:plan_command",
        "Plan a production: tiles, cropland, products, cost and order, as a ledger that people may edit.",
    ),
    "run": CommandAt(
        "acreage.cli.run:run_command",
        "Make the tiles of a production on its back ends, until none is left; or tell a run what to do.",
    ),
    "status": CommandAt(
        "acreage.cli.status:status",
        "Tell where a production stands: states, back ends, failures by cause; a map; a tile's history.",
    ),
    "udf": CommandAt(
        "acreage.cli.udf:app",
        "Run a UDF on a file as the engine does, and say whether UDFs can be isolated here.",
    ),
}


class AcreageGroup(LazyGroup):
    """The commands of acreage."""

    commands_at: ClassVar[Mapping[str, CommandAt]] = COMMANDS


app = typer.Typer(
    name="acreage",
    cls=AcreageGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from acreage import __version__

        typer.echo(f"acreage {__version__}")
        raise typer.Exit


def configure_logging(level: LogLevel) -> None:
    """Log to standard error, so that standard output stays a command's own."""
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_path=False, rich_tracebacks=True)
    logging.basicConfig(
        level=level.upper(), format="%(message)s", datefmt="%H:%M:%S", handlers=[handler], force=True
    )


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log everything; show an error with its traceback.")
    ] = False,
) -> None:
    """Crop type maps of continents on openEO: sample, train, validate, map.

    Settings come from `ACREAGE_` environment variables: docs/settings.md.

    Example: `acreage demo`
    """
    from acreage.core.settings import load_settings  # not for a help or version: it takes as long as these

    settings = load_settings()
    configure_logging("debug" if debug else settings.log_level)
    ctx.obj = settings


def main() -> None:
    """Run the command line. A request to end (SIGTERM) is an interruption: scratch and half files go."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
