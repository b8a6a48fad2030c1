"""Pixel boxes at the sensors' resolutions."""

from __future__ import annotations

from acreage.core.grid import Box, Grid


def coarser(box: Box, factor: int) -> Box:
    """The same area in pixels `factor` times as large; the box's edges lie on them."""
    grid = Grid.snapped(box.grid.crs, box.grid.res_x * factor, box.grid.res_y * factor)
    return Box(grid, box.x0 // factor, box.y0 // factor, box.x1 // factor, box.y1 // factor)


def finer(box: Box, factor: int) -> Box:
    """The same area in pixels `factor` times as small."""
    grid = Grid.snapped(box.grid.crs, box.grid.res_x / factor, box.grid.res_y / factor)
    return Box(grid, box.x0 * factor, box.y0 * factor, box.x1 * factor, box.y1 * factor)
