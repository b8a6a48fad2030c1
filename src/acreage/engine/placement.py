"""Where the pixels of a raster lie on a lattice or a box: regions, coverage, distances. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from acreage.catalog.items import SourceItem
from acreage.core.arrays import BoolArray
from acreage.core.grid import Box, Grid
from acreage.processes.index_maps import Float, largest_span
from acreage.processes.resample_kernels import index_map, is_identity, support

EDGE = 1e-10
"""As the resampling kernel: a position this share of a pixel before the next one counts as in it."""


@lru_cache(maxsize=8192)
def source_region(raster: Box, box: Box, method: str) -> Box:
    """The pixels of a raster's box that a box on any grid needs."""
    if is_identity(method, raster.grid, box.grid):
        return on_lattice(box, raster.grid).intersect(raster)
    return box.project(raster.grid, support(method, raster.grid, box.grid)).intersect(raster)


def on_lattice(box: Box, grid: Grid) -> Box:
    """The same pixels by the indices of another spelling of their lattice."""
    if box.grid == grid:
        return box
    return grid.box_of_transform(box.affine, box.width, box.height)


@lru_cache(maxsize=8192)
def touches(raster: Box, box: Box, method: str) -> bool:
    """True where a raster may matter to a box: its pixels are needed, or it lies at most a pixel away."""
    if not source_region(raster, box, method).is_empty:
        return True
    return not box.project(raster.grid, 1).intersect(raster).is_empty


@lru_cache(maxsize=8192)
def holds(raster: Box, box: Box) -> bool:
    """True where a raster covers a box and a pixel around it."""
    return raster.contains(box.project(raster.grid, 1))


def lattices(items: Sequence[SourceItem]) -> tuple[tuple[int, ...], ...]:
    """Indices of the items that share a lattice, band by band; an item joins the first others that it fits.

    Items fit where they have a band in common, and every common band lies on one lattice.
    """
    members: list[list[int]] = []
    grids: list[dict[str, Grid]] = []
    for number, item in enumerate(items):
        own = {band: raster.box.grid for band, raster in item.rasters.items()}
        for group, known in zip(members, grids, strict=True):
            common = own.keys() & known.keys()
            if common and all(own[b] == known[b] or own[b].aligned_with(known[b]) for b in common):
                group.append(number)
                known.update({b: g for b, g in own.items() if b not in known})
                break
        else:
            members.append([number])
            grids.append(own)
    return tuple(tuple(group) for group in members)


def moved_to(common: Box, place: Box, raster: Box) -> Box:
    """A part of a raster, given as part of `place`, by the indices of the raster's own grid."""
    x, y = raster.x0 - place.x0, raster.y0 - place.y0
    return Box(raster.grid, common.x0 + x, common.y0 + y, common.x1 + x, common.y1 + y)


def bounding_part(where: BoolArray, box: Box) -> Box | None:
    """The smallest part of a box that holds all marked pixels, None where there is none."""
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    if not rows.size:
        return None
    return Box(
        box.grid,
        box.x0 + int(columns[0]),
        box.y0 + int(rows[0]),
        box.x0 + int(columns[-1]) + 1,
        box.y0 + int(rows[-1]) + 1,
    )


def covered(raster: Box, box: Box) -> BoolArray:
    """Where a box's pixel centres lie in a raster, whatever its values; right and lower edge excluded."""
    found = np.zeros(box.shape, bool)
    if source_region(raster, box, "near").is_empty:
        return found
    columns, rows = _positions(raster, box)
    columns, rows = columns + EDGE, rows + EDGE
    found |= (columns >= raster.x0) & (columns < raster.x1) & (rows >= raster.y0) & (rows < raster.y1)
    return found


def near(wanted: BoolArray, box: Box, native: Box, method: str) -> BoolArray:
    """Which pixels of a lattice, (rows, columns) of `native`, may matter to the wanted pixels of a box."""
    from scipy.ndimage import maximum_filter1d  # slow to load, and no plan needs it

    grid = native.grid
    margin = support(method, grid, box.grid) + math.ceil(largest_span(grid, box.grid) / 2)
    around = native.expand(margin, margin)
    at = index_map(grid, box)
    with np.errstate(invalid="ignore"):
        columns, rows = np.floor(at.columns[wanted]) - around.x0, np.floor(at.rows[wanted]) - around.y0
        inside = (columns >= 0) & (columns < around.width) & (rows >= 0) & (rows < around.height)
    found = np.zeros(around.shape, np.uint8)
    found[rows[inside].astype(np.int64), columns[inside].astype(np.int64)] = 1
    for axis in (0, 1):
        found = maximum_filter1d(found, 2 * margin + 1, axis=axis, mode="constant", cval=0)
    return found[native.slices_in(around)] > 0


def distance_from(raster: Box, box: Box) -> Float:
    """How many source pixels a box's pixel centres lie outside of a raster, the larger of both axes."""
    columns, rows = _positions(raster, box)
    across = np.maximum(raster.x0 - columns, columns - raster.x1)
    down = np.maximum(raster.y0 - rows, rows - raster.y1)
    with np.errstate(invalid="ignore"):
        distance: Float = np.maximum(np.maximum(across, down), 0.0)
    return np.where(np.isfinite(distance), distance, np.inf)


def _positions(raster: Box, box: Box) -> tuple[Float, Float]:
    """Source column and row of a box's pixel centres; one row and one column where the CRS is the same."""
    at = index_map(raster.grid, box)
    return (at.columns[:1, :], at.rows[:, :1]) if at.separable else (at.columns, at.rows)
