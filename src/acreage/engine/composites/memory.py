"""Windows of streaming composites, and the memory that one period of a window takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acreage.core.grid import Box
from acreage.engine.composites.model import Composite
from acreage.engine.composites.sampling import BYTES_A_PIXEL
from acreage.engine.plan import PlanNode
from acreage.engine.sources import SourceOp

LARGEST_SIDE = 4096
SMALLEST_SIDE = 64
_HELD = 72
"""Bytes a pixel that were measured beyond what is counted below: maps of further lattices, lists of kept
pixels, winners, the reference band, and what the allocator keeps between two arrays."""


def composite_bytes(nodes: Sequence[PlanNode], composite: Composite, window: Box) -> int:
    """Expected peak of one period: masks, observations of one band, what is read for one date, a plane."""
    source = nodes[composite.source]
    assert isinstance(source.op, SourceOp)
    size = source.meta.dtype.itemsize
    dates = max((len(p) for p in composite.periods), default=0)
    keep = dates
    observations = dates * (size + 1)
    result = max((nodes[s.node].meta.dtype.itemsize + 1 for s in composite.sinks), default=0)
    # A frame of the finest band with its validity and winners, what is read for it, and a copy on the way.
    finest = max((_share_of_pixels(source.op, window), 1.0))
    frame = finest * (3 * size + 4)
    maps = 2 * BYTES_A_PIXEL.get(source.op.method, 8)
    # One date of the masks' nodes at a time.
    masks = sum(nodes[i].meta.dtype.itemsize + 1 for i in composite.timewise.nodes) + 16
    return int(window.size * (keep + 4 + max(observations + frame + 2 * result, masks) + maps + _HELD))


def _share_of_pixels(op: SourceOp, window: Box) -> float:
    """Source pixels of the finest band for each target pixel."""
    grids = {r.box.grid for s in op.steps for i in s.items for n, r in i.rasters.items() if n in op.bands}
    if not grids or window.is_empty:
        return 1.0
    return max(window.project(grid, 2).size for grid in grids) / window.size


def composite_windows(
    nodes: Sequence[PlanNode], composite: Composite, box: Box, fixed: int | None, share: float
) -> tuple[Box, ...] | None:
    """The box cut evenly into the fewest windows that fit; None where even small ones do not.

    Args:
        nodes: of the plan.
        composite: what is computed.
        box: all pixels.
        fixed: a window size that is asked for, or None.
        share: bytes for each window.
    """
    if box.is_empty:
        return (box,)
    if fixed is not None:
        return tuple(box.windows(fixed, fixed))
    columns, rows = -(-box.width // LARGEST_SIDE), -(-box.height // LARGEST_SIDE)
    while True:
        windows = even_parts(box, columns, rows)
        if composite_bytes(nodes, composite, max(windows, key=lambda w: w.size)) <= share:
            return windows
        if max(box.width / columns, box.height / rows) <= SMALLEST_SIDE:
            return None
        # The longer side is cut first, so that windows stay square.
        if box.width / columns > box.height / rows:
            columns += 1
        else:
            rows += 1


def even_parts(box: Box, columns: int, rows: int) -> tuple[Box, ...]:
    """A box cut into columns x rows parts, row by row, of sizes that differ by a pixel at most."""
    xs = np.linspace(box.x0, box.x1, columns + 1).round().astype(int).tolist()
    ys = np.linspace(box.y0, box.y1, rows + 1).round().astype(int).tolist()
    return tuple(
        Box(box.grid, xs[i], ys[j], xs[i + 1], ys[j + 1])
        for j in range(rows)
        for i in range(columns)
        if xs[i] < xs[i + 1] and ys[j] < ys[j + 1]
    )
