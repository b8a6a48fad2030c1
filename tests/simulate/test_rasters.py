"""Large sparse files: what GDAL would make of the whole, made of the parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from acreage.core.grid import Box, Grid
from acreage.simulate.publish.rasters import BLOCK, write_sparse

GRID = Grid("EPSG:4326", 1 / 1200, 1 / 1200)


@pytest.mark.parametrize("nodata", [0, None])
@pytest.mark.parametrize("size", [(5003, 4310), (900, 1024), (1025, 700)])
def test_a_sparse_file_of_codes_is_as_gdal_makes_it_of_all_pixels(
    size: tuple[int, int], nodata: int | None, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    height, width = size
    whole = Box(GRID, 7000, -60_000, 7000 + width, -60_000 + height)
    filled = np.zeros(size, np.uint8)
    parts = {}
    # Also at the edges, where a part may hold none of the pixels of an overview.
    for row, column, rows, columns in ((3, 17, 130, 77), (height - 1, width - 2, 1, 2), (500, 64, 200, 600)):
        values = rng.integers(1, 100, (rows, columns)).astype(np.uint8)
        box = Box(GRID, 7000 + column, -60_000 + row, 7000 + column + columns, -60_000 + row + rows)
        parts[box] = values
        filled[row : row + rows, column : column + columns] = values
    write_sparse(tmp_path / "a.tif", whole, parts, nodata, codes=True, tags={"X": "y"})
    place = {"crs": "EPSG:4326", "transform": whole.affine, "width": width, "height": height}
    with rasterio.open(
        tmp_path / "plain.tif", "w", driver="GTiff", count=1, dtype="uint8", nodata=nodata, **place
    ) as file:
        file.write(filled, 1)
    rasterio.shutil.copy(
        tmp_path / "plain.tif",
        tmp_path / "b.tif",
        driver="COG",
        COMPRESS="DEFLATE",
        BLOCKSIZE=BLOCK,
        OVERVIEW_RESAMPLING="NEAREST",
    )
    with rasterio.open(tmp_path / "a.tif") as ours, rasterio.open(tmp_path / "b.tif") as gdals:
        assert ours.profile == gdals.profile
        assert ours.tags()["X"] == "y"
        assert ours.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        levels = ours.overviews(1)
        assert levels == gdals.overviews(1)
        np.testing.assert_array_equal(ours.read(1), filled)
    assert (len(levels) > 0) == (max(size) > BLOCK)
    for level in range(len(levels)):
        with (
            rasterio.open(tmp_path / "a.tif", OVERVIEW_LEVEL=level) as ours,
            rasterio.open(tmp_path / "b.tif", OVERVIEW_LEVEL=level) as gdals,
        ):
            np.testing.assert_array_equal(ours.read(1), gdals.read(1))
    assert {p.name for p in tmp_path.iterdir()} == {"a.tif", "b.tif", "plain.tif"}
