"""How much cropland each tile has, read from the overviews of a land cover map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from acreage.catalog.access import AccessFailed, is_remote, remote_rasters
from acreage.catalog.items import Raster, SourceItem
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box, transformer
from acreage.production.tiles import Tile

_SAMPLES = 64
"""Pixels along a tile's side, at least, that its share is estimated from."""
_DEGREE_M = 111_320.0
_ROWS = 512  # of a file that are placed at once

Floats = NDArray[np.float64]
Told = Callable[[int, int], None]
"""Called with files that are done, and all."""


@dataclass(frozen=True)
class LandCover:
    """What a land cover map says of tiles, in their order.

    Attributes:
        cropland: (n) share of the tile's ground that is cropland; exactly 0 only where there is none.
        known: (n) share of the tile's ground that the map has.
    """

    cropland: Floats
    known: Floats


def cropland_of(
    tiles: Sequence[Tile],
    items: Sequence[SourceItem],
    band: str,
    codes: Sequence[int],
    threads: int = 2,
    told: Told | None = None,
) -> LandCover:
    """Shares of cropland of tiles.

    They are estimated from the smallest overview with 64 pixels along a tile's side. Where that shows no
    cropland, every pixel is looked at: a tile counts as empty only if it is.

    Args:
        tiles: squares of one side.
        items: of the land cover map, in degrees.
        band: of the items.
        codes: classes that are cropland.
        threads: files that are read at once.
        told: of the progress.

    Raises:
        ItemUnreadable: a file cannot be read.
    """
    lookups = _lookups(tiles)
    totals = np.zeros((2, len(tiles)))
    rasters = [(i.id, i.rasters[band]) for i in items if band in i.rasters]

    def sampled(named: tuple[str, Raster]) -> Floats:
        return _sampled(*named, band, lookups, codes, len(tiles))

    done = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for found in pool.map(sampled, rasters):
            totals += found
            done += 1
            if told is not None:
                told(done, len(rasters))
        areas = np.array([_ground(tile) for tile in tiles])
        cropland, known = np.minimum(totals / np.maximum(areas, 1.0), 1.0)
        empty = np.flatnonzero((cropland == 0) & (known > 0))
        exact = pool.map(lambda n: _exact(tiles[n], rasters, band, codes), empty.tolist())
        cropland[empty] = list(exact)
    return LandCover(cropland, known)


@dataclass(frozen=True)
class _Lookup:
    """Which tile a place of a CRS is in.

    Attributes:
        numbers: (rows, columns) of the grid's squares, -1 where there is no tile.
    """

    crs: str
    side: float
    column: int
    row: int
    numbers: NDArray[np.int64]

    def find(self, x: Floats, y: Floats) -> NDArray[np.int64]:
        with np.errstate(invalid="ignore"):
            columns, rows = np.floor(x / self.side) - self.column, np.floor(y / self.side) - self.row
            height, width = self.numbers.shape
            inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        found = np.full(x.shape, -1, np.int64)
        found[inside] = self.numbers[rows[inside].astype(int), columns[inside].astype(int)]
        return found


def _lookups(tiles: Sequence[Tile]) -> list[_Lookup]:
    made = []
    for crs in dict.fromkeys(t.crs for t in tiles):
        mine = [(n, t.bounds) for n, t in enumerate(tiles) if t.crs == crs]
        side = mine[0][1][2] - mine[0][1][0]
        columns = [round(b[0] / side) for _, b in mine]
        rows = [round(b[1] / side) for _, b in mine]
        numbers = np.full((max(rows) - min(rows) + 1, max(columns) - min(columns) + 1), -1, np.int64)
        for (n, _), column, row in zip(mine, columns, rows, strict=True):
            numbers[row - min(rows), column - min(columns)] = n
        made.append(_Lookup(crs, side, min(columns), min(rows), numbers))
    return made


