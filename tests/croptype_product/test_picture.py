"""The picture of a product."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from tests.croptype_product.conftest import values, write

from acreage.core.legend import Legend
from acreage.core.provenance import Provenance
from acreage.croptype.picture import draw_product
from acreage.croptype.product import write_product


def colours(path: Path) -> dict[tuple[int, int, int], int]:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(map(int, c)): int(n) for c, n in zip(found, counts, strict=True)}


def test_the_quicklook_shows_the_classes_in_their_colours(
    small: tuple[Path, NDArray[np.uint8]], legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    files = write_product(small[0], tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    shown = colours(files.quicklook)
    for item in legend.classes:
        assert shown.get(tuple(bytes.fromhex(item.colour[1:])), 0) > 500


def test_reference_parcels_are_drawn_beside_the_map(
    small: tuple[Path, NDArray[np.uint8]], legend: Legend, provenance: Provenance, tmp_path: Path
) -> None:
    source = write(tmp_path / "r.tif", np.full_like(values(60, 80), 1))
    files = write_product(source, tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    west, north = 3_900_000, 3_100_000
    squares = [shapely.box(west + x, north - 500, west + x + 200, north - 100) for x in (50, 400)]
    parcels = gpd.GeoDataFrame({"label": ["maize", "unknown crop"]}, geometry=squares, crs=3035).to_crs(4326)
    maize = tuple(bytes.fromhex("f4d03f"))
    assert colours(files.quicklook).get(maize, 0) == 0
    draw_product(files.folder, tmp_path / "beside.png", legend=legend, title="t", reference=parcels)
    assert colours(tmp_path / "beside.png").get(maize, 0) > 500


def test_a_map_without_any_class_is_drawn_too(legend: Legend, provenance: Provenance, tmp_path: Path) -> None:
    data = np.full((4, 12, 30), 255, np.uint8)
    source = write(tmp_path / "r.tif", data)
    files = write_product(source, tmp_path / "p", legend=legend, provenance=provenance, area_name="a")
    with Image.open(files.quicklook) as picture:
        assert picture.size[0] > 500
