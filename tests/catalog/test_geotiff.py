"""Headers and blocks of plain GeoTIFFs agree with what GDAL reads; all other files are left to GDAL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from acreage.catalog.geotiff import plain_geotiff
from acreage.catalog.items import Raster
from acreage.core.grid import Grid
from acreage.engine.tiles import tiled_file

PLACE = Affine(10, 0, 500_000, 0, -10, 5_600_000)


def write(path: Path, values: Any, **options: Any) -> Path:
    chosen = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate", **options}
    shape = values.shape
    with rasterio.open(
        path, "w", "GTiff", shape[1], shape[0], 1, chosen.pop("crs", "EPSG:32631"),
        chosen.pop("transform", PLACE), values.dtype, **chosen,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def pixels(dtype: str) -> Any:
    rng = np.random.default_rng(4)
    values = rng.normal(500, 200, (70, 90))
    return values.astype(dtype) if dtype.startswith("float") else np.abs(values).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("predictor", [1, 2, 3])
@pytest.mark.parametrize("big", ["YES", "NO"])
def test_blocks_are_what_gdal_reads(
    tmp_path: Path, dtype: str, compress: str, predictor: int, big: str
) -> None:
    if predictor == 3 and not dtype.startswith("float"):
        predictor = 2
    options = {} if compress == "none" else {"predictor": predictor}
    path = write(tmp_path / "a.tif", pixels(dtype), compress=compress, bigtiff=big, nodata=0, **options)
    header = plain_geotiff(str(path))
    with rasterio.open(path) as file:
        wanted = file.read(1)
        assert header is not None
        assert (header.shape, header.transform, header.nodata) == (file.shape, file.transform, file.nodata)
        assert header.dtype == np.dtype(file.dtypes[0])
        assert file.crs.to_epsg() == header.epsg
    box = Grid.of_transform("EPSG:32631", PLACE).box_of_transform(PLACE, 90, 70)
    tiled = tiled_file(Raster(str(path), 1, box, dtype, 0))
    assert tiled is not None
    with tiled.opened() as descriptor:
        for row in range(-(-70 // 16)):
            for column in range(tiled.images[0].columns):
                part = tiled.box_of(row, column)
                got = tiled.decoded(descriptor, row, column)[: part.height, : part.width]
                np.testing.assert_array_equal(got, wanted[part.slices_in(box)])


@pytest.mark.parametrize(
    "options",
    [
        {"tiled": False, "blockxsize": None, "blockysize": None},
        {"transform": Affine(10, 1, 500_000, 0, -10, 5_600_000)},
        {"crs": "+proj=laea +lat_0=12 +lon_0=3 +ellps=WGS84"},
        {"AREA_OR_POINT": "Point"},
        {"ENDIANNESS": "BIG"},
    ],
    ids=["strips", "sheared", "no EPSG code", "points", "big-endian"],
)
def test_files_that_are_not_plain_are_left_to_gdal(tmp_path: Path, options: dict[str, Any]) -> None:
    point = options.pop("AREA_OR_POINT", None)
    path = write(tmp_path / "a.tif", pixels("uint16"), **{k: v for k, v in options.items() if v is not None})
    if point:
        with rasterio.open(path, "r+") as file:
            file.update_tags(AREA_OR_POINT=point)
    assert plain_geotiff(str(path)) is None


def test_a_sidecar_or_a_cut_off_header_leaves_a_file_to_gdal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixels("uint16"))
    content = path.read_bytes()
    cut = tmp_path / "cut.tif"
    for size in (0, 3, 7, 100, 200):
        cut.write_bytes(content[:size])
        assert plain_geotiff(str(cut)) is None
    assert plain_geotiff(str(path)) is not None
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    other = write(tmp_path / "b.tif", pixels("uint16"))
    (tmp_path / "b.tif.aux.xml").write_text("<PAMDataset/>")
    assert plain_geotiff(str(other)) is None
    assert plain_geotiff(str(tmp_path / "missing.tif")) is None


def test_a_file_that_lies_elsewhere_than_its_item_says_is_left_to_gdal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixels("uint16"))
    grid = Grid.of_transform("EPSG:32631", PLACE)
    box = grid.box_of_transform(PLACE, 90, 70)
    assert tiled_file(Raster(str(path), 1, box, "uint16", 0)) is not None
    moved = Raster(str(path), 1, type(box)(grid, box.x0 + 1, box.y0, box.x1 + 1, box.y1), "uint16", 0)
    assert tiled_file(moved) is None


def test_overviews_are_what_gdal_reads_and_a_file_that_ends_early_is_left_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixels("uint16"), predictor=2, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    header = plain_geotiff(str(path))
    assert header is not None
    assert [i.shape for i in header.images] == [(70, 90), (35, 45), (18, 23)]
    box = Grid.of_transform("EPSG:32631", PLACE).box_of_transform(PLACE, 90, 70)
    tiled = tiled_file(Raster(str(path), 1, box, "uint16", 0))
    assert tiled is not None
    for level, image in enumerate(tiled.images[1:]):
        with rasterio.open(path, overview_level=level) as file, tiled.opened() as descriptor:
            wanted = file.read(1)
            got = tiled.decoded(descriptor, 0, 0, image)
            height, width = min(image.block[0], image.shape[0]), min(image.block[1], image.shape[1])
            np.testing.assert_array_equal(got[:height, :width], wanted[:height, :width])
    path.write_bytes(path.read_bytes()[:-1])
    assert plain_geotiff(str(path)) is None


def test_a_file_with_a_mask_is_left_to_gdal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixels("uint16"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(np.arange(70 * 90).reshape(70, 90) % 3 > 0)
    assert plain_geotiff(str(path)) is None
