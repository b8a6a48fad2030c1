"""Which pixels belong to a geometry, by openEO's rules, the same for every window.

A pixel belongs to a polygon if its centre lies in it or on its edge; to a point if the point lies in the
pixel; to a line if the line touches the pixel. GDAL's rasteriser decides where the answer is plain; the
pixels that an outline runs through are decided by exact predicates on absolute coordinates, since a
rasteriser's rounding depends on the window's origin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from acreage.core.arrays import BoolArray
from acreage.core.grid import Box, Grid

Float = NDArray[np.floating[Any]]
_DIRECT = 4096  # pixels up to which every one is tested exactly
_SNAP = 1e-6  # share of a pixel: rounding of a reprojected edge must not lose the pixel whose centre it meets


def pixel_bounds(geometry: BaseGeometry, grid: Grid) -> Box:
    """The box of all pixels that a geometry (in the grid's CRS) can hold; an empty geometry's is empty."""
    if geometry.is_empty:
        return Box(grid, 0, 0, 0, 0)
    west, south, east, north = geometry.bounds
    return Box(
        grid,
        math.floor((west - grid.off_x) / grid.res_x),
        math.floor((grid.off_y - north) / grid.res_y),
        math.floor((east - grid.off_x) / grid.res_x) + 1,
        math.floor((grid.off_y - south) / grid.res_y) + 1,
    )


def centre_bounds(bounds: tuple[float, float, float, float], grid: Grid) -> Box:
    """The box of all pixels whose centres lie within bounds in the grid's CRS, edges included."""
    west, south, east, north = bounds
    x0 = math.ceil((west - grid.off_x) / grid.res_x - 0.5 - _SNAP)
    x1 = math.floor((east - grid.off_x) / grid.res_x - 0.5 + _SNAP) + 1
    y0 = math.ceil((grid.off_y - north) / grid.res_y - 0.5 - _SNAP)
    y1 = math.floor((grid.off_y - south) / grid.res_y - 0.5 + _SNAP) + 1
    return Box(grid, x0, y0, max(x1, x0), max(y1, y0))


def filtered_bounds(geometry: BaseGeometry, grid: Grid) -> Box:
    """The box that a filter by a geometry (in the grid's CRS) keeps: the pixels whose centres lie within a
    polygon's bounds; all pixels of a point or line.
    """
    if geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return pixel_bounds(geometry, grid)
    return centre_bounds(geometry.bounds, grid)


def pixels_of(geometry: BaseGeometry, box: Box) -> BoolArray:
    """Boolean array of a box: True where the pixel belongs to the geometry (in the box's CRS)."""
    found = np.zeros(box.shape, bool)
    common = box.intersect(pixel_bounds(geometry, box.grid))
    if common.is_empty:
        return found
    inside = np.zeros(common.shape, bool)
    for part in _simple_parts(geometry):
        if part.geom_type == "Point":
            _mark_point(part, common, inside)
        elif part.geom_type in ("Polygon", "MultiPolygon"):
            inside |= _polygon(part, common)
        else:
            inside |= _line(part, common)
    found[common.slices_in(box)] = inside
    return found


def pixels_of_any(geometries: Iterable[BaseGeometry], box: Box) -> BoolArray:
    """True where the pixel belongs to at least one of the geometries."""
    found = np.zeros(box.shape, bool)
    for geometry in geometries:
        common = box.intersect(pixel_bounds(geometry, box.grid))
        if not common.is_empty:
            found[common.slices_in(box)] |= pixels_of(geometry, common)
    return found


def _simple_parts(geometry: BaseGeometry) -> list[BaseGeometry]:
    """Points and lines one by one, polygons together."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return [geometry]
    return [p for p in shapely.get_parts(geometry) if not p.is_empty]


def _mark_point(point: BaseGeometry, box: Box, into: BoolArray) -> None:
    grid = box.grid
    x, y = shapely.get_coordinates(point)[0]
    column = math.floor((x - grid.off_x) / grid.res_x) - box.x0
    row = math.floor((grid.off_y - y) / grid.res_y) - box.y0
    if 0 <= column < box.width and 0 <= row < box.height:
        into[row, column] = True


def _polygon(polygon: BaseGeometry, box: Box) -> BoolArray:
    if box.size <= _DIRECT:
        unsure = np.ones(box.shape, bool)
        inside = np.zeros(box.shape, bool)
    else:
        inside = _burn(polygon, box, all_touched=False)
        unsure = _near_line(polygon.boundary, box)
    rows, columns = np.nonzero(unsure)
    x, y = _centres(box.grid, columns + box.x0, rows + box.y0)
    shapely.prepare(polygon)
    inside[rows, columns] = shapely.intersects_xy(polygon, x, y)
    return inside


def _line(line: BaseGeometry, box: Box) -> BoolArray:
    near = np.ones(box.shape, bool) if box.size <= _DIRECT else _near_line(line, box)
    rows, columns = np.nonzero(near)
    west, east, south, north = _edges(box.grid, columns + box.x0, rows + box.y0)
    shapely.prepare(line)
    touched = np.zeros(box.shape, bool)
    touched[rows, columns] = shapely.intersects(line, shapely.box(west, south, east, north))
    return touched


def _near_line(line: BaseGeometry, box: Box) -> BoolArray:
    """Every pixel that a line touches and its eight neighbours (a margin for the rasteriser's rounding)."""
    wide = box.expand(1, 1)
    touched = _burn(line, wide, all_touched=True)
    across = touched[:, :-2] | touched[:, 1:-1] | touched[:, 2:]
    return np.asarray(across[:-2] | across[1:-1] | across[2:])


def _burn(geometry: BaseGeometry, box: Box, *, all_touched: bool) -> BoolArray:
    burnt = rasterize(
        [(geometry, 1)], out_shape=box.shape, transform=box.affine, all_touched=all_touched, dtype="uint8"
    )
    return np.asarray(burnt, dtype=bool)


def _centres(grid: Grid, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Float, Float]:
    return grid.off_x + (columns + 0.5) * grid.res_x, grid.off_y - (rows + 0.5) * grid.res_y


def _edges(
    grid: Grid, columns: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[Float, Float, Float, Float]:
    west, east = grid.off_x + columns * grid.res_x, grid.off_x + (columns + 1) * grid.res_x
    south, north = grid.off_y - (rows + 1) * grid.res_y, grid.off_y - rows * grid.res_y
    return west, east, south, north
