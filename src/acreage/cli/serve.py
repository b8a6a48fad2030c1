"""`acreage serve`: the openEO back end on one port."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from rich.console import Console

from acreage.backend.accounts.users import User, accounts_of, is_weak
from acreage.backend.app import create_app
from acreage.backend.errors import TileTooLarge
from acreage.backend.server import make_server
from acreage.backend.settings import ServerSettings, load_server_settings
from acreage.backend.tiles import Picture
from acreage.backend.work import Loads
from acreage.catalog.items import Bounds, Catalog
from acreage.cli.inputs import quarantine_of
from acreage.cli.job import JobOptions, user_files
from acreage.cli.runtime import budget_of, catalog_at, udf_runner
from acreage.core.errors import InvalidInput
from acreage.core.grid import transformer
from acreage.core.settings import Settings, load_settings
from acreage.engine.memory import base_memory
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.engine.user_files import FolderWorkspace
from acreage.udf.isolation import isolation_available
from acreage.udf.owned import OwnedUdfRunner
from acreage.udf.runner import ProcessUdfRunner

DEFAULT_USER = "acreage"
_PROBES, _PROBE_SECONDS = 4, 30.0
_MEMORY_EVERY_S = 30.0
# A request waits while its plan is made. At 10 m this many are a square of hundreds of kilometres.
_MOST_WINDOWS = 10_000
_TILE_SECONDS = 60.0  # of work that one tile of a map service may take


def serve(
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any free one.")] = 8000,
    storage: Annotated[
        Path, typer.Option(help="Folder for jobs, results, files of users and the database.")
    ] = Path("acreage-storage"),
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:PASSWORD",
            help="An account. May be repeated. Others on this machine can see the option: "
            "ACREAGE_SERVER_USERS names a file of accounts instead.",
        ),
    ] = None,
) -> None:
    """Serve the openEO API.

    Example: `acreage serve --catalog catalog.json --port 8000 --storage storage --user anna:correct-horse`
    """
    settings, of_server = load_settings(), load_server_settings()
    console = Console(stderr=True)
    accounts, reachable = accounts_of(user or [], of_server.users), others_reach(host, of_server)
    invented = not accounts and of_server.oidc is None and not reachable
    if invented:
        accounts = {DEFAULT_USER: DEFAULT_USER}
    if reachable:
        refuse_weak(accounts, has_providers=of_server.oidc is not None)
    check_free(host, port)
    source = catalog or settings.catalog
    runners = probing_runners(settings, of_server.reach)
    work = EngineWork(catalog_at(catalog, settings), str(source), settings, runners, of_server.reach)
    # Alone on a machine, a user's code may do what the user may do anyway.
    alone = not reachable and len(accounts) == 1 and of_server.oidc is None
    server = make_server(of_server, work, storage, accounts, trusted=alone)
    logging.getLogger("acreage").setLevel(logging.INFO)
    log_as(of_server.log_format)
    if invented:
        console.print(f"No account is given; log in as {DEFAULT_USER} with the password {DEFAULT_USER}")
    with runners[False], runners[True]:
        uvicorn.run(
            create_app(server),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            log_level="info",
            timeout_graceful_shutdown=10,
            server_header=False,
        )


def check_free(host: str, port: int) -> None:
    """Refuse an address where nothing can listen, before anything is made for it.

    Raises:
        InvalidInput: the port is taken or not allowed, or the address is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else str(error)
        raise InvalidInput(
            f"Nothing can listen at {host}, port {port}: {reason}.",
            hint="Give another --host or --port; port 0 takes any free one.",
        ) from error


def probing_runners(settings: Settings, reach: Sequence[str] = ()) -> dict[bool, ProcessUdfRunner]:
    """Runners that see what functions give, by whether their author is trusted.

    Some at once, and not for long: a function that never ends must not keep others from planning.
    """
    patience = min(settings.udf_timeout_s, _PROBE_SECONDS)
    short = settings.model_copy(update={"udf_timeout_s": patience})
    return {trusted: udf_runner(short, _PROBES, trusted, reach) for trusted in (False, True)}


def refuse_weak(accounts: Mapping[str, str], *, has_providers: bool) -> None:
    """Refuse to serve others without accounts, or with passwords that are easy to guess.

    Raises:
        InvalidInput
    """
    if not accounts and not has_providers:
        raise InvalidInput(
            "A server that others can reach needs accounts.",
            hint="Give --user, ACREAGE_SERVER_USERS or ACREAGE_SERVER_OIDC, or listen at 127.0.0.1.",
        )
    weak = [name for name, password in accounts.items() if is_weak(name, password)]
    if weak:
        raise InvalidInput(
            f"The password of {', '.join(weak)} is too weak for a server that others can reach.",
            hint="Use 8 characters or more that are hard to guess, or listen at 127.0.0.1.",
        )


