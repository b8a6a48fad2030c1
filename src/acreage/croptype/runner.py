"""Who runs the application's process graphs: the embedded engine, or an openEO back end over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from acreage.core.inputs import Inputs
from acreage.core.provenance import InputItem

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JobResult:
    """What a job gave.

    Attributes:
        files: result files on this machine.
        inputs: what became of every expected input.
        usage: name to value in the unit that the name ends with, e.g. `cpu_seconds`.
    """

    files: tuple[Path, ...]
    inputs: Inputs
    usage: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def items(self) -> tuple[InputItem, ...]:
        """Input items that were really read, sorted."""
        return self.inputs.items_read


class Runner(Protocol):
    """Runs process graphs. Filled where parts are wired together.

    A product that failed in one job of a runner is left out of its later jobs.
    """

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
