"""Grids of square tiles: which tiles an area needs, with exact extents and ids that stay.

Ids are those of EEA's reference grid (its guide of 2008): the side, then the lower left corner without the
zeros that the side ends with, so `20kmE396N302` begins at 3 960 000, 3 020 000 in EPSG:3035. In other CRSs
their EPSG code comes before, as in `32631-20kmE48N562`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid, parse_crs
from acreage.production.areas import in_degrees, moved

EEA = "EPSG:3035"
_UTM = (32601, 32660), (32701, 32760)
_ID = re.compile(r"(?:(?P<epsg>\d+)-)?(?P<side>\d+)(?P<unit>k?m)E(?P<east>-?\d+)N(?P<north>-?\d+)")


@dataclass(frozen=True, order=True)
class Tile:
    """A square of a grid.

    Attributes:
        id: unique among all grids.
        crs: EPSG code with its authority.
        bounds: left, bottom, right, top in the CRS's metres.
    """

    id: str
    crs: str
    bounds: tuple[float, float, float, float]

    def box(self, resolution: float) -> Box:
        """Its pixels."""
        return Grid.snapped(self.crs, resolution).box_covering(*self.bounds)

    @property
    def outline(self) -> BaseGeometry:
        """In degrees."""
        found = in_degrees(shapely.box(*self.bounds), self.crs)
        assert found is not None, self.id
        return found


@dataclass(frozen=True)
class TileGrid:
    """Squares counted from the origin of a CRS.

    Attributes:
        side: metres, whole.
        crs: projected in metres, with an EPSG code.
        resolution: metres of a pixel; the side is a whole number of them.
    """

    side: int = 20_000
    crs: str = EEA
    resolution: float = 10.0

    def __post_init__(self) -> None:
        crs = parse_crs(self.crs)
        if not crs.is_projected or any(a.unit_name != "metre" for a in crs.axis_info) or not crs.to_epsg():
            raise InvalidInput(
                f"Tiles need a projected CRS in metres with an EPSG code, and {crs.name} is none.",
                hint="Use EPSG:3035, or utm.",
            )
        if self.side <= 0 or not (self.side / self.resolution).is_integer():
            raise InvalidInput(
                f"A tile's side of {self.side} m is no whole number of pixels of {self.resolution:g} m.",
                hint="Tiles would not fit together. Give another side.",
            )

    def tile(self, column: int, row: int) -> Tile:
        """The square whose lower left corner is so many sides from the origin."""
        x, y = column * self.side, row * self.side
        return Tile(self._id(x, y), self.crs, (x, y, x + self.side, y + self.side))

    def _id(self, x: int, y: int) -> str:
        zeros = len(str(self.side)) - len(str(self.side).rstrip("0"))
        side = f"{self.side // 1000}km" if self.side % 1000 == 0 else f"{self.side}m"
        own = "" if self.crs == EEA else f"{parse_crs(self.crs).to_epsg()}-"
        return f"{own}{side}E{x // 10**zeros}N{y // 10**zeros}"

    def covering(self, area: BaseGeometry) -> tuple[Tile, ...]:
        """The tiles that share some ground with an area, from north to south and west to east.

        Args:
            area: polygons in degrees. What lies outside of the CRS's area of use has no tiles.
        """
        return tuple(self.tile(column, row) for column, row in self._places(_within_use(area, self.crs)))

    def _places(self, area: BaseGeometry) -> Iterator[tuple[int, int]]:
        if area.is_empty:
            return
        shape = moved(area, "EPSG:4326", self.crs)
        if shape is None:
            shape = shapely.union_all([m for p in shapely.get_parts(area) if (m := _mended(p, self.crs))])
        west, south, east, north = shape.bounds
        columns = np.arange(math.floor(west / self.side), math.ceil(east / self.side))
        rows = np.arange(math.ceil(north / self.side) - 1, math.floor(south / self.side) - 1, -1)
        across, down = np.meshgrid(columns, rows)
        x, y = across.ravel() * self.side, down.ravel() * self.side
        squares = shapely.box(x, y, x + self.side, y + self.side)
        # A shape of a continent is asked by its parts: each is small, and the index finds its squares.
        found: set[int] = set()
        tree = shapely.STRtree(squares)
        for part in shapely.get_parts(shape):
            inside = tree.query(part, predicate="contains_properly")
            near = np.setdiff1d(tree.query(part, predicate="intersects"), inside, assume_unique=True)
            shared = shapely.area(shapely.intersection(squares[near], part)) > 0
            found.update(inside.tolist(), near[shared].tolist())
        for at in sorted(found):
            yield int(across.ravel()[at]), int(down.ravel()[at])


@dataclass(frozen=True)
class UtmGrid:
    """Squares of each UTM zone that an area touches; at the border of two zones they overlap.

    Attributes:
        side, resolution: as of `TileGrid`.
    """

    side: int = 20_000
    resolution: float = 10.0

    def covering(self, area: BaseGeometry) -> tuple[Tile, ...]:
        """The tiles that share some ground with the part of an area in their zone, zone by zone."""
        tiles: list[Tile] = []
        west, south, east, north = area.bounds
        for number in range(_zone(west), _zone(east) + 1):
            left = number * 6.0 - 186.0
            for below, base, (low, high) in (
                (False, _UTM[0][0], (0.0, 84.0)),
                (True, _UTM[1][0], (-80.0, 0.0)),
            ):
                if (north > 0) if not below else (south < 0):
                    part = shapely.intersection(area, shapely.box(left, low, left + 6.0, high))
                    tiles += TileGrid(self.side, f"EPSG:{base + number - 1}", self.resolution).covering(part)
        return tuple(tiles)


def _zone(longitude: float) -> int:
    return min(60, max(1, math.floor((longitude + 180.0) / 6.0) + 1))


def parse_grid(text: str, resolution: float = 10.0) -> TileGrid | UtmGrid:
    """The grid that a text names.

    Args:
        text: a side (`20km`, `2500m`), then a CRS if it is not EPSG:3035: `20km@utm`, `10km@EPSG:32631`.
        resolution: metres of a pixel.

    Raises:
        InvalidInput: it is none of these, or its tiles would not fit together.
    """
    size, _, crs = text.partition("@")
    number, unit = size.removesuffix("km").removesuffix("m"), size.endswith("km")
    try:
        side = float(number) * (1000 if unit else 1)
    except ValueError:
        side = 0.0
    if side <= 0 or not side.is_integer() or not size.endswith("m"):
        raise InvalidInput(
            f"{text!r} is no grid of tiles.", hint="Give a side, as 20km or 2500m, and a CRS, as 20km@utm."
        )
    if crs.lower() == "utm":
        TileGrid(int(side), EEA, resolution)  # says whether pixels fit
        return UtmGrid(int(side), resolution)
    return TileGrid(int(side), parse_crs(crs).to_string() if crs else EEA, resolution)


def tile_of_id(tile_id: str) -> Tile | None:
    """The tile that an id names; None where it is none."""
    match = _ID.fullmatch(tile_id)
    if match is None:
        return None
    side = int(match["side"]) * (1000 if match["unit"] == "km" else 1)
    zeros = len(str(side)) - len(str(side).rstrip("0"))
    x, y = int(match["east"]) * 10**zeros, int(match["north"]) * 10**zeros
    crs = f"EPSG:{match['epsg']}" if match["epsg"] else EEA
    try:
        grid = TileGrid(side, crs, 1.0)
    except InvalidInput:
        return None
    if side <= 0 or x % side or y % side:
        return None
    found = grid.tile(x // side, y // side)
    return found if found.id == tile_id else None


def _within_use(area: BaseGeometry, crs: str) -> BaseGeometry:
    """The part of an area where a CRS may be used."""
    use = parse_crs(crs).area_of_use
    if use is None or use.west > use.east:
        return area
    return shapely.intersection(area, shapely.box(use.west, use.south, use.east, use.north))


def _mended(part: BaseGeometry, crs: str) -> BaseGeometry | None:
    """A part whose outline crosses itself once it is moved."""
    return moved(shapely.make_valid(part), "EPSG:4326", crs)
