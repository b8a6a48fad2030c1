"""Which nodes are completed before others start, and which of their pixels are needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from acreage.core.cube import CubeMeta
from acreage.core.grid import Box
from acreage.engine.composites.model import Composite
from acreage.engine.geometry_stage import AGGREGATE
from acreage.engine.plan import PlanNode
from acreage.processes.registry import Blocks, Span


def completed_nodes(
    nodes: Sequence[PlanNode], outputs: Sequence[int], composites: Sequence[Composite] = ()
) -> set[int]:
    """Nodes that must be complete before something else starts.

    Outputs, what an unbounded footprint reads, every result without x and y that is computed from other
    nodes, and of streaming composites the results and what their masks read that has no dates.
    """
    done = set(outputs)
    for composite in composites:
        done.update(composite.targets, composite.timewise.given)
    if composites:
        done.update(_undated_inputs(nodes, needed_by(nodes, outputs)))
    for index, node in enumerate(nodes):
        flat = not node.meta.is_raster
        if flat and node.inputs:
            done.add(index)
        for position, source in enumerate(node.inputs):
            if not nodes[source].meta.is_raster or node.process_id == AGGREGATE:
                continue
            if flat or _unbounded(node, position, nodes[source].meta):
                done.add(source)
    return done


def _undated_inputs(nodes: Sequence[PlanNode], alive: Collection[int]) -> Iterator[int]:
    """Rasters without dates, computed from loads, that go into cubes with dates: made once for all dates."""
    for index in alive:
        if "t" not in nodes[index].meta.names:
            continue
        for source in nodes[index].inputs:
            meta = nodes[source].meta
            if meta.is_raster and "t" not in meta.names and nodes[source].inputs:
                yield source


def needed_by(nodes: Sequence[PlanNode], targets: Sequence[int]) -> frozenset[int]:
    """The nodes that some nodes are computed from, these included."""
    needed = set(targets)
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed:
            needed.update(nodes[index].inputs)
    return frozenset(needed)


def _unbounded(node: PlanNode, position: int, given: CubeMeta) -> bool:
    footprint = node.footprints[position]
    if isinstance(footprint, Blocks) and given.box is not None:
        return footprint.columns is None or footprint.rows is None
    return isinstance(footprint, Span)


def demanded(nodes: Sequence[PlanNode], outputs: Sequence[int]) -> dict[int, Box | None]:
    """The pixels that the outputs need of every node, as the footprints say; None where a node has none."""
    wanted: dict[int, Box | None] = {i: nodes[i].meta.box for i in outputs}
    for index in range(len(nodes) - 1, -1, -1):
        if index not in wanted:
            continue
        node, region = nodes[index], wanted[index]
        for position, source in enumerate(node.inputs):
            full = nodes[source].meta.box
            part = full
            if full is not None and region is not None:
                part = node.footprints[position](region, full).intersect(full)
            wanted[source] = part if source not in wanted else union([wanted[source], part])
    return wanted


def union(boxes: Sequence[Box | None]) -> Box | None:
    """The smallest box around all boxes; None for nodes that have none."""
    found: Box | None = None
    for box in boxes:
        found = box if found is None or box is None else found.union(box)
    return found
