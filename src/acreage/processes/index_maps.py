"""Where the pixels of one grid lie on another: the geometry of every resampling.

All positions are absolute source pixel indices (pixel `i` covers `[i, i + 1)`). Between CRSs they are exact
on a coarse lattice of target pixels that is counted from pixel 0 of the grid, and interpolated in between, so
that nothing depends on how an area was cut into windows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import Box, Grid, parse_crs, transformer
from acreage.processes.lattice_positions import interpolate

Float = NDArray[np.float64]

SCALE_BLOCK = 64  # target pixels over which one local scale holds, counted from pixel 0 of the grid
_SNAP = 1e-6  # share of a source pixel below which a position on an aligned lattice counts as exact
_CACHE_BYTES = 128 * 2**20


@dataclass(frozen=True, eq=False)
class IndexMap:
    """Source position of every target pixel centre.

    Attributes:
        source: the grid that is read.
        target: the pixels that are made.
        columns, rows: fractional source column and row, float64, shape `target.shape`; read-only views with
            stride 0 where the grids share a CRS. Infinite where the point cannot be transformed.
        separable: True where columns depend on the target column only, and rows on the target row only.
        identity: True where both grids are one lattice.
    """

    source: Grid
    target: Box
    columns: Float
    rows: Float
    separable: bool
    identity: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it really holds."""
        if self.separable:
            return 8 * (self.target.width + self.target.height)
        return int(self.columns.nbytes + self.rows.nbytes)

    def spans(self) -> tuple[Float, Float]:
        """Width and height of every target pixel in source pixels, shape `target.shape`.

        The local derivative of the projection at the centre of the pixel's block of 64 x 64, `hypot` over
        both target axes, so that a rotation alone changes nothing.
        """
        return _spread(self.source, self.target)


class _Cache:
    """Thread-safe least-recently-used store with a limit in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._maps: OrderedDict[tuple[Grid, Box], IndexMap] = OrderedDict()
        self._held = 0

    def get(self, key: tuple[Grid, Box]) -> IndexMap | None:
        with self._lock:
            found = self._maps.get(key)
            if found is not None:
                self._maps.move_to_end(key)
            return found

    def put(self, key: tuple[Grid, Box], value: IndexMap) -> None:
        with self._lock:
            if key in self._maps or value.nbytes > self._limit:
                return
            self._maps[key] = value
            self._held += value.nbytes
            while self._held > self._limit:
                _, dropped = self._maps.popitem(last=False)
                self._held -= dropped.nbytes

    def clear(self) -> None:
        with self._lock:
            self._maps.clear()
            self._held = 0


_MAPS = _Cache(_CACHE_BYTES)


def index_map(source: Grid, target: Box) -> IndexMap:
    """The map from a target box onto a source grid, cached (see `make_index_map`)."""
    key = (source, target)
    found = _MAPS.get(key)
    if found is None:
        found = make_index_map(source, target)
        _MAPS.put(key, found)
    return found


def make_index_map(source: Grid, target: Box) -> IndexMap:
    """The map from a target box onto a source grid.

    Between CRSs the centres of a coarse lattice are transformed and the positions in between interpolated
    (`lattice_positions`), to within a millionth of a source pixel of their exact places.
    """
    if source.crs == target.grid.crs:
        return _aligned_map(source, target)
    return _projected_map(source, target)


def _aligned_map(source: Grid, target: Box) -> IndexMap:
    columns = _snap((target.x_centres() - source.off_x) / source.res_x)
    rows = _snap((source.off_y - target.y_centres()) / source.res_y)
    return IndexMap(
        source,
        target,
        np.broadcast_to(columns[None, :], target.shape),
        np.broadcast_to(rows[:, None], target.shape),
        separable=True,
        identity=source.aligned_with(target.grid),
    )


def _snap(positions: Float) -> Float:
    # Pixel sizes such as 1/3600 degree leave noise that would move a nearest neighbour off an exact half.
    halves = np.round(positions * 2.0) / 2.0
    return np.where(np.abs(positions - halves) <= _SNAP, halves, positions)


def _projected_map(source: Grid, target: Box) -> IndexMap:
    def exact(x: Float, y: Float) -> tuple[Float, Float]:
        return _transform(source, target.grid, x, y)

    columns, rows = interpolate(target, exact)
    for array in (columns, rows):
        array.flags.writeable = False
    return IndexMap(source, target, columns, rows, separable=False, identity=False)


def _transform(source: Grid, target: Grid, x: Float, y: Float) -> tuple[Float, Float]:
    """Source column and row of points given in the target's CRS."""
    east, north = transformer(target.crs, source.crs).transform(x, y)
    columns = (np.asarray(east) - source.off_x) / source.res_x
    rows = (source.off_y - np.asarray(north)) / source.res_y
    return columns, rows


