"""The simulated sky has no seams, throws its shadows away from the sun, and is as cloudy as the real one."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.simulate_ground.conftest import places, script

from acreage.core.errors import InvalidInput
from acreage.core.grid import transformer
from acreage.simulate.scales import CloudScales, Scales
from acreage.simulate.sky import Sky, SkyPatch, means
from acreage.simulate.sun import sun_position

MOMENT = datetime(2021, 6, 3, 10, 50, tzinfo=UTC)


@pytest.fixture(scope="module")
def sky(scales: Scales) -> Sky:
    return Sky(3, scales.clouds)


@pytest.fixture(scope="module")
def partly(sky: Sky) -> tuple[datetime, tuple[float, float]]:
    """A moment and a corner (EPSG:3035) with broken clouds over 20 km."""
    for day in range(60):
        moment = MOMENT + timedelta(days=day)
        cover = (sky.at(*places(4.0e6, 3.0e6, 60, 60, 330.0), moment).cloud > 0.5).mean()
        if 0.2 < cover < 0.6:
            return moment, (4.0e6, 3.0e6)
    raise AssertionError("no broken clouds in sixty days")


def same(a: SkyPatch, b: SkyPatch) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def cut(patch: SkyPatch, window: tuple[slice, slice]) -> SkyPatch:
    return SkyPatch(*(getattr(patch, f.name)[window] for f in fields(patch)))


@given(st.integers(0, 190), st.integers(0, 190), st.integers(1, 200))
def test_a_window_has_the_sky_of_the_whole(
    sky: Sky, partly: tuple[datetime, tuple[float, float]], left: int, top: int, size: int
) -> None:
    moment, corner = partly
    x, y = places(*corner, 200, 200, 100.0)
    window = (slice(top, top + size), slice(left, left + size))
    assert same(sky.at(x[window], y[window], moment), cut(sky.at(x, y, moment), window))


def test_dates_and_seeds_have_skies_of_their_own(sky: Sky, scales: Scales) -> None:
    x, y = places(4.0e6, 3.0e6, 200, 200, 2000.0)
    one = sky.at(x, y, MOMENT)
    assert same(one, Sky(3, scales.clouds).at(x, y, MOMENT))
    for other in (sky.at(x, y, MOMENT + timedelta(days=5)), Sky(4, scales.clouds).at(x, y, MOMENT)):
        assert abs(np.corrcoef(one.cloud.ravel(), other.cloud.ravel())[0, 1]) < 0.35


def test_shadows_lie_away_from_the_sun(sky: Sky, partly: tuple[datetime, tuple[float, float]]) -> None:
    moment, corner = partly
    step, size = 50.0, 500
    x, y = places(*corner, size, size, step)
    patch = sky.at(x, y, moment)
    longitude, latitude = transformer("EPSG:3035", "EPSG:4326").transform(x[250, 250], y[250, 250])
    azimuth, _ = sun_position(moment, longitude, latitude)
    # Where in the plane the sun's direction points.
    towards = transformer("EPSG:4326", "EPSG:3035").transform(
        longitude + 0.01 * np.sin(np.radians(azimuth)) / np.cos(np.radians(latitude)),
        latitude + 0.01 * np.cos(np.radians(azimuth)),
    )
    direction = np.array([towards[0] - x[250, 250], towards[1] - y[250, 250]])
    direction /= np.hypot(*direction)

    def moved(metres: float) -> float:
        """Likeness of the shadow and of the cloud so far towards the sun."""
        dx, dy = direction * metres / step
        rows, columns = np.mgrid[200:300, 200:300]
        cloud = patch.cloud[np.rint(rows - dy).astype(int), np.rint(columns + dx).astype(int)]
        here = patch.cloud[200:300, 200:300]
        return float((np.minimum(cloud * (1 - here), patch.shadow[200:300, 200:300])).sum())

    lengths = np.arange(-8000.0, 8001.0, 400.0)
    best = float(lengths[np.argmax([moved(d) for d in lengths])])
    assert 300 < best < 8001
    assert not (patch.shadow > 1 - patch.cloud + 1e-6).any()


def test_the_sky_is_as_cloudy_as_the_real_one(scales: Scales, real_data: Path) -> None:
    fit = script("fit_scales")
    real = fit.site_statistics(real_data)
    ours = fit.simulated_site(scales.clouds, 1000, seed=11)
    print("clouds over 640 m: real", real, "simulated", {k: round(v, 3) for k, v in ours.items()})
    # 72 real dates: a standard error of 0.06 for a share of one half.
    for name in ("mean_cover", "share_clear", "share_overcast"):
        assert abs(ours[name] - real[name]) < 0.1, name
    assert abs(ours["share_cirrus"] - real["share_cirrus"]) < 0.04


def test_clouds_are_as_large_as_the_real_ones(scales: Scales, real_data: Path) -> None:
    fit = script("fit_scales")
    real = np.array(fit.granule_statistics(real_data)["differing"])
    ours = fit.simulated_granules(scales.clouds, wanted=2, seed=3)
    print("pixels that differ, by lag: real", real, "simulated", ours.round(3))
    assert np.abs(ours - real).max() < 0.25
    assert np.abs(ours - real).mean() < 0.15


def test_cloudless_skies_are_clear() -> None:
    patch = Sky(1, CloudScales(0.4, 0.5, 0.8, 0.1), cloudless=True).at(*places(4e6, 3e6, 9, 7), MOMENT)
    assert not any(getattr(patch, f.name).any() for f in fields(patch))


@pytest.mark.parametrize(
    ("moment", "place", "azimuth", "elevation"),
    [
        # Solar noon of the equinox at Greenwich's meridian, and of the solstices (declination 23.44 degrees).
        (datetime(2021, 3, 20, 12, 7, tzinfo=UTC), (0.0, 50.0), 180.0, 40.0),
        (datetime(2021, 6, 21, 12, 2, tzinfo=UTC), (0.0, 50.0), 180.0, 63.4),
        (datetime(2021, 12, 21, 11, 58, tzinfo=UTC), (0.0, 50.0), 180.0, 16.6),
        # The sun of the equinox rises due east at six o'clock local solar time.
        (datetime(2021, 3, 20, 6, 7, tzinfo=UTC), (0.0, 50.0), 90.0, 0.0),
    ],
)
def test_the_sun_stands_where_it_should(
    moment: datetime, place: tuple[float, float], azimuth: float, elevation: float
) -> None:
    found = sun_position(moment, *place)
    assert found[0] == pytest.approx(azimuth, abs=1.0)
    assert found[1] == pytest.approx(elevation, abs=0.8)


def test_shapes_that_do_not_fit_are_refused(sky: Sky) -> None:
    with pytest.raises(InvalidInput, match="no places"):
        sky.at(np.zeros(3), np.zeros(2), MOMENT)
    odd: NDArray[np.float32] = np.zeros((3, 4), np.float32)
    with pytest.raises(InvalidInput, match="whole multiple"):
        means(odd, 2)


def test_the_time_zone_in_which_a_moment_is_told_does_not_matter(sky: Sky) -> None:
    x, y = places(4.0e6, 3.0e6, 50, 50, 500.0)
    told = MOMENT.astimezone(timezone(timedelta(hours=2)))
    assert same(sky.at(x, y, MOMENT), sky.at(x, y, told))
    assert same(sky.at(x, y, MOMENT), sky.at(x, y, MOMENT.replace(tzinfo=None)))


def test_one_place_alone_has_the_sky_that_it_has_in_company(sky: Sky) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(3e6, 5e6, 300), rng.uniform(2e6, 4e6, 300)
    whole = sky.at(x, y, MOMENT)
    for k in range(0, 300, 10):
        alone = sky.at(x[k : k + 1], y[k : k + 1], MOMENT)
        assert all(getattr(alone, f.name)[0] == getattr(whole, f.name)[k] for f in fields(alone))
