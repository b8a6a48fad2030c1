"""Files of pixels: Cloud Optimized GeoTIFFs, also large sparse ones, and JPEG 2000."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from acreage.core.grid import Box

BLOCK = 1024
TAGS = {"SIMULATED": "yes"}
_Placed = tuple[int, int, NDArray[Any]]
"""Row and column of the first pixel of a part, and its values."""


def write_cog(
    path: Path,
    values: NDArray[Any],
    box: Box,
    nodata: float | None,
    *,
    codes: bool = False,
    tags: Mapping[str, str] | None = None,
    point: bool = False,
) -> None:
    """Write one band (rows, columns) as COG: deflate, blocks of 1024, overviews where it has more than one.

    `codes`: classes, which are never averaged. `point`: pixels stand for points, as in elevation.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    predictor = "NO" if codes else "YES"
    with rasterio.open(
        path,
        "w",
        driver="COG",
        compress="deflate",
        level=2 if codes else 1,
        predictor=predictor,
        blocksize=BLOCK,
        overview_resampling="nearest" if codes else "average",
        **_profile(values, box, nodata),
    ) as target:
        target.write(values, 1)
        target.update_tags(**TAGS, **(tags or {}), **({"AREA_OR_POINT": "Point"} if point else {}))


def write_jp2(path: Path, values: NDArray[Any], box: Box) -> None:
    """Write one band (rows, columns) of integers as lossless JPEG 2000, which holds no null value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "QUALITY": "100",
        "REVERSIBLE": "YES",
        "YCBCR420": "NO",
        "blockxsize": 1024,
        "blockysize": 1024,
    }
    with rasterio.open(path, "w", driver="JP2OpenJPEG", **options, **_profile(values, box, None)) as target:
        target.write(values, 1)


def _profile(values: NDArray[Any], box: Box, nodata: float | None) -> dict[str, Any]:
    if values.shape != box.shape:
        raise ValueError(f"{values.shape} values for {box.shape} pixels")
    return {
        "width": box.width,
        "height": box.height,
        "count": 1,
        "dtype": values.dtype,
        "crs": box.grid.crs,
        "transform": box.affine,
        "nodata": nodata,
    }


def write_sparse(
    path: Path,
    whole: Box,
    parts: Mapping[Box, NDArray[Any]],
    nodata: float | None,
    *,
    codes: bool,
    tags: Mapping[str, str] | None = None,
    point: bool = False,
) -> None:
    """Write a large COG of which only `parts` hold values; blocks without any take no space.

    Blocks of 1024, deflate, overviews. The rest reads as the null value, or as 0 where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    placed = [(*(s.start for s in box.slices_in(whole)), values) for box, values in parts.items()]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".draft-") as folder:
        source = draft = Path(folder) / "0.tif"
        all_tags = {**TAGS, **(tags or {}), **({"AREA_OR_POINT": "Point"} if point else {})}
        _write_level(draft, whole.shape, placed, whole, nodata, all_tags)
        if codes:
            source = _with_overviews(draft, placed, whole, nodata)
        rasterio.shutil.copy(
            source,
            path,
            driver="COG",
            SPARSE_OK="YES",
            COMPRESS="DEFLATE",
            LEVEL=3,
            PREDICTOR="NO" if codes else "YES",
            BLOCKSIZE=BLOCK,
            OVERVIEW_RESAMPLING="NEAREST" if codes else "AVERAGE",
        )


def _write_level(
    path: Path,
    shape: tuple[int, int],
    placed: Sequence[_Placed],
    whole: Box,
    nodata: float | None,
    tags: Mapping[str, str],
) -> None:
    """Write a sparse file of so many rows and columns, which is no COG yet; georeferenced as `whole`."""
    profile = {
        "driver": "GTiff",
        "width": shape[1],
        "height": shape[0],
        "count": 1,
        "dtype": placed[0][2].dtype,
        "crs": whole.grid.crs,
        "transform": whole.affine,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "SPARSE_OK": "TRUE",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.update_tags(**tags)
        for row, column, values in placed:
            if values.size:
                rows, columns = (row, row + values.shape[0]), (column, column + values.shape[1])
                target.write(values, 1, window=(rows, columns))


def _with_overviews(draft: Path, placed: Sequence[_Placed], whole: Box, nodata: float | None) -> Path:
    """A virtual file of a draft, with the overviews that GDAL's COG driver would make by nearest pixels.

    GDAL reads a billion empty pixels for them; here only the parts are looked at.
    """
    virtual = draft.with_suffix(".vrt")
    rasterio.shutil.copy(draft, virtual, driver="VRT")
    tree = ET.parse(virtual)
    band = tree.find("VRTRasterBand")
    assert band is not None
    for source in [*band.findall("SimpleSource"), *band.findall("ComplexSource")]:
        band.remove(source)
    shape, smaller = whole.shape, placed
    while max(shape) > BLOCK:
        reduced = shape[0] // 2, shape[1] // 2
        smaller = [_reduced(part, shape, reduced) for part in smaller]
        level, shape = draft.with_name(f"{reduced[0]}.tif"), reduced
        # Of an overview nobody reads where it lies; without any place GDAL would warn.
        _write_level(level, shape, smaller, whole, nodata, {})
        _names_source(ET.SubElement(band, "Overview"), level)
    for row, column, values in placed:
        source = ET.SubElement(band, "SimpleSource")
        _names_source(source, draft)
        place = {"xOff": column, "yOff": row, "xSize": values.shape[1], "ySize": values.shape[0]}
        for name in ("SrcRect", "DstRect"):
            ET.SubElement(source, name, {k: str(v) for k, v in place.items()})
    tree.write(virtual)
    return virtual


def _reduced(part: _Placed, whole: tuple[int, int], reduced: tuple[int, int]) -> _Placed:
    """Of a part the pixels that nearest resampling takes, and where they lie in the smaller file.

    GDAL takes the pixel `floor(0.5 + n * size / reduced size)` for the n-th, and of each overview the next.
    """
    firsts, taken = [], []
    for start, count, size, fewer in zip(part[:2], part[2].shape, whole, reduced, strict=True):
        pixels = np.floor(0.5 + np.arange(fewer) * (size / fewer)).astype(np.int64)
        own = np.flatnonzero((pixels >= start) & (pixels < start + count))
        firsts.append(int(own[0]) if own.size else 0)
        taken.append(pixels[own] - start)
    return firsts[0], firsts[1], part[2][np.ix_(*taken)]


def _names_source(element: ET.Element, path: Path) -> None:
    ET.SubElement(element, "SourceFilename", {"relativeToVRT": "1"}).text = path.name
    ET.SubElement(element, "SourceBand").text = "1"
