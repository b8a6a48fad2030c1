"""The map product of one area: three Cloud Optimized GeoTIFFs, a picture, provenance and STAC, in one folder.

Values:
    `classes.tif`: uint8, one legend; 0 outside (also the file's nodata), 254 not cropland, 255 cropland
    without a valid observation. Overviews: mode.
    `confidence.tif`: uint8, 0..100, 100 times the probability of the class; 255 (nodata) where there is no
    class. Overviews: average.
    `observations.tif`: uint8, band 1 Sentinel-2 and band 2 Sentinel-1, number of valid observations in the
    season; 254 means 254 or more; 255 (nodata) outside and where there is no cropland. Overviews: average.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid
from acreage.core.inputs import UNKNOWN, Inputs
from acreage.core.legend import NOT_CROPLAND, OUTSIDE, RESERVED, Legend
from acreage.core.outputs import whole_folder
from acreage.core.provenance import Provenance
from acreage.croptype.cog import translate, write_names
from acreage.croptype.picture import draw_product
from acreage.croptype.stac import RasterFacts, write_stac

RESULT_BANDS = ("class", "confidence", "s2_observations", "s1_observations")
NO_CONFIDENCE = 255
NO_COUNT = 255
MOST_COUNTED = 254
ROWS = 1024  # rows held in memory at a time

CLASSES, CONFIDENCE, OBSERVATIONS = "classes.tif", "confidence.tif", "observations.tif"
NAMES_SIDECAR = "classes.tif.aux.xml"
PROVENANCE, QUICKLOOK, ITEM, COLLECTION = "provenance.json", "quicklook.png", "item.json", "collection.json"
INPUTS = "inputs.json"
FILES = (
    CLASSES,
    NAMES_SIDECAR,
    CONFIDENCE,
    OBSERVATIONS,
    PROVENANCE,
    INPUTS,
    QUICKLOOK,
    ITEM,
    COLLECTION,
)

UInt8 = NDArray[np.uint8]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ProductFiles:
    """The files of one product and what is in them.

    Attributes:
        pixels: Number of pixels of every code that occurs, reserved codes included.
        unseen: Cropland pixels without a valid observation of Sentinel-2 and of Sentinel-1.
    """

    folder: Path
    pixels: Mapping[int, int]
    unseen: tuple[int, int] = (0, 0)

    @property
    def classes(self) -> Path:
        """Classes COG."""
        return self.folder / CLASSES

    @property
    def confidence(self) -> Path:
        """Confidence COG."""
        return self.folder / CONFIDENCE

    @property
    def observations(self) -> Path:
        """Observation counts COG."""
        return self.folder / OBSERVATIONS

    @property
    def provenance(self) -> Path:
        """Provenance JSON."""
        return self.folder / PROVENANCE

    @property
    def inputs(self) -> Path:
        """Account of all expected inputs, JSON."""
        return self.folder / INPUTS

    @property
    def quicklook(self) -> Path:
        """Picture of the three rasters."""
        return self.folder / QUICKLOOK

    @property
    def item(self) -> Path:
        """STAC item."""
        return self.folder / ITEM

    @property
    def collection(self) -> Path:
        """STAC collection."""
        return self.folder / COLLECTION


def write_product(
    result: Path,
    out: Path,
    *,
    legend: Legend,
    provenance: Provenance,
    area_name: str,
    inputs: Inputs = UNKNOWN,
    overwrite: bool = False,
) -> ProductFiles:
    """Write the product folder `out` from the raster that a job produced; it appears whole or not at all.

    `result`: GeoTIFF, four bands of integers from 0 to 255 in the order of `RESULT_BANDS`, north-up, with a
    CRS. Its counts
    may be null (the file's nodata value): no observation. Confidence and counts outside the mapped cropland
    are replaced by their nodata value.

    Raises:
        InvalidInput: the raster is not such a file, or holds codes that the legend does not have.
        OutputExists: `out` is there and `overwrite` is False.
        WriteFailed: the disk refused.
    """
    with whole_folder(out, overwrite=overwrite, ours=FILES) as work:
        with _reading(result):
            source = rasterio.open(result)
        with source:
            box = _check_source(source, result)
            plain = _write_plain(source, work, legend, result)
        translate(work / "plain_classes.tif", work / CLASSES, "mode", legend)
        translate(work / "plain_confidence.tif", work / CONFIDENCE, "average", None)
        translate(work / "plain_observations.tif", work / OBSERVATIONS, "average", None)
        write_names(work / NAMES_SIDECAR, legend, plain.classes)
        text = json.dumps(provenance.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (work / PROVENANCE).write_text(text + "\n", encoding="utf-8")
        text = json.dumps(inputs.to_dict(), indent=1, ensure_ascii=False)
        (work / INPUTS).write_text(text + "\n", encoding="utf-8")
        title = f"Crop types, {area_name}, {provenance.season}"
        draw_product(work, work / QUICKLOOK, legend=legend, title=title, note=provenance.note)
        write_stac(work, box, plain, legend=legend, provenance=provenance, area_name=area_name)
    present = {int(code): int(plain.classes[code]) for code in np.flatnonzero(plain.classes)}
    unseen = int(plain.s2_observations[0]), int(plain.s1_observations[0])
    return ProductFiles(out, present, unseen)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        raise InvalidInput(
            f"{path} cannot be read as a GeoTIFF: {error}.", hint="Run the job again."
        ) from error


def _check_source(source: DatasetReader, path: Path) -> Box:
    if source.count != len(RESULT_BANDS) or any(np.dtype(d).kind not in "iu" for d in source.dtypes):
        raise InvalidInput(
            f"{path} has {source.count} bands of {', '.join(sorted(set(source.dtypes)))}.",
            hint=f"A map needs four bands of integers: {', '.join(RESULT_BANDS)}.",
        )
    if source.crs is None:
        raise InvalidInput(f"{path} has no coordinate reference system.", hint="Write the result with one.")
    epsg = source.crs.to_epsg()
    grid = Grid.of_transform(epsg if epsg is not None else source.crs.to_wkt(), source.transform)
    return grid.box_of_transform(source.transform, source.width, source.height)


def _write_plain(source: DatasetReader, work: Path, legend: Legend, path: Path) -> RasterFacts:
    """Write three plain GeoTIFFs block by block and count every value on the way."""
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "uint8",
        "width": source.width,
        "height": source.height,
        "crs": source.crs,
        "transform": source.transform,
        "tiled": True,
        "compress": "deflate",
        "zlevel": 1,
    }
    allowed = {c.code for c in legend.classes} | {r.code for r in RESERVED}
    null_count = tuple(source.nodatavals[2:4])
    counts = np.zeros((4, 256), np.int64)
    with (
        rasterio.open(work / "plain_classes.tif", "w", count=1, nodata=OUTSIDE, **profile) as classes,
        rasterio.open(
            work / "plain_confidence.tif", "w", count=1, nodata=NO_CONFIDENCE, **profile
        ) as certain,
        rasterio.open(work / "plain_observations.tif", "w", count=2, nodata=NO_COUNT, **profile) as seen,
    ):
        _describe(classes, ("class",))
        classes.write_colormap(1, legend.colour_table())
        _describe(certain, ("confidence",))
        _describe(seen, ("s2_observations", "s1_observations"))
        for top in range(0, source.height, ROWS):
            window = Window(0, top, source.width, min(ROWS, source.height - top))
            with _reading(path):
                values = source.read(window=window)
            block = _normalise(values, null_count, allowed, path)
            classes.write(block[:1], window=window)
            certain.write(block[1:2], window=window)
            seen.write(block[2:], window=window)
            for i in range(4):
                counts[i] += np.bincount(block[i].ravel(), minlength=256)
    return RasterFacts(counts[0], counts[1], counts[2], counts[3])


def _describe(target: DatasetWriter, names: tuple[str, ...]) -> None:
    for i, name in enumerate(names, start=1):
        target.set_band_description(i, name)


def _as_uint8(block: NDArray[Any], null_count: tuple[float | None, ...], path: Path) -> UInt8:
    """The block in uint8, null counts as 0."""
    out = block.copy()
    for band, null in zip(out[2:], null_count, strict=True):
        if null is not None:
            band[band == null] = 0
    if out.dtype != np.uint8 and (out.min() < 0 or out.max() > 255):
        raise InvalidInput(
            f"{path} holds values from {out.min()} to {out.max()}; a map's values are 0 to 255.",
            hint="Check the graph that made it: its bands must be class, confidence and two counts.",
        )
    return np.asarray(out.astype(np.uint8))


def _normalise(
    block: NDArray[Any], null_count: tuple[float | None, ...], allowed: set[int], path: Path
) -> UInt8:
    """Checked values of a block (4, rows, columns): null counts are 0 on cropland, nodata elsewhere."""
    out = _as_uint8(block, null_count, path)
    codes = out[0]
    if unknown := sorted(set(np.unique(codes).tolist()) - allowed):
        raise InvalidInput(
            f"{path} holds the class codes {', '.join(map(str, unknown[:10]))}; the legend lacks them.",
            hint="Write the map with the legend of the model that made it.",
        )
    no_class = np.isin(codes, [r.code for r in RESERVED])
    if ((out[1] > 100) & ~no_class).any():
        worst = int(out[1][~no_class].max())
        raise InvalidInput(
            f"{path} has classified pixels with a confidence of {worst}.", hint="Confidence is 0 to 100."
        )
    out[1][no_class] = NO_CONFIDENCE
    not_counted = (codes == OUTSIDE) | (codes == NOT_CROPLAND)
    for band in out[2:]:
        np.minimum(band, MOST_COUNTED, out=band)
        band[not_counted] = NO_COUNT
    return out
