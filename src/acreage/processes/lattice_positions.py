"""Positions on another grid: exact on a coarse lattice, cubic in between.

The nodes are the corners of every 64th pixel, counted from pixel 0 of the target grid, and each pixel's
position is a fixed formula of the 4 x 4 nodes around it: what comes out for a pixel is the same in every
window. In each cell of 64 x 64 pixels the middle is transformed, too; where it lies more than a millionth of
a source pixel off (the edge of a projection, the antimeridian, huge pixels), all pixels of the cell are
transformed themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.core.grid import Box

Float = NDArray[np.float64]
Exact = Callable[[Float, Float], tuple[Float, Float]]

CELL = 64
TOLERANCE = 1e-6  # source pixels


def interpolate(target: Box, exact: Exact) -> tuple[Float, Float]:
    """Source column and row of all pixel centres of a box, each float64 of shape `target.shape`.

    Args:
        target: pixels that are made.
        exact: transforms points, given as x and y in the target's CRS, to source columns and rows.
    """
    columns, rows = np.empty(target.shape), np.empty(target.shape)
    if target.is_empty:
        return columns, rows
    first_x, last_x = target.x0 // CELL, (target.x1 - 1) // CELL
    first_y, last_y = target.y0 // CELL, (target.y1 - 1) // CELL
    nodes = exact(*_points(target, np.arange(first_x - 1, last_x + 3), np.arange(first_y - 1, last_y + 3), 0))
    middles = exact(
        *_points(target, np.arange(first_x, last_x + 1), np.arange(first_y, last_y + 1), CELL // 2)
    )
    offset = (target.x0 - first_x * CELL, target.y0 - first_y * CELL)
    for found, at_nodes in zip((columns, rows), nodes, strict=True):
        _cubic(np.ascontiguousarray(at_nodes), _weights(), *offset, found)
    off = np.zeros(middles[0].shape, bool)
    middle = _lagrange(np.array([0.5]))[0]
    for at_nodes, true in zip(nodes, middles, strict=True):
        with np.errstate(invalid="ignore"):
            off |= ~(np.abs(_at_middles(np.asarray(at_nodes), middle) - true) <= TOLERANCE)
    for row, column in np.argwhere(off):
        _transform_cell(target, exact, (first_x + int(column), first_y + int(row)), columns, rows)
    return columns, rows


def _points(target: Box, cells_x: Any, cells_y: Any, inside: int) -> tuple[Float, Float]:
    """x and y of the cells' corners, or of the points `inside` pixels further, as two arrays of one shape."""
    grid = target.grid
    x = grid.off_x + (cells_x * CELL + inside).astype(np.float64) * grid.res_x
    y = grid.off_y - (cells_y * CELL + inside).astype(np.float64) * grid.res_y
    shape = (y.size, x.size)
    return np.broadcast_to(x[None, :], shape), np.broadcast_to(y[:, None], shape)


def _transform_cell(target: Box, exact: Exact, cell: tuple[int, int], columns: Float, rows: Float) -> None:
    x, y = cell[0] * CELL, cell[1] * CELL
    part = Box(target.grid, x, y, x + CELL, y + CELL).intersect(target)
    at = part.slices_in(target)
    columns[at], rows[at] = exact(
        np.broadcast_to(part.x_centres()[None, :], part.shape),
        np.broadcast_to(part.y_centres()[:, None], part.shape),
    )


def _lagrange(share: Float) -> Float:
    """Weights (n, 4) of nodes at -1, 0, 1, 2 for places between 0 and 1: Lagrange's cubic polynomials."""
    f = share
    return np.stack(
        [
            -f * (f - 1.0) * (f - 2.0) / 6.0,
            (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0,
            -(f + 1.0) * f * (f - 2.0) / 2.0,
            (f + 1.0) * f * (f - 1.0) / 6.0,
        ],
        axis=1,
    )


def _weights() -> Float:
    """(64, 4): for the centre of each pixel of a cell."""
    return _lagrange((np.arange(CELL) + 0.5) / CELL)


def _at_middles(nodes: Float, weights: Float) -> Float:
    """The interpolated values at the middles of the cells."""
    with np.errstate(invalid="ignore"):
        along = sum(weights[k] * nodes[:, k : nodes.shape[1] - 3 + k] for k in range(4))
        down = sum(weights[k] * along[k : nodes.shape[0] - 3 + k] for k in range(4))
    return np.asarray(down)


@njit(nogil=True, cache=True)
def _cubic(nodes: Float, weights: Float, offset_x: int, offset_y: int, out: Float) -> None:
    """Fill `out` from `nodes`; pixel (0, 0) of `out` lies `offset` pixels into the first cell."""
    height, width = out.shape
    line = np.empty(nodes.shape[1])
    for r in range(height):
        cell_y, in_y = divmod(r + offset_y, CELL)
        for k in range(nodes.shape[1]):
            total = 0.0
            for j in range(4):
                total += weights[in_y, j] * nodes[cell_y + j, k]
            line[k] = total
        start = 0
        while start < width:
            cell_x, in_x = divmod(start + offset_x, CELL)
            stop = min(start + CELL - in_x, width)
            a, b, c, d = line[cell_x], line[cell_x + 1], line[cell_x + 2], line[cell_x + 3]
            for k in range(start, stop):
                w = in_x + k - start
                out[r, k] = weights[w, 0] * a + weights[w, 1] * b + weights[w, 2] * c + weights[w, 3] * d
            start = stop
