"""The SCL dilation mask against the federation's process graph, computed with SciPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal

from acreage.core.cube import Cube
from acreage.core.errors import LabelNotAvailable, ProcessParameterInvalid
from acreage.processes.scl_dilation import gaussian
from support.harness import (
    assert_same,
    dates,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

CLEAR, CLOUD = (2, 4, 5, 6, 7), (3, 8, 9, 10, 11)


def scl_cube(seed: int, width: int, height: int, nulls: float = 0.1, t: bool = True) -> Cube:
    """Clear land with a few clouds; nulls beside."""
    meta = raster_meta(
        t=dates("2019-03-01", "2019-03-06") if t else None,
        bands=("SCL",),
        width=width,
        height=height,
        dtype=np.uint8,
    )
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=meta.shape), (0,) * (len(meta.shape) - 2) + (2, 2))
    values = np.where(noise > 0.25, 9, np.where(noise < -0.28, 0, 4)).astype(np.uint8)
    return Cube.of(values, rng.random(meta.shape) >= nulls, meta)


def plain_gaussian(size: int) -> np.ndarray:
    """The two-dimensional kernel as a table, as the federation's process graph holds it."""
    y, x = np.indices((size, size)) - size // 2
    table = np.exp(-(x**2 + y**2) / (2 * (size / 6) ** 2))
    return table / table.sum()


def plain_mask(cube: Cube, erosion: int, first: int, second: int) -> np.ndarray:
    """The process graph step by step, with two-dimensional convolutions and zero borders."""
    found = np.zeros(cube.values.shape, bool)
    flat = cube.values.reshape(-1, *cube.values.shape[-2:])
    known = cube.validity().reshape(flat.shape)
    for layer, valid, out in zip(flat, known, found.reshape(flat.shape), strict=True):
        one, two = ~(np.isin(layer, CLEAR) & valid), np.isin(layer, CLOUD) & valid
        plain = one
        if erosion:
            one, two = (ndimage.binary_erosion(m, plain_disc(erosion), border_value=1) for m in (one, two))
        wide = signal.convolve2d(two.astype(float), plain_gaussian(second), mode="same") > 0.025
        if first:
            plain = signal.convolve2d(one.astype(float), plain_gaussian(first), mode="same") > 0.057
        out[...] = plain | wide
    return found


