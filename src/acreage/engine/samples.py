"""Small samples of files over an area: pixels as the file has them, with their nulls, decimated.

Blocks of plain local files are decompressed straight from the smallest overview that suffices; everything
else, and everything that is wrong with a file, is GDAL's. Looking at a season of a tile is a thousand files,
and GDAL takes as long to open and close one as it takes to decompress what is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from acreage.catalog.geotiff import TiledImage
from acreage.catalog.items import Raster
from acreage.core.arrays import Array, BoolArray
from acreage.core.grid import Box
from acreage.engine.decode import decode
from acreage.engine.tiles import TiledFile

SAMPLE_PIXELS = 128  # a side
_WITHOUT_OVERVIEWS = 1024  # pixels a side that are read at full resolution at most


@dataclass(frozen=True)
class Sample:
    """Pixels of a band over the area, decimated: values as in the file, validity, where they lie.

    `elsewhere`: all are null, the file has others that are not, and its footprint does not say where.
    """

    raster: Raster
    box: Box
    values: Array
    valid: BoolArray
    elsewhere: bool = False


def sample_shape(boxes: Sequence[Box]) -> tuple[int, int]:
    """One shape for all bands, so that their pixels lie above each other: the coarsest band's, capped."""
    rows = min((box.height for box in boxes), default=1)
    columns = min((box.width for box in boxes), default=1)
    return min(rows, SAMPLE_PIXELS), min(columns, SAMPLE_PIXELS)


def sample_of_blocks(file: TiledFile, raster: Raster, box: Box, shape: tuple[int, int]) -> Sample:
    """A sample of a plain file, taken from the smallest overview with enough pixels.

    Args:
        file: the raster's blocks.
        raster: what is sampled.
        box: pixels that are sampled, not empty.
        shape: (rows, columns) of the sample.

    Raises:
        NotSimple: GDAL is to read it.
    """
    if len(file.images) == 1:
        box = _middle(box)
    image = _smallest(file.images, box, shape)
    rows, columns = box.slices_in(raster.box)
    at_rows = _positions(rows, shape[0], image.shape[0] / file.box.height, image.shape[0])
    at_columns = _positions(columns, shape[1], image.shape[1] / file.box.width, image.shape[1])
    values: Array = np.empty(shape, file.dtype)
    with file.opened() as descriptor:
        for row in np.unique(at_rows // image.block[0]).tolist():
            for column in np.unique(at_columns // image.block[1]).tolist():
                block = file.decoded(descriptor, row, column, image)
                here = np.flatnonzero(at_rows // image.block[0] == row)
                there = np.flatnonzero(at_columns // image.block[1] == column)
                inside = np.ix_(at_rows[here] % image.block[0], at_columns[there] % image.block[1])
                values[np.ix_(here, there)] = block[inside]
    return _sample(raster, box, values)


def read_sample(dataset: DatasetReader, raster: Raster, box: Box, shape: tuple[int, int]) -> Sample:
    """A sample of an open file; arguments as `sample_of_blocks`.

    Raises:
        RasterioError: it cannot be read.
    """
    if not dataset.overviews(raster.band_index):
        box = _middle(box)
    rows, columns = box.slices_in(raster.box)
    values = dataset.read(
        raster.band_index,
        window=Window(columns.start, rows.start, box.width, box.height),
        out_shape=shape,
        resampling=Resampling.nearest,
    )
    return _sample(raster, box, values)


def read_whole_sample(dataset: DatasetReader, raster: Raster) -> Sample:
    """A sample of all pixels of an open file.

    Raises:
        RasterioError: it cannot be read.
    """
    return read_sample(dataset, raster, raster.box, sample_shape([raster.box]))


def _sample(raster: Raster, box: Box, values: Array) -> Sample:
    _, valid = decode(values, replace(raster, db=False, dn_offset=0))
    return Sample(raster, box, values, np.ones(values.shape, bool) if valid is None else valid)


def _middle(box: Box) -> Box:
    """At most 1024 x 1024 pixels in the middle of a box."""
    trim_x = max(0, box.width - _WITHOUT_OVERVIEWS) // 2
    trim_y = max(0, box.height - _WITHOUT_OVERVIEWS) // 2
    return Box(box.grid, box.x0 + trim_x, box.y0 + trim_y, box.x1 - trim_x, box.y1 - trim_y)


def _smallest(images: Sequence[TiledImage], box: Box, shape: tuple[int, int]) -> TiledImage:
    """The smallest image that has a pixel of its own for every one of the sample."""
    whole = images[0].shape
    enough = [i for i in images if all(box.shape[n] * i.shape[n] >= shape[n] * whole[n] for n in (0, 1))]
    return min(enough or images[:1], key=lambda i: i.shape[0] * i.shape[1])


def _positions(of: slice, number: int, scale: float, size: int) -> NDArray[np.intp]:
    """Rows or columns of an image: those of the centres of `number` equal parts of a range of the file's."""
    centres = of.start + (np.arange(number) + 0.5) * ((of.stop - of.start) / number)
    found: NDArray[np.intp] = np.clip(np.floor(centres * scale).astype(np.intp), 0, size - 1)
    return found
