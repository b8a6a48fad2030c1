"""Cutting a plan into stages and windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from acreage.core.cube import CubeMeta
from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.grid import Box
from acreage.engine.geometry_stage import AGGREGATE, aggregate_program, shapes_on
from acreage.engine.plan import PlanNode, Stage
from acreage.engine.program import Program
from acreage.processes.registry import Blocks, Span
from acreage.processes.vectors import geometry_windows

WINDOW_SIZES = (4096, 2048, 1024, 512, 256, 128, 64, 32)
# Interpreter, libraries, open files, index maps and the writer's buffers, as measured (docs/engine.md).
BASE_MEMORY = 750_000_000
MOST_WINDOWS = 1_000_000
LEAST_ROWS = 32


@dataclass(frozen=True)
class Budget:
    """What a job may use.

    Attributes:
        memory: bytes for the whole process; for each, where several processes compute.
        threads: windows computed at once in a process.
        window: fixed window size in pixels, None to choose by memory.
        processes: that compute windows at once.
    """

    memory: int
    threads: int
    window: int | None = None
    processes: int = 1

    @property
    def at_once(self) -> int:
        """Windows computed at once, all processes together."""
        return self.threads * self.processes


def completed_nodes(nodes: Sequence[PlanNode], outputs: Sequence[int]) -> set[int]:
    """Nodes that must be complete before something else starts.

    Outputs, what an unbounded footprint reads, and every result without x and y that is
    computed from other nodes.
    """
    done = set(outputs)
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


def _unbounded(node: PlanNode, position: int, given: CubeMeta) -> bool:
    footprint = node.footprints[position]
    if isinstance(footprint, Blocks) and given.box is not None:
        return footprint.columns is None or footprint.rows is None
    return isinstance(footprint, Span)


def cut_stages(nodes: Sequence[PlanNode], outputs: Sequence[int], budget: Budget) -> tuple[Stage, ...]:
    """Stages in running order, with their windows.

    Raises:
        MemoryBudgetExceeded: even the smallest windows do not fit; the message says what would.
    """
    done = completed_nodes(nodes, outputs)
    level: dict[int, int] = {}
    for index, node in enumerate(nodes):
        depth = max((level[s] + (s in done) for s in node.inputs), default=0)
        level[index] = depth
    groups: dict[tuple[object, ...], list[int]] = {}
    for index in sorted(done):
        box = nodes[index].meta.box
        shared = (level[index], box) if box is not None else (level[index], index)
        groups.setdefault(shared, []).append(index)
    ordered = sorted(groups.values(), key=lambda g: (level[g[0]], g[0]))
    return tuple(_stage(nodes, group, done, budget) for group in ordered)


def _stage(nodes: Sequence[PlanNode], targets: Sequence[int], done: set[int], budget: Budget) -> Stage:
    alive, given = set(targets), set()
    for index in range(max(targets), -1, -1):
        if index not in alive:
            continue
        for source in nodes[index].inputs:
            if source in done and source not in targets:
                given.add(source)
            else:
                alive.add(source)
    stage = Stage(tuple(targets), tuple(sorted(alive)), tuple(sorted(given)), (None,))
    node = nodes[targets[0]]
    if node.process_id == AGGREGATE:
        return _geometry_stage(nodes, stage, budget)
    if node.meta.box is None:
        _check_fits(window_bytes(Program.of(nodes, stage), None), budget, 1)
        return stage
    return replace(stage, windows=_windows(nodes, stage, node.meta.box, budget))


def _windows(nodes: Sequence[PlanNode], stage: Stage, box: Box, budget: Budget) -> tuple[Box, ...]:
    """One or two wide strips for every thread where these fit the memory, else squares that do.

    Every window decodes the blocks it touches anew, so that few large windows are cheaper than many.
    """
    if budget.window is None:
        program = Program.of(nodes, stage)
        for number in (budget.at_once, 2 * budget.at_once):
            strips = _strips(box, number)
            if strips and max(window_bytes(program, strip) for strip in strips) <= _share(budget):
                return strips
    size = _window_size(nodes, stage, box, budget)
    _check_count(box, size, nodes[stage.targets[0]].key)
    return tuple(box.windows(size, size)) or (box,)


def _strips(box: Box, number: int) -> tuple[Box, ...]:
    """A box cut evenly into so many strips, or fewer; none where they would be wider than a window."""
    number = min(number, box.height // LEAST_ROWS)
    if number < 1 or max(box.width, box.height // number) > WINDOW_SIZES[0]:
        return ()
    edges = [box.y0 + box.height * n // number for n in range(number + 1)]
    return tuple(replace(box, y0=top, y1=bottom) for top, bottom in pairwise(edges))


def _check_count(box: Box, size: int, key: str) -> None:
    """Refuse a box of so many windows that a list of them is more than a plan can hold."""
    if box.width * box.height > MOST_WINDOWS * size * size:
        raise MemoryBudgetExceeded(
            f"The data cube of node {key!r} has {box.width:.3g} x {box.height:.3g} pixels of "
            f"{box.grid.res_x:.3g} x {box.grid.res_y:.3g}, more than {MOST_WINDOWS:,} windows.",
            hint="Check its resolution and area.",
        )


def _geometry_stage(nodes: Sequence[PlanNode], stage: Stage, budget: Budget) -> Stage:
    """Windows that hold the geometries, small ones together."""
    node = nodes[stage.targets[0]]
    data = nodes[node.inputs[0]].meta
    assert data.box is not None
    assert node.meta.geometries is not None
    upstream = aggregate_program(nodes, stage)
    size = _window_size(nodes, None, data.box, budget, upstream)
    parts = geometry_windows(shapes_on(nodes, node), data.box, size * size)
    # A window is never smaller than its geometry, however little memory there is.
    largest = max((box for box, _ in parts), key=lambda b: b.size, default=None)
    if largest is not None:
        _check_fits(window_bytes(upstream, largest), budget, min(budget.threads, len(parts)))
    return Stage(
        stage.targets, stage.nodes, stage.given, tuple(box for box, _ in parts), tuple(i for _, i in parts)
    )


def _window_size(
    nodes: Sequence[PlanNode], stage: Stage | None, full: Box, budget: Budget, program: Program | None = None
) -> int:
    if budget.window is not None:
        return budget.window
    by_geometry = program is not None
    if program is None:
        assert stage is not None
        program = Program.of(nodes, stage)
    smallest = 0
    for size in WINDOW_SIZES:
        if size >= 2 * max(full.width, full.height) and size != WINDOW_SIZES[-1]:
            continue
        needed = max(window_bytes(program, w) for w in _sample_windows(full, size))
        smallest = needed
        # Geometries are shared out to the threads by windows; other stages are cut into strips for them.
        too_few = by_geometry and size > 64 and _count(full, size) < budget.at_once
        if needed > _share(budget) or too_few:
            continue
        return size
    _check_fits(smallest, budget, budget.threads)
    return WINDOW_SIZES[-1]


def _share(budget: Budget) -> float:
    """Bytes for each thread's window."""
    return (budget.memory - BASE_MEMORY) / budget.threads


