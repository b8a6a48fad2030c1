"""The simulated series of the architecture study, and its intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.pixel_series import BANDS, Recipe, Simulated, simulate

from acreage.croptype.metrics import paired_interval

SMALL = Recipe(regions=5, parcels=40)


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(SMALL, seed=3)


def test_the_same_seed_gives_the_same_series_and_another_seed_others(made: Simulated) -> None:
    np.testing.assert_array_equal(simulate(SMALL, seed=3).samples.values, made.samples.values)
    assert not np.array_equal(simulate(SMALL, seed=4).samples.values, made.samples.values, equal_nan=True)


def test_regions_are_for_training_or_for_scoring_and_labels_are_wrong_in_training_only(
    made: Simulated,
) -> None:
    samples = made.samples
    assert len(samples) == 5 * 40 * 2
    assert not set(samples.regions[made.training]) & set(samples.regions[~made.training])
    assert (made.noisy_labels == samples.labels)[~made.training].all()
    many = simulate(replace(SMALL, wrong_labels=1.0), seed=3)
    assert (many.noisy_labels != many.samples.labels)[many.training].mean() > 0.7


def test_only_the_ends_of_optical_series_are_missing_and_values_are_plausible(made: Simulated) -> None:
    optical = np.isfinite(made.samples.values[:, :, :10]).all(axis=2)
    steps = np.arange(24)
    for seen in optical:
        if seen.any():
            first, last = steps[seen][[0, -1]]
            assert seen[first : last + 1].all()
    assert 0 < (~optical[:, [0, -1]]).mean() < 0.5
    values = made.samples.values
    assert np.nanmin(values[:, :, :10]) > 0
    assert np.nanmax(values[:, :, :10]) < 12000
    decibels = 10 * np.log10(values[:, :, [BANDS.index("VV"), BANDS.index("VH")]])
    assert np.nanmin(decibels) > -40
    assert np.nanmax(decibels) < 5


def test_an_interval_holds_the_normal_ones_ends_and_widens_with_dependence() -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(0.02, 0.4, 3000)
    low, high = paired_interval(difference, np.arange(3000))
    error = 1.96 * difference.std() / np.sqrt(3000)
    assert abs(low - (difference.mean() - error)) < 0.1 * error
    assert abs(high - (difference.mean() + error)) < 0.1 * error
    # Every sample ten times says no more than once, if the copies share a block.
    copies, block = np.repeat(difference, 10), np.repeat(np.arange(3000), 10)
    assert paired_interval(copies, block) == pytest.approx((low, high))
    apart = paired_interval(copies, np.arange(30000))
    assert apart[1] - apart[0] < 0.5 * (high - low)
