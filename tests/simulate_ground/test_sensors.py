"""What the simulated sensors see: windows agree with the whole, and errors are as frequent as stated."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.simulate_ground.conftest import places

from acreage.core.errors import InvalidInput
from acreage.simulate.curves import BANDS, Phenology
from acreage.simulate.ground import Ground, Patch
from acreage.simulate.optics import HAZE, digital_numbers, optical
from acreage.simulate.radar import moisture, sigma0, speckle
from acreage.simulate.scales import Scales, SceneErrors
from acreage.simulate.scene_classes import (
    BARE,
    CIRRUS,
    CLOUD_HIGH,
    CLOUD_MEDIUM,
    DARK,
    DEFECTIVE,
    SHADOW,
    SNOW,
    UNCLASSIFIED,
    VEGETATION,
    WATER,
)
from acreage.simulate.sky import SkyPatch
from acreage.simulate.surface import B10, B20, B60, BANDS_10, reflectance, sensor_surface

DAY = date(2021, 6, 3)
SIZE = 360
NONE = SceneErrors(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def patch(ground: Ground) -> Patch:
    return ground.at(*places(4_010_000.0, 2_990_000.0, SIZE, SIZE))


def sky_of(
    shape: tuple[int, int], cloud: float = 0, cirrus: float = 0, haze: float = 0, shadow: float = 0
) -> SkyPatch:
    return SkyPatch(*(np.full(shape, v, np.float32) for v in (cloud, cirrus, haze, shadow)))


def gradient(size: int = SIZE // 2) -> SkyPatch:
    """Clouds growing eastward, shadows where there are none, cirrus growing southward."""
    cloud = np.clip(np.linspace(-1, 1.5, size), 0, 1)
    shadow = np.clip(np.linspace(1.2, -1.5, size), 0, 1) * (1 - cloud)
    fields = (
        np.broadcast_to(v, (size, size)) for v in (cloud, np.linspace(0, 0.5, size)[:, None], 0.2, shadow)
    )
    return SkyPatch(*(np.ascontiguousarray(v, np.float32) for v in fields))


def window_of(sky: SkyPatch, rows: slice, columns: slice) -> SkyPatch:
    parts = (sky.cloud, sky.cirrus, sky.haze, sky.shadow)
    return SkyPatch(*(np.ascontiguousarray(p[rows, columns]) for p in parts))


@given(st.integers(0, 29), st.integers(0, 29), st.integers(1, 30))
def test_a_window_is_seen_like_the_whole(
    phenology: Phenology, patch: Patch, scales: Scales, left: int, top: int, size: int
) -> None:
    sky, errors = gradient(), scales.errors
    whole = optical(phenology, patch, sky, DAY, "A", (1200, 600), errors)
    x, y, n = left * 12, top * 12, min(size, 30 - max(left, top)) * 12
    rows, columns = slice(y // 2, (y + n) // 2), slice(x // 2, (x + n) // 2)
    part = optical(
        phenology,
        patch[y : y + n, x : x + n],
        window_of(sky, rows, columns),
        DAY,
        "A",
        (1200 + x, 600 + y),
        errors,
    )
    assert np.array_equal(part.scl, whole.scl[rows, columns])
    assert set(part.bands) == set(BANDS)
    for name, values in part.bands.items():
        step = SIZE // whole.bands[name].shape[0]
        assert np.array_equal(
            values, whole.bands[name][y // step : (y + n) // step, x // step : (x + n) // step]
        )


def test_datatakes_and_bands_have_noise_of_their_own(phenology: Phenology, patch: Patch) -> None:
    clear = sky_of((SIZE // 2, SIZE // 2))
    truth = sensor_surface(phenology, patch, DAY)
    left = {}
    for key in ("A", "B"):
        image = optical(phenology, patch, clear, DAY, key, (0, 0), NONE)
        for metres, names in ((10, B10), (20, B20), (60, B60)):
            for i, name in enumerate(names):
                rest = image.bands[name] / truth[metres][i]
                left[key, name] = image.bands[name] - np.median(rest) * truth[metres][i]
                assert 0.95 < np.median(rest) < 1.05
                assert 0.001 < left[key, name].std() < 0.006
    for a, b in (
        (("A", "red"), ("B", "red")),
        (("A", "red"), ("A", "nir")),
        (("A", "swir16"), ("A", "rededge1")),
    ):
        assert abs(np.corrcoef(left[a].ravel(), left[b].ravel())[0, 1]) < 0.02


def test_without_noise_a_clear_sky_shows_the_ground(phenology: Phenology, patch: Patch) -> None:
    image = optical(phenology, patch, sky_of((SIZE // 2, SIZE // 2)), DAY, 1, (0, 0), NONE, noise=0.0)
    truth = dict(zip(BANDS, reflectance(phenology, patch, DAY, BANDS), strict=True))
    for name, values in image.bands.items():
        step = SIZE // values.shape[0]
        mean = truth[name].reshape(SIZE // step, step, SIZE // step, step).mean(axis=(1, 3))
        assert np.allclose(values, mean, atol=3e-6), name
    assert reflectance(phenology, patch, DAY).shape == (len(BANDS_10), SIZE, SIZE)


def test_haze_brightens_the_blue_most_and_shadows_darken(phenology: Phenology, patch: Patch) -> None:
    half = (SIZE // 2, SIZE // 2)
    clear, hazy, dark, white = (
        optical(phenology, patch, sky, DAY, 1, (0, 0), NONE, noise=0.0).bands
        for sky in (sky_of(half), sky_of(half, haze=1.0), sky_of(half, shadow=1.0), sky_of(half, cloud=1.0))
    )
    added = {b: float((hazy[b] - clear[b]).mean()) for b in BANDS}
    assert added["blue"] > added["red"] > added["swir22"]
    assert added["coastal"] < max(HAZE)
    for band in BANDS:
        assert (dark[band] < clear[band] + 1e-6).all()
        assert (white[band] > 0.3).all()


def test_truth_changes_through_the_year(phenology: Phenology, patch: Patch) -> None:
    def ndvi(name: str, day: date) -> float:
        red, nir = reflectance(phenology, patch, day, ("red", "nir"))
        return float(((nir - red) / (nir + red))[patch.cover == phenology.index(name)].mean())

    spring, summer = date(2021, 5, 15), date(2021, 8, 10)
    assert ndvi("wheat", spring) > ndvi("wheat", summer) + 0.2
    assert ndvi("maize", summer) > ndvi("maize", spring) + 0.2


@pytest.mark.parametrize("offset", [0, 1000])
def test_digital_numbers_are_what_the_products_store(offset: int) -> None:
    values: NDArray[np.float32] = np.array([[0.0, 0.00004, 0.12345, 0.5, 7.0]], np.float32)
    outside = np.array([[False, False, False, True, False]])
    stored = digital_numbers(values, outside, offset)
    assert stored.dtype == np.uint16
    first = max(1, offset)
    assert stored.tolist() == [
        [first, first, 1235 + offset if offset else 1235, 0, 65535]
    ] or stored.tolist() == [[first, first, 1234 + offset, 0, 65535]]


# ---------------------------------------------------------------------------------- scene classification


def classes(phenology: Phenology, patch: Patch, errors: SceneErrors, **sky: float) -> NDArray[np.uint8]:
    return optical(phenology, patch, sky_of((SIZE // 2, SIZE // 2), **sky), DAY, "C", (0, 0), errors).scl


def test_without_errors_the_classes_are_right(phenology: Phenology, patch: Patch) -> None:
    usual = np.isin(classes(phenology, patch, NONE), (DEFECTIVE, DARK, VEGETATION, BARE, WATER, UNCLASSIFIED))
    assert usual.mean() > 0.999
    for sky, name in (
        ({"cloud": 1.0}, CLOUD_HIGH),
        ({"cloud": 0.4}, CLOUD_MEDIUM),
        ({"cirrus": 0.6}, CIRRUS),
        ({"shadow": 0.9}, SHADOW),
    ):
        assert (classes(phenology, patch, NONE, **sky) == name).mean() > 0.999


def test_errors_are_as_frequent_as_stated(phenology: Phenology, ground: Ground, scales: Scales) -> None:
    wide = ground.at(*places(4_010_000.0, 2_990_000.0, 1500, 1500))
    half = (750, 750)
    stated = scales.errors

    def shares(**sky: float) -> NDArray[np.float64]:
        scl = optical(phenology, wide, sky_of(half, **sky), DAY, "E", (0, 0), stated).scl
        return np.bincount(scl.ravel(), minlength=12) / scl.size

    thin, dense, shade = shares(cloud=0.42), shares(cloud=1.0), shares(shadow=0.9)
    missed = 1 - thin[[CLOUD_MEDIUM, CLOUD_HIGH]].sum()
    shade_seen = 1 - shade[SHADOW]
    shade_stated = 1 - (1 - stated.shadow_as_dark) * (1 - stated.shadow_as_water) * (1 - stated.shadow_missed)
    print(
        f"SCL errors, found / stated: missed cloud {missed:.3f} / {stated.missed_cloud:.3f}; "
        f"snow {dense[SNOW]:.3f} / {stated.cloud_as_snow:.3f}; "
        f"shadow not seen {shade_seen:.3f} / {shade_stated:.3f}"
    )
    assert missed == pytest.approx(stated.missed_cloud, abs=0.04)
    assert dense[SNOW] == pytest.approx(stated.cloud_as_snow, abs=0.03)
    assert shade_seen == pytest.approx(shade_stated, abs=0.08)
    clear = shares()
    assert clear[UNCLASSIFIED] == pytest.approx(stated.unclassified, abs=0.02)
    assert 0 < clear[CLOUD_MEDIUM] < 0.05


def test_all_classes_but_nodata_occur(phenology: Phenology, ground: Ground, scales: Scales) -> None:
    wide = ground.at(*places(4_010_000.0, 2_990_000.0, 1500, 1500))
    scl = optical(phenology, wide, gradient(750), DAY, "G", (0, 0), scales.errors).scl
    assert set(np.unique(scl)) == set(range(1, 12))


def test_what_does_not_fit_is_refused(phenology: Phenology, patch: Patch, scales: Scales) -> None:
    with pytest.raises(InvalidInput, match="at 20 m"):
        optical(phenology, patch, sky_of((SIZE, SIZE)), DAY, 1, (0, 0), scales.errors)
    with pytest.raises(InvalidInput, match="within a 20 m pixel"):
        optical(phenology, patch, sky_of((SIZE // 2, SIZE // 2)), DAY, 1, (1, 0), scales.errors)
    with pytest.raises(InvalidInput, match="must be even"):
        sensor_surface(phenology, patch[:3, :4], DAY)
    with pytest.raises(InvalidInput, match="no band B99"):
        reflectance(phenology, patch, DAY, ("B99",))
    assert (
        "coastal"
        not in optical(phenology, patch[:8, :8], sky_of((4, 4)), DAY, 1, (0, 0), scales.errors).bands
    )


# ----------------------------------------------------------------------------------------------- radar


@pytest.mark.parametrize("looks", [1.0, 4.4, 30.0])
def test_speckle_is_gamma_of_so_many_looks(looks: float) -> None:
    for factor in speckle("orbit 7", (0, 0), (600, 700), looks):
        assert factor.mean() == pytest.approx(1.0, abs=0.01)
        assert 1 / factor.var() == pytest.approx(looks, rel=0.03)
        assert abs(np.corrcoef(factor[:, 1:].ravel(), factor[:, :-1].ravel())[0, 1]) < 0.01
    vv, vh = speckle("orbit 7", (0, 0), (600, 700), looks)
    assert abs(np.corrcoef(vv.ravel(), vh.ravel())[0, 1]) < 0.01


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_speckle_of_a_window_is_that_of_the_whole(column: int, row: int) -> None:
    whole = speckle(5, (-50, -50), (130, 130), 4.4)
    part = speckle(5, (column, row), (30, 20), 4.4)
    for a, b in zip(part, whole, strict=True):
        assert np.array_equal(a, b[row + 50 : row + 80, column + 50 : column + 70])


def test_no_looks_are_no_speckle_and_negative_ones_refused() -> None:
    assert all((f == 1).all() for f in speckle(1, (0, 0), (4, 4), 0))
    with pytest.raises(InvalidInput, match="looks"):
        speckle(1, (0, 0), (4, 4), -1)


def test_backscatter_is_that_of_the_curves(phenology: Phenology, patch: Patch) -> None:
    plain = Patch(
        np.full(1, -1), np.array([phenology.index("maize")], np.uint8),
        np.zeros(1, np.uint8), np.zeros(1, np.uint8),
        np.ones(1, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32),
    )  # fmt: skip
    curve = phenology.covers[phenology.index("maize")].radar.on(np.array(float(DAY.timetuple().tm_yday)))
    for found, level in zip(sigma0(phenology, plain, None, DAY, "ascending"), curve, strict=True):
        assert 10 * np.log10(found[0]) == pytest.approx(level, abs=1e-3)


def test_orbit_incidence_slope_and_moisture_change_the_backscatter(
    phenology: Phenology, patch: Patch
) -> None:
    usual = sigma0(phenology, patch, None, DAY, "ascending")
    hill = np.cumsum(np.full((SIZE, SIZE), 2.0, np.float32), axis=1)  # rising eastward, one in five
    for other, sign in (
        (sigma0(phenology, patch, None, DAY, "descending"), -1),
        (sigma0(phenology, patch, None, DAY, "ascending", incidence=44.0), -1),
        (sigma0(phenology, patch, None, DAY, "ascending", wetness=2.0), 1),
        (sigma0(phenology, patch, hill, DAY, "ascending"), 1),
        (sigma0(phenology, patch, hill, DAY, "descending"), -1),
    ):
        for a, b in zip(other, usual, strict=True):
            change = 10 * np.log10(a / b)
            assert sign * np.median(change) > 0.01
            assert np.abs(change).max() < 4
    with pytest.raises(InvalidInput, match="no orbit"):
        sigma0(phenology, patch, None, DAY, "sideways")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="does not fit"):
        sigma0(phenology, patch, hill[:3], DAY, "ascending")


def test_moisture_is_smooth_in_space_and_time_and_the_same_from_every_request() -> None:
    x, y = places(3.5e6, 3.5e6, 150, 150, 10_000.0)
    days = [date(2021, 4, 1), date(2021, 4, 2), date(2021, 5, 20)]
    one, next_day, later = (moisture(x, y, d, 1) for d in days)
    assert np.array_equal(moisture(x[20:40, 3:9], y[20:40, 3:9], days[0], 1), one[20:40, 3:9])
    assert abs(one.mean()) < 0.3
    assert 0.6 < one.std() < 1.4
    assert np.corrcoef(one.ravel(), next_day.ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(one.ravel(), later.ravel())[0, 1]) < 0.3
    near = moisture(x[0, 0] + np.arange(100) * 10.0, np.full(100, y[0, 0]), days[0], 1)
    assert np.abs(np.diff(near)).max() < 0.01