def _sampled(
    item: str, raster: Raster, band: str, lookups: Sequence[_Lookup], codes: Sequence[int], number: int
) -> Floats:
    """(2, tiles) square metres of cropland and of known ground in one file."""
    totals = np.zeros((2, number))
    side = min(lookup.side for lookup in lookups)
    step = max(1, int(side / _SAMPLES / (raster.box.affine.a * _DEGREE_M)))
    shape = max(1, raster.box.height // step), max(1, raster.box.width // step)
    with _opened(raster, item, band) as file:
        values = _read(file, raster, None, shape)
    longitudes, latitudes = _centres(raster.box, shape)
    for top in range(0, shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        here = values[rows]
        known = _known(here, raster)
        if not known.any():
            continue
        x, y = np.meshgrid(longitudes, latitudes[rows])
        ground = np.broadcast_to(_pixel_ground(raster.box, shape, latitudes[rows])[:, None], here.shape)[
            known
        ]
        crop = np.isin(here[known], codes)
        for lookup in lookups:
            places = transformer(raster.box.grid.crs, lookup.crs).transform(x[known], y[known])
            at = lookup.find(*map(np.asarray, places))
            for total, weight in zip(totals, (ground * crop, ground), strict=True):
                total += np.bincount(at[at >= 0], weight[at >= 0], number)
    return totals


def _exact(tile: Tile, rasters: Sequence[tuple[str, Raster]], band: str, codes: Sequence[int]) -> float:
    """Share of cropland of one tile, from every pixel."""
    found = 0.0
    outline = tile.outline.bounds
    for item, raster in rasters:
        part = raster.box.grid.box_covering(*outline).intersect(raster.box)
        if part.is_empty:
            continue
        with _opened(raster, item, band) as file:
            rows, columns = part.slices_in(raster.box)
            window = Window(columns.start, rows.start, part.width, part.height)
            values = _read(file, raster, window, part.shape)
        at = np.nonzero(np.isin(values, codes))
        if not at[0].size:
            continue
        longitudes, latitudes = _centres(part, part.shape)
        x, y = transformer(raster.box.grid.crs, tile.crs).transform(longitudes[at[1]], latitudes[at[0]])
        left, bottom, right, top = tile.bounds
        inside = (x >= left) & (x < right) & (y > bottom) & (y <= top)
        found += float(_pixel_ground(part, part.shape, latitudes)[at[0]][inside].sum())
    return min(found / _ground(tile), 1.0)


def _known(values: NDArray[np.uint8], raster: Raster) -> NDArray[np.bool_]:
    return np.ones(values.shape, bool) if raster.nodata is None else values != raster.nodata


def _centres(box: Box, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Longitudes of columns and latitudes of rows, where a box is cut into so many parts."""
    west, south, east, north = box.bounds
    across, down = (east - west) / shape[1], (north - south) / shape[0]
    columns, rows = np.arange(shape[1], dtype=np.float64), np.arange(shape[0], dtype=np.float64)
    return west + (columns + 0.5) * across, north - (rows + 0.5) * down


def _pixel_ground(box: Box, shape: tuple[int, int], latitudes: Floats) -> Floats:
    """Square metres of a pixel of each row, on a sphere."""
    west, south, east, north = box.bounds
    size = (east - west) / shape[1] * (north - south) / shape[0] * _DEGREE_M**2
    return np.asarray(size * np.cos(np.radians(latitudes)))


def _ground(tile: Tile) -> float:
    left, bottom, right, top = tile.bounds
    return (right - left) * (top - bottom)


@contextmanager
def _opened(raster: Raster, item: str, band: str) -> Iterator[DatasetReader]:
    """The file of a raster; whatever goes wrong with it is an `ItemUnreadable`."""
    try:
        if is_remote(raster.href):
            with remote_rasters().dataset(raster.href, raster.access) as file:
                yield file
        else:
            with rasterio.open(raster.href) as file:
                yield file
    except AccessFailed as error:
        raise ItemUnreadable(
            f"Item {item}, band {band}: {error.message}", item=item, asset=band, hint=error.hint
        ) from error
    except (RasterioError, OSError) as error:
        raise ItemUnreadable(
            f"Item {item}, band {band}: {raster.place} cannot be read: {error}.",
            item=item,
            asset=band,
            hint="A plan needs the whole land cover map: see that the file is there and whole.",
        ) from error


def _read(
    file: DatasetReader, raster: Raster, window: Window | None, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    return np.asarray(file.read(raster.band_index, window=window, out_shape=shape))
