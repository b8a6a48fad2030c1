from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.temporal import period_label, period_start
from acreage.croptype.features import feature_matrix, fit_features
from acreage.croptype.series import Samples
from acreage.croptype.udf_source.crop_type_udf import dekad_of, features
from support.croptype_samples import make_samples

FILLS = (np.nan, np.inf, -np.inf)


def test_scaled_channels_have_mean_zero_and_deviation_one(samples: Samples) -> None:
    spec = fit_features(samples)
    made = features(samples.values, spec)
    for i, channel in enumerate(spec.temporal):
        known = made.series[:, i][made.observed[:, spec.sensors.index(channel.sensor)]].astype(float)
        assert abs(known.mean()) < 0.02, channel.name
        assert abs(known.std() - 1) < 0.05, channel.name


def test_channels_are_what_their_formulas_say(samples: Samples) -> None:
    spec = fit_features(samples)
    raw = {band: samples.values[:, :, i].astype(float) for i, band in enumerate(samples.bands)}
    expected = {
        "B04": raw["B04"],
        "NDVI": (raw["B08"] - raw["B04"]) / (raw["B08"] + raw["B04"]),
        "VV": 10 * np.log10(raw["VV"]),
    }
    made = features(samples.values, spec)
    for i, channel in enumerate(spec.temporal):
        if channel.name in expected:
            wanted = np.nan_to_num((expected[channel.name] - channel.offset) / channel.scale)
            np.testing.assert_allclose(made.series[:, i], wanted.clip(-6, 6), atol=1e-4)


@given(st.data())
def test_what_stands_in_a_missing_observation_never_matters(data: st.DataObject) -> None:
    values = _values(data.draw(st.integers(0, 2**32 - 1)))
    missing = np.isnan(values).any(axis=2) & (np.arange(values.shape[1]) % 2 == 0)
    fills = np.array(data.draw(st.lists(st.sampled_from(FILLS), min_size=3, max_size=3)), np.float32)
    other = values.copy()
    # One band of a sensor missing makes the whole sensor's step missing, so its other bands may be anything.
    for sensor in (slice(0, 5), slice(5, 7)):
        gone = np.isnan(values[:, :, sensor]).any(axis=2) & missing
        part = other[:, :, sensor]
        part[gone] = fills[np.arange(part.shape[2]) % 3]
    np.testing.assert_array_equal(features(values, _SPEC).series, features(other, _SPEC).series)


def test_backscatter_without_a_logarithm_counts_as_missing(samples: Samples) -> None:
    spec = fit_features(samples)
    broken = samples.values.copy()
    broken[:, 4, 5] = 0
    broken[:, 5, 6] = -0.001
    made = features(broken, spec)
    radar = spec.sensors.index("S1")
    assert not made.observed[:, radar, 4:6].any()
    assert np.isfinite(made.series).all()


def test_the_matrix_for_other_classifiers_holds_the_same_numbers(samples: Samples) -> None:
    spec = fit_features(samples)
    made, matrix = features(samples.values, spec), feature_matrix(samples.values, spec)
    count = len(spec.temporal)
    assert matrix.shape == (len(samples), count * 24 + 1)
    np.testing.assert_array_equal(
        np.nan_to_num(matrix[:, :-1]), made.series[:, :count].reshape(len(samples), -1)
    )
    optical = np.isnan(samples.values[:, :, 0])
    np.testing.assert_array_equal(np.isnan(matrix[:, :24]), optical)


@given(st.dates(date(1990, 1, 1), date(2060, 12, 31)))
def test_dekads_are_those_of_the_engine(day: date) -> None:
    start = period_start("dekad", datetime(day.year, day.month, day.day))
    assert dekad_of(day.isoformat()) == start.strftime("%m-%d")
    assert dekad_of(np.datetime64(day.isoformat(), "ns")) == start.strftime("%m-%d")
    assert dekad_of(period_label("dekad", start)) == start.strftime("%m-%d")


@pytest.mark.parametrize("label", ["2019-00", "2019-37", "summer", "2019"])
def test_labels_that_name_no_dekad_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="neither a date nor a dekad"):
        dekad_of(label)


def test_series_of_more_than_a_year_and_unknown_bands_are_refused(samples: Samples) -> None:
    twice = tuple(d.replace(year=2020) for d in samples.dekads)
    with pytest.raises(InvalidInput, match="more than a year"):
        fit_features(
            replace(
                samples,
                dekads=samples.dekads + twice,
                values=np.concatenate([samples.values, samples.values], axis=1),
            )
        )
    with pytest.raises(InvalidInput, match="'SWIR' belongs to no known sensor"):
        fit_features(replace(samples, bands=("SWIR", *samples.bands[1:])))


def _values(seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.01, 4000, (6, 24, 8)).astype(np.float32)
    values[rng.random((6, 24)) < 0.4, 0] = np.nan
    values[rng.random((6, 24)) < 0.2, 5] = np.nan
    return values


_SPEC = fit_features(make_samples(40))
