from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from acreage.catalog.items import Raster, SourceItem
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Grid, transformer
from acreage.production.areas import find_area
from acreage.production.landcover import cropland_of
from acreage.production.tiles import Tile, TileGrid, UtmGrid

PIXEL = 1 / 2000  # degrees: 56 m from north to south
SIDE = 0.25
CROPLAND, FOREST, SEA = 40, 10, 0


def item(folder: Path, west: float, north: float, values: NDArray[np.uint8]) -> SourceItem:
    """A file of the map in its published layout: degrees, blocks, overviews, 0 where there is nothing."""
    name = f"map-{west:g}-{north:g}"
    path = folder / f"{name}.tif"
    affine = from_origin(west, north, PIXEL, PIXEL)
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", crs="EPSG:4326",
        transform=affine, nodata=SEA, tiled=True, blockxsize=256, blockysize=256, compress="deflate",
    ) as file:  # fmt: skip
        file.write(values, 1)
        file.build_overviews([2, 4, 8], rasterio.enums.Resampling.nearest)
    box = Grid.of_transform("EPSG:4326", affine).box_of_transform(affine, width, height)
    raster = Raster(str(path), 1, box, "uint8", float(SEA))
    bounds = (west, north - height * PIXEL, west + width * PIXEL, north)
    return SourceItem(
        name, "MAP", "", np.datetime64("2021-01-01", "ms"), bounds, "map", (), {"MAP": raster}, {}
    )


def scene(folder: Path, seed: int = 5) -> list[SourceItem]:
    """Two files side by side; cropland in fields, forest elsewhere, sea in the north-east."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(2):
        fields = rng.random((25, 25)) < 0.3 + 0.3 * n
        values = np.where(np.kron(fields, np.ones((20, 20), bool)), CROPLAND, FOREST).astype(np.uint8)
        if n == 1:
            values[:150, 300:] = SEA
        made.append(item(folder, 6.0 + n * SIDE, 50.25, values))
    return made


def drawn(tile: Tile, items: Sequence[SourceItem]) -> tuple[float, float]:
    """Shares of cropland and of known ground among random points of a tile."""
    rng = np.random.default_rng(1)
    left, bottom, right, top = tile.bounds
    x, y = rng.uniform(left, right, 40_000), rng.uniform(bottom, top, 40_000)
    longitudes, latitudes = transformer(tile.crs, "EPSG:4326").transform(x, y)
    seen = np.zeros(x.size, np.uint8)
    for one in items:
        with rasterio.open(one.rasters["MAP"].href) as file:
            rows = np.floor((file.bounds.top - latitudes) / PIXEL).astype(int)
            columns = np.floor((longitudes - file.bounds.left) / PIXEL).astype(int)
            inside = (rows >= 0) & (rows < file.height) & (columns >= 0) & (columns < file.width)
            seen[inside] = file.read(1)[rows[inside], columns[inside]]
    return float((seen == CROPLAND).mean()), float((seen != SEA).mean())


@pytest.mark.parametrize("grid", [TileGrid(5_000), UtmGrid(5_000)])
def test_shares_are_those_of_points_drawn_in_each_tile(tmp_path: Path, grid: TileGrid | UtmGrid) -> None:
    items = scene(tmp_path)
    tiles = grid.covering(find_area("5.99,49.99,6.52,50.26").geometry)
    told: list[tuple[int, int]] = []
    cover = cropland_of(tiles, items, "MAP", [CROPLAND], told=lambda *n: told.append(n))
    expected = np.array([drawn(t, items) for t in tiles])
    np.testing.assert_allclose(cover.cropland, expected[:, 0], atol=0.02)
    np.testing.assert_allclose(cover.known, expected[:, 1], atol=0.02)
    assert told == [(1, 2), (2, 2)]
    assert ((cover.cropland == 0) == (expected[:, 0] == 0)).all()


def test_a_single_pixel_of_cropland_keeps_its_tile(tmp_path: Path) -> None:
    values = np.full((500, 500), FOREST, np.uint8)
    values[301, 203] = CROPLAND
    tiles = TileGrid(10_000).covering(find_area("6.01,50.01,6.24,50.24").geometry)
    cover = cropland_of(tiles, [item(tmp_path, 6.0, 50.25, values)], "MAP", [CROPLAND])
    (at,) = np.flatnonzero(cover.cropland)
    x, y = transformer("EPSG:4326", "EPSG:3035").transform(6.0 + 203.5 * PIXEL, 50.25 - 301.5 * PIXEL)
    left, bottom, right, top = tiles[at].bounds
    assert left < x < right
    assert bottom < y < top
    pixel = (PIXEL * 111_320) ** 2 * np.cos(np.radians(50.1))
    assert cover.cropland[at] == pytest.approx(pixel / 1e8, rel=0.01)


def test_tiles_beside_the_map_have_none_and_are_not_known(tmp_path: Path) -> None:
    (tile,) = TileGrid(10_000).covering(find_area("EPSG:3035:3000000,3000000,3010000,3010000").geometry)[:1]
    cover = cropland_of([tile], scene(tmp_path), "MAP", [CROPLAND])
    assert cover.cropland.tolist() == [0.0]
    assert cover.known.tolist() == [0.0]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    items = scene(tmp_path)
    Path(items[1].rasters["MAP"].href).write_bytes(b"II*\0 and nothing more")
    tiles = TileGrid(5_000).covering(find_area("6.1,50.1,6.4,50.2").geometry)
    with pytest.raises(ItemUnreadable, match=r"Item map-6\.25-50\.25, band MAP: .* cannot be read"):
        cropland_of(tiles, items, "MAP", [CROPLAND])
