"""Which of several items each pixel is taken from, as `StepMosaic` decides it, from places first.

Granules of one pass lie over each other in the same way on every date. So the first item that covers a pixel
is known for all dates at once, and only where that item has a null are the others asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acreage.catalog.items import Raster, SourceItem
from acreage.core.arrays import BoolArray
from acreage.core.grid import Box
from acreage.engine.mosaic import ReadBand
from acreage.engine.placement import EDGE, bounding_part, source_region
from acreage.processes.index_maps import Float, index_map

Winners = NDArray[np.int8]
MOST_ITEMS = int(np.iinfo(np.int8).max)


@dataclass(frozen=True, eq=False)
class _Places:
    """What the places of rasters say of a frame.

    Attributes:
        first: the first raster that covers each pixel, -1 where none does.
        contested: pixels that several cover.
        parts: by raster number, the part in which it comes first and others cover, too.
    """

    first: Winners
    contested: BoolArray
    parts: tuple[tuple[int, Box], ...]


def winners(
    items: Sequence[SourceItem], group: Sequence[int], reference: str, frame: Box, read: ReadBand
) -> Winners:
    """Per pixel of a frame the item that it is taken from, -1 where none covers it; do not write into it.

    The first whose reference band is valid there, else the first that covers it.

    Args:
        items: of a time step, best first; at most 127.
        group: those that share the frame's lattice.
        reference: band whose validity decides; on a grid of the frame's CRS.
        frame: pixels of the lattice.
        read: pixels of one band of an item, None where they cannot be read.
    """
    rasters = {n: items[n].rasters[reference] for n in group if reference in items[n].rasters}
    places = _places(tuple((n, r.box) for n, r in rasters.items()), frame)
    found = places.first
    numbers = list(rasters)
    for number, part in places.parts:
        at = part.slices_in(frame)
        valid = _validity(items[number], rasters[number], reference, part, read)
        if valid is True:
            continue
        rows, columns = np.nonzero((places.first[at] == number) & places.contested[at] & ~valid)
        if found is places.first and rows.size:
            found = found.copy()
        rows, columns = rows + at[0].start, columns + at[1].start
        for other in numbers[numbers.index(number) + 1 :]:
            if not rows.size:
                break
            around = _around(frame, rows, columns)
            inside = (rows + frame.y0 - around.y0, columns + frame.x0 - around.x0)
            seen = _covers(rasters[other].box, around)[inside]
            known = _validity(items[other], rasters[other], reference, around, read)
            seen = seen if known is True else seen & known[inside]
            found[rows[seen], columns[seen]] = other
            rows, columns = rows[~seen], columns[~seen]
    return found


def _validity(
    item: SourceItem, raster: Raster, reference: str, part: Box, read: ReadBand
) -> BoolArray | Literal[True]:
    """Whether an item's reference band is valid at the pixels of a part; True where all of it is.

    Pixels outside of the raster, and all of one that cannot be read, are not.
    """
    source = source_region(raster.box, part, "near")
    pixels = None if source.is_empty else read(item, reference, source)
    if pixels is None:
        return np.zeros(part.shape, bool)
    columns, rows = _positions(raster.box, part)
    x, y = np.floor(columns).astype(np.int64) - source.x0, np.floor(rows).astype(np.int64) - source.y0
    inside = ((y >= 0) & (y < source.height))[:, None] & ((x >= 0) & (x < source.width))[None, :]
    if pixels[1] is None:
        return True if inside.all() else inside
    known = pixels[1][np.ix_(np.clip(y, 0, source.height - 1), np.clip(x, 0, source.width - 1))]
    valid: BoolArray = known & inside
    return valid


@lru_cache(maxsize=12)
def _places(boxes: tuple[tuple[int, Box], ...], frame: Box) -> _Places:
    first = np.full(frame.shape, -1, np.int8)
    often = np.zeros(frame.shape, np.int8)
    for number, box in reversed(boxes):
        covers = _covers(box, frame)
        first[covers] = number
        often += covers
    contested = often > 1
    parts = []
    for number, _ in boxes:
        part = bounding_part((first == number) & contested, frame)
        if part is not None:
            parts.append((number, part))
    first.flags.writeable = False
    return _Places(first, contested, tuple(parts))


def _covers(raster: Box, frame: Box) -> BoolArray:
    """Where a frame's pixel centres lie in a raster, as `placement.covered` for grids of one CRS."""
    columns, rows = _positions(raster, frame)
    across = (columns >= raster.x0) & (columns < raster.x1)
    down = (rows >= raster.y0) & (rows < raster.y1)
    return down[:, None] & across[None, :]


def _positions(raster: Box, frame: Box) -> tuple[Float, Float]:
    """Source columns and rows of a frame's centres, moved by the tolerance with which pixels are found."""
    at = index_map(raster.grid, frame)
    return at.columns[0] + EDGE, at.rows[:, 0] + EDGE


def _around(frame: Box, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Box:
    return Box(
        frame.grid,
        frame.x0 + int(columns.min()),
        frame.y0 + int(rows.min()),
        frame.x0 + int(columns.max()) + 1,
        frame.y0 + int(rows.max()) + 1,
    )
