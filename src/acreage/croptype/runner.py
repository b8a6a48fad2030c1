"""Who runs the application's process graphs: the embedded engine, or an openEO back end over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from acreage.core.provenance import InputItem

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JobResult:
    """What a job gave.

    Attributes:
        files: result files on this machine.
        items: input items that were really read.
        gaps: (item, band, reason) of inputs that could not be read and were tolerated.
        usage: name to value in the unit that the name ends with, e.g. `cpu_seconds`.
    """

    files: tuple[Path, ...]
    items: tuple[InputItem, ...]
    gaps: tuple[tuple[str, str, str], ...] = ()
    usage: Mapping[str, float | int | str] = field(default_factory=dict)


class Runner(Protocol):
    """Runs process graphs. Filled where parts are wired together."""

    def run(self, graph: Mapping[str, Any], out: Path, progress: Progress | None = None) -> JobResult:
        """Run a graph and have its result as the file `out`.

        Args:
            graph: flat process graph that ends in `save_result`.
            out: file to write; its suffix fits the graph's format.
            progress: called with (parts done, parts in all).

        Raises:
            AcreageError: the graph was refused or the job failed.
        """
        ...
