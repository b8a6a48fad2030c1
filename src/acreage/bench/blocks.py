"""Which blocks of which files the preprocessing of an area needs, found without the engine.

A block is needed where the support of a pixel that is kept touches it: one pixel for classes, two by two for
the bilinear interpolation of bands. A pixel of a date is kept where the land cover is cropland and the cloud
mask leaves it, and it is taken from one granule, the first by name whose classification has data there. Plain
NumPy, SciPy, rasterio and pyproj over an archive in Earth Search's form.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from acreage.bench.scene_mask import REACH, cloud_mask
from acreage.core.grid import Box
from acreage.core.temporal import Season

S2, S1, DEM, WORLDCOVER = "sentinel-2-l2a", "sentinel-1-sigma0", "cop-dem-glo-30", "esa-worldcover"
CROPLAND = 40
Flags = NDArray[np.bool_]
_KEPT = 12


@dataclass(frozen=True)
class Layout:
    """Where the pixels and blocks of a file lie.

    Attributes:
        crs: of the file.
        transform: six numbers, pixel to CRS, north up.
        shape: (rows, columns) of pixels.
        block: (rows, columns) of a block.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    block: tuple[int, int]

    @staticmethod
    def of(path: Path) -> Layout:
        """The layout of a file."""
        with rasterio.open(path) as file:
            a = file.transform
            height, width = file.block_shapes[0]
            return Layout(str(file.crs), (a.a, a.b, a.c, a.d, a.e, a.f), file.shape, (height, width))

    @property
    def blocks(self) -> tuple[int, int]:
        """(rows, columns) of blocks."""
        return (-(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1]))

    def pixels(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
        """Fractional (rows, columns) of places in the file's CRS; the first pixel covers [0, 1)."""
        a, _, c, _, e, f = self.transform
        return (y - f) / e, (x - c) / a


@dataclass(frozen=True)
class Support:
    """For every pixel of a target the blocks of a file that its value depends on.

    Attributes:
        layout: of the file.
        corners: numbers of blocks, row by row, one array a corner of the support; one past the last where the
            target pixel lies outside of the file.
    """

    layout: Layout
    corners: tuple[NDArray[np.int16], ...]

    @staticmethod
    def of(layout: Layout, x: NDArray[np.float64], y: NDArray[np.float64], *, bilinear: bool) -> Support:
        """From the places of the target's pixel centres in the file's CRS."""
        rows, columns = layout.pixels(x, y)
        inside = (rows >= 0) & (rows < layout.shape[0]) & (columns >= 0) & (columns < layout.shape[1])
        shift, reach = (0.5, (0, 1)) if bilinear else (0.0, (0,))
        down, across = (_pixels(v - shift, reach) for v in (rows, columns))
        outside = layout.blocks[0] * layout.blocks[1]
        found = []
        for r in down:
            for c in across:
                row = np.clip(r, 0, layout.shape[0] - 1) // layout.block[0]
                column = np.clip(c, 0, layout.shape[1] - 1) // layout.block[1]
                found.append(np.where(inside, row * layout.blocks[1] + column, outside).astype(np.int16))
        return Support(layout, tuple(found))

    @cached_property
    def inside(self) -> Flags:
        """Target pixels that lie in the file."""
        blocks = self.layout.blocks
        return np.asarray(self.corners[0] < blocks[0] * blocks[1])

    def needed(self, kept: Flags) -> Flags:
        """Blocks, shape `layout.blocks`, that the support of a kept target pixel touches."""
        size = self.layout.blocks[0] * self.layout.blocks[1]
        found = np.zeros(size + 1, bool)
        for corner in self.corners:
            found[corner[kept]] = True
        return found[:size].reshape(self.layout.blocks)


def _pixels(position: NDArray[np.float64], reach: Sequence[int]) -> list[NDArray[np.int32]]:
    first = np.floor(position).astype(np.int32)
    return [first + step for step in reach]


@dataclass
class Blocks:
    """Blocks by file, with the file's layout. `all` are those that the area touches, `needed` of them those
    of kept pixels."""

    layouts: dict[str, Layout] = field(default_factory=dict)
    all: dict[str, Flags] = field(default_factory=dict)
    needed: dict[str, Flags] = field(default_factory=dict)

    def add(self, path: Path, layout: Layout, touched: Flags, needed: Flags) -> None:
        """Count blocks of a file."""
        name = str(path)
        self.layouts[name] = layout
        for into, flags in ((self.all, touched), (self.needed, needed)):
            into[name] = into[name] | flags if name in into else flags

    def windows(self, which: Mapping[str, Flags]) -> dict[str, list[tuple[int, int, int, int]]]:
        """(first column, first row, width, height) of the blocks by file, files and blocks in order."""
        found = {}
        for name in sorted(which):
            layout = self.layouts[name]
            windows = []
            for row, column in np.argwhere(which[name]).tolist():
                top, left = row * layout.block[0], column * layout.block[1]
                height = min(layout.block[0], layout.shape[0] - top)
                windows.append((left, top, min(layout.block[1], layout.shape[1] - left), height))
            if windows:
                found[name] = windows
        return found


def blocks_of(archive: Path, area: Box, season: Season) -> Blocks:
    """All blocks that the preprocessing of `area` touches, and the ones of kept pixels.

    Args:
        archive: folder of a simulated archive in Earth Search's form.
        area: pixels of the map, 10 m.
        season: both days included.
    """
    wide = area.expand(REACH, REACH)
    finder = _Finder(archive, area, wide, season)
    finder.static()
    finder.optical()
    finder.radar()
    return finder.blocks


class _Finder:
    """Walks the archive; keeps what files of one grid share."""

    def __init__(self, archive: Path, area: Box, wide: Box, season: Season) -> None:
        self.archive, self.area, self.wide, self.season = archive, area, wide, season
        self.inner = area.slices_in(wide)
        self.inside = np.zeros(wide.shape, bool)
        self.inside[self.inner] = True
        self.blocks = Blocks()
        self.cropland = np.zeros(wide.shape, bool)
        self._places: dict[str, tuple[Any, Any]] = {}
        self._supports: dict[tuple[Layout, bool], Support] = {}

    def places(self, crs: str) -> tuple[Any, Any]:
        """x and y of the target's pixel centres in another CRS."""
        if crs not in self._places:
            to = pyproj.Transformer.from_crs(self.wide.grid.crs, crs, always_xy=True)
            self._places[crs] = to.transform(*np.meshgrid(self.wide.x_centres(), self.wide.y_centres()))
        return self._places[crs]

    def support(self, layout: Layout, *, bilinear: bool) -> Support:
        key = (layout, bilinear)
        if key not in self._supports:
            if len(self._supports) == _KEPT:  # each holds 35 MB over a tile
                self._supports.pop(next(iter(self._supports)))
            self._supports[key] = Support.of(layout, *self.places(layout.crs), bilinear=bilinear)
        return self._supports[key]

    def nearest(self, path: Path, layout: Layout) -> NDArray[Any]:
        """Values of a file at the target's pixels, 0 outside of it."""
        support = self.support(layout, bilinear=False)
        found = np.zeros(self.wide.shape, np.uint8)
        if not support.inside.any():
            return found
        rows, columns = layout.pixels(*self.places(layout.crs))
        at = support.inside
        r, c = rows[at].astype(np.int64), columns[at].astype(np.int64)
        top, left = int(r.min()), int(c.min())
        with rasterio.open(path) as file:
            window = ((top, int(r.max()) + 1), (left, int(c.max()) + 1))
            found[at] = file.read(1, window=window)[r - top, c - left]
        return found

    def static(self) -> None:
        """Land cover and elevation: the whole area, whatever grows there."""
        for path in sorted((self.archive / WORLDCOVER).glob("*_2021_*/*_Map.tif")):
            layout = Layout.of(path)
            touched = self.support(layout, bilinear=False).needed(self.inside)
            self.blocks.add(path, layout, touched, touched)
            self.cropland |= self.nearest(path, layout) == CROPLAND
        self.cropland &= self.inside
        for path in sorted((self.archive / DEM).glob("*/*.tif")):
            layout = Layout.of(path)
            touched = self.support(layout, bilinear=True).needed(self.inside)
            self.blocks.add(path, layout, touched, touched)

    def radar(self) -> None:
        """Both polarisations where there is cropland."""
        for home, _ in self._items(S1):
            layout = Layout.of(home / "vv.tif")
            support = self.support(layout, bilinear=True)
            flags = (support.needed(self.inside), support.needed(self.cropland))
            for path in (home / "vv.tif", home / "vh.tif"):
                self.blocks.add(path, Layout.of(path), *flags)

    def optical(self) -> None:
        """The classification around all cropland; bands where a date keeps a pixel of the granule."""
        around = maximum_filter(self.cropland, 2 * REACH + 1)
        takes: dict[str, list[Path]] = defaultdict(list)
        for home, properties in self._items(S2):
            takes[str(properties["s2:datatake_id"])[:20]].append(home)
        for homes in takes.values():
            self._take(sorted(homes, key=lambda p: p.name), around)

    def _take(self, homes: Sequence[Path], around: Flags) -> None:
        owner = np.full(self.wide.shape, -1, np.int16)
        scl = np.zeros(self.wide.shape, np.uint8)
        for number, home in enumerate(homes):
            path = home / "SCL.tif"
            layout = Layout.of(path)
            support = self.support(layout, bilinear=False)
            everywhere = np.ones(self.wide.shape, bool)
            self.blocks.add(path, layout, support.needed(everywhere), support.needed(around))
            classes = self.nearest(path, layout)
            mine = (owner < 0) & (classes != 0)
            owner[mine], scl[mine] = number, classes[mine]
        kept = self.cropland & ~cloud_mask(scl)
        for number, home in enumerate(homes):
            mine = kept & (owner == number)
            found: dict[Layout, tuple[Flags, Flags]] = {}
            for path in sorted(home.glob("B*.tif")):
                layout = Layout.of(path)
                if layout not in found:
                    support = self.support(layout, bilinear=True)
                    found[layout] = (support.needed(self.inside), support.needed(mine))
                self.blocks.add(path, layout, *found[layout])

    def _items(self, collection: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Folders and properties of the items of the season; of several processings the last."""
        first, last = self.season.first.isoformat(), self.season.last.isoformat()
        newest: dict[tuple[str, ...], tuple[int, Path, Mapping[str, Any]]] = {}
        for home in sorted(p for p in (self.archive / collection).iterdir() if p.is_dir()):
            properties = json.loads((home / f"{home.name}.json").read_text("utf-8"))["properties"]
            if not first <= properties["datetime"][:10] <= last:
                continue
            sequence = int(properties.get("s2:sequence", 0))
            granule = properties.get("grid:code")
            key = (home.name,) if granule is None else (granule, properties["datetime"][:16])
            if key not in newest or newest[key][0] < sequence:
                newest[key] = (sequence, home, properties)
        for _, home, properties in newest.values():
            yield home, properties
