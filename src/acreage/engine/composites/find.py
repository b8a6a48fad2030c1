"""Which parts of a plan can be computed as streaming composites, and why others can not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from acreage.engine.composites.model import Composite, Sink, Timewise
from acreage.engine.composites.timewise import has_dates, timewise
from acreage.engine.composites.trace import SOURCE_DIMENSIONS, Trace, follow
from acreage.engine.ops import InputRef, ProcessOp
from acreage.engine.plan import PlanNode
from acreage.engine.sources import SourceOp
from acreage.processes.callback import Callback
from acreage.processes.grouping import Groups
from acreage.processes.temporal_aggregation import groups_of

REWRITE = "streaming-composite"
AGGREGATIONS = ("aggregate_temporal_period", "aggregate_temporal")


@dataclass(frozen=True)
class Found:
    """What a search for composites gave.

    Attributes:
        composites: that are possible.
        notes: for people: what fired, and why others did not.
    """

    composites: tuple[Composite, ...] = ()
    notes: tuple[str, ...] = ()


def find_composites(nodes: Sequence[PlanNode], alive: frozenset[int]) -> Found:
    """All composites among the nodes that a plan computes.

    Args:
        nodes: of the plan.
        alive: those that its outputs need.
    """
    composites: list[Composite] = []
    notes: list[str] = []
    known: dict[tuple[Trace, tuple[tuple[int, ...], ...]], list[tuple[int, Sink]]] = {}
    for index, node in enumerate(nodes):
        if index not in alive or node.process_id not in AGGREGATIONS or not isinstance(node.op, ProcessOp):
            continue
        found = _aggregation(nodes, node)
        if isinstance(found, str):
            notes.append(f"{REWRITE}: not for {node.key!r}, because {found}")
            continue
        trace, periods = found
        a = node.op.arguments
        key = (Trace(trace.source, (), (), trace.masks), periods)
        known.setdefault(key, []).append((index, Sink(index, trace.bands, a["reducer"], a["context"])))
    for (trace, periods), sinks in known.items():
        masks = _masks(nodes, trace)
        if isinstance(masks, str):
            names = ", ".join(repr(nodes[i].key) for i, _ in sinks)
            notes.append(f"{REWRITE}: not for {names}, because {masks}")
            continue
        counts = list(_counts(nodes, alive, trace, periods))
        composite = Composite(trace.source, periods, trace.masks, masks, (*(s for _, s in sinks), *counts))
        composites.append(composite)
        notes.append(_told(nodes, composite))
    return Found(tuple(composites), tuple(notes))


def _aggregation(
    nodes: Sequence[PlanNode], node: PlanNode
) -> tuple[Trace, tuple[tuple[int, ...], ...]] | str:
    """Trace of what an aggregation reduces, and the source's steps of each of its periods."""
    assert isinstance(node.op, ProcessOp)
    a = node.op.arguments
    if not isinstance(a["data"], InputRef):
        return "it has no cube as data"
    given = node.inputs[a["data"].position]
    trace = follow(nodes, given)
    if isinstance(trace, str):
        return trace
    if nodes[given].meta.names != SOURCE_DIMENSIONS:
        return f"its data have the dimensions {', '.join(nodes[given].meta.names)}"
    if any(isinstance(v, InputRef) for n, v in a.items() if n != "data"):
        return "it takes more than one cube"
    groups: Groups = groups_of(node.process_id, nodes[given].meta, a)
    if groups.dimension.name != "t":
        return "it does not aggregate over t"
    members = [m for group in groups.members for m in group]
    if len(set(members)) < len(members):
        return "its intervals overlap: dates would be decoded more than once"
    return trace, tuple(tuple(trace.steps[m] for m in group) for group in groups.members)


def _masks(nodes: Sequence[PlanNode], trace: Trace) -> Timewise | str:
    """How the masks of a trace are computed, or why they cannot be computed date by date."""
    labels = nodes[trace.source].meta.dim("t").labels
    together = Timewise()
    for mask in trace.masks:
        if not has_dates(nodes[mask]):
            together = together.joined(Timewise((), (mask,)))
            continue
        own = set(nodes[mask].meta.dim("t").labels)
        found = timewise(nodes, mask, [label for label in labels if label in own])
        if isinstance(found, str):
            return found
        together = together.joined(found)
    return together


def _counts(
    nodes: Sequence[PlanNode], alive: frozenset[int], trace: Trace, periods: Sequence[Sequence[int]]
) -> Iterator[Sink]:
    """Counts of the very observations that a composite has at hand."""
    steps = sorted(s for period in periods for s in period)
    for index, node in enumerate(nodes):
        if index not in alive or not _counts_dates(node):
            continue
        found = follow(nodes, node.inputs[0])
        if isinstance(found, str) or (found.source, found.masks) != (trace.source, trace.masks):
            continue
        if sorted(found.steps) == steps and nodes[node.inputs[0]].meta.names == SOURCE_DIMENSIONS:
            yield Sink(index, found.bands)


def _counts_dates(node: PlanNode) -> bool:
    """Whether a node is the number of valid observations along t."""
    if node.process_id != "reduce_dimension" or not isinstance(node.op, ProcessOp):
        return False
    reducer = node.op.arguments["reducer"]
    if node.op.arguments["dimension"] != "t" or not isinstance(reducer, Callback):
        return False
    if reducer.process_ids != ("count",) or len(node.inputs) != 1:
        return False
    return reducer.nodes[0].arguments.get("condition") is None


def _told(nodes: Sequence[PlanNode], composite: Composite) -> str:
    keys = ", ".join(repr(nodes[s.node].key) for s in composite.sinks)
    source = nodes[composite.source]
    assert isinstance(source.op, SourceOp)
    return (
        f"{REWRITE}: {keys} from {source.op.collection}, {len(composite.periods)} periods, "
        f"{len(composite.masks)} masks read first"
    )
