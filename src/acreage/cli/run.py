"""`acreage run`: makes the tiles of a production on its back ends, and tells a run what to do."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from acreage.cli.plan_report import duration_text
from acreage.cli.run_controls import Wishes, carry_out
from acreage.core.errors import InvalidInput
from acreage.core.instances import Instances
from acreage.production.backends import BackEnd
from acreage.production.clock import SystemClock
from acreage.production.guards import STOP
from acreage.production.ledger.settings import back_ends, set_control
from acreage.production.ledger.store import Ledger, is_database, open_ledger
from acreage.production.ledger.values import BackEndState
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.parts import RunSettings
from acreage.production.planning.ledgers import check_threshold, recipe_of
from acreage.production.policy import RULES
from acreage.production.products import TileJobs, TileProducts
from acreage.production.profiles import ModelByUpload, Profile
from acreage.production.progress import Meter, Snapshot
from acreage.production.runner import Runner, make_runner
from acreage.production.tile_job import Recipe, upload_path
from acreage.production.work import Threads

INCOMPLETE = 1
"""Exit code where tiles are held or wait."""
_SHOW_S = 1.0
_LINE_S = 60.0


def run_command(
    production: Annotated[
        str, typer.Argument(metavar="PRODUCTION", help="Folder, or postgresql://USER@HOST/NAME.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Back end that this runner may use; all where none is given."),
    ] = None,
    downloads: Annotated[int, typer.Option(min=1, help="Downloads at once from one back end.")] = 2,
    accept_cost: Annotated[
        bool, typer.Option("--accept-cost", help="Run although the plan is over its threshold.")
    ] = False,
    set_values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="pace (jobs a minute), budget, failure_share or parallel.BACKEND; none: as planned.",
        ),
    ] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Send nothing more; what runs is finished.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Send again.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Let all runners end; jobs run on.")] = False,
    drain: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Back end that gets no more tiles.")
    ] = None,
    off: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Back end that is not even asked.")
    ] = None,
    reopen: Annotated[
        list[str] | None, typer.Option("--open", metavar="NAME", help="Back end that gets tiles again.")
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TILE|CAUSE", help="Held tile that waits again, or all that are held for a cause."
        ),
    ] = None,
    give_up: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TILE", help="Tile that waits for a back end: it is made anew, and may be paid twice."
        ),
    ] = None,
    policy: Annotated[
        bool, typer.Option("--policy", help="Show what is done about what goes wrong, and end.")
    ] = False,
) -> None:
    """Make the tiles of a production on its back ends, until none is left; or tell a run what to do.

    A run may be killed at any moment and started again; several share the tiles. With one of the options that
    change a run, the change is written for the runners that run, and this command ends.

    Example: `acreage run europe`, and while it runs `acreage run europe --set pace=20 --drain cdse`
    """
    console = Console(stderr=True)
    if policy:
        sys.stdout.write("".join(f"{rule.told}\n" for rule in RULES))
        return
    ledger = open_ledger(production)
    try:
        wishes = Wishes(
            tuple(set_values or ()),
            pause,
            resume,
            stop,
            tuple(drain or ()),
            tuple(off or ()),
            tuple(reopen or ()),
            tuple(release or ()),
            tuple(give_up or ()),
        )
        if not wishes.is_empty:
            for line in carry_out(ledger, wishes, time.time()):
                console.print(line, markup=False, soft_wrap=True)
            return
        if not accept_cost:
            check_threshold(ledger)
        # A stop was for the runners of that time.
        set_control(ledger, time.time(), {STOP: None}, "a runner begins")
        _run(_runner(ledger, production, only or (), downloads), console)
    finally:
        ledger.close()


def _run(runner: Runner, console: Console) -> None:
    meter = Meter(runner)
    if console.is_terminal:
        columns = (BarColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("")
            shown = Shown(
                _SHOW_S, lambda s: progress.update(bar, total=s.tiles, completed=s.done, description=told(s))
            )
            runner.run(lambda: shown.step(meter))
    else:
        lines = Shown(_LINE_S, lambda s: console.print(told(s), markup=False, soft_wrap=True))
        runner.run(lambda: lines.step(meter))
    found = Meter(runner).snapshot()
    console.print(told(found), markup=False, soft_wrap=True)
    if found.done < found.tiles:
        more = "`acreage status` tells why tiles are held; --release lets them wait again."
        console.print(f"{found.tiles - found.done:,} tiles are not done. {more}")
        raise typer.Exit(INCOMPLETE)


@dataclass
class Shown:
    """Shows a run every few seconds.

    Attributes:
        every_s: seconds.
        show: called with it.
    """

    every_s: float
    show: Callable[[Snapshot], object]
    _last: float = float("-inf")

    def step(self, meter: Meter) -> None:
        """Show it where it is time."""
        if time.monotonic() - self._last >= self.every_s:
            self._last = time.monotonic()
            self.show(meter.snapshot())


def told(found: Snapshot) -> str:
    """A run in a line: progress, rate, cost, when it will be finished, back ends."""
    parts = [f"{found.done:,} of {found.tiles:,} tiles"]
    if found.held:
        parts.append(f"{found.held:,} held")
    if found.per_hour is not None:
        parts.append(f"{found.per_hour:,.1f} an hour")
    parts.append(f"{found.spent:,.2f} spent of {found.expected:,.2f}")
    if found.stopped:
        parts.append(f"NOTHING IS SENT: {found.stopped}")
    elif found.seconds_left is None:
        parts.append("no end in sight")
    elif found.seconds_left:
        end = datetime.now().astimezone() + timedelta(seconds=found.seconds_left)
        parts.append(f"{duration_text(found.seconds_left)} left, until {end:%d %b %H:%M}")
    for one in found.back_ends:
        state = "" if one.state is BackEndState.OPEN else f" {one.state}"
        parts.append(f"{one.name} {one.running}/{one.parallel}{state}")
    return " · ".join(parts)


def _runner(ledger: Ledger, place: str, only: Sequence[str], downloads: int) -> Runner:
    recipe = recipe_of(ledger.production)
    profiles = {b.name: Profile.from_dict(b.config, b.name) for b in back_ends(ledger)}
    if unknown := sorted(set(only) - profiles.keys()):
        known = ", ".join(sorted(profiles))
        raise InvalidInput(
            f"There is no back end {unknown[0]} in the production.", hint=f"There are {known}."
        )
    calls: Mapping[str, BackEnd] = {
        name: OpenEoBackEnd(name, profile, _uploads(recipe, profile))
        for name, profile in profiles.items()
        if not only or name in only
    }
    results = ledger.production.results
    jobs = TileJobs(recipe, profiles)
    locks = results / ".runners" if is_database(place) else Path(place) / "runners"
    return make_runner(
        ledger,
        f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}",
        calls,
        jobs,
        TileProducts(jobs, results),
        SystemClock(),
        Threads({"fetch": downloads, "verify": 1}),
        RunSettings(),
        Instances(locks),
    )


def _uploads(recipe: Recipe, profile: Profile) -> list[tuple[Path, str]]:
    if not isinstance(profile.model, ModelByUpload):
        return []
    return [(recipe.model_file, upload_path(recipe, profile))]
