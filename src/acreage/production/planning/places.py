"""Where tiles lie: their outline in degrees, country and UTM zone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.production.areas import Area, countries_around
from acreage.production.tiles import Tile


@dataclass(frozen=True)
class Place:
    """Where a tile lies.

    Attributes:
        tile: which.
        outline: in degrees.
        country: two letters (or a name where there are none) of the one that has most of it; empty: none.
        zone: UTM zone of its centre, as `31N`.
    """

    tile: Tile
    outline: BaseGeometry
    country: str
    zone: str


def find_places(tiles: Sequence[Tile], area: Area) -> tuple[Place, ...]:
    """Where each tile lies.

    Args:
        tiles: of one area.
        area: only its own countries count, where it consists of countries.
    """
    outlines = [tile.outline for tile in tiles]
    countries = area.countries or countries_around(area.geometry)
    names = _most(outlines, countries)
    return tuple(
        Place(tile, outline, name, zone_of(outline))
        for tile, outline, name in zip(tiles, outlines, names, strict=True)
    )


def zone_of(outline: BaseGeometry) -> str:
    """The UTM zone, six degrees wide, of a shape's centre."""
    west, south, east, north = outline.bounds
    number = min(60, max(1, math.floor(((west + east) / 2 + 180.0) / 6.0) + 1))
    return f"{number}{'N' if (south + north) / 2 >= 0 else 'S'}"


def _most(outlines: Sequence[BaseGeometry], countries: Mapping[str, BaseGeometry]) -> list[str]:
    """The country that has most of each outline."""
    names, parts = [], []
    for name, shape in countries.items():
        for part in shapely.get_parts(shape):
            names.append(name)
            parts.append(part)
    squares = np.array(outlines, dtype=object)
    tree = shapely.STRtree(squares)
    shares: list[dict[str, float]] = [{} for _ in outlines]
    for name, part in zip(names, parts, strict=True):
        inside = tree.query(part, predicate="contains_properly")
        near = np.setdiff1d(tree.query(part, predicate="intersects"), inside, assume_unique=True)
        areas = [*shapely.area(squares[inside]), *shapely.area(shapely.intersection(squares[near], part))]
        for at, size in zip((*inside, *near), areas, strict=True):
            if size > 0:
                shares[at][name] = shares[at].get(name, 0.0) + float(size)
    return [max(sorted(share), key=share.__getitem__) if share else "" for share in shares]
