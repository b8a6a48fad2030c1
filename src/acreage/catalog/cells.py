"""Layers published in tiles of whole degrees, of which those with nothing but sea are absent."""

from __future__ import annotations

import math
from collections.abc import Iterable

from acreage.catalog.items import Bounds, SourceItem

_EDGE = 1e-6  # share of a tile by which an area may reach into a neighbour without asking for it


def cell_name(longitude: int, latitude: int) -> str:
    """Name of a tile by its south-west corner in whole degrees: `N50E004`, `S01W010`."""
    north = f"{'N' if latitude >= 0 else 'S'}{abs(latitude):02d}"
    return f"{north}{'E' if longitude >= 0 else 'W'}{abs(longitude):03d}"


def absent_cells(
    bounds: Bounds, degrees: float, items: Iterable[SourceItem], lost: Iterable[Bounds] = ()
) -> tuple[str, ...]:
    """Names of the tiles that an area touches and no item holds, from north to south, west to east.

    Args:
        bounds: west, south, east, north in degrees; west > east over the antimeridian.
        degrees: size of a tile, whose corners lie on whole multiples of it.
        items: found for the area. An item holds the tile that its middle lies in: published tiles are shifted
            by half a pixel against the degrees.
        lost: bounds of items that are there, and cannot be read: their tiles are not absent.
    """
    west, south, east, north = bounds
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    held = {_cell_of(item, degrees) for item in items} | {_middle(box, degrees) for box in lost}
    touched = (
        (column, row)
        for row in reversed(range(*_range(south, north, degrees)))
        for low, high in spans
        for column in range(*_range(low, high, degrees))
    )
    return tuple(
        cell_name(round(column * degrees), round(row * degrees))
        for column, row in touched
        if (column, row) not in held
    )


def _range(low: float, high: float, degrees: float) -> tuple[int, int]:
    start = math.floor(low / degrees + _EDGE)
    return start, max(math.ceil(high / degrees - _EDGE), start + 1)


def _cell_of(item: SourceItem, degrees: float) -> tuple[int, int]:
    boxes = [r.box for r in item.rasters.values() if r.box.grid.is_geographic]
    return _middle(boxes[0].bounds if boxes else item.bbox, degrees)


def _middle(bounds: Bounds, degrees: float) -> tuple[int, int]:
    """The tile, by column and row, that the middle of bounds lies in."""
    west, south, east, north = bounds
    return math.floor((west + east) / 2 / degrees), math.floor((south + north) / 2 / degrees)
