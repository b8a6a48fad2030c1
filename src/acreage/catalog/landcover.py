"""Counting land cover classes over many areas, at full resolution or from a file's overviews."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.windows import Window
from shapely.geometry import Polygon

from acreage.catalog.access import AccessFailed, is_remote, remote_rasters
from acreage.catalog.items import Bounds, Catalog, Raster, SourceItem
from acreage.core.errors import CatalogError, ItemUnreadable
from acreage.core.grid import Box, Grid, transformer

METRES_PER_DEGREE = 111_320.0
_STRIP_PIXELS = 4_000_000  # read at once
_CACHE_BYTES = 64_000_000  # holds a row of blocks of a file of 36 000 columns, which several strips share
_EDGE_POINTS = 64  # into which an area's edge is divided before it is transformed


@dataclass(frozen=True)
class ClassCount:
    """Classes counted in one area.

    Attributes:
        counts: number of pixels of each class asked for.
        pixels: number of pixels that have a class at all.
        resolution: size of the pixels counted, in metres (north-south); 0 where no file covers the area.
    """

    counts: Mapping[int, int]
    pixels: int
    resolution: float

    @property
    def share(self) -> float:
        """Share of the classes asked for among the pixels that have a class; 0 where none has."""
        return sum(self.counts.values()) / self.pixels if self.pixels else 0.0


def class_counts(
    catalog: Catalog,
    collection: str,
    boxes: Sequence[Box],
    codes: Sequence[int],
    max_resolution: float | None = None,
) -> tuple[ClassCount, ...]:
    """Count classes in areas: the files' pixels whose centre lies in the area, north and west edge included.

    Files are opened once each, in turn, and read in strips, so that memory stays bounded whatever the number
    and size of the areas. Where files overlap, the best ranked one counts.

    Args:
        catalog: where the collection is.
        collection: openEO id of a land cover collection; its first band is counted.
        boxes: areas on any grids.
        codes: classes to count.
        max_resolution: metres; the coarsest overview that is not coarser is read. None: full resolution,
            which is exact, whereas an overview keeps one of many pixels.

    Returns:
        One count for each box, in the order given.

    Raises:
        CatalogError: the catalog cannot be read, or an item over the areas cannot be used.
        ItemUnreadable: a file cannot be read.
    """
    if not boxes:
        return ()
    band = catalog.describe(collection).bands[0].name
    found = catalog.search(collection, _around(boxes), bands=(band,))
    if found.problems:
        first = found.problems[0]
        raise CatalogError(
            f"{collection}: {len(found.problems)} items cannot be counted, the first: {first.item}: "
            f"{first.reason}",
            hint="Repair these items; without them land would be counted as sea.",
        )
    ranked = sorted((i for i in found.items if band in i.rasters), key=lambda i: (i.rank, i.id))
    tally: dict[int, _Tally] = defaultdict(lambda: _Tally(tuple(codes)))
    areas: dict[str, tuple[_Area, ...]] = {}  # by the files' CRS, which is one as a rule
    for number, item in enumerate(ranked):
        earlier = [i.rasters[band].box for i in ranked[:number]]
        grid = item.rasters[band].box.grid
        if grid.crs not in areas:
            areas[grid.crs] = tuple(_area(box, grid) for box in boxes)
        _count_item(item, band, areas[grid.crs], earlier, max_resolution, tally)
    return tuple(tally[n].result() for n in range(len(boxes)))


class _Tally:
    """Counts of one area, file after file."""

    def __init__(self, codes: tuple[int, ...]) -> None:
        self.codes = codes
        self.found: NDArray[np.int64] = np.zeros(256, np.int64)
        self.resolution = 0.0

    def result(self) -> ClassCount:
        counts = {code: int(self.found[code]) if 0 <= code < 256 else 0 for code in self.codes}
        return ClassCount(counts, int(self.found.sum()), self.resolution)


def _around(boxes: Sequence[Box]) -> Bounds:
    found = np.array([_degrees(box) for box in boxes])
    west, south = found[:, :2].min(axis=0)
    east, north = found[:, 2:].max(axis=0)
    return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)


def _degrees(box: Box) -> Bounds:
    west, south, east, north = transformer(box.grid.crs, "EPSG:4326").transform_bounds(
        *box.bounds, densify_pts=21
    )
    return west, south, east, north


def _count_item(
    item: SourceItem,
    band: str,
    areas: Sequence[_Area],
    earlier: Sequence[Box],
    max_resolution: float | None,
    tally: Mapping[int, _Tally],
) -> None:
    raster = item.rasters[band]
    mine = [(n, area) for n, area in enumerate(areas) if not area.window(raster.box).is_empty]
    if not mine:
        return
    try:
        with _dataset(raster) as file:
            factor = _factor(file, raster, max_resolution)
            whole = _level(raster.box, factor)
            for n, area in mine:
                target = tally[n]
                target.resolution = max(target.resolution, _metres(whole.grid))
                for strip in _strips(area.window(whole)):
                    window = _window(strip, whole, factor, raster.box)
                    values = file.read(raster.band_index, window=window, out_shape=strip.shape)
                    inside = area.inside(strip) & ~_within(earlier, strip)
                    if raster.nodata is not None:
                        inside &= values != raster.nodata
                    target.found += np.bincount(values[inside].astype(np.uint8), minlength=256)
    except (RasterioError, AccessFailed, OSError) as error:
        raise ItemUnreadable(
            f"Item {item.id}, band {band}: {raster.href} cannot be read: {error}.", item=item.id, asset=band
        ) from error


@contextmanager
def _dataset(raster: Raster) -> Iterator[DatasetReader]:
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        if is_remote(raster.href):
            with remote_rasters().dataset(raster.href, raster.access) as file:
                yield file
        else:
            with rasterio.open(raster.href) as file:
                yield file


def _factor(file: DatasetReader, raster: Raster, max_resolution: float | None) -> int:
    """Reduction of the coarsest overview that is not coarser than asked for; 1 for the file itself."""
    if max_resolution is None:
        return 1
    size = _metres(raster.box.grid)
    fitting = [f for f in file.overviews(raster.band_index) if f * size <= max_resolution]
    return int(max(fitting, default=1))


def _level(raster: Box, factor: int) -> Box:
    """The pixels of an overview."""
    transform = raster.affine * Affine.scale(factor)
    grid = Grid.of_transform(raster.grid.crs, transform)
    return grid.box_of_transform(transform, -(-raster.width // factor), -(-raster.height // factor))


def _metres(grid: Grid) -> float:
    return grid.res_y * (METRES_PER_DEGREE if grid.is_geographic else 1.0)


@dataclass(frozen=True)
class _Area:
    """An area on the CRS of a file: its bounds, and its outline where it is no rectangle there."""

    bounds: tuple[float, float, float, float]
    outline: Polygon | None

    def window(self, raster: Box) -> Box:
        """The pixels of a raster that may lie in it."""
        return raster.grid.box_covering(*self.bounds).intersect(raster)

    def inside(self, strip: Box) -> NDArray[np.bool_]:
        """Which pixel centres of a strip lie in it."""
        if self.outline is not None:
            made = rasterize([(self.outline, 1)], strip.shape, fill=0, transform=strip.affine, dtype=np.uint8)
            return np.asarray(made == 1)
        west, south, east, north = self.bounds
        x, y = strip.x_centres(), strip.y_centres()
        # A share of a pixel below which a centre counts as lying on the edge.
        dx, dy = 1e-6 * strip.grid.res_x, 1e-6 * strip.grid.res_y
        columns = (x >= west - dx) & (x < east - dx)
        rows = (y > south + dy) & (y <= north + dy)
        return rows[:, None] & columns[None, :]


def _area(box: Box, grid: Grid) -> _Area:
    if box.grid.crs == grid.crs:
        return _Area(box.bounds, None)
    west, south, east, north = box.bounds
    along = np.linspace(0.0, 1.0, _EDGE_POINTS, endpoint=False)
    x = np.concatenate([west + along * (east - west), np.full(_EDGE_POINTS, east),
                        east - along * (east - west), np.full(_EDGE_POINTS, west)])  # fmt: skip
    y = np.concatenate([np.full(_EDGE_POINTS, north), north - along * (north - south),
                        np.full(_EDGE_POINTS, south), south + along * (north - south)])  # fmt: skip
    outline = Polygon(np.column_stack(transformer(box.grid.crs, grid.crs).transform(x, y)))
    left, low, right, high = outline.bounds
    return _Area((left, low, right, high), outline)


def _strips(box: Box) -> Iterator[Box]:
    rows = max(_STRIP_PIXELS // max(box.width, 1), 1)
    for top in range(box.y0, box.y1, rows):
        strip = Box(box.grid, box.x0, top, box.x1, min(top + rows, box.y1))
        if not strip.is_empty:
            yield strip


def _window(strip: Box, whole: Box, factor: int, raster: Box) -> Window:
    """The pixels of the file that a strip of an overview stands for."""
    rows, columns = strip.slices_in(whole)
    top, left = rows.start * factor, columns.start * factor
    return Window(
        left,
        top,
        min(columns.stop * factor, raster.width) - left,
        min(rows.stop * factor, raster.height) - top,
    )


def _within(earlier: Sequence[Box], strip: Box) -> NDArray[np.bool_]:
    """Which pixel centres of a strip lie in files that were counted before."""
    found = np.zeros(strip.shape, bool)
    for box in earlier:
        if (
            box.grid.crs == strip.grid.crs
            and not strip.grid.box_covering(*box.bounds).intersect(strip).is_empty
        ):
            found |= _Area(box.bounds, None).inside(strip)
    return found