def _spread(source: Grid, target: Box) -> tuple[Float, Float]:
    if source.crs == target.grid.crs:
        return (
            np.broadcast_to(np.float64(_ratio(target.grid.res_x, source.res_x)), target.shape),
            np.broadcast_to(np.float64(_ratio(target.grid.res_y, source.res_y)), target.shape),
        )
    block_columns = np.arange(target.x0, target.x1) // SCALE_BLOCK
    block_rows = np.arange(target.y0, target.y1) // SCALE_BLOCK
    if target.is_empty:
        return np.zeros(target.shape), np.zeros(target.shape)
    wide, high = block_spans(
        source,
        target.grid,
        int(block_columns[0]),
        int(block_rows[0]),
        int(block_columns[-1]),
        int(block_rows[-1]),
    )
    at = np.ix_(block_rows - block_rows[0], block_columns - block_columns[0])
    return wide[at], high[at]


def _ratio(target: float, source: float) -> float:
    ratio = target / source
    return round(ratio) if abs(ratio - round(ratio)) < 1e-9 * ratio and ratio > 0.5 else ratio


@lru_cache(maxsize=1024)
def block_spans(
    source: Grid, target: Grid, first_column: int, first_row: int, last_column: int, last_row: int
) -> tuple[Float, Float]:
    """Size of a target pixel in source pixels (width, height) at the centres of blocks of 64 x 64 of them.

    Block `b` covers target pixels `[64 b, 64 b + 64)`; both ends are included. Infinite or NaN where the
    projection has no value.
    """
    columns = (np.arange(first_column, last_column + 1) + 0.5) * SCALE_BLOCK
    rows = (np.arange(first_row, last_row + 1) + 0.5) * SCALE_BLOCK
    x = np.broadcast_to((target.off_x + columns * target.res_x)[None, :], (rows.size, columns.size))
    y = np.broadcast_to((target.off_y - rows * target.res_y)[:, None], x.shape)
    half_x, half_y = target.res_x / 2.0, target.res_y / 2.0
    sides = [(-half_x, 0.0), (half_x, 0.0), (0.0, -half_y), (0.0, half_y)]
    found = [_transform(source, target, x + dx, y + dy) for dx, dy in sides]
    with np.errstate(invalid="ignore"):
        wide = np.hypot(found[1][0] - found[0][0], found[3][0] - found[2][0])
        high = np.hypot(found[1][1] - found[0][1], found[3][1] - found[2][1])
    return wide, high


def largest_span(source: Grid, target: Grid | Box) -> float:
    """The longest side of a target pixel in source pixels, over a box, or wherever a grid's CRS is used."""
    grid = target.grid if isinstance(target, Box) else target
    if source.crs == grid.crs:
        return max(grid.res_x / source.res_x, grid.res_y / source.res_y)
    if isinstance(target, Box):
        if target.is_empty:
            return 1.0
        spans = block_spans(
            source,
            grid,
            target.x0 // SCALE_BLOCK,
            target.y0 // SCALE_BLOCK,
            (target.x1 - 1) // SCALE_BLOCK,
            (target.y1 - 1) // SCALE_BLOCK,
        )
    else:
        spans = _spans_anywhere(source, grid)
    finite = np.concatenate([s[np.isfinite(s)] for s in map(np.ravel, spans)])
    return float(finite.max()) if finite.size else 1.0


def _spans_anywhere(source: Grid, target: Grid) -> tuple[Float, Float]:
    """Spans at 9 x 9 points of the area that both CRS are made for."""
    areas = [
        a for a in (parse_crs(source.crs).area_of_use, parse_crs(target.crs).area_of_use) if a is not None
    ]
    west = max((a.west for a in areas), default=-180.0)
    east = min((a.east for a in areas), default=180.0)
    south = max(max((a.south for a in areas), default=-85.0), -85.0)
    north = min(min((a.north for a in areas), default=85.0), 85.0)
    if west >= east or south >= north:
        west, south, east, north = areas[-1].west, areas[-1].south, areas[-1].east, areas[-1].north
    lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    x, y = map(np.asarray, transformer("EPSG:4326", target.crs).transform(lon, lat))
    half_x, half_y = target.res_x / 2.0, target.res_y / 2.0
    ends = [
        _transform(source, target, x + dx, y + dy)
        for dx, dy in ((-half_x, 0), (half_x, 0), (0, -half_y), (0, half_y))
    ]
    with np.errstate(invalid="ignore"):
        return (
            np.hypot(ends[1][0] - ends[0][0], ends[3][0] - ends[2][0]),
            np.hypot(ends[1][1] - ends[0][1], ends[3][1] - ends[2][1]),
        )
