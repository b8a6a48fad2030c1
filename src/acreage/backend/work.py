"""What the back end needs of the engine; the command line fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from acreage.backend.accounts.users import User
from acreage.backend.tiles import Picture
from acreage.catalog.items import Bounds, Catalog
from acreage.engine.plan import Plan


@dataclass(frozen=True)
class Loads:
    """What a user's graph may load beside the collections.

    Attributes:
        files: folder of the user's files.
        results: STAC documents of the jobs that the graph loads, by what it names.
    """

    files: Path
    results: Mapping[str, str] = field(default_factory=dict)


class Work(Protocol):
    """The engine behind the API; safe to use from many threads."""

    @property
    def catalog(self) -> Catalog:
        """Where the collections come from."""
        ...

    def plan(self, process: Mapping[str, Any], options: Mapping[str, Any], user: User, loads: Loads) -> Plan:
        """The plan of a process whose graph calls predefined processes only.

        Args:
            process: with `process_graph`.
            options: of the job.
            user: who asks.
            loads: what it may load.

        Raises:
            AcreageError: it cannot be run; with all problems that were found.
        """
        ...

    def render(
        self, process: Mapping[str, Any], corner: tuple[float, float], user: User, loads: Loads, out: Path
    ) -> Picture:
        """Compute a small PNG now, in this process, and give its first file.

        Args:
            process: that saves PNG.
            corner: west and north of the tile, in the CRS of the process's result.
            user: whose code it runs.
            loads: what it may load.
            out: a folder.

        Raises:
            TileTooLarge: it takes too much work.
            AcreageError: it cannot be run.
        """
        ...

    def area(self, process: Mapping[str, Any], user: User, loads: Loads) -> Bounds | None:
        """West, south, east and north of a process's raster results in EPSG:3857; None where it has none.

        Raises:
            AcreageError: it cannot be run.
        """
        ...

    def command(self, attempt: Path) -> list[str]:
        """The command that does the work of an attempt's folder (`JobFolder`)."""
        ...

    def isolation(self) -> str:
        """Why code of users cannot be isolated from the machine; empty where it can."""
        ...
