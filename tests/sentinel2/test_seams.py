"""Adjacent granules of one datatake as one observation: no seam, no shift, nothing doubled, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from benchmarks.real_granules import (
    AREA,
    BANDS,
    EUROPE,
    PAIRS,
    UTM,
    graph,
    measure_overlap,
    measure_seam,
    placed_at,
    shown,
)
from pyproj import Transformer
from scipy.ndimage import binary_erosion
from tests.support.catalog_items import stac_item, write_catalog
from tests.support.engine_runs import run_cubes
from tests.support.real_site import node

from acreage.catalog import open_catalog
from acreage.core.cube import Cube

NOT_THERE = 6  # items that the collection links and does not have
PRODUCTS = "s2-earthsearch/full_products"
PIXELS = f"{PRODUCTS}/sentinel-2-l2a"


def mosaic(real_data: Path, process_graph: dict[str, Any]) -> Cube:
    catalog = open_catalog(real_data / PRODUCTS / "catalog.json")
    (cube,) = run_cubes(process_graph, catalog, tolerance=NOT_THERE).values()
    return cube


@pytest.fixture(scope="module")
def mosaics(real_data: Path) -> dict[tuple[str, str], Cube]:
    grids = ((UTM, None, "near"), (EUROPE, 3035, "near"), (EUROPE, 3035, "bilinear"))
    return {(crs, method): mosaic(real_data, graph(code, method)) for crs, code, method in grids}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_metadata_place_real_granules_without_a_shift(real_data: Path, pair: tuple[str, str]) -> None:
    overlap = measure_overlap(real_data / PIXELS, *pair)
    assert overlap.cells > 290_000
    assert abs(overlap.shift_x) < 2  # metres, of pixels of 120
    assert abs(overlap.shift_y) < 2


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("crs", "method", "most"), [(UTM, "near", 1.0), (EUROPE, "near", 1.05), (EUROPE, "bilinear", 1.25)]
)
def test_no_seam_shows_between_real_granules(
    real_data: Path,
    mosaics: dict[tuple[str, str], Cube],
    crs: str,
    method: str,
    most: float,
    step: int,
) -> None:
    cube = mosaics[crs, method]
    assert cube.meta.box is not None
    x, y = cube.meta.box.x_centres(), cube.meta.box.y_centres()
    south, either = shown(real_data / PIXELS, PAIRS[step], x, y, crs)
    for band in range(len(BANDS) - 1):
        seam = measure_seam(cube.values[step, band], cube.validity()[step, band], south, either)
        assert seam.pairs > 600
        assert seam.nulls == 0
        assert 0.5 < seam.ratio < most


def test_two_granules_of_a_datatake_are_one_observation(mosaics: dict[tuple[str, str], Cube]) -> None:
    for cube in mosaics.values():
        labels = [str(t)[:10] for t in cube.meta.dim("t").labels]
        assert labels == ["2023-08-13", "2023-08-18"]


def test_every_pixel_stands_where_its_file_has_it(real_data: Path) -> None:
    """On the lattice of 60 m, which holds the pixels of both files, to the last digit."""
    process_graph = graph(32633, "near")
    process_graph["warped"]["arguments"]["resolution"] = 60
    cube = mosaic(real_data, process_graph)
    assert cube.meta.box is not None
    x, y = np.meshgrid(cube.meta.box.x_centres(), cube.meta.box.y_centres())
    assert x.shape == ((AREA["north"] - AREA["south"]) // 60, (AREA["east"] - AREA["west"]) // 60)
    for step, pair in enumerate(PAIRS):
        scl = [placed_at(real_data / PIXELS / name / "SCL.tif", x, y) for name in pair]
        for band in ("B04", "SCL"):
            south, north = (placed_at(real_data / PIXELS / name / f"{band}.tif", x, y) for name in pair)
            expected = np.where(scl[0] != 0, south, north)
            made = np.where(cube.validity()[step], cube.values[step], 0)[BANDS.index(band)]
            np.testing.assert_array_equal(made, np.where(expected != 0, expected, made))
            assert (made == expected).mean() > 0.999  # a null of the one may be filled by the other


# --- granules in two zones, over a made-up surface ----------------------------------------------------------


def surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Digital numbers of a smooth surface at EPSG:3035 coordinates; its slope is at most 0.7 DN a metre."""
    return 3000 + 1500 * np.sin(x / 4000) * np.cos(y / 4000) + 500 * np.sin((x + y) / 3000)


MIDDLE = (18.0, 48.0)  # where zones 33 and 34 meet
SIDE, PIXEL = 300, 20


