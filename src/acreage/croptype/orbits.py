"""Which Sentinel-1 orbit direction a tile is mapped from: the one asked for, or the better covered one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.catalog.items import Catalog, SourceItem
from acreage.catalog.properties import value_of
from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, transformer
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings

DIRECTIONS = ("ascending", "descending")
CHOICES = (*DIRECTIONS, "best", "both")
ORBIT_STATE = "sat:orbit_state"
_POINTS = 16  # into which an edge of the tile is divided before it is turned into degrees


@dataclass(frozen=True)
class DirectionCover:
    """How one orbit direction covers a tile over a season.

    Attributes:
        direction: `ascending` or `descending`.
        acquisitions: distinct passes (absolute orbits) with a footprint over the tile.
        coverage: the passes counted by the share of the tile that their footprints cover.
    """

    direction: str
    acquisitions: int
    coverage: float


@dataclass(frozen=True)
class OrbitChoice:
    """The orbit direction of a tile, and why.

    Attributes:
        asked: one of `CHOICES`.
        chosen: `ascending`, `descending` or `both`.
        covers: ascending, then descending.
    """

    asked: str
    chosen: str
    covers: tuple[DirectionCover, ...]

    def applied(self, settings: CubeSettings) -> CubeSettings:
        """The settings with the filter for this direction, any other orbit filter taken out."""
        others = tuple(p for p in settings.s1_properties if p[0] != ORBIT_STATE)
        mine = () if self.chosen == "both" else ((ORBIT_STATE, self.chosen),)
        return replace(settings, s1_properties=(*others, *mine))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as it stands in a product's provenance."""
        return {
            "asked": self.asked,
            "chosen": self.chosen,
            **{
                c.direction: {"acquisitions": c.acquisitions, "coverage": round(c.coverage, 3)}
                for c in self.covers
            },
        }

    def __str__(self) -> str:
        counts = ", ".join(
            f"{c.direction} {c.acquisitions} acquisitions (the area {c.coverage:.1f} times)"
            for c in self.covers
        )
        return f"Sentinel-1 orbit: {self.chosen} ({self.asked} asked; {counts})"


def check_orbit(asked: str) -> str:
    """The choice itself.

    Raises:
        InvalidInput: it is none.
    """
    if asked not in CHOICES:
        raise InvalidInput(f"{asked!r} is not an orbit direction.", hint=f"Use {', '.join(CHOICES)}.")
    return asked


def choose_orbit(
    catalog: Catalog, area: Box, season: Season, settings: CubeSettings, asked: str = "best"
) -> OrbitChoice:
    """The orbit direction for an area, by the footprints that the catalog lists; no pixel is read.

    `best` is the direction whose passes cover more of the area, summed over the season; ascending where both
    cover the same (to a millionth of the area).

    Raises:
        InvalidInput: `asked` is not one of `CHOICES`.
        CatalogError: the catalog cannot be searched.
    """
    covers = cover_by_direction(catalog, area, season, settings)
    chosen = check_orbit(asked)
    if chosen == "best":
        chosen = better_direction(covers)
    return OrbitChoice(asked, chosen, covers)


def cover_by_direction(
    catalog: Catalog, area: Box, season: Season, settings: CubeSettings
) -> tuple[DirectionCover, DirectionCover]:
    """How ascending and descending passes cover an area over a season."""
    tile = _outline(area)
    west, south, east, north = tile.bounds
    found = catalog.search(settings.collections[1], (west, south, east, north), season.interval)
    return cover_of([i for p in found.items if (i := radar_pass(p, settings)) is not None], tile)


@dataclass(frozen=True)
class RadarPass:
    """A Sentinel-1 product, as far as the choice of an orbit direction needs it.

    Attributes:
        direction: `ascending` or `descending`.
        group: the pass (absolute orbit) that it is a slice of.
        footprint: where it has pixels, in degrees.
    """

    direction: str
    group: str
    footprint: BaseGeometry


def radar_pass(item: SourceItem, settings: CubeSettings) -> RadarPass | None:
    """The pass of an item; None where it has no direction, or the settings' filters leave it out."""
    direction = value_of(item.properties, ORBIT_STATE)
    direction = direction.lower() if isinstance(direction, str) else ""
    filters = {name: value for name, value in settings.s1_properties if name != ORBIT_STATE}
    if direction not in DIRECTIONS or not _kept(item, filters):
        return None
    return RadarPass(direction, item.group, footprint_of(item))


def cover_of(passes: Sequence[RadarPass], tile: BaseGeometry) -> tuple[DirectionCover, DirectionCover]:
    """How passes of both directions cover an area.

    Args:
        passes: over one season.
        tile: outline of the area in degrees.
    """
    slices: dict[str, dict[str, list[BaseGeometry]]] = {d: defaultdict(list) for d in DIRECTIONS}
    for found in passes:
        slices[found.direction][found.group].append(found.footprint.intersection(tile))
    ascending, descending = (_cover(d, slices[d], tile.area) for d in DIRECTIONS)
    return ascending, descending


def better_direction(covers: tuple[DirectionCover, DirectionCover]) -> str:
    """The direction whose passes cover more, ascending where both cover the same (to a millionth)."""
    ascending, descending = covers
    more = round(descending.coverage, 6) > round(ascending.coverage, 6)
    return "descending" if more else "ascending"


def _cover(direction: str, passes: Mapping[str, list[BaseGeometry]], whole: float) -> DirectionCover:
    # Slices of one pass overlap; what both cover is covered once.
    shares = [shapely.union_all(parts).area / whole for _, parts in sorted(passes.items())]
    return DirectionCover(direction, sum(share > 0 for share in shares), float(sum(shares)))


def _kept(item: SourceItem, filters: Mapping[str, str]) -> bool:
    return all(value_of(item.properties, name) == value for name, value in filters.items())


def footprint_of(item: SourceItem) -> BaseGeometry:
    """Where an item has pixels, in degrees; its bounds where no more is known."""
    if item.footprint:
        geometry = shapely.from_wkb(item.footprint)
        if geometry.geom_type in ("Polygon", "MultiPolygon"):
            return shapely.make_valid(geometry)
    return shapely.box(*item.bbox)


def _outline(area: Box) -> BaseGeometry:
    """The area in degrees."""
    longest = max(area.width * area.grid.res_x, area.height * area.grid.res_y) / _POINTS
    outline = shapely.segmentize(shapely.box(*area.bounds), longest)
    to_degrees = transformer(area.grid.crs, "EPSG:4326")
    return shapely.transform(outline, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