def _count(box: Box, size: int) -> int:
    return -(-box.width // size) * -(-box.height // size)


def _check_fits(needed: int, budget: Budget, threads: int) -> None:
    """Refuse a stage whose windows need so many bytes each, so many at once."""
    floor = BASE_MEMORY + needed * threads
    if floor <= budget.memory:
        return
    fewer = f", or fewer threads ({_gb(BASE_MEMORY + needed)} would do for one)" if threads > 1 else ""
    raise MemoryBudgetExceeded(
        f"The plan needs at least {_gb(floor)} of memory with {threads} thread{'s' * (threads > 1)}, "
        f"and {budget.memory / 1e9:g}GB are given.",
        hint=f"Give --memory {_gb(floor)} or more{fewer}.",
    )


def _gb(value: float) -> str:
    """Rounded up, so that a budget that follows the advice suffices."""
    return f"{math.ceil(value / 1e7) / 100:g}GB"


def _sample_windows(full: Box, size: int) -> list[Box]:
    """The window at the centre: halos are whole there, and reprojection is as anywhere."""
    x = full.x0 + max(0, (full.width - size) // 2)
    y = full.y0 + max(0, (full.height - size) // 2)
    return [Box(full.grid, x, y, min(x + size, full.x1), min(y + size, full.y1))]


def window_bytes(program: Program, window: Box | None) -> int:
    """Expected peak of one window: results that are alive, plus a copy of what a process works on."""
    needed = program.regions(window)
    uses: dict[int, int] = dict.fromkeys(program.targets, 1)
    for index in program.order:
        if index in needed:
            for source in program.nodes[index].inputs:
                uses[source] = uses.get(source, 0) + 1
    sizes = {i: cube_bytes(program.nodes[i].meta, box) for i, box in needed.items()}
    live = sum(sizes[i] for i in program.given if i in needed)
    peak = live
    for index in program.order:
        if index not in needed:
            continue
        node = program.nodes[index]
        live += sizes[index]
        working = max((sizes[s] for s in node.inputs), default=sizes[index] // 4)
        peak = max(peak, live + working)
        for source in dict.fromkeys(node.inputs):
            uses[source] -= node.inputs.count(source)
            if uses[source] <= 0:
                live -= sizes[source]
    return peak


def cube_bytes(meta: CubeMeta, box: Box | None) -> int:
    """Bytes of a cube's values and validity over a box."""
    piece = meta if box is None or meta.box is None else meta.with_box(box)
    return piece.size * (meta.dtype.itemsize + 1)