def others_reach(host: str, settings: ServerSettings) -> bool:
    """Whether other machines reach a server that listens at an address, or the proxy before it."""
    public = settings.public_url
    return not is_loopback(host) or (public is not None and not is_loopback((public.host or "").strip("[]")))


def log_as(form: str) -> None:
    """Log as text for people, or a JSON object a line for programs.

    Plain text: what a terminal is told in colours takes milliseconds a line, and all requests wait meanwhile.
    """
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(_JsonLines() if form == "json" else plain)
    logging.getLogger().handlers = [handler]


class _JsonLines(logging.Formatter):
    """A JSON object of each record."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["trace"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class _OwnMemory:
    """What the server's process takes, looked at from time to time: the system walks all its pages for it."""

    found: int = 0
    looked: float = -math.inf

    def __call__(self) -> int:
        """Bytes."""
        if time.monotonic() - self.looked > _MEMORY_EVERY_S:
            self.found, self.looked = base_memory(), time.monotonic()
        return self.found


@dataclass(frozen=True)
class EngineWork:
    """The engine as the back end sees it (`acreage.backend.work.Work`).

    Attributes:
        catalog: where the collections come from.
        address: of the catalog, for the processes of jobs.
        settings: of the engine.
        udf: runs user-defined functions to see what they give, by whether their author is trusted.
        reach: hosts that graphs may name although they are private.
    """

    catalog: Catalog
    address: str
    settings: Settings
    udf: Mapping[bool, ProcessUdfRunner]
    reach: Sequence[str] = ()
    _memory: _OwnMemory = field(default_factory=_OwnMemory, repr=False)

    def plan(self, process: Mapping[str, Any], options: Mapping[str, Any], user: User, loads: Loads) -> Plan:
        """As `Work` says."""
        with tempfile.TemporaryDirectory(prefix="acreage-plan-") as folder:
            return self._planned(process, options, user, loads, Path(folder))

    def _planned(
        self,
        process: Mapping[str, Any],
        options: Mapping[str, Any],
        user: User,
        loads: Loads,
        downloads: Path,
    ) -> Plan:
        known = JobOptions.of(options, self.settings)
        budget = budget_of(self.settings, known.memory, known.threads, base=self._memory())
        budget = replace(budget, windows=_MOST_WINDOWS)
        quarantined = quarantine_of(self.settings).read()
        return make_plan(
            parse_graph(process),
            self.catalog,
            budget,
            self._udf_of(user, loads.files),
            quarantined,
            files=user_files(loads.files, loads.results, downloads, self.reach),
        )

    def _udf_of(self, user: User, files: Path) -> OwnedUdfRunner:
        return OwnedUdfRunner(self.udf[user.trusted], user.id, FolderWorkspace(files).resolve)

    def render(
        self, process: Mapping[str, Any], corner: tuple[float, float], user: User, loads: Loads, out: Path
    ) -> Picture:
        """As `Work` says."""
        plan = self._planned(process, {"threads": 1}, user, loads, out / "downloads")
        if plan.estimate.core_seconds > _TILE_SECONDS:
            raise TileTooLarge(
                f"The tile takes about {plan.estimate.core_seconds:.0f} s of work.",
                hint="Look closer, or make a map by a batch job.",
            )
        done = run_plan(plan, out, udf=self._udf_of(user, loads.files), scratch=self.settings.scratch)
        box = plan.nodes[plan.outputs[0].node].meta.box
        if box is None:
            raise InvalidInput("The process has no raster result.", hint="A map shows rasters only.")
        column = round((box.bounds[0] - corner[0]) / box.grid.res_x)
        row = round((corner[1] - box.bounds[3]) / box.grid.res_y)
        return Picture(done.files[0][0], max(column, 0), max(row, 0))

    def area(self, process: Mapping[str, Any], user: User, loads: Loads) -> Bounds | None:
        """As `Work` says."""
        plan = self.plan(process, {}, user, loads)
        box = next((b for o in plan.outputs if (b := plan.nodes[o.node].meta.box) is not None), None)
        if box is None:
            return None
        project = transformer(box.grid.crs, "EPSG:3857")
        west, south, east, north = project.transform_bounds(*box.bounds, densify_pts=21)
        return west, south, east, north

    def command(self, attempt: Path) -> list[str]:
        """As `Work` says."""
        return [sys.executable, "-c", "from acreage.cli.job import main; main()", str(attempt), self.address]

    def isolation(self) -> str:
        """As `Work` says."""
        state = isolation_available()
        return "" if state.available else state.reason