def plain_disc(size: int) -> np.ndarray:
    """The back end's structuring element: pixels at most `size // 2` away from the middle."""
    y, x = np.indices((size, size)) - size // 2
    return x**2 + y**2 <= (size // 2) ** 2


def test_the_kernels_are_those_of_the_federations_process_graph() -> None:
    """Numbers read off mask_scl_dilation's tables of 17 x 17 and 201 x 201: middle, and corner."""
    small, large = gaussian(17), gaussian(201)
    assert small[8] ** 2 == pytest.approx(0.019927617993936483, abs=1e-12)
    assert large[100] ** 2 == pytest.approx(0.00014258631398167082, abs=1e-12)
    assert large[0] ** 2 == pytest.approx(1.9240785667560563e-08, abs=1e-15)
    for size in (17, 201):
        np.testing.assert_allclose(np.outer(gaussian(size), gaussian(size)), plain_gaussian(size), atol=1e-17)


@given(
    st.integers(0, 999),
    st.sampled_from([0, 1, 3, 5]),
    st.sampled_from([0, 1, 3, 7]),
    st.sampled_from([1, 5, 9]),
    window_sizes,
)
def test_the_mask_by_windows_is_the_process_graphs(
    seed: int, erosion: int, first: int, second: int, size: tuple[int, int]
) -> None:
    cube = scl_cube(seed, 11, 9)
    arguments = {
        "data": cube,
        "erosion_kernel_size": erosion,
        "kernel1_size": first,
        "kernel2_size": second,
    }
    made = run_eager("to_scl_dilation_mask", **arguments)
    assert made.values.dtype == bool
    assert made.meta.dims == cube.meta.dims
    np.testing.assert_array_equal(made.values, plain_mask(cube, erosion, first, second))
    assert_same(run_windowed("to_scl_dilation_mask", *size, **arguments), made)


def test_erosion_takes_single_pixels_out_of_both_masks_and_a_disc_leaves_a_cross() -> None:
    meta = raster_meta(bands=("SCL",), width=9, height=9, dtype=np.uint8)
    values = np.full(meta.shape, 4, np.uint8)
    values[..., 1, 1] = 9
    arguments = {"kernel1_size": 1, "kernel2_size": 1}
    lonely = Cube.of(values.copy(), None, meta)
    assert run_eager("to_scl_dilation_mask", data=lonely, **arguments).values.sum() == 1
    assert not run_eager("to_scl_dilation_mask", data=lonely, erosion_kernel_size=3, **arguments).values.any()
    for y, x in ((5, 5), (4, 5), (6, 5), (5, 4), (5, 6)):
        values[..., y, x] = 9
    cross = run_eager(
        "to_scl_dilation_mask", data=Cube.of(values, None, meta), erosion_kernel_size=3, **arguments
    )
    assert np.argwhere(cross.values.reshape(9, 9)).tolist() == [[5, 5]]


def test_nulls_are_masked_and_their_neighbours_with_them_unless_no_data_counts_as_clear() -> None:
    meta = raster_meta(bands=("SCL",), width=40, height=40, dtype=np.uint8)
    values = np.full(meta.shape, 4, np.uint8)
    valid = np.ones(meta.shape, bool)
    valid[..., :20] = False  # the edge of a swath
    made = run_eager("to_scl_dilation_mask", data=Cube.of(values, valid, meta)).values.reshape(40, 40)
    assert made[20, :20].all()
    assert made[20, 20:24].all()
    assert not made[20, 28:].any()
    with_zero = {"mask1_values": [0, 2, 4, 5, 6, 7]}
    assert not run_eager("to_scl_dilation_mask", data=Cube.of(values, valid, meta), **with_zero).values.any()


def test_default_kernels_by_windows() -> None:
    cube = scl_cube(3, 150, 130, t=False)
    made = run_eager("to_scl_dilation_mask", data=cube)
    assert made.values.any()
    assert not made.values.all()
    np.testing.assert_array_equal(made.values, plain_mask(cube, 0, 17, 201))
    assert_same(run_windowed("to_scl_dilation_mask", 64, 47, data=cube), made)


def test_the_real_scene_classification(real_data: Path) -> None:
    paths = sorted((real_data / "flanders-2019").rglob("*[sS][cC][lL]*.tif"))
    assert paths
    chosen = paths[:: max(len(paths) // 6, 1)][:6]
    layers = []
    for path in chosen:
        with rasterio.open(path) as file:
            layers.append(file.read(1))
    values = np.stack(layers)[:, None]
    meta = raster_meta(
        t=tuple(np.datetime64("2019-03-01", "ms") + np.timedelta64(i, "D") for i in range(len(layers))),
        bands=("SCL",),
        width=values.shape[-1],
        height=values.shape[-2],
        dtype=values.dtype,
    )
    cube = Cube.of(values, values != 0, meta)
    made = run_eager("to_scl_dilation_mask", data=cube)
    np.testing.assert_array_equal(made.values, plain_mask(cube, 0, 17, 201))
    assert made.values.mean(axis=(1, 2, 3)).std() > 0  # clear and cloudy dates differ


# --- mask_scl_dilation --------------------------------------------------------------------------------------


@given(st.integers(0, 99), window_sizes)
def test_mask_scl_dilation_is_the_mask_applied(seed: int, size: tuple[int, int]) -> None:
    scl = scl_cube(seed, 9, 8)
    meta = replace(scl.meta.with_dim("bands", replace(scl.meta.dim("bands"), labels=("B04", "SCL", "B08"))))
    data = fill(meta, seed, 0.1)
    known = data.validity().copy()
    data.values[:, 1:2] = scl.values
    known[:, 1:2] = scl.validity()
    data = Cube.of(data.values, known, meta)
    made = run_eager("mask_scl_dilation", data=data)
    assert_same(run_windowed("mask_scl_dilation", *size, data=data), made)
    by_hand = run_eager("mask", data=data, mask=run_eager("to_scl_dilation_mask", data=scl))
    np.testing.assert_array_equal(made.validity(), by_hand.validity())


def test_the_band_is_found_or_asked_for() -> None:
    data = raster_meta(bands=("B04", "SCENE_SCL"), dtype=np.uint8)
    assert describe("mask_scl_dilation", data=data) == data
    with pytest.raises(LabelNotAvailable, match="finds 0 scene classification bands among B04"):
        describe("mask_scl_dilation", data=raster_meta(bands=("B04",)))
    with pytest.raises(LabelNotAvailable, match="no label 'CLASS'"):
        describe("mask_scl_dilation", data=data, scl_band_name="CLASS")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel1_size": 16}, "`kernel1_size` is 16"),
        ({"kernel2_size": 0}, "`kernel2_size` is 0"),
        ({"erosion_kernel_size": 2.5}, "`erosion_kernel_size` is 2.5"),
        ({"mask1_values": 4}, "`mask1_values` is 4"),
    ],
)
def test_wrong_sizes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProcessParameterInvalid, match=message):
        describe("to_scl_dilation_mask", data=raster_meta(bands=("SCL",), dtype=np.uint8), **arguments)


def test_several_bands_are_refused() -> None:
    with pytest.raises(ProcessParameterInvalid, match="was given the bands B04, SCL"):
        describe("to_scl_dilation_mask", data=raster_meta(bands=("B04", "SCL"), dtype=np.uint8))
