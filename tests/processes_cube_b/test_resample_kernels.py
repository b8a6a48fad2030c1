"""The resampling kernel against GDAL's warper, and against itself cut into windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import Resampling

from acreage.core.errors import ProcessParameterInvalid
from acreage.core.grid import Box, Grid
from acreage.processes.resample_kernels import METHODS, index_map, resample, support

UTM = Grid.snapped(32631, 10)
SOURCE = Box(UTM, 50000, -560000, 50120, -559880)
FILTERS = ("near", "bilinear", "cubic", "cubicspline", "lanczos")
STATISTICS = ("average", "mode", "min", "max", "med", "q1", "q3", "sum", "rms")
GDAL = {
    "near": Resampling.nearest,
    "cubicspline": Resampling.cubic_spline,
    **{m: Resampling[m] for m in ("bilinear", "cubic", "lanczos", *STATISTICS)},
}


def warp(
    values: np.ndarray, source: Box, target: Box, method: str, nodata: int | None, scale: float = 1.0
) -> np.ndarray:
    """GDAL's warp, with exact positions and the ratio of the grids instead of the window's."""
    profile = {
        "driver": "GTiff",
        "width": source.width,
        "height": source.height,
        "count": 1,
        "nodata": nodata,
    }
    with MemoryFile() as file:
        with file.open(dtype=values.dtype, crs=source.grid.crs, transform=source.affine, **profile) as made:
            made.write(values, 1)
        with (
            file.open() as opened,
            WarpedVRT(
                opened,
                crs=target.grid.crs,
                transform=target.affine,
                width=target.width,
                height=target.height,
                resampling=GDAL[method],
                tolerance=1e-6,  # 0 is refused by WarpedVRT
                **({} if nodata is None else {"nodata": nodata}),
                XSCALE=str(scale),
                YSCALE=str(scale),
            ) as warped,
        ):
            return warped.read(1)


def scene(
    box: Box, seed: int, share: float, dtype: type = np.uint16, top: int = 10000
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth values with noise, and a validity with holes; invalid is 0."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(box.shape)
    smooth = 0.5 + 0.2 * np.sin(rows / 7.0) * np.cos(columns / 5.0)
    values = np.clip((smooth + 0.05 * rng.normal(size=box.shape)) * top, 0.1 * top, top).astype(dtype)
    valid = rng.random(box.shape) >= share
    valid[20:45, 30:60] = share == 0.0
    values[~valid] = 0
    return values, valid


def inner(target: Box, source: Box, margin: int) -> Box:
    """Target pixels well inside of the source."""
    x, y = (target.x0 + target.x1) // 2, (target.y0 + target.y1) // 2
    half = int(min(target.width, target.height) / 2.9) - margin
    return Box(target.grid, x - half, y - half, x + half, y + half)


@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("method", FILTERS)
def test_reprojection_is_within_one_dn_of_gdal_everywhere(method: str, share: float) -> None:
    values, valid = scene(SOURCE, 1, share)
    target = SOURCE.project(Grid.snapped(3035, 10), 3)
    expected = warp(values, SOURCE, target, method, None if share == 0.0 else 0)
    made, mask = resample(values, valid if share else None, SOURCE, index_map(UTM, target), method)
    mask = np.ones(made.shape, bool) if mask is None else mask
    differ = mask != (expected != 0)
    if method == "lanczos":  # GDAL also gives up pixels whose valid weights are few
        assert (differ & (expected != 0)).sum() <= 3
    else:
        assert differ.sum() <= 3  # a centre within a tenth of a micrometre of the outline
    both = mask & (expected != 0)
    difference = np.abs(made[both].astype(int) - expected[both])
    if method == "near":  # the same holds for a centre between two pixels
        assert (difference > 0).sum() <= 10
    else:
        assert difference.max() <= 1


# Not compared: at odd whole ratios GDAL's Lanczos does not smooth at all (it takes the centred kernel for an
# identity), and its mode counts a pixel that is touched as much as one that is covered.
COARSER = [
    (m, step)
    for m in (*FILTERS, *STATISTICS)
    for step in (25, 30, 50)
    if (m, step) not in {("lanczos", 30), ("lanczos", 50), ("mode", 25)}
]


@pytest.mark.parametrize(("method", "step"), COARSER)
def test_coarser_pixels_are_those_of_gdal(method: str, step: int) -> None:
    values, valid = scene(SOURCE, 2, 0.2)
    if method == "mode":
        values = np.where(valid, values // 2000 + 1, 0).astype(np.uint16)
    target = inner(SOURCE.project(Grid.snapped(32631, step)), SOURCE, 0)
    expected = warp(values, SOURCE, target, method, 0, 10 / step)
    made, mask = resample(values, valid, SOURCE, index_map(UTM, target), method)
    mask = np.ones(made.shape, bool) if mask is None else mask
    if method == "lanczos":  # GDAL gives up more pixels beside nulls
        assert mask[expected != 0].all()
    else:
        np.testing.assert_array_equal(mask, expected != 0)
    both = mask & (expected != 0)
    assert np.abs(made[both].astype(int) - expected[both]).max() <= 1


def lanczos(d: np.ndarray) -> np.ndarray:
    return np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0.0)


def test_lanczos_three_times_coarser_is_the_stretched_kernel() -> None:
    values = np.random.default_rng(3).normal(size=SOURCE.shape)
    target = inner(SOURCE.project(Grid.snapped(32631, 30)), SOURCE, 0)
    made, mask = resample(values, None, SOURCE, index_map(UTM, target), "lanczos")
    assert mask is None
    x = (target.x_centres()[:, None] / 10 - SOURCE.x0 - 0.5 - np.arange(SOURCE.width)[None, :]) / 3
    y = (-target.y_centres()[:, None] / 10 - SOURCE.y0 - 0.5 - np.arange(SOURCE.height)[None, :]) / 3
    wx, wy = lanczos(x), lanczos(y)
    expected = (wy / wy.sum(1, keepdims=True)) @ values @ (wx / wx.sum(1, keepdims=True)).T
    np.testing.assert_allclose(made, expected, atol=1e-12)


def test_mode_weighs_by_area() -> None:
    source = Box(UTM, 0, 0, 5, 5)
    values = np.array([[1, 1, 2, 3, 3]] * 5, np.uint8)  # a 25 m pixel covers 2 columns of 1 and half of 2
    values[:, 1] = 2
    target = Box(Grid.snapped(32631, 25), 0, 0, 2, 2)
    made, _ = resample(values, None, source, index_map(UTM, target), "mode")
    np.testing.assert_array_equal(made, [[2, 3], [2, 3]])


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_real_bands_warp_as_in_gdal(method: str, real_data: Path) -> None:
    """Flanders, 10 m and 20 m bands to EPSG:3035 at 10 m, no-data included."""
    paths = sorted((real_data / "flanders-2019").rglob("*.tif"))
    bands = [p for p in paths if any(n in p.name.lower() for n in ("red", "b04", "b11", "swir16", "nir"))][:6]
    assert bands
    worst = 0
    for path in bands:
        with rasterio.open(path) as file:
            values = file.read(1)
            grid = Grid.of_transform(file.crs.to_string(), file.transform)
            source = grid.box_of_transform(file.transform, file.width, file.height)
        target = source.project(Grid.snapped(3035, 10), 2)
        expected = warp(values, source, target, method, 0)
        made, mask = resample(values, values != 0, source, index_map(grid, target), method)
        mask = np.ones(made.shape, bool) if mask is None else mask
        both = mask & (expected != 0)
        assert (mask & (made != 0) != (expected != 0)).sum() <= 1
        if both.any():
            worst = max(worst, int(np.abs(made[both].astype(int) - expected[both]).max()))
    assert worst <= 1


@pytest.mark.parametrize("name", ["granule", "s2"])
def test_real_granules_at_120_m_are_warped_into_another_zone_as_in_gdal(name: str, real_data: Path) -> None:
    paths = sorted((real_data / "s2-earthsearch").rglob("*.tif"))
    assert paths
    path = paths[0] if name == "granule" else paths[-1]
    with rasterio.open(path) as file:
        values = file.read(1)
        grid = Grid.of_transform(file.crs.to_string(), file.transform)
        whole = grid.box_of_transform(file.transform, file.width, file.height)
    source = Box(
        grid, whole.x0, whole.y0, whole.x0 + min(300, whole.width), whole.y0 + min(300, whole.height)
    )
    values = np.ascontiguousarray(values[: source.height, : source.width])
    target = source.project(Grid.snapped(3035, 60), 2)
    expected = warp(values, source, target, "bilinear", 0, 2.0)
    made, mask = resample(values, values != 0, source, index_map(grid, target), "bilinear")
    mask = np.ones(made.shape, bool) if mask is None else mask
    assert ((mask & (made != 0)) != (expected != 0)).sum() <= 3
    both = mask & (expected != 0)
    assert np.abs(made[both].astype(int) - expected[both]).max() <= 1


# --- independent of windows ---------------------------------------------------------------------------------

TARGETS = {
    "same grid": Grid(UTM.crs, 10.0, 10.0),
    "shifted": Grid(UTM.crs, 10.0, 10.0, 3.0, 4.0),
    "finer": Grid.snapped(32631, 7),
    "coarser": Grid.snapped(32631, 35),
    "another projection": Grid.snapped(3035, 10),
    "another projection, coarser": Grid.snapped(3035, 40),
    "degrees, coarser": Grid.snapped(4326, 0.0004, 0.0003),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TARGETS)
def test_no_window_changes_a_bit(name: str, method: str) -> None:
    small = Box(UTM, 50000, -560000, 50045, -559960)
    values, valid = scene(small, 4, 0.2, np.float32)  # type: ignore[arg-type]
    target = small.project(TARGETS[name], 2)
    whole, mask = resample(values, valid, small, index_map(UTM, target), method)
    mask = np.ones(whole.shape, bool) if mask is None else mask
    for window in target.windows(13, 9):
        need = window.project(UTM, support(method, UTM, window)).intersect(small)
        at = need.slices_in(small)
        made, part = resample(values[at], valid[at], need, index_map(UTM, window), method)
        part = np.ones(made.shape, bool) if part is None else part
        place = window.slices_in(target)
        np.testing.assert_array_equal(part, mask[place])
        np.testing.assert_array_equal(made[part], whole[place][part])


# --- small certainties --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_stays_that_constant_in_its_own_type(dtype: str, method: str) -> None:
    source = Box(UTM, 0, 0, 30, 30)
    values = np.full((2, *source.shape), 7, dtype)
    target = inner(source.project(Grid.snapped(32631, 20)), source, 3)
    made, mask = resample(values, None, source, index_map(UTM, target), method)
    assert mask is None
    assert made.dtype == values.dtype
    assert made.shape == (2, *target.shape)
    np.testing.assert_allclose(made, 28 if method == "sum" else 7, rtol=1e-6)


@given(st.sampled_from(["bilinear", "cubic", "average", "lanczos"]), st.integers(0, 1000))
def test_integers_do_not_leave_their_range(method: str, seed: int) -> None:
    source = Box(UTM, 0, 0, 12, 12)
    values = (np.random.default_rng(seed).random(source.shape) < 0.5).astype(np.uint8) * np.uint8(255)
    target = source.project(Grid.snapped(32631, 4))
    made, _ = resample(values, None, source, index_map(UTM, target), method)
    exact, _ = resample(values.astype(np.float64), None, source, index_map(UTM, target), method)
    np.testing.assert_array_equal(made, np.clip(np.floor(exact + 0.5), 0, 255).astype(np.uint8))


def test_a_null_centre_is_null_and_a_null_neighbour_has_no_weight() -> None:
    source = Box(UTM, 0, 0, 3, 1)
    values = np.array([[10, 99, 30]], np.uint8)
    valid = np.array([[True, False, True]])
    target = Box(Grid.snapped(32631, 5, 10), 0, 0, 6, 1)
    made, mask = resample(values, valid, source, index_map(UTM, target), "bilinear")
    assert mask is not None
    assert mask.tolist() == [[True, True, False, False, True, True]]
    assert made.tolist() == [[10, 10, 0, 0, 30, 30]]


def test_booleans_are_counted_but_never_averaged() -> None:
    source = Box(UTM, 0, 0, 3, 3)
    values = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]], bool)
    target = Box(Grid.snapped(32631, 30), 0, 0, 1, 1)
    imap = index_map(UTM, target)
    assert resample(values, None, source, imap, "mode")[0].tolist() == [[True]]
    assert resample(values, None, source, imap, "min")[0].tolist() == [[False]]
    with pytest.raises(ProcessParameterInvalid, match="Boolean values cannot be resampled with 'bilinear'"):
        resample(values, None, source, imap, "bilinear")
    with pytest.raises(ProcessParameterInvalid, match="'geocode' is not a resampling method"):
        resample(values, None, source, imap, "geocode")


def test_a_point_that_the_projection_does_not_know_is_null() -> None:
    source = Box(Grid.snapped(32631, 10000), 0, -900, 100, 0)
    target = Box(Grid.snapped(4326, 10), -18, -9, 18, 9)
    values = np.ones(source.shape, np.float32)
    _, mask = resample(values, None, source, index_map(source.grid, target), "near")
    assert mask is not None
    assert mask.any()
    assert not mask[:, 0].any()
