"""Which nodes of a plan can be computed date by date, and the same nodes for some dates only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from acreage.core.cube import CubeMeta, Dimension, Label
from acreage.engine.composites.model import Timewise
from acreage.engine.ops import ProcessOp
from acreage.engine.plan import PlanNode
from acreage.engine.sources import SourceOp
from acreage.processes.callback import Callback, CallbackNode, ParameterRef
from acreage.processes.registry import Span

TIME = "t"
_EACH_DATE = frozenset(
    {
        "add_dimension",
        "apply",
        "apply_dimension",
        "apply_kernel",
        "drop_dimension",
        "filter_bands",
        "filter_bbox",
        "filter_labels",
        "filter_spatial",
        "filter_temporal",
        "mask",
        "mask_polygon",
        "mask_scl_dilation",
        "merge_cubes",
        "ndvi",
        "reduce_dimension",
        "rename_dimension",
        "rename_labels",
        "resample_cube_spatial",
        "resample_spatial",
        "sar_backscatter",
        "to_scl_dilation_mask",
    }
)
"""Processes that compute a date of their result from that date of their inputs, unless they work along t."""
_ALONG = ("dimension", "target_dimension", "name", "source", "target")


def has_dates(node: PlanNode) -> bool:
    """Whether a node's cube has the dimension t."""
    return TIME in node.meta.names


def timewise(nodes: Sequence[PlanNode], index: int, labels: Sequence[Label]) -> Timewise | str:
    """How a node can be computed for some of these dates alone, or the reason why not (a sentence's rest)."""
    found: set[int] = set()
    given: set[int] = set()
    open_ = [index]
    while open_:
        at = open_.pop()
        if at in found or at in given:
            continue
        node = nodes[at]
        if not has_dates(node):
            given.add(at)
            continue
        reason = _hindrance(node, labels)
        if reason is not None:
            return reason
        found.add(at)
        open_ += node.inputs
    return Timewise(tuple(sorted(found)), tuple(sorted(given)))


def _hindrance(node: PlanNode, labels: Sequence[Label]) -> str | None:
    own = node.meta.dim(TIME)
    if own.type != "temporal" or len(set(own.labels)) < len(own.labels):
        return f"the dates of {node.key!r} are no dates, or not all different"
    if not set(labels) <= set(own.labels):
        return f"{node.key!r} has other dates than the data that it masks"
    if isinstance(node.op, SourceOp):
        return None
    if not isinstance(node.op, ProcessOp) or node.process_id not in _EACH_DATE:
        return f"a mask is made by {node.key!r} ({node.process_id}), which may look at several dates at once"
    if any(node.op.arguments.get(name) == TIME for name in _ALONG) or _looks_along_time(node.op.arguments):
        return f"a mask is made by {node.key!r} ({node.process_id}), which works along the dates"
    if any(isinstance(f, Span) for f in node.footprints):
        return f"a mask is made by {node.key!r} ({node.process_id}), which needs whole rows or columns"
    return None


def _looks_along_time(arguments: Mapping[str, Any]) -> bool:
    sizes = arguments.get("size") or ()
    return any(isinstance(s, Mapping) and s.get("dimension") == TIME for s in sizes)


def on_dates(
    nodes: Mapping[int, PlanNode], which: Iterable[int], labels: Sequence[Label]
) -> dict[int, PlanNode]:
    """The nodes, as they are for these dates alone; each keeps the order of its own dates."""
    wanted = set(labels)
    result = {}
    for index in which:
        node = nodes[index]
        dim = node.meta.dim(TIME)
        places = [i for i, label in enumerate(dim.labels) if label in wanted]
        meta = node.meta.with_dim(TIME, _with_labels(dim, places))
        op = node.op
        if isinstance(op, SourceOp):
            op = replace(op, steps=tuple(op.steps[i] for i in places))
        result[index] = replace(node, meta=meta, op=op)
    return result


def _with_labels(dim: Dimension, places: Sequence[int]) -> Dimension:
    return replace(dim, labels=tuple(dim.labels[i] for i in places))


def bands_used(nodes: Mapping[int, PlanNode], which: Sequence[int], source: int) -> frozenset[int] | None:
    """Positions of the bands of a load that some nodes look at; None where that may be all.

    Args:
        nodes: of the plan.
        which: nodes that are computed, in order.
        source: the load.
    """
    meta, used = nodes[source].meta, set[int]()
    for index in which:
        if source not in nodes[index].inputs:
            continue
        found = _bands_taken(nodes[index], meta)
        if found is None:
            return None
        used |= found
    return frozenset(used) or None


def _bands_taken(node: PlanNode, given: CubeMeta) -> set[int] | None:
    """Positions of the bands of its only input that a node takes; None where that may be all."""
    if not isinstance(node.op, ProcessOp) or len(node.inputs) != 1:
        return None
    labels = given.dim("bands").labels
    if node.process_id == "filter_bands":
        return {labels.index(label) for label in node.meta.dim("bands").labels}
    reducer = node.op.arguments.get("reducer")
    if node.process_id != "reduce_dimension" or node.op.arguments["dimension"] != "bands":
        return None
    if not isinstance(reducer, Callback):
        return None
    taken = [_element_taken(n, labels) for n in reducer.nodes if _refers_to_data(n.arguments)]
    return None if None in taken else {t for t in taken if t is not None}


def _element_taken(node: CallbackNode, labels: Sequence[Label]) -> int | None:
    """Position of the band that a callback's node takes from its data, None where it takes more."""
    index, label = node.arguments.get("index"), node.arguments.get("label")
    others = {n: v for n, v in node.arguments.items() if n != "data"}
    if node.process_id != "array_element" or _refers_to_data(others):
        return None
    if label is not None:
        return labels.index(label) if label in labels else None
    return index if isinstance(index, int) and 0 <= index < len(labels) else None


def _refers_to_data(value: Any) -> bool:
    if isinstance(value, ParameterRef):
        return value.name == "data"
    if isinstance(value, Mapping):
        return any(map(_refers_to_data, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_refers_to_data, value))
    # A callback within a callback may look at whatever is around it.
    return isinstance(value, Callback)
