"""Chains of merge_cubes as one operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from acreage.engine.ops import InputRef, JoinOp, ProcessOp
from acreage.engine.plan import PlanNode
from acreage.processes.merge import overlaps
from acreage.processes.registry import Footprint

REWRITE = "joined-merge"


def join_merges(
    nodes: Sequence[PlanNode], alive: Collection[int], kept: Collection[int]
) -> tuple[tuple[PlanNode, ...], tuple[str, ...]]:
    """The nodes with every merge of a merge, of cubes that do not overlap, as one.

    Args:
        nodes: of the plan.
        alive: those that its outputs need.
        kept: nodes that must stay because they are outputs.

    Returns:
        As many nodes, of which those that only led to a join are not needed any more; notes for people.
    """
    users = Counter(s for i in alive for s in nodes[i].inputs)
    result = list(nodes)
    notes = []
    for index in sorted(alive):
        node = result[index]
        if not _joins(nodes, node):
            continue
        inputs: list[int] = []
        footprints: list[Footprint] = []
        for source, footprint in zip(node.inputs, node.footprints, strict=True):
            inner = result[source]
            alone = users[source] == 1 and source not in kept
            if (
                alone
                and isinstance(inner.op, JoinOp)
                and np.can_cast(inner.meta.dtype, node.meta.dtype, "safe")
            ):
                inputs += inner.inputs
                footprints += inner.footprints
            else:
                inputs.append(source)
                footprints.append(footprint)
        result[index] = replace(node, inputs=tuple(inputs), footprints=tuple(footprints), op=JoinOp())
        if len(inputs) > 2:
            notes.append(f"{REWRITE}: {node.key!r} copies {len(inputs)} cubes once")
    return tuple(result), tuple(notes)


def _joins(nodes: Sequence[PlanNode], node: PlanNode) -> bool:
    """Whether a node only puts two cubes side by side; an exact change of type on the way."""
    if node.process_id != "merge_cubes" or not isinstance(node.op, ProcessOp):
        return False
    refs = [node.op.arguments[name] for name in ("cube1", "cube2")]
    if not all(isinstance(r, InputRef) for r in refs) or len(node.inputs) != 2:
        return False
    metas = [nodes[node.inputs[r.position]].meta for r in refs]
    exact = all(np.can_cast(m.dtype, node.meta.dtype, "safe") for m in metas)
    return exact and all(m.is_raster for m in metas) and not overlaps(*metas)
