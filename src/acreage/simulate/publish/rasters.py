"""Files of pixels: Cloud Optimized GeoTIFFs, also large sparse ones, and JPEG 2000."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from acreage.core.grid import Box

BLOCK = 1024
TAGS = {"SIMULATED": "yes"}


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
    sample = next(iter(parts.values()))
    draft = path.with_name(f".{path.stem}.draft.tif")
    profile = {
        "driver": "GTiff",
        "width": whole.width,
        "height": whole.height,
        "count": 1,
        "dtype": sample.dtype,
        "crs": whole.grid.crs,
        "transform": whole.affine,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "SPARSE_OK": "TRUE",
    }
    try:
        with rasterio.open(draft, "w", **profile) as target:
            target.update_tags(**TAGS, **(tags or {}), **({"AREA_OR_POINT": "Point"} if point else {}))
            for box, values in parts.items():
                rows, columns = box.slices_in(whole)
                target.write(values, 1, window=((rows.start, rows.stop), (columns.start, columns.stop)))
        rasterio.shutil.copy(
            draft,
            path,
            driver="COG",
            SPARSE_OK="YES",
            COMPRESS="DEFLATE",
            LEVEL=3,
            PREDICTOR="NO" if codes else "YES",
            BLOCKSIZE=BLOCK,
            OVERVIEW_RESAMPLING="NEAREST" if codes else "AVERAGE",
        )
    finally:
        draft.unlink(missing_ok=True)
