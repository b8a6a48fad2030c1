"""Blocks of plain tiled GeoTIFFs, decompressed without GDAL.

Reading a block through GDAL costs a copy into its cache, another out of it, and its own inflate; where a file
is as simple as the ones that archives publish (local, tiled, one band, a usual compression), its blocks are
decompressed straight from the file by imagecodecs. Whatever is not that simple, and whatever fails, is read
by `readers.read_raster`, which also says what is wrong. docs/decisions/0017 has the measurements.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np

from acreage.catalog.geotiff import PlainGeotiff, TiledImage, plain_geotiff
from acreage.catalog.headers import is_local
from acreage.catalog.items import Raster
from acreage.core.arrays import Array
from acreage.core.grid import Box, Grid
from acreage.engine.float_predictor import undo_float_predictor

_FILES = 4096  # headers that are kept
_DECOMPRESS: Mapping[int, Callable[..., Any]] = {
    5: imagecodecs.lzw_decode,
    8: imagecodecs.deflate_decode,
    32946: imagecodecs.deflate_decode,
    50000: imagecodecs.zstd_decode,
}
"""By TIFF's numbers of compressions."""
_UNDO: Mapping[int, Callable[..., Any]] = {2: imagecodecs.delta_decode, 3: imagecodecs.floatpred_decode}
"""By TIFF's numbers of predictors."""
_local = threading.local()


class NotSimple(Exception):
    """A file, or a block of it, that is left to GDAL."""


@dataclass(frozen=True)
class TiledFile:
    """Where the blocks of a file lie.

    Attributes:
        path: of the file.
        box: its pixels on the lattice of its raster.
        dtype: of its pixels.
        compression, predictor: as TIFF numbers them.
        images: its pixels, then its overviews.
    """

    path: str
    box: Box
    dtype: np.dtype[Any]
    compression: int
    predictor: int
    images: tuple[TiledImage, ...]

    @property
    def block(self) -> tuple[int, int]:
        """(rows, columns) of a block of its pixels."""
        return self.images[0].block

    def box_of(self, row: int, column: int) -> Box:
        """The pixels of a block, cut to the file."""
        x, y = self.box.x0 + column * self.block[1], self.box.y0 + row * self.block[0]
        return Box(
            self.box.grid, x, y, min(x + self.block[1], self.box.x1), min(y + self.block[0], self.box.y1)
        )

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A file descriptor for `decoded`.

        Raises:
            NotSimple: the file cannot be opened.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise NotSimple(str(error)) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def decoded(self, descriptor: int, row: int, column: int, image: TiledImage | None = None) -> Array:
        """A block's pixels, (rows, columns) of a whole block, in memory that the thread's next block reuses.

        Args:
            descriptor: from `opened`.
            row, column: of the block.
            image: an overview; None for the file's own pixels.

        Raises:
            NotSimple: it is not there, or cannot be decompressed.
        """
        image = image or self.images[0]
        number = row * image.columns + column
        size = image.sizes[number]
        if not size:
            raise NotSimple("an absent block")
        count = image.block[0] * image.block[1] * self.dtype.itemsize
        try:
            data = os.pread(descriptor, size, image.offsets[number])
            if self.compression == 1:
                flat = np.frombuffer(data, np.uint8).copy()
            else:
                flat = np.frombuffer(_DECOMPRESS[self.compression](data, out=_buffer(count)), np.uint8)
            if flat.size != count or len(data) != size:
                raise NotSimple("a block of another size")
            pixels = flat.view(self.dtype).reshape(image.block)
            if self.predictor == 1:
                return pixels
            if self.predictor == 2:
                return np.asarray(_UNDO[2](pixels, axis=-1, out=pixels))
            if self.dtype == np.float32:
                return undo_float_predictor(pixels)
            return np.asarray(_UNDO[3](pixels, axis=-1))
        except (OSError, RuntimeError, ValueError) as error:  # imagecodecs raises RuntimeErrors of its own
            raise NotSimple(str(error)) from error


def _buffer(size: int) -> Array:
    kept: Array | None = getattr(_local, "buffer", None)
    if kept is None or kept.size < size:
        kept = _local.buffer = np.empty(size, np.uint8)
    return kept[:size]


def tiled_file(raster: Raster) -> TiledFile | None:
    """The blocks of a raster's file; None where GDAL is to read it."""
    if not is_local(raster.href) or raster.band_index != 1:
        return None
    found = plain_geotiff(raster.href)
    if found is None or found.compression not in (1, *_DECOMPRESS) or found.predictor not in (1, *_UNDO):
        return None
    return _at(found, raster.href, raster.box)


@lru_cache(maxsize=_FILES)
def _at(found: PlainGeotiff, path: str, box: Box) -> TiledFile | None:
    """The file as the blocks of a box; None where the file says that it lies elsewhere."""
    if found.shape != box.shape or f"EPSG:{found.epsg}" != box.grid.crs:
        return None
    grid = Grid.of_transform(box.grid.crs, found.transform)
    place = grid.box_of_transform(found.transform, box.width, box.height)
    if not grid.aligned_with(box.grid) or place.on(box.grid) != box:
        return None
    return TiledFile(path, box, found.dtype, found.compression, found.predictor, found.images)
