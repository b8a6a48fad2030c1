"""The simulated ground truth: what grows at any place, as a pure function of coordinates and a seed.

Coordinates are EPSG:3035 metres. Two requests for one place agree, whatever else they ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, transformer
from acreage.simulate.calendar import lonlat, season_delay
from acreage.simulate.curves import Phenology
from acreage.simulate.fields import BLOCK, ROAD, TRACK, BlockTable, block_point, cut_block, parcel_polygon
from acreage.simulate.gather import Blocks, fill_patch, used_blocks
from acreage.simulate.landuse import CLOSED, OTHERS, describe_parcels, local_shares
from acreage.simulate.noise import key_of, mix
from acreage.simulate.relief import elevation_of, elevations
from acreage.simulate.scales import Scales

CRS = "EPSG:3035"
_SHIFT = 1 << 13  # block numbers in parcel ids: from -8192 to 8191, which is 19 000 km either way
_NODE_PIXELS = 64


@dataclass(frozen=True, eq=False)
class Patch:
    """The ground at some places; all arrays have the shape of the coordinates.

    Attributes:
        parcel: int64, unique over the whole plane; -1 on tracks and margins.
        cover: uint8, index in `Phenology.covers`.
        code: uint8, crop code of the truth; 0 where no class of the legend grows.
        landcover: uint8, WorldCover code.
        vigour: float32, factor of the optical terms; parcel by parcel, with a texture inside.
        shift_days: float32, how much later than others of its cover the parcel is.
        season_days: float32, how much later the season comes here (`calendar.felt_day`).
    """

    parcel: NDArray[np.int64]
    cover: NDArray[np.uint8]
    code: NDArray[np.uint8]
    landcover: NDArray[np.uint8]
    vigour: NDArray[np.float32]
    shift_days: NDArray[np.float32]
    season_days: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all arrays."""
        return self.parcel.shape

    def __getitem__(self, window: Any) -> Patch:
        """The patch of a window (a tuple of slices)."""
        return Patch(*(np.ascontiguousarray(getattr(self, f.name)[window]) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class _Described:
    """A block's table with what grows on its leaves."""

    table: BlockTable
    cover: NDArray[np.uint8]
    vigour: NDArray[np.float32]
    shift: NDArray[np.float32]
    season: float


class Ground:
    """The landscape of a seed, without bounds.

    Thread-safe; blocks of the field pattern are made when first asked for, and the last ones are kept.
    """

    def __init__(self, seed: int, phenology: Phenology, scales: Scales) -> None:
        self.seed = seed
        self.phenology = phenology
        self.scales = scales
        self._key = np.uint64(key_of("ground", seed))
        self._others = np.array([phenology.index(name) for name in OTHERS])
        names = sorted({name for m in scales.mixes for name, _ in m.shares})
        self._closed = np.array([phenology.index(name) for name in CLOSED])
        self._crop_names = tuple(names)
        self._crops = np.array([phenology.index(name) for name in names])
        covers = phenology.covers
        self._spread = np.array([(c.spread.shift_days, c.spread.vigour) for c in covers])
        self._codes = np.array([c.code for c in covers], np.uint8)
        self._landcovers = np.array([c.landcover for c in covers], np.uint8)
        self._block = lru_cache(maxsize=1024)(self._make_block)

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Patch:
        """The ground at places: float64 arrays of one shape, EPSG:3035 metres.

        Raises:
            InvalidInput: the arrays differ in shape or hold what is no place of the plane.
        """
        shape, x, y = _flat(x, y)
        blocks = self._blocks(x, y)
        size = x.size
        patch = Patch(
            np.empty(size, np.int64),
            np.empty(size, np.uint8),
            np.empty(size, np.uint8),
            np.empty(size, np.uint8),
            np.empty(size, np.float32),
            np.empty(size, np.float32),
            np.empty(size, np.float32),
        )
        if size:
            fill_patch(
                self._key, x, y, blocks, int(self._others[-1]), self._codes, self._landcovers,
                patch.parcel, patch.cover, patch.code, patch.landcover,
                patch.vigour, patch.shift_days, patch.season_days,
            )  # fmt: skip
        return Patch(*(getattr(patch, f.name).reshape(shape) for f in fields(patch)))

    def elevation(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Metres above the sea at places, float32 of their shape.

        Raises:
            InvalidInput: the arrays differ in shape or hold what is no place of the plane.
        """
        shape, x, y = _flat(x, y)
        return np.asarray(elevations(self._key, x, y).reshape(shape))

    def parcels(self, bounds: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
        """Parcels that touch (west, south, east, north), whole, in EPSG:3035.

        Columns: parcel_id, label (cover name), code, landcover, area_ha, split (`train` or `test` where there
        is a code, half of each; else empty), geometry. Sorted by parcel_id.
        """
        west, south, east, north = bounds
        near = range(int(west // BLOCK) - 2, int(east // BLOCK) + 3)
        rows: list[tuple[int, int, float]] = []
        shapes: list[NDArray[np.float64]] = []
        for i in near:
            for j in range(int(south // BLOCK) - 2, int(north // BLOCK) + 3):
                for number, cover, area, corners in self._outlines(i, j):
                    x, y = corners[:, 0], corners[:, 1]
                    if x.max() >= west and x.min() <= east and y.max() >= south and y.min() <= north:
                        rows.append((number, cover, area))
                        shapes.append(corners)
        table = _parcel_table(self, rows, shapes)
        inside = shapely.intersects(table.geometry.to_numpy(), shapely.box(west, south, east, north))
        return table[inside].sort_values("parcel_id").reset_index(drop=True)

    def _outlines(self, i: int, j: int) -> Iterable[tuple[int, int, float, NDArray[np.float64]]]:
        block = self._block(i, j)
        table = block.table
        x, y, cos, sin = table.frame
        polygon = np.empty((24, 2))
        for k in np.flatnonzero(table.area > 0):
            count = parcel_polygon(table.leaves[k], table.walls, TRACK, ROAD, polygon)
            u, v = polygon[:count, 0], polygon[:count, 1]
            corners = np.column_stack([x + cos * u - sin * v, y + sin * u + cos * v])
            yield parcel_id(i, j, int(k)), int(block.cover[k]), float(table.area[k]), corners

    def _blocks(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Blocks:
        """Tables of all blocks that places may lie in, joined for the kernel."""
        i0, j0, used = used_blocks(self._key, x, y)
        places = np.argwhere(used)
        found = [self._block(int(i) + i0, int(j) + j0) for i, j in places]
        index = np.full(used.shape, -1, np.int32)
        index[tuple(places.T)] = np.arange(len(places))
        ids = np.array([parcel_id(int(i) + i0, int(j) + j0, 0) for i, j in places], np.int64)

        def starts(lengths: list[int]) -> NDArray[np.int64]:
            return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(b.table, name) for b in found])

        return Blocks(
            lookup=index,
            i0=i0,
            j0=j0,
            ids=ids,
            frame=np.array([b.table.frame for b in found]),
            season=np.array([b.season for b in found], np.float32),
            wall_start=starts([len(b.table.walls) for b in found]),
            walls=joined("walls"),
            node_start=starts([len(b.table.cuts) for b in found]),
            cuts=joined("cuts"),
            children=joined("children"),
            leaf_start=starts([len(b.table.leaves) for b in found]),
            leaves=joined("leaves"),
            clipped=joined("clipped"),
            area=joined("area"),
            cover=(cover := np.concatenate([b.cover for b in found])),
            closed=np.isin(cover, self._closed),
            vigour=np.concatenate([b.vigour for b in found]),
            shift=np.concatenate([b.shift for b in found]),
        )

    def _make_block(self, i: int, j: int) -> _Described:
        x, y = block_point(self._key, i, j)
        longitude, latitude = lonlat(x, y)
        median, deviation = self.scales.parcel_sizes(latitude)
        table = cut_block(self._key, i, j, float(np.log(median)), deviation)
        mix_here = self.scales.mix_at(longitude, latitude)
        shares = local_shares(self._key, x, y, np.array([mix_here.get(n, 0.0) for n in self._crop_names]))
        cover, vigour, shift = describe_parcels(
            self._key, i, j, table.area, table.middle, self._others, self._crops, shares, self._spread
        )
        season = season_delay(longitude, latitude, elevation_of(self._key, x, y))
        return _Described(table, cover, vigour, shift, season)


def parcel_id(i: int, j: int, leaf: int) -> int:
    """The number of a parcel: its block's column and row, and its place in the block."""
    return (((i + _SHIFT) << 14 | (j + _SHIFT)) << 12) | leaf


def split_of(number: int) -> str:
    """`train` or `test`: a parcel's side for good, half of them each."""
    return "train" if int(mix(np.uint64(number) ^ np.uint64(0x5917))) & 1 else "test"


def points(box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """EPSG:3035 coordinates (rows, columns) of the centres of a box's pixels.

    Exact at every 64th pixel of the box's lattice and linear between, so that overlapping boxes agree; for
    UTM
    pixels of 10 m this is off by less than 2 mm. A grid in degrees is fine too.
    """
    if box.grid.crs == CRS:
        columns = box.grid.off_x + (np.arange(box.x0, box.x1) + 0.5) * box.grid.res_x
        rows = box.grid.off_y - (np.arange(box.y0, box.y1) + 0.5) * box.grid.res_y
        x, y = np.meshgrid(columns, rows)
        return x, y
    first_x, first_y = box.x0 // _NODE_PIXELS, box.y0 // _NODE_PIXELS
    nodes_x = np.arange(first_x, (box.x1 - 1) // _NODE_PIXELS + 2) * _NODE_PIXELS
    nodes_y = np.arange(first_y, (box.y1 - 1) // _NODE_PIXELS + 2) * _NODE_PIXELS
    east, north = np.meshgrid(
        box.grid.off_x + (nodes_x + 0.5) * box.grid.res_x, box.grid.off_y - (nodes_y + 0.5) * box.grid.res_y
    )
    coarse = transformer(box.grid.crs, CRS).transform(east, north)
    return _between(coarse[0], box, nodes_x[0], nodes_y[0]), _between(coarse[1], box, nodes_x[0], nodes_y[0])


def _between(nodes: NDArray[np.float64], box: Box, x0: int, y0: int) -> NDArray[np.float64]:
    def weights(start: int, stop: int, first: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        at = np.arange(start, stop) - first
        return at // _NODE_PIXELS, (at % _NODE_PIXELS) / _NODE_PIXELS

    i, u = weights(box.x0, box.x1, x0)
    j, v = weights(box.y0, box.y1, y0)
    wide = nodes[:, i] * (1 - u) + nodes[:, i + 1] * u
    return np.asarray(wide[j] * (1 - v)[:, None] + wide[j + 1] * v[:, None])


def _flat(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape:
        raise InvalidInput(f"Coordinates of shapes {x.shape} and {y.shape} are no places.")
    limit = (_SHIFT - 4) * BLOCK
    if x.size and not (np.abs(x).max() < limit and np.abs(y).max() < limit):
        raise InvalidInput(f"A place lies outside EPSG:3035: coordinates reach to {limit / 1000:.0f} km.")
    return x.shape, np.ascontiguousarray(x).ravel(), np.ascontiguousarray(y).ravel()


def _parcel_table(
    ground: Ground, rows: list[tuple[int, int, float]], shapes: list[NDArray[np.float64]]
) -> gpd.GeoDataFrame:
    covers = [ground.phenology.covers[cover] for _, cover, _ in rows]
    return gpd.GeoDataFrame(
        {
            "parcel_id": np.array([number for number, _, _ in rows], np.int64),
            "label": [c.name for c in covers],
            "code": np.array([c.code for c in covers], np.int16),
            "landcover": np.array([c.landcover for c in covers], np.int16),
            "area_ha": np.round([area / 1e4 for _, _, area in rows], 4),
            "split": [split_of(r[0]) if c.code else "" for r, c in zip(rows, covers, strict=True)],
        },
        geometry=[shapely.Polygon(s) for s in shapes],
        crs=CRS,
    )
