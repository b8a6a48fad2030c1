"""Ground coordinates of the pixels of any grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import Box, Grid, transformer
from acreage.simulate.orbits import GROUND_CRS

Float = NDArray[np.float64]
KNOTS = 32  # pixels between two points that are projected; the rest is interpolated


def ground_coordinates(box: Box) -> tuple[Float, Float]:
    """EPSG:3035 coordinates of the pixel centres: (x, y), each (rows, columns) float64 metres.

    Every 32nd pixel is projected and the rest interpolated linearly, which for pixels of up to 30 m is good
    to three centimetres. A pixel's coordinates are the same bits in every box that holds it.
    """
    if box.grid.crs == GROUND_CRS:
        x, y = np.meshgrid(box.x_centres(), box.y_centres())
        return x, y
    columns, rows = _knots(box.x0, box.x1), _knots(box.y0, box.y1)
    grid = box.grid
    kx, ky = np.meshgrid(grid.off_x + (columns + 0.5) * grid.res_x, grid.off_y - (rows + 0.5) * grid.res_y)
    found = transformer(grid.crs, GROUND_CRS).transform(kx, ky)
    x, y = (_spread(np.asarray(part), box) for part in found)
    return x, y


def coarser(box: Box, factor: int) -> Box:
    """The same area in pixels `factor` times as large; the box's edges lie on them."""
    grid = Grid.snapped(box.grid.crs, box.grid.res_x * factor, box.grid.res_y * factor)
    return Box(grid, box.x0 // factor, box.y0 // factor, box.x1 // factor, box.y1 // factor)


def square_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels of the last two axes."""
    *leading, rows, columns = values.shape
    parts = values.reshape(*leading, rows // 2, 2, columns // 2, 2)
    return np.asarray(parts.mean(axis=(-3, -1), dtype=np.float32))


def _knots(first: int, last: int) -> Float:
    return np.arange(
        math.floor(first / KNOTS) * KNOTS, (last - 1) // KNOTS * KNOTS + KNOTS + 1, KNOTS, dtype=np.float64
    )


def _spread(knots: Float, box: Box) -> Float:
    column, across = np.divmod(np.arange(box.x0, box.x1), KNOTS)
    row, down = np.divmod(np.arange(box.y0, box.y1), KNOTS)
    column, row = column - box.x0 // KNOTS, row - box.y0 // KNOTS
    share = across / KNOTS
    wide = knots[:, column] * (1.0 - share) + knots[:, column + 1] * share
    share = (down / KNOTS)[:, None]
    return np.asarray(wide[row] * (1.0 - share) + wide[row + 1] * share)
