"""`acreage account`: what the users of a server may spend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from acreage.backend.accounts.budgets import Budgets, Spending
from acreage.backend.database.session import open_database
from acreage.backend.settings import load_server_settings
from acreage.backend.storage import Storage
from acreage.core.errors import InvalidInput
from acreage.core.tariff import Tariff, read_tariff

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""Show and set what the users of a server may spend.

Budgets are amounts in the currency of the server's tariff (docs/server.md), for all that a user ever
computes; a running server knows a change at once. The database is the one of `ACREAGE_SERVER_DATABASE`,
else the one in the storage folder.

Example: `acreage account budget anna 250 --storage storage`
""",
)
StorageOption = Annotated[Path, typer.Option(help="The server's storage folder.")]
_STORAGE = Path("acreage-storage")


@app.command("list")
def list_accounts(storage: StorageOption = _STORAGE) -> None:
    """List all users who have logged in once, with what they have spent and may spend.

    Example: `acreage account list --storage storage`
    """
    with _budgets(storage) as budgets:
        table = Table("user", "spent", "running", "budget", "left")
        for user_id, one in budgets.listed().items():
            table.add_row(user_id, _told(one.spent), _told(one.running), _told(one.budget), _told(one.left))
        Console().print(table)


@app.command("budget")
def set_budget(
    user: Annotated[str, typer.Argument(help="Id of the user, as `list` shows it.")],
    amount: Annotated[
        str,
        typer.Argument(help="What may be spent in all, or `default`: as ACREAGE_SERVER_USER_BUDGET says."),
    ],
    storage: StorageOption = _STORAGE,
) -> None:
    """Set what a user may spend in all, also before the first login.

    Example: `acreage account budget anna 250 --storage storage`
    """
    with _budgets(storage) as budgets:
        found = budgets.give(user, _amount(amount))
        Console().print(_sentence(user, found, budgets.tariff), soft_wrap=True)


def _amount(text: str) -> float | None:
    if text == "default":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{text!r} is no amount.", hint="Give a number of 0 or more, or `default`.")
    return value


def _sentence(user: str, found: Spending, tariff: Tariff) -> str:
    left = "as much as there is" if found.left is None else f"{max(found.left, 0.0):g} {tariff.currency}"
    return f"{user} has spent {found.spent + found.running:g} {tariff.currency} and may spend {left} more."


def _told(value: float | None) -> str:
    return "no limit" if value is None else f"{value:.4f}"


@contextmanager
def _budgets(storage: Path) -> Iterator[Budgets]:
    settings = load_server_settings()
    own = Storage(storage.absolute())
    if settings.database is None and not (own.root / "acreage.db").is_file():
        raise InvalidInput(
            f"There is no database in {storage}.",
            hint="Name the server's storage folder, or set ACREAGE_SERVER_DATABASE as the server has it.",
        )
    tariff = Tariff() if settings.tariff is None else read_tariff(settings.tariff)
    database = open_database(settings.database or own.database)
    try:
        yield Budgets(database, tariff, settings.user_budget)
    finally:
        database.close()
