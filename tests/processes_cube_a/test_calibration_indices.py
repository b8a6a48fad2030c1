"""sar_backscatter on calibrated data, and ndvi against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.cube import Cube
from acreage.core.errors import (
    BandExists,
    DigitalElevationModelInvalid,
    DimensionAmbiguous,
    DimensionMissing,
    NirBandAmbiguous,
    ProcessParameterInvalid,
    RedBandAmbiguous,
)
from support.harness import (
    assert_same,
    cubes,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

SIGMA0 = {"sar:calibration": "sigma0-ellipsoid"}
S1 = raster_meta(bands=("VV", "VH")).with_attributes(SIGMA0)


@given(cube=cubes(bands=True), sizes=window_sizes, coefficient=st.sampled_from(["sigma0-ellipsoid", None]))
def test_calibrated_data_pass_through_where_the_coefficient_matches(
    cube: Cube, sizes: Any, coefficient: str | None
) -> None:
    calibrated = Cube(cube.values, cube.valid, cube.meta.with_attributes(SIGMA0))
    args = {"data": calibrated, "coefficient": coefficient}
    out = run_eager("sar_backscatter", **args)
    assert_same(out, calibrated)
    assert_same(out, run_windowed("sar_backscatter", *sizes, **args))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "calibrated to sigma0-ellipsoid, and sar_backscatter was asked for gamma0-terrain"),
        ({"coefficient": "sigma1"}, "not a coefficient"),
        ({"coefficient": "sigma0-ellipsoid", "mask": True}, "`mask`"),
        ({"coefficient": "sigma0-ellipsoid", "contributing_area": True}, "contributing_area"),
        ({"coefficient": "sigma0-ellipsoid", "local_incidence_angle": True}, "local_incidence_angle"),
        ({"coefficient": "sigma0-ellipsoid", "ellipsoid_incidence_angle": True}, "ellipsoid_incidence_angle"),
        ({"coefficient": "sigma0-ellipsoid", "options": {"tile_size": 256}}, "tile_size"),
    ],
)
def test_what_calibrated_data_cannot_give_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(
        ProcessParameterInvalid, match=says.split("`")[1] if "`" in says else says.split(",")[0]
    ):
        describe("sar_backscatter", data=S1, **arguments)


def test_sar_backscatter_needs_to_know_the_calibration() -> None:
    with pytest.raises(ProcessParameterInvalid, match="calibration is known"):
        describe("sar_backscatter", data=raster_meta(bands=("VV",)), coefficient=None)
    with pytest.raises(DimensionMissing):
        describe("sar_backscatter", data=raster_meta(), coefficient=None)


def test_elevation_model_and_noise_removal_are_held_against_what_the_collection_says() -> None:
    known = S1.with_attributes({"sar:elevation_model": "COPERNICUS_30", "sar:noise_removal": True})
    given_ = {"data": known, "coefficient": "sigma0-ellipsoid"}
    assert describe("sar_backscatter", **given_, elevation_model="COPERNICUS_30") == known
    with pytest.raises(DigitalElevationModelInvalid, match="COPERNICUS_30"):
        describe("sar_backscatter", **given_, elevation_model="SRTMGL1")
    with pytest.raises(ProcessParameterInvalid, match="noise"):
        describe("sar_backscatter", **given_, noise_removal=False)
    assert (
        describe("sar_backscatter", data=S1, coefficient="sigma0-ellipsoid", elevation_model="SRTMGL1") == S1
    )
    with pytest.raises(DigitalElevationModelInvalid):
        describe("sar_backscatter", data=S1, coefficient=None, elevation_model="SRTMGL1")


# --- ndvi ---------------------------------------------------------------------------------------------------


def _expected(cube: Cube, nir: int, red: int, axis: int) -> np.ndarray[Any, Any]:
    values = np.where(cube.validity(), cube.values.astype("f8"), np.nan)
    a, b = np.take(values, nir, axis), np.take(values, red, axis)
    with np.errstate(all="ignore"):
        return np.asarray((a - b) / (a + b))


@given(cube=cubes(bands=True, dtypes=("uint8", "uint16", "int16", "float32", "float64")), sizes=window_sizes)
def test_ndvi_is_the_normalised_difference_of_two_bands(cube: Cube, sizes: Any) -> None:
    axis = cube.meta.axis("bands")
    last = len(cube.meta.dims[axis].labels) - 1
    names = {"nir": cube.meta.dims[axis].labels[last], "red": "B01"}
    expected = _expected(cube, last, 0, axis)
    for target in (None, "NDVI"):
        args = {"data": cube, "target_band": target, **names}
        out = run_eager("ndvi", **args)
        index = out.values if target is None else np.take(out.values, -1, axis)
        valid = out.validity() if target is None else np.take(out.validity(), -1, axis)
        np.testing.assert_allclose(np.where(valid, index, np.nan), expected, rtol=2e-5, atol=1e-6)
        if target is not None:
            assert out.meta.dims[axis].labels == (*cube.meta.dims[axis].labels, "NDVI")
            kept = np.delete(out.values, -1, axis)
            np.testing.assert_array_equal(kept[cube.validity()], cube.values[cube.validity()])
        assert_same(out, run_windowed("ndvi", *sizes, **args))


def test_ndvi_finds_its_bands_by_common_name() -> None:
    cube = fill(raster_meta(bands=("B02", "B04", "B8A", "B08"), dtype=np.uint16), nulls=0)
    out = run_eager("ndvi", data=cube)
    assert out.values.dtype == np.float32
    np.testing.assert_allclose(
        np.where(out.validity(), out.values, np.nan), _expected(cube, 3, 1, 0), rtol=1e-6
    )
    meta = raster_meta(bands=("a", "b")).with_attributes(
        {"band:a:common_name": "red", "band:b:common_name": "nir"}
    )
    assert describe("ndvi", data=meta).names == ("y", "x")


def test_ndvi_of_bare_zeros_is_null() -> None:
    meta = raster_meta(bands=("B04", "B08"), dtype=np.uint8)
    zeros = Cube.of(np.zeros(meta.shape, np.uint8), None, meta)
    assert not run_eager("ndvi", data=zeros).validity().any()


def test_ndvi_errors() -> None:
    with pytest.raises(NirBandAmbiguous, match="B02, B04"):
        describe("ndvi", data=raster_meta(bands=("B02", "B04")))
    with pytest.raises(RedBandAmbiguous):
        describe("ndvi", data=raster_meta(bands=("B02", "B08")))
    with pytest.raises(BandExists):
        describe("ndvi", data=raster_meta(bands=("B04", "B08")), target_band="B04")
    with pytest.raises(DimensionAmbiguous):
        describe("ndvi", data=raster_meta())
