"""Aggregation by geometry: the input is computed in windows that hold whole geometries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from acreage.core.cube import Cube, CubeMeta
from acreage.core.grid import Box
from acreage.core.inputs import ItemKey
from acreage.core.udf import UdfRunner
from acreage.engine.ops import ProcessOp
from acreage.engine.plan import Context, PlanNode, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.store import Stored, read_stored
from acreage.processes.callback import Callback
from acreage.processes.geometries import in_crs
from acreage.processes.vectors import Aggregated, aggregate_dtype, aggregate_window, assemble

AGGREGATE = "aggregate_spatial"


@dataclass(frozen=True)
class GeometryTask:
    """Aggregates the geometries of one window; the same function for every executor.

    Attributes:
        program: computes the raster input.
        stored: completed nodes that it reads.
        udf: runner of user-defined functions.
        dropped: items that are out for the whole job.
        shapes: all geometries, in the raster's CRS.
        reducer, context, dtype: as `aggregate_window` takes them.
    """

    program: Program
    stored: Mapping[int, Stored]
    udf: UdfRunner | None
    dropped: frozenset[ItemKey]
    shapes: tuple[BaseGeometry, ...]
    reducer: Callback
    context: Any
    dtype: np.dtype[Any]

    def __call__(self, task: tuple[Box | None, tuple[int, ...]]) -> tuple[WindowLog, Aggregated]:
        """The window's log, and the results of its geometries in the order of the task."""
        window, indices = task
        log = WindowLog()
        context = Context(log, self.udf, self.dropped)
        (cube,) = self.program.run(window, partial(read_stored, self.stored), context)
        return log, aggregate_window(cube, self.shapes, indices, self.reducer, self.context, self.dtype)


def aggregate_program(nodes: Sequence[PlanNode], stage: Stage) -> Program:
    """What an aggregation by geometry computes of its raster input, window by window."""
    node = nodes[stage.targets[0]]
    order = tuple(i for i in stage.nodes if i != stage.targets[0])
    known = {i: nodes[i] for i in (*stage.nodes, *stage.given)}
    return Program(known, order, frozenset(stage.given), (node.inputs[0],))


def shapes_on(nodes: Sequence[PlanNode], node: PlanNode) -> tuple[BaseGeometry, ...]:
    """The geometries of an aggregation in the CRS of its raster input."""
    assert node.meta.geometries is not None
    return in_crs(node.meta.geometries, nodes[node.inputs[0]].meta.grid.crs)


def geometry_task(
    nodes: Sequence[PlanNode],
    stage: Stage,
    stored: Mapping[int, Stored],
    udf: UdfRunner | None,
    dropped: frozenset[ItemKey] = frozenset(),
) -> GeometryTask:
    """The task of a stage."""
    node = nodes[stage.targets[0]]
    assert isinstance(node.op, ProcessOp)
    a = node.op.arguments
    data = nodes[node.inputs[0]].meta
    dtype = aggregate_dtype(data, a["reducer"], a["context"])
    return GeometryTask(
        aggregate_program(nodes, stage),
        stored,
        udf,
        dropped,
        shapes_on(nodes, node),
        a["reducer"],
        a["context"],
        dtype,
    )


def gathered(parts: Sequence[tuple[tuple[int, ...], Aggregated]], task: GeometryTask, node: PlanNode) -> Cube:
    """The vector cube of all windows; geometries without a pixel are null with a count of zero."""
    assert isinstance(node.op, ProcessOp)
    target = node.op.arguments["target_dimension"]
    whole = _nothing(node.meta, len(task.shapes), task.dtype, target)
    for indices, part in parts:
        rows = list(indices)
        whole.values[rows], whole.valid[rows] = part.values, part.valid
        whole.total_count[rows], whole.valid_count[rows] = part.total_count, part.valid_count
    return assemble(whole, target, node.meta)


def _nothing(out: CubeMeta, count: int, dtype: np.dtype[Any], target: str | None) -> Aggregated:
    geometry = out.find("geometry")
    others = [n for d, n in zip(out.dims, out.shape, strict=True) if d is not geometry and d.name != target]
    shape = (count, *others)
    return Aggregated(
        np.zeros(shape, dtype), np.zeros(shape, bool), np.zeros(count, np.int64), np.zeros(shape, np.int64)
    )
