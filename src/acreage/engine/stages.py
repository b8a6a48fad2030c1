"""Cutting a plan into stages and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.grid import Box
from acreage.engine.budget import Budget, check_fits, sample_window, window_bytes
from acreage.engine.composites.memory import composite_bytes, composite_windows
from acreage.engine.composites.model import Composite
from acreage.engine.demand import completed_nodes, demanded, union
from acreage.engine.derived import derived_stage
from acreage.engine.geometry_stage import AGGREGATE, aggregate_program, shapes_on
from acreage.engine.plan import PlanNode, Stage
from acreage.engine.program import Program
from acreage.engine.sources import SourceOp
from acreage.processes.vectors import geometry_windows

WINDOW_SIZES = (4096, 2048, 1024, 512, 256, 128, 64, 32)
LEAST_ROWS = 32


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
        _stage(nodes, group, done, budget, union([wanted.get(i) for i in group]), made_by.get(group[0]))
        for group in ordered
    ]
    read = {i for stage in stages for i in stage.given}
    return tuple(
        derived_stage(nodes, s, budget) if composites and not read & set(s.targets) else s for s in stages
    )


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
        check_fits(window_bytes(Program.of(nodes, stage), None), budget, 1)
        return stage
    return replace(stage, windows=_windows(nodes, stage, box, budget))


def _composite_stage(nodes: Sequence[PlanNode], stage: Stage, composite: Composite, budget: Budget) -> Stage:
    """As few windows as the memory allows, each once a period."""
    box = stage.box
    assert box is not None
    key = nodes[stage.targets[0]].key
    _check_count(box, WINDOW_SIZES[0], key, budget)  # before they are listed
    windows = composite_windows(nodes, composite, box, budget.window, budget.share)
    if windows is None:
        smallest = composite_bytes(nodes, composite, sample_window(box, WINDOW_SIZES[-1]))
        check_fits(smallest, budget, budget.threads)
        windows = tuple(box.windows(WINDOW_SIZES[-1], WINDOW_SIZES[-1]))
    _check_count(box, max(max(w.shape) for w in windows) if windows else 1, key, budget)
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
            if strips and max(window_bytes(program, strip) for strip in strips) <= budget.share:
                return strips
        if whole := _whole_rows(program, box, budget):
            return whole
    size = _window_size(nodes, stage, box, budget)
    _check_count(box, size, nodes[stage.targets[0]].key, budget)
    return tuple(box.windows(size, size)) or (box,)


def _whole_rows(program: Program, box: Box, budget: Budget) -> tuple[Box, ...]:
    """Strips of whole rows where a stage reads nothing but the same rows of scratch, and these fit.

    Whole rows lie together in a scratch file. Parts of rows are read page by page: several times as many
    bytes, and the process holds them all at once.
    """
    if any(isinstance(program.nodes[i].op, SourceOp) for i in program.order) or not program.given:
        return ()
    number = budget.at_once
    while number <= box.height:
        edges = [box.y0 + box.height * n // number for n in range(number + 1)]
        strips = tuple(replace(box, y0=top, y1=bottom) for top, bottom in pairwise(edges))
        strip = max(strips, key=lambda s: s.height)
        regions = program.regions(strip)
        if any((r := regions.get(g)) is not None and r.height != strip.height for g in program.given):
            return ()
        if window_bytes(program, strip) <= budget.share:
            return strips
        number *= 2
    return ()


def _strips(box: Box, number: int) -> tuple[Box, ...]:
    """A box cut evenly into so many strips, or fewer; none where they would be wider than a window."""
    number = min(number, box.height // LEAST_ROWS)
    if number < 1 or max(box.width, box.height // number) > WINDOW_SIZES[0]:
        return ()
    edges = [box.y0 + box.height * n // number for n in range(number + 1)]
    return tuple(replace(box, y0=top, y1=bottom) for top, bottom in pairwise(edges))


def _check_count(box: Box, size: int, key: str, budget: Budget) -> None:
    """Refuse a box of so many windows that a list of them is more than a plan can hold."""
    if box.width * box.height > budget.windows * size * size:
        raise MemoryBudgetExceeded(
            f"The data cube of node {key!r} has {box.width:.3g} x {box.height:.3g} pixels of "
            f"{box.grid.res_x:.3g} x {box.grid.res_y:.3g}, more than {budget.windows:,} windows.",
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
        check_fits(window_bytes(upstream, largest), budget, min(budget.threads, len(parts)))
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
        if needed > budget.share or too_few:
            continue
        return size
    check_fits(smallest, budget, budget.threads)
    return WINDOW_SIZES[-1]


def _count(box: Box, size: int) -> int:
    return -(-box.width // size) * -(-box.height // size)
