"""What a plan says of a streaming composite; frozen and picklable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acreage.processes.callback import Callback


@dataclass(frozen=True)
class Timewise:
    """Nodes that are computed date by date, and what they need that has no dates.

    Attributes:
        nodes: plan nodes with dates, in order.
        given: plan nodes without dates that they read.
    """

    nodes: tuple[int, ...] = ()
    given: tuple[int, ...] = ()

    def joined(self, other: Timewise) -> Timewise:
        """What both need."""
        return Timewise(
            tuple(sorted({*self.nodes, *other.nodes})), tuple(sorted({*self.given, *other.given}))
        )


@dataclass(frozen=True)
class Sink:
    """One result of a composite: a plan node that is completed period by period.

    Attributes:
        node: the plan node.
        bands: positions in the source's bands, one a band of the result.
        reducer: from the observations of a period to one value; None where they are counted over all periods.
        context: handed to the reducer.
    """

    node: int
    bands: tuple[int, ...]
    reducer: Callback | None = None
    context: Any = None


@dataclass(frozen=True)
class Composite:
    """Several results of one masked source, computed together.

    Attributes:
        source: plan node of the load.
        periods: positions in the source's time steps, one tuple a period; no step is in two of them.
        masks: plan nodes that null values where they are true.
        timewise: the masks' nodes that are computed date by date, and what they read that has no dates.
        sinks: the results.
    """

    source: int
    periods: tuple[tuple[int, ...], ...]
    masks: tuple[int, ...]
    timewise: Timewise
    sinks: tuple[Sink, ...]

    @property
    def bands(self) -> tuple[int, ...]:
        """Positions in the source's bands that any result needs, ascending."""
        return tuple(sorted({b for s in self.sinks for b in s.bands}))

    @property
    def targets(self) -> tuple[int, ...]:
        """The plan nodes that it completes."""
        return tuple(s.node for s in self.sinks)
