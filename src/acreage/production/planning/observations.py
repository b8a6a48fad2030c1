"""What a catalog holds over each tile in the season: products of both sensors, passes by direction.

A catalog is asked once for each block of tiles and month; products are counted in the tiles by their
footprints. A continent takes some hundred requests instead of one a tile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from acreage.catalog.items import Bounds, Catalog, Interval, Search, SourceItem
from acreage.core.temporal import Season, periods
from acreage.croptype.orbits import DIRECTIONS, footprint_of, radar_pass
from acreage.croptype.workflow import CubeSettings
from acreage.production.planning.kept import Kept
from acreage.production.planning.places import Place

BLOCK_M = 500_000.0
"""Side of the blocks that a catalog is asked for."""

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Unusable:
    """Products that a catalog lists and that no job can use.

    Attributes:
        number: how often one was met; one over two blocks or months counts twice.
        first: which, and why.
    """

    number: int = 0
    first: str = ""

    def __add__(self, other: Unusable) -> Unusable:
        return Unusable(self.number + other.number, self.first or other.first)


@dataclass(frozen=True)
class Observed:
    """What a catalog holds over a tile.

    Attributes:
        s2, s1: products.
        passes, coverage: of Sentinel-1 by direction: distinct passes, and these counted by the share of the
            tile that they cover.
    """

    s2: int = 0
    s1: int = 0
    passes: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[str, float] = field(default_factory=dict)


def observations(
    catalog: Catalog,
    name: str,
    places: Sequence[Place],
    season: Season,
    settings: CubeSettings,
    kept: Kept,
    tell: Tell = lambda *_: None,
) -> tuple[tuple[Observed, ...], Unusable]:
    """What a catalog holds over each tile, and what of it cannot be used.

    Args:
        catalog: to ask.
        name: address of the catalog, by which answers are kept.
        places: tiles.
        season: both days included.
        settings: collections, and the filters of Sentinel-1 beside the direction.
        kept: what was asked before.
        tell: told of (requests done, requests in all).

    Raises:
        CatalogError: a collection is missing, or the catalog cannot be asked.
    """
    months = tuple(_months(season))
    blocks = _blocks(places)
    found: dict[str, Observed] = {}
    unusable = Unusable()
    done, every = 0, len(blocks) * len(months) * 2
    for block in blocks:
        sums = [_Sum() for _ in block]
        bounds = _around(block)
        for month in months:
            text = [str(v) for v in month]
            key = [name, settings.collections[:2], settings.s1_properties, text, [p.tile.id for p in block]]
            s2 = kept.asked(["s2", *key], partial(_optical, catalog, settings, block, bounds, month))
            s1 = kept.asked(["s1", *key], partial(_radar, catalog, settings, block, bounds, month))
            for total, optical, radar in zip(sums, s2["tiles"], s1["tiles"], strict=True):
                total.add(optical, radar)
            unusable += Unusable(*s2["unusable"]) + Unusable(*s1["unusable"])
            done += 2
            tell(done, every)
        found |= {place.tile.id: total.result() for place, total in zip(block, sums, strict=True)}
    return tuple(found[place.tile.id] for place in places), unusable


class _Sum:
    """What is found over one tile, month after month; a pass that lasts over midnight of two counts twice."""

    def __init__(self) -> None:
        self.s2 = self.s1 = 0
        self.passes: dict[str, int] = dict.fromkeys(DIRECTIONS, 0)
        self.coverage: dict[str, float] = dict.fromkeys(DIRECTIONS, 0.0)

    def add(self, optical: int, radar: Mapping[str, Any]) -> None:
        self.s2 += optical
        self.s1 += radar["items"]
        for direction in DIRECTIONS:
            passes, coverage = radar[direction]
            self.passes[direction] += passes
            self.coverage[direction] += coverage

    def result(self) -> Observed:
        return Observed(self.s2, self.s1, self.passes, self.coverage)


def _optical(
    catalog: Catalog, settings: CubeSettings, block: Sequence[Place], bounds: Bounds, month: Interval
) -> dict[str, Any]:
    found = _search(catalog, settings.collections[0], settings.s2_bands[0], bounds, month)
    _, at_tile, _, _ = _pairs(found.items, block)
    numbers = np.bincount(at_tile, minlength=len(block))
    return {"tiles": [int(n) for n in numbers], "unusable": _unusable(found)}


def _radar(
    catalog: Catalog, settings: CubeSettings, block: Sequence[Place], bounds: Bounds, month: Interval
) -> dict[str, Any]:
    found = _search(catalog, settings.collections[1], settings.s1_bands[0], bounds, month)
    passes = [radar_pass(item, settings) for item in found.items]
    at_item, at_tile, shapes, outlines = _pairs(found.items, block)
    numbers = np.bincount(at_tile, minlength=len(block))
    slices: dict[tuple[int, str, str], list[Any]] = defaultdict(list)
    shared = shapely.intersection(shapes[at_item], outlines[at_tile])
    for item, tile, part in zip(at_item, at_tile, shared, strict=True):
        if (one := passes[item]) is not None:
            slices[int(tile), one.direction, one.group].append(part)
    whole = shapely.area(outlines)
    told = [{"items": int(n), **{d: [0, 0.0] for d in DIRECTIONS}} for n in numbers]
    for (tile, direction, _), parts in slices.items():
        # Slices of one pass overlap; what both cover is covered once.
        share = float((parts[0] if len(parts) == 1 else shapely.union_all(parts)).area / whole[tile])
        if share > 0:
            so_far: Any = told[tile][direction]
            told[tile][direction] = [so_far[0] + 1, so_far[1] + share]
    return {"tiles": told, "unusable": _unusable(found)}


def _unusable(found: Search) -> list[Any]:
    first = next(iter(found.problems), None)
    told = "" if first is None else f"{first.item}: {first.reason}"
    return [len({p.item for p in found.problems}), told]


def _search(catalog: Catalog, collection: str, band: str, bounds: Bounds, month: Interval) -> Search:
    # One band is enough to know that a product is there: its others are not resolved.
    return catalog.search(collection, bounds, month, bands=(band,))


def _pairs(
    items: Sequence[SourceItem], block: Sequence[Place]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Positions of items and tiles that share ground, pair by pair; footprints and outlines in degrees."""
    outlines = np.array([place.outline for place in block], dtype=object)
    shapes = np.empty(len(items), dtype=object)
    shapes[:] = [footprint_of(item) for item in items]
    at_item, at_tile = shapely.STRtree(outlines).query(shapes, predicate="intersects")
    apart = shapely.touches(shapes[at_item], outlines[at_tile])
    return at_item[~apart], at_tile[~apart], shapes, outlines


def _months(season: Season) -> Iterator[Interval]:
    """The months of a season, the first and the last one cut to it."""
    start, end = season.interval
    for _, first, last in periods("month", start, end):
        yield max(first, start), min(last, end)


def _blocks(places: Sequence[Place]) -> list[list[Place]]:
    """Tiles by the block of their CRS that their middle lies in."""
    found: dict[tuple[str, int, int], list[Place]] = defaultdict(list)
    for place in places:
        left, bottom, right, top = place.tile.bounds
        x, y = (left + right) / 2, (bottom + top) / 2
        found[(place.tile.crs, int(x // BLOCK_M), int(y // BLOCK_M))].append(place)
    return [found[key] for key in sorted(found)]


def _around(block: Sequence[Place]) -> Bounds:
    bounds = np.array([place.outline.bounds for place in block])
    west, south = bounds[:, :2].min(axis=0)
    east, north = bounds[:, 2:].max(axis=0)
    return float(west), float(south), float(east), float(north)
