"""Cutting a plan into stages and windows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from acreage.core.cube import CubeMeta
from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.grid import Box
from acreage.engine.composites.memory import composite_bytes, composite_windows
from acreage.engine.composites.model import Composite
from acreage.engine.geometry_stage import AGGREGATE, aggregate_program, shapes_on
from acreage.engine.ops import JoinOp, ProcessOp, UdfOp
from acreage.engine.plan import PlanNode, Stage
from acreage.engine.program import Program
from acreage.processes.registry import Blocks, Span
from acreage.processes.vectors import geometry_windows

WINDOW_SIZES = (4096, 2048, 1024, 512, 256, 128, 64, 32)
# Interpreter, libraries, open files, index maps and the writer's buffers, as measured (docs/engine.md).
BASE_MEMORY = 750_000_000
MOST_WINDOWS = 1_000_000
LEAST_ROWS = 32
_STRIP_ROWS = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
# Arrays of this size come from memory that was used before, instead of fresh pages that must be filled.
_STRIP_BYTES = 32_000_000
_RUN_BYTES = 65_536


@dataclass(frozen=True)
class Budget:
    """What a job may use.

    Attributes:
        memory: bytes for the whole process; for each, where several processes compute.
        threads: windows computed at once in a process.
        window: fixed window size in pixels, None to choose by memory.
        base: bytes that the process takes beside its windows.
        udf: bytes that each process of a user-defined function takes beside the windows that it is handed.
        processes: that compute windows at once.
    """

    memory: int
    threads: int
    window: int | None = None
    base: int = BASE_MEMORY
    udf: int = 0
    processes: int = 1

    @property
    def fixed(self) -> int:
        """Bytes that are taken whatever the windows."""
        return self.base + self.threads * self.udf

    @property
    def at_once(self) -> int:
        """Windows computed at once, all processes together."""
        return self.threads * self.processes


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


def cut_stages(
    nodes: Sequence[PlanNode],
    outputs: Sequence[int],
    budget: Budget,
    composites: Sequence[Composite] = (),
) -> tuple[Stage, ...]:
    """Stages in running order, with their windows.

    Raises:
        MemoryBudgetExceeded: even the smallest windows do not fit; the message says what would.
    """
    done = completed_nodes(nodes, outputs, composites)
    made_by = {target: composite for composite in composites for target in composite.targets}
    level: dict[int, int] = {}
    for index, node in enumerate(nodes):
        depth = max((level[s] + (s in done) for s in node.inputs), default=0)
        level[index] = depth
    groups: dict[tuple[object, ...], list[int]] = {}
    for index in sorted(done):
        box = nodes[index].meta.box
        shared: tuple[object, ...] = (level[index], box) if box is not None else (level[index], index)
        if index in made_by:
            shared = (made_by[index].targets,)
        groups.setdefault(shared, []).append(index)
    wanted = demanded(nodes, outputs)
    ordered = sorted(groups.values(), key=lambda g: (max(level[i] for i in g), g[0]))
    stages = [
        _stage(nodes, group, done, budget, _union([wanted.get(i) for i in group]), made_by.get(group[0]))
        for group in ordered
    ]
    read = {i for stage in stages for i in stage.given}
    return tuple(
        _derived(nodes, s, budget) if composites and not read & set(s.targets) else s for s in stages
    )


def _derived(nodes: Sequence[PlanNode], stage: Stage, budget: Budget) -> Stage:
    """The stage as one that is computed while it is written, in strips of rows.

    That is so where its one float result is a pure function of what lies on scratch.
    """
    meta = nodes[stage.targets[0]].meta
    pure = all(isinstance(nodes[i].op, ProcessOp | JoinOp) for i in stage.nodes)
    # Integers are looked at twice: for a null value that is free, and to be written.
    fits = len(stage.targets) == 1 and meta.is_raster and meta.dtype.kind == "f" and stage.composite is None
    if not (pure and fits and stage.given) or stage.partition or budget.processes > 1:
        return stage
    assert stage.box is not None
    rows = _strip_rows(Program.of(nodes, stage), stage.box, meta, budget)
    height = stage.box.height
    tops = range(stage.box.y0, stage.box.y0 + height, rows)
    strips = tuple(replace(stage.box, y0=y, y1=min(y + rows, stage.box.y1)) for y in tops)
    return replace(stage, windows=strips, derived=True)


def _strip_rows(program: Program, box: Box, meta: CubeMeta, budget: Budget) -> int:
    """Rows of the strips of a derived output: the most that stay small, or that fit at all."""
    rows = _STRIP_ROWS[-1]
    for rows in _STRIP_ROWS:
        strip = replace(box, y1=min(box.y0 + rows, box.y1))
        if window_bytes(program, strip) > budget.memory - budget.fixed:
            continue
        # netCDF's library reads and writes runs of less than 64 KiB twice.
        half = box.width * rows // 2 * meta.dtype.itemsize
        if cube_bytes(meta, strip) <= _STRIP_BYTES or half < _RUN_BYTES:
            break
    return rows


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
            wanted[source] = part if source not in wanted else _union([wanted[source], part])
    return wanted


def _union(boxes: Sequence[Box | None]) -> Box | None:
    found: Box | None = None
    for box in boxes:
        found = box if found is None or box is None else found.union(box)
    return found


def _stage(
    nodes: Sequence[PlanNode],
    targets: Sequence[int],
    done: set[int],
    budget: Budget,
    box: Box | None,
    composite: Composite | None = None,
) -> Stage:
    alive, given = set(targets), set()
    for index in range(max(targets), -1, -1):
        if index not in alive:
            continue
        for source in nodes[index].inputs:
            if source in done and source not in targets:
                given.add(source)
            else:
                alive.add(source)
    stage = Stage(tuple(targets), tuple(sorted(alive)), tuple(sorted(given)), (None,), box=box)
    node = nodes[targets[0]]
    if composite is not None:
        return _composite_stage(nodes, stage, composite, budget)
    if node.process_id == AGGREGATE:
        return _geometry_stage(nodes, stage, budget)
    if box is None:
        _check_fits(window_bytes(Program.of(nodes, stage), None), budget, 1)
        return stage
    return replace(stage, windows=_windows(nodes, stage, box, budget))


def _composite_stage(nodes: Sequence[PlanNode], stage: Stage, composite: Composite, budget: Budget) -> Stage:
    """As few windows as the memory allows, each once a period."""
    box = stage.box
    assert box is not None
    windows = composite_windows(nodes, composite, box, budget.window, _share(budget))
    if windows is None:
        smallest = composite_bytes(nodes, composite, sample_window(box, WINDOW_SIZES[-1]))
        _check_fits(smallest, budget, budget.threads)
        windows = tuple(box.windows(WINDOW_SIZES[-1], WINDOW_SIZES[-1]))
    _check_count(box, max(max(w.shape) for w in windows) if windows else 1, nodes[stage.targets[0]].key)
    periods = range(len(composite.periods))
    return replace(
        stage,
        windows=tuple(w for w in windows for _ in periods),
        composite=composite,
        periods=tuple(p for _ in windows for p in periods),
    )


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
    return replace(
        stage, windows=tuple(box for box, _ in parts), partition=tuple(i for _, i in parts), box=None
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
        needed = window_bytes(program, sample_window(full, size))
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
    return (budget.memory - budget.fixed) / budget.threads


def _count(box: Box, size: int) -> int:
    return -(-box.width // size) * -(-box.height // size)


def _check_fits(needed: int, budget: Budget, threads: int) -> None:
    """Refuse a stage whose windows need so many bytes each, so many at once."""
    floor = budget.fixed + needed * threads
    if floor <= budget.memory:
        return
    fewer = (
        f", or fewer threads ({_gb(budget.base + budget.udf + needed)} would do for one)"
        if threads > 1
        else ""
    )
    raise MemoryBudgetExceeded(
        f"The plan needs at least {_gb(floor)} of memory with {threads} thread{'s' * (threads > 1)}, "
        f"and {budget.memory / 1e9:g}GB are given.",
        hint=f"Give --memory {_gb(floor)} or more{fewer}.",
    )


def _gb(value: float) -> str:
    """Rounded up, so that a budget that follows the advice suffices."""
    return f"{math.ceil(value / 1e7) / 100:g}GB"


def sample_window(full: Box, size: int) -> Box:
    """The window at the centre: halos are whole there, and reprojection is as anywhere."""
    x = full.x0 + max(0, (full.width - size) // 2)
    y = full.y0 + max(0, (full.height - size) // 2)
    return Box(full.grid, x, y, min(x + size, full.x1), min(y + size, full.y1))


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
        if isinstance(node.op, UdfOp):
            # Handed over as floats, once more in memory that the other process sees, and gathered there into
            # batches beside what the function makes of them.
            working *= 6
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
