"""The grid in which Sentinel-2 is published: squares of 100 km of the MGRS, drawn as granules of 109.8 km."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from acreage.core.grid import Box, Grid, transformer
from acreage.simulate.orbits import GROUND_CRS

GRANULE_M = 109_800
STEP_M = 60  # edges lie on this lattice, on which the pixels of all resolutions meet
_SQUARE_M = 100_000
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"


@dataclass(frozen=True, order=True)
class Granule:
    """A granule of the northern hemisphere.

    Attributes:
        zone: UTM zone.
        band: latitude band, as `U`.
        square: column and row letter of its 100 km square, as `FS`.
        column, row: of the square: its west and south edge in units of 100 km.
    """

    zone: int
    band: str
    square: str
    column: int
    row: int

    @property
    def tile(self) -> str:
        """As `31UFS`."""
        return f"{self.zone:02d}{self.band}{self.square}"

    @property
    def crs(self) -> str:
        """Its UTM zone's CRS."""
        return f"EPSG:{32600 + self.zone}"

    @property
    def west(self) -> int:
        """Left edge, metres: the square's, moved west onto the lattice of 60 m."""
        return self.column * _SQUARE_M // STEP_M * STEP_M

    @property
    def north(self) -> int:
        """Upper edge, metres: the square's, moved north onto the lattice of 60 m."""
        return -(-(self.row + 1) * _SQUARE_M // STEP_M) * STEP_M

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle in EPSG:3035."""
        x, y = self.west + GRANULE_M / 2, self.north - GRANULE_M / 2
        found = transformer(self.crs, GROUND_CRS).transform(x, y)
        return float(found[0]), float(found[1])

    def box(self, resolution: int) -> Box:
        """All its pixels of 10, 20 or 60 m."""
        grid = Grid.snapped(self.crs, float(resolution))
        return grid.box_covering(self.west, self.north - GRANULE_M, self.west + GRANULE_M, self.north)

    def cut(self, bounds: tuple[float, float, float, float]) -> Box:
        """Its 10 m pixels over bounds in EPSG:3035, with edges on its lattice of 60 m; may be empty."""
        lattice = Grid.snapped(self.crs, float(STEP_M))
        wide = transformer(GROUND_CRS, self.crs).transform_bounds(*bounds, densify_pts=21)
        part = self.box(STEP_M).intersect(lattice.box_covering(*wide))
        if part.is_empty:
            return Box(self.box(10).grid, 0, 0, 0, 0)
        return Grid.snapped(self.crs, 10.0).box_covering(*part.bounds)


def granules_over(bounds: tuple[float, float, float, float]) -> tuple[Granule, ...]:
    """Granules that share pixels with bounds in EPSG:3035, of every UTM zone that has a square there."""
    west, south, east, north = transformer(GROUND_CRS, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
    found = []
    # A granule reaches 9.8 km beyond its square, and a square beyond its zone.
    for zone in range(utm_zone(west - 2.5, north), utm_zone(east + 2.5, north) + 1):
        crs = f"EPSG:{32600 + zone}"
        box = transformer(GROUND_CRS, crs).transform_bounds(*bounds, densify_pts=21)
        columns = range(
            math.floor((box[0] - GRANULE_M) / _SQUARE_M), math.floor((box[2] + STEP_M) / _SQUARE_M) + 1
        )
        rows = range(
            math.floor((box[1] - STEP_M) / _SQUARE_M), math.floor((box[3] + GRANULE_M) / _SQUARE_M) + 1
        )
        for column in columns:
            for row in rows:
                if 1 <= column <= 8 and row >= 0 and _in_zone(zone, column, row):
                    granule = _granule(zone, column, row)
                    if not granule.cut(bounds).is_empty:
                        found.append(granule)
    del south
    return tuple(sorted(set(found)))


def utm_zone(longitude: float, latitude: float) -> int:
    """The UTM zone of a point, with the exceptions for Norway and Svalbard."""
    zone = min(max(int((longitude + 180.0) // 6.0) + 1, 1), 60)
    if 56.0 <= latitude < 64.0 and 3.0 <= longitude < 12.0:
        return 32
    if 72.0 <= latitude < 84.0 and 0.0 <= longitude < 42.0:
        return next(z for z, edge in ((31, 9.0), (33, 21.0), (35, 33.0), (37, 42.0)) if longitude < edge)
    return zone


def _granule(zone: int, column: int, row: int) -> Granule:
    _, latitude = _places(zone, column, row, (0.5,))
    band = _BANDS[min(int((float(latitude[0]) + 80.0) // 8.0), len(_BANDS) - 1)]
    letters = _COLUMNS[(zone - 1) % 3][column - 1] + _ROWS[(row + (5 if zone % 2 == 0 else 0)) % 20]
    return Granule(zone, band, letters, column, row)


def _in_zone(zone: int, column: int, row: int) -> bool:
    """Whether any part of the square lies in its zone; the other squares are not published."""
    longitude, latitude = _places(zone, column, row, (0.0, 0.25, 0.5, 0.75, 1.0))
    return any(utm_zone(a, b) == zone for a, b in zip(longitude, latitude, strict=True))


def _places(zone: int, column: int, row: int, shares: tuple[float, ...]) -> tuple[list[float], list[float]]:
    x, y = np.meshgrid([column + s for s in shares], [row + s for s in shares])
    forward = transformer(f"EPSG:{32600 + zone}", "EPSG:4326").transform
    longitude, latitude = forward(x.ravel() * _SQUARE_M, y.ravel() * _SQUARE_M)
    return list(map(float, longitude)), list(map(float, latitude))
