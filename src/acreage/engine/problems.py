"""Problems of a process graph, collected so that all are told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from acreage.core.errors import InvalidProcessGraph, ProcessGraphError


@dataclass
class Problems:
    """Problems found so far, in graph order, each with the node it belongs to."""

    found: list[ProcessGraphError] = field(default_factory=list)

    def add(self, error: ProcessGraphError) -> None:
        """Note a problem."""
        self.found.append(error)

    def raise_any(self) -> None:
        """Raise all that were noted, if any."""
        if self.found:
            raise InvalidProcessGraph(self.found)