def zone_item(folder: Path, zone: int, east: float, baseline: str) -> dict[str, Any]:
    """A granule of 6 km in its own zone, its middle `east` metres of where the zones meet."""
    crs = f"EPSG:{32600 + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*MIDDLE)
    left = round((x + east) / PIXEL) * PIXEL - SIDE * PIXEL // 2
    top = round(y / PIXEL) * PIXEL + SIDE * PIXEL // 2
    affine = Affine(PIXEL, 0, left, 0, -PIXEL, top)
    columns, rows = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    where = Transformer.from_crs(crs, EUROPE, always_xy=True).transform(
        left + columns * PIXEL, top - rows * PIXEL
    )
    values = np.rint(surface(*where)).astype(np.uint16)
    item = stac_item(
        f"S2A_{zone}TXX_20220601_0_L2A",
        **{
            "datetime": "2022-06-01T09:40:22Z",
            "bbox": [17.7, 47.8, 18.3, 48.2],
            "proj:code": crs,
            "grid:code": f"MGRS-{zone}TXX",
            "s2:datatake_id": "GS2A_20220601T093031_036261_N04.00",
            "s2:processing_baseline": baseline,
            "earthsearch:boa_offset_applied": True,
        },
    )
    shape = {"proj:shape": [SIDE, SIDE], "proj:transform": list(affine)[:6]}
    item["assets"] = {}
    for key, data in (("red", values), ("scl", np.full_like(values, 4, np.uint8))):
        path = folder / f"{zone}-{key}.tif"
        with rasterio.open(path, "w", "GTiff", SIDE, SIDE, 1, crs, affine, data.dtype, nodata=0) as file:
            file.write(data, 1)
        item["assets"][key] = {"href": str(path), **shape}
    return item


def over_zones(folder: Path, method: str, items: list[dict[str, Any]]) -> tuple[Cube, np.ndarray]:
    """The engine's cube over the meeting of the zones, and the surface itself at its pixels."""
    x, y = Transformer.from_crs("EPSG:4326", EUROPE, always_xy=True).transform(*MIDDLE)
    area = {"west": x - 3000, "east": x + 3000, "south": y - 2000, "north": y + 2000, "crs": 3035}
    month = ["2022-06-01", "2022-07-01"]
    load = node(
        "load_collection", id="SENTINEL2_L2A", spatial_extent=area, temporal_extent=month, bands=["B04"]
    )
    warp = node(
        "resample_spatial", data={"from_node": "s2"}, projection=3035, resolution=PIXEL, method=method
    )
    catalog = open_catalog(write_catalog(folder, items))
    cube = run_cubes({"s2": load, "warped": {**warp, "result": True}}, catalog)["warped"]
    assert cube.meta.box is not None
    return cube, surface(*np.meshgrid(cube.meta.box.x_centres(), cube.meta.box.y_centres()))


# Rounding twice and the curvature of the surface; half the diagonal of a pixel at its steepest. The outermost
# half pixel of a granule has no neighbour to interpolate with: there a bilinear value is the nearest one.
ERRORS = {"bilinear": 1.2, "near": 0.7 * PIXEL * 0.5**0.5 + 1.2}


@pytest.mark.parametrize("method", ["bilinear", "near"])
def test_granules_of_two_zones_are_the_surface_whichever_is_on_top(tmp_path: Path, method: str) -> None:
    made = {}
    for first, (west, east) in {"west": ("05.00", "04.00"), "east": ("04.00", "05.00")}.items():
        folder = tmp_path / first
        folder.mkdir()
        items = [zone_item(folder, 33, -1750, west), zone_item(folder, 34, 1750, east)]
        cube, truth = over_zones(folder, method, items)
        assert len(cube.meta.dim("t").labels) == 1
        assert cube.validity().all()
        error = np.abs(cube.values[0, 0] - truth)
        assert error.max() <= ERRORS["near"]
        assert (error > ERRORS[method]).mean() < 0.004  # along the edge of the granule on top
        assert abs((cube.values[0, 0] - truth).mean()) < 0.05
        made[first] = cube.values[0, 0].astype(float)
    both = np.abs(made["west"] - made["east"])
    assert both.max() <= 2 * ERRORS["near"]
    assert 0.05 < (both > 0).mean() < 0.9  # the overlap is taken from another zone, the rest is not


@pytest.mark.parametrize("zone", [33, 34])
def test_one_zone_alone_gives_the_same_surface(tmp_path: Path, zone: int) -> None:
    cube, truth = over_zones(tmp_path, "bilinear", [zone_item(tmp_path, zone, 0, "05.00")])
    known = cube.validity()[0, 0]
    assert known.mean() > 0.9
    known = binary_erosion(known, iterations=3)
    assert np.abs(cube.values[0, 0] - truth)[known].max() <= ERRORS["bilinear"]
