"""Reprojection of the real site to the European grid, against GDAL's warp with its exact transformer."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.warp import Resampling, reproject
from tests.support.engine_runs import assert_same_cube, run_cubes
from tests.support.real_site import BANDS, MONTH, Array, Observations, warp_graph

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube

METHODS = {"near": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic}


@pytest.fixture(scope="module")
def warped(site_catalog: Catalog) -> dict[str, Cube]:
    """By method, as one window."""
    return {m: run_cubes(warp_graph(m), site_catalog, threads=2)["warped"] for m in METHODS}


@pytest.fixture(scope="module")
def month(site_catalog: Catalog) -> dict[str, Cube]:
    """June alone, by method, as one window."""
    return {m: run_cubes(warp_graph(m, MONTH), site_catalog)["warped"] for m in METHODS}


def gdals(values: Array, cube: Cube, seen: Observations, band: str, method: str) -> Array:
    """What GDAL makes of one band of one date: float32 without rounding, -9999 where null."""
    assert cube.meta.box is not None
    made = np.full(cube.meta.box.shape, -9999, np.float32)
    reproject(
        values.astype(np.float32),
        made,
        src_transform=seen.transforms[band],
        src_crs="EPSG:32631",
        src_nodata=0,
        dst_transform=cube.meta.box.affine,
        dst_crs="EPSG:3035",
        dst_nodata=-9999,
        resampling=METHODS[method],
        tolerance=0,
        num_threads=1,
    )
    return made


@pytest.mark.parametrize("method", METHODS)
def test_every_pixel_is_within_one_dn_of_gdals_warp(
    method: str, warped: dict[str, Cube], observations: Observations
) -> None:
    cube = warped[method]
    assert cube.values.dtype == np.uint16
    assert cube.values.shape[:2] == (len(observations.days), len(BANDS))
    largest, rounded, compared = 0.0, 0, 0
    for n, bands in enumerate(observations.bands):
        for b, band in enumerate(BANDS):
            other = gdals(bands[band], cube, observations, band, method)
            valid = cube.validity()[n, b]
            np.testing.assert_array_equal(valid, other != -9999, err_msg=f"validity: {band}, date {n}")
            mine, theirs = cube.values[n, b][valid].astype(float), other[valid].astype(float)
            if mine.size:
                largest = max(largest, float(np.abs(mine - theirs).max()))
                rounded = max(rounded, int(np.abs(mine - np.floor(theirs + 0.5)).max()))
                compared += mine.size
    assert compared > 1_000_000
    assert rounded <= 1
    # Half a DN is the rounding to integers; near copies.
    assert largest == 0 if method == "near" else largest < 0.75


@pytest.mark.parametrize("window", [8, 17, 64])
@pytest.mark.parametrize("method", METHODS)
def test_reprojection_is_the_same_for_every_window(
    method: str, window: int, month: dict[str, Cube], site_catalog: Catalog
) -> None:
    made = run_cubes(warp_graph(method, MONTH), site_catalog, window, threads=2)["warped"]
    assert_same_cube(month[method], made)


@pytest.mark.proof
@pytest.mark.parametrize("window", [8, 17, 64])
@pytest.mark.parametrize("method", METHODS)
def test_reprojection_of_the_season_is_the_same_for_every_window(
    method: str, window: int, warped: dict[str, Cube], site_catalog: Catalog
) -> None:
    made = run_cubes(warp_graph(method), site_catalog, window, threads=2)["warped"]
    assert_same_cube(warped[method], made)
