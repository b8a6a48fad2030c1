"""Pixel grids and integer boxes on them.

A `Grid` is an infinite lattice of square-or-rectangular pixels in a CRS; a `Box` is a rectangle of whole
pixels
on it. All window arithmetic is on integers, so that no result depends on how an area was cut into windows.

Conventions: columns grow eastward, rows grow southward; a box is half-open, `[x0, x1) x [y0, y1)`;
    coordinates
are in the CRS's own unit (metres or degrees), longitude before latitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from acreage.core.errors import InvalidInput

_SNAP = 1e-6  # share of a pixel below which an edge counts as lying on the lattice


@lru_cache(maxsize=256)
def parse_crs(value: str | int) -> CRS:
    """The CRS for an EPSG number, an `EPSG:n` string, WKT2 or PROJ text.

    Raises:
        InvalidInput: the text names no CRS.
    """
    try:
        return CRS.from_user_input(value)
    except CRSError as error:
        raise InvalidInput(
            f"{value!r} is not a coordinate reference system.", hint="Give an EPSG code such as 3035."
        ) from error


@lru_cache(maxsize=256)
def crs_name(value: str | int) -> str:
    """The one spelling used for a CRS: `EPSG:n` where it has a code, else its WKT2."""
    crs = parse_crs(value)
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg is not None else str(crs.to_wkt())


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Transformer:
    """A cached transformer between two CRS names, x before y on both sides (thread-safe in pyproj >= 3.1)."""
    return Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


@dataclass(frozen=True, slots=True)
class Grid:
    """An infinite pixel lattice.

    Attributes:
        crs: name as given by `crs_name`.
        res_x, res_y: pixel size, both positive, in CRS units.
        off_x: x of the left edge of column 0, in `[0, res_x)`.
        off_y: y of the top edge of row 0, in `[0, res_y)`. Row `j` covers `(off_y - (j + 1) res_y, off_y - j
            res_y]`.
    """

    crs: str
    res_x: float
    res_y: float
    off_x: float = 0.0
    off_y: float = 0.0

    def __post_init__(self) -> None:
        if not (
            self.res_x > 0 and self.res_y > 0 and math.isfinite(self.res_x) and math.isfinite(self.res_y)
        ):
            raise InvalidInput(f"A grid needs positive pixel sizes, not {self.res_x} x {self.res_y}.")

    @staticmethod
    def snapped(crs: str | int, resolution: float, resolution_y: float | None = None) -> Grid:
        """The grid whose pixel edges are whole multiples of the resolution from the CRS origin."""
        return Grid(
            crs_name(crs), float(resolution), float(resolution if resolution_y is None else resolution_y)
        )

    @staticmethod
    def of_transform(crs: str | int, affine: Affine) -> Grid:
        """The lattice that a north-up raster with this affine transform lies on.

        Raises:
            InvalidInput: the transform is rotated, sheared or not north-up.
        """
        if affine.b != 0 or affine.d != 0 or affine.a <= 0 or affine.e >= 0:
            raise InvalidInput(
                f"The raster transform {tuple(affine)[:6]} is rotated or not north-up.",
                hint="Warp the raster to a north-up grid first.",
            )
        res_x, res_y = float(affine.a), float(-affine.e)
        return Grid(crs_name(crs), res_x, res_y, _phase(affine.c, res_x), _phase(affine.f, res_y))

    @property
    def is_geographic(self) -> bool:
        """True where the unit is degrees."""
        return bool(parse_crs(self.crs).is_geographic)

    def aligned_with(self, other: Grid) -> bool:
        """True where both are the same lattice (within a millionth of a pixel)."""
        return (
            self.crs == other.crs
            and math.isclose(self.res_x, other.res_x, rel_tol=1e-9)
            and math.isclose(self.res_y, other.res_y, rel_tol=1e-9)
            and _same_phase(self.off_x, other.off_x, self.res_x)
            and _same_phase(self.off_y, other.off_y, self.res_y)
        )

    def box_of_transform(self, affine: Affine, width: int, height: int) -> Box:
        """The box that a raster of `width` x `height` pixels with this transform covers on its lattice."""
        x0 = round((affine.c - self.off_x) / self.res_x)
        y0 = round((self.off_y - affine.f) / self.res_y)
        return Box(self, x0, y0, x0 + width, y0 + height)

    def box_covering(self, west: float, south: float, east: float, north: float) -> Box:
        """The smallest box of whole pixels that covers bounds given in this grid's CRS; edges on the lattice
        stay.
        """
        x0 = math.floor((west - self.off_x) / self.res_x + _SNAP)
        x1 = math.ceil((east - self.off_x) / self.res_x - _SNAP)
        y0 = math.floor((self.off_y - north) / self.res_y + _SNAP)
        y1 = math.ceil((self.off_y - south) / self.res_y - _SNAP)
        return Box(self, x0, y0, max(x1, x0), max(y1, y0))


def _phase(edge: float, res: float) -> float:
    steps = round(edge / res)
    rest = edge - steps * res
    if abs(rest) <= _SNAP * res:
        return 0.0
    return edge - math.floor(edge / res) * res


def _same_phase(a: float, b: float, res: float) -> bool:
    rest = abs(a - b) % res
    return min(rest, res - rest) <= 1e-5 * res


@dataclass(frozen=True, slots=True)
class Box:
    """Whole pixels of a grid: columns `[x0, x1)`, rows `[y0, y1)`. May be empty, never negative."""

    grid: Grid
    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise InvalidInput(
                f"A box cannot be negative: columns {self.x0}..{self.x1}, rows {self.y0}..{self.y1}."
            )

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (self.height, self.width)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def is_empty(self) -> bool:
        """True where it holds no pixel."""
        return self.size == 0

    @property
    def affine(self) -> Affine:
        """Pixel to CRS, as rasterio has it."""
        g = self.grid
        return Affine(g.res_x, 0.0, g.off_x + self.x0 * g.res_x, 0.0, -g.res_y, g.off_y - self.y0 * g.res_y)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outer pixel edges, in the grid's CRS."""
        g = self.grid
        return (
            g.off_x + self.x0 * g.res_x,
            g.off_y - self.y1 * g.res_y,
            g.off_x + self.x1 * g.res_x,
            g.off_y - self.y0 * g.res_y,
        )

    def x_centres(self) -> NDArray[np.float64]:
        """x of the pixel centres, float64, ascending, shape (width,)."""
        return self.grid.off_x + (np.arange(self.x0, self.x1, dtype=np.float64) + 0.5) * self.grid.res_x

    def y_centres(self) -> NDArray[np.float64]:
        """y of the pixel centres, float64, descending, shape (height,)."""
        return self.grid.off_y - (np.arange(self.y0, self.y1, dtype=np.float64) + 0.5) * self.grid.res_y

    def intersect(self, other: Box) -> Box:
        """The common pixels (both boxes on one grid); empty at this one's corner where there are none."""
        self._same_grid(other)
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        if x1 <= x0 or y1 <= y0:
            return Box(self.grid, self.x0, self.y0, self.x0, self.y0)
        return Box(self.grid, x0, y0, x1, y1)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both; an empty box adds nothing."""
        self._same_grid(other)
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        return Box(
            self.grid,
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def contains(self, other: Box) -> bool:
        """True where every pixel of the other lies in this one (an empty box always does)."""
        return other.is_empty or (
            self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1
        )

    def expand(self, columns: int, rows: int) -> Box:
        """Grown by columns on the left and right, rows above and below. An empty box stays empty."""
        if self.is_empty:
            return self
        return Box(self.grid, self.x0 - columns, self.y0 - rows, self.x1 + columns, self.y1 + rows)

    def slices_in(self, outer: Box) -> tuple[slice, slice]:
        """(rows, columns) slices of this box in an array that covers `outer`."""
        if not outer.contains(self):
            raise ValueError(f"{self} does not lie in {outer}")
        if self.is_empty:
            return slice(0, self.height), slice(0, self.width)
        return slice(self.y0 - outer.y0, self.y1 - outer.y0), slice(self.x0 - outer.x0, self.x1 - outer.x0)

    def windows(self, columns: int, rows: int) -> Iterator[Box]:
        """Cut into boxes of at most this size, row by row; cuts lie on multiples of the size from pixel 0."""
        for y in range(self.y0 - self.y0 % rows, self.y1, rows):
            for x in range(self.x0 - self.x0 % columns, self.x1, columns):
                part = Box(
                    self.grid,
                    max(x, self.x0),
                    max(y, self.y0),
                    min(x + columns, self.x1),
                    min(y + rows, self.y1),
                )
                if not part.is_empty:
                    yield part

    def on(self, grid: Grid) -> Box:
        """The same indices read on an aligned grid that is spelled otherwise."""
        return replace(self, grid=grid)

    def project(self, target: Grid, margin: int = 0) -> Box:
        """The smallest box on another grid that covers this one, plus a margin in target pixels.

        The outline is transformed densified (21 points an edge) and so is exact to far less than a pixel for
        windows of
        a tile's size; use a margin of one pixel or more where every source of a kernel must be inside.
        """
        if self.is_empty:
            return Box(target, 0, 0, 0, 0)
        bounds = self.bounds
        if target.crs != self.grid.crs:
            bounds = transformer(self.grid.crs, target.crs).transform_bounds(*bounds, densify_pts=21)
        return target.box_covering(*bounds).expand(margin, margin)

    def _same_grid(self, other: Box) -> None:
        if self.grid is not other.grid and self.grid != other.grid and not self.grid.aligned_with(other.grid):
            raise ValueError(f"boxes lie on different grids: {self.grid} and {other.grid}")


def utm_crs(longitude: float, latitude: float) -> str:
    """The WGS 84 / UTM zone of a point, as `EPSG:326zz` or `EPSG:327zz` (no exceptions for Norway)."""
    zone = min(max(int((longitude + 180.0) // 6.0) + 1, 1), 60)
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
