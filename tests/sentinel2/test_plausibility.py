"""Offset and scale judged by pixels: no real scene is refused, each fault put into real pixels is found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reflectances import FAULTS, Scene, judged, real_scenes

from acreage.catalog.plausibility import (
    LEAST_DARK_SHARE,
    LEAST_NIR,
    MIN_PIXELS,
    MOST_COLLAPSED_SHARE,
    MOST_NIR,
    SCL_CODES,
    BandSample,
    judge_classes,
    judge_elevation,
    judge_numbers,
    judge_power,
    judge_reflectance,
)


@pytest.fixture(scope="module")
def scenes(real_data: Path) -> list[Scene]:
    return real_scenes(real_data)


def test_no_real_scene_is_refused(scenes: list[Scene]) -> None:
    states = Counter(judged(scene).state for scene in scenes)
    assert states == {"plausible": 45, "cannot tell": 31}
    assert len(scenes) == 76


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_in_every_scene_with_vegetation(scenes: list[Scene], fault: str) -> None:
    change, dn_offset = FAULTS[fault]
    missed = {}
    for scene in scenes:
        before, after = judged(scene).state, judged(scene, change, dn_offset)
        if before == "cannot tell":
            assert after.state == "cannot tell"  # clouds are not refused, faulty or not
        elif after.state != "implausible":
            missed[scene.name] = after
    assert missed == {}


def test_real_pixels_lie_far_from_the_thresholds(scenes: list[Scene]) -> None:
    figures = [v.figures for scene in scenes if (v := judged(scene)).state == "plausible"]
    assert min(f["dark share"] for f in figures) > 10 * LEAST_DARK_SHARE
    assert max(f["collapsed share"] for f in figures) < MOST_COLLAPSED_SHARE / 10
    assert min(f["B08 median"] for f in figures) > 2 * LEAST_NIR
    assert max(f["B08 median"] for f in figures) < MOST_NIR / 1.9


@pytest.mark.parametrize("scl", [0, 1, 3, 5, 6, 8, 9, 10, 11])
@pytest.mark.parametrize("brightness", [1, 300, 5000, 20000])
def test_snow_water_clouds_and_desert_cannot_be_told(scl: int, brightness: int) -> None:
    values = np.full((50, 50), brightness, np.uint16)
    samples = {band: BandSample(values, values != 0) for band in ("B02", "B04", "B08")}
    assert judge_reflectance(samples, np.full((50, 50), scl, np.uint8)).state == "cannot tell"


def test_without_a_classification_or_bands_nothing_is_told() -> None:
    values = np.full((50, 50), 1500, np.uint16)
    sample = BandSample(values, values != 0)
    scl = np.full((50, 50), 4, np.uint8)
    assert judge_reflectance({"B02": sample, "B04": sample}, None).state == "cannot tell"
    assert judge_reflectance({}, scl).state == "cannot tell"
    assert judge_reflectance({"B02": sample}, scl).state == "cannot tell"
    assert judge_reflectance({"B02": sample, "B04": sample}, scl).state == "implausible"


@given(st.integers(0, MIN_PIXELS - 1))
def test_a_few_pixels_are_no_evidence(number: int) -> None:
    scl = np.zeros(100, np.uint8)
    scl[:number] = 4
    values = np.full(100, 3000, np.uint16)
    samples = {band: BandSample(values, values != 0) for band in ("B02", "B04", "B08")}
    assert judge_reflectance(samples, scl).state == "cannot tell"


def test_bright_vegetation_along_clouds_is_no_evidence() -> None:
    """A cloudy scene, of which a few pixels at the clouds' edges are called vegetation."""
    rng = np.random.default_rng(3)
    scl = np.full(128 * 128, 9, np.uint8)
    scl[: 128 * 128 // 80] = 4
    values = rng.integers(1100, 5000, scl.size).astype(np.uint16)
    samples = {band: BandSample(values, values != 0) for band in ("B02", "B04", "B08")}
    assert judge_reflectance(samples, scl).state == "cannot tell"


def test_a_lake_without_reflectance_is_plausible() -> None:
    """Negative reflectances are written as 1: all of a clear lake in short wave infrared."""
    lake = np.ones(500, np.uint16)
    assert judge_numbers(lake, lake > 0, 0, zero_is_null=True).state == "plausible"
    assert judge_numbers(lake, lake > 0, 0, zero_is_null=False).state == "implausible"


def numbers(values: object, dtype: str = "uint16") -> np.ndarray:
    return np.asarray(values, dtype)


def test_constant_and_saturated_numbers_are_implausible() -> None:
    rng = np.random.default_rng(1)
    varied = rng.integers(200, 4000, 500).astype(np.uint16)
    valid = np.ones(500, bool)
    assert judge_numbers(varied, valid, 0, zero_is_null=True).state == "plausible"
    assert "are 1234" in judge_numbers(np.full_like(varied, 1234), valid, 0, zero_is_null=True).reason
    full = np.where(np.arange(500) < 400, 255, 3).astype(np.uint8)
    assert "80% of the pixels are saturated" in judge_numbers(full, valid, 0, zero_is_null=True).reason
    few = judge_numbers(np.full_like(varied, 1234), np.arange(500) < 20, 0, zero_is_null=True)
    assert few.state == "cannot tell"


@pytest.mark.parametrize(
    ("null", "believed", "dtype"),
    [(65535, 0, "uint16"), (0, 65535, "uint16"), (-9999, None, "float32"), (-32768, -9999, "int16")],
)
def test_a_null_value_that_nobody_stated_is_found(null: float, believed: float | None, dtype: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(200, 4000, 500).astype(dtype)
    values[:25] = null
    valid = np.ones(500, bool) if believed is None else values != believed
    verdict = judge_numbers(values, valid, believed, zero_is_null=True)
    assert (verdict.state, verdict.kind) == ("implausible", "nodata")
    assert f"5% of the pixels are {null:g}, a null value" in verdict.reason
    if null != 0:
        assert judge_numbers(values, values != null, null, zero_is_null=True).state == "plausible"


def test_power_and_decibels_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    power = rng.gamma(4.0, 0.02, 500)
    decibels, valid = 10 * np.log10(power), np.ones(500, bool)
    assert judge_power(power, valid, db=False).state == "plausible"
    assert judge_power(decibels, valid, db=True).state == "plausible"
    assert "these are dB" in judge_power(decibels, valid, db=False).reason
    assert "this is power" in judge_power(power, valid, db=True).reason
    assert (
        "which power cannot be"
        in judge_power(np.where(np.arange(500) < 50, -1, power), valid, db=False).reason
    )
    assert judge_power(decibels[:20], valid[:20], db=False).state == "cannot tell"


def test_fields_of_zero_power_are_a_null_value_that_nobody_states() -> None:
    rng = np.random.default_rng(2)
    power = rng.gamma(4.0, 0.02, (128, 128)).astype(np.float32)
    denoised = np.where(rng.random(power.shape) < 0.4, np.float32(0), power)
    swath = power.copy()
    swath[:, :12] = 0
    valid = np.ones(power.shape, bool)
    assert judge_power(denoised, valid, db=False).state == "plausible"
    verdict = judge_power(swath, valid, db=False)
    assert (verdict.state, verdict.kind) == ("implausible", "nodata")
    assert judge_power(swath, swath != 0, db=False).state == "plausible"


def test_elevations_and_classes() -> None:
    valid = np.ones(4, bool)
    assert judge_elevation(numbers([-430, 0, 8849, 3], "float32"), valid).state == "plausible"
    assert "not on Earth" in judge_elevation(numbers([0, 0, 99999, 3], "float32"), valid).reason
    assert judge_elevation(numbers([0] * 4), ~valid).state == "cannot tell"
    assert judge_classes(numbers([0, 4, 11, 9], "uint8"), valid, SCL_CODES).state == "plausible"
    assert (
        "codes such as 12, 200" in judge_classes(numbers([12, 200, 4, 4], "uint8"), valid, SCL_CODES).reason
    )
