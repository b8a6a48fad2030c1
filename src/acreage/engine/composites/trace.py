"""From a cube back to its load: which steps and bands it holds, and what it is masked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from acreage.core.cube import CubeMeta, Dimension
from acreage.engine.ops import InputRef, ProcessOp
from acreage.engine.plan import PlanNode
from acreage.engine.sources import SourceOp

PICKS = frozenset({"filter_bands", "filter_temporal", "filter_labels", "filter_bbox"})
"""Processes that take some of a cube's labels or pixels, and change no value."""
KEEPS = frozenset({"sar_backscatter", "rename_labels"})
"""Processes whose result has the very values of its input, in the same order."""
SOURCE_DIMENSIONS = ("t", "bands", "y", "x")


@dataclass(frozen=True)
class Trace:
    """Where the values of a cube (t, bands, y, x) come from.

    Attributes:
        source: plan node of the load.
        steps: positions in the load's time steps, one a label of t.
        bands: positions in the load's bands, one a label of bands.
        masks: plan nodes of the masks that null values, in the order they are applied.
    """

    source: int
    steps: tuple[int, ...]
    bands: tuple[int, ...]
    masks: tuple[int, ...] = ()


def follow(nodes: Sequence[PlanNode], index: int) -> Trace | str:
    """The trace of a node's cube, or the reason why there is none, as the rest of a sentence."""
    node = nodes[index]
    meta = node.meta
    if isinstance(node.op, SourceOp):
        times = meta.dim("t").labels
        if len(set(times)) < len(times):
            return f"two time steps of {node.key!r} have the same label"
        return Trace(index, tuple(range(len(times))), tuple(range(len(meta.dim("bands").labels))))
    if not isinstance(node.op, ProcessOp):
        return f"{node.key!r} ({node.process_id}) makes values of its own"
    if node.process_id not in PICKS | KEEPS | {"mask"}:
        return f"{node.key!r} ({node.process_id}) lies between the load and the aggregation"
    if node.process_id == "rename_labels" and node.op.arguments["dimension"] == "t":
        return f"{node.key!r} gives the dates other labels"
    data = node.op.arguments["data"]
    assert isinstance(data, InputRef)
    before = follow(nodes, node.inputs[data.position])
    if isinstance(before, str):
        return before
    given = nodes[node.inputs[data.position]].meta
    if node.process_id == "mask":
        return _masked(nodes, node, given, before)
    if node.process_id in PICKS:
        return _picked(before, given, meta)
    return before


def _picked(before: Trace, given: CubeMeta, meta: CubeMeta) -> Trace:
    steps = [before.steps[i] for i in _positions(given.dim("t"), meta.dim("t"))]
    bands = [before.bands[i] for i in _positions(given.dim("bands"), meta.dim("bands"))]
    return replace(before, steps=tuple(steps), bands=tuple(bands))


def _positions(old: Dimension, new: Dimension) -> list[int]:
    if len(new.labels) == len(old.labels):
        return [old.index(label) for label in new.labels]
    places = {label: i for i, label in enumerate(old.labels)}
    return [places[label] for label in new.labels]


def _masked(nodes: Sequence[PlanNode], node: PlanNode, given: CubeMeta, before: Trace) -> Trace | str:
    assert isinstance(node.op, ProcessOp)
    if node.op.arguments["replacement"] is not None:
        return f"{node.key!r} replaces masked values by {node.op.arguments['replacement']}, not by null"
    position = node.op.arguments["mask"].position
    meta = nodes[node.inputs[position]].meta
    for dim in meta.dims:
        if dim.type == "bands" and len(dim.labels) != 1:
            return f"the mask of {node.key!r} has a value for each of {len(dim.labels)} bands"
        if dim.type not in ("bands", "x", "y") and dim.name != "t":
            return f"the mask of {node.key!r} has a dimension {dim.name!r}"
    return replace(before, masks=(*before.masks, node.inputs[position]))
