"""Dekad medians and their interpolation on real pixels, against a few lines of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.engine_runs import WHOLE, assert_same_cube, run_cubes
from tests.support.real_site import (
    BANDS,
    CLOUDS,
    DEKADS,
    MONTH,
    Array,
    Observations,
    composite_graph,
    dekad_of,
    to_10m,
)

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube


def medians(seen: Observations) -> Array:
    """(dekads, bands, 64, 64): the median of what is neither null nor cloud, NaN where nothing is."""
    clear = [~np.isin(to_10m(scl), CLOUDS) & (to_10m(scl) != 0) for scl in seen.scl]
    result = np.full((len(DEKADS), len(BANDS), 64, 64), np.nan)
    for d, dekad in enumerate(DEKADS):
        members = [n for n, day in enumerate(seen.days) if dekad_of(day) == dekad]
        if not members:
            continue
        for b, band in enumerate(BANDS):
            stack = np.array([np.where(clear[n], to_10m(seen.bands[n][band]), 0) for n in members], float)
            stack[stack == 0] = np.nan
            known = np.isfinite(stack).any(axis=0)
            result[d, b, known] = np.nanmedian(stack[:, known], axis=0)
    return result


@pytest.fixture(scope="module")
def expected(observations: Observations) -> Array:
    return medians(observations)


@pytest.fixture(scope="module")
def composite(site_catalog: Catalog) -> Cube:
    return run_cubes(composite_graph(interpolate=False), site_catalog, threads=2)["result"]


def test_dekad_medians_equal_numpys_on_every_pixel_and_band(composite: Cube, expected: Array) -> None:
    assert composite.meta.names == ("t", "bands", "y", "x")
    assert composite.values.shape == expected.shape == (24, 10, 64, 64)
    assert composite.values.dtype == np.float32
    np.testing.assert_array_equal(composite.validity(), np.isfinite(expected))
    np.testing.assert_array_equal(composite.values, expected.astype(np.float32))


def test_medians_of_an_even_count_keep_their_halves(composite: Cube, expected: Array) -> None:
    halves = expected % 1 == 0.5
    assert halves.sum() > 10_000
    np.testing.assert_array_equal(composite.values[halves] % 1, 0.5)


def test_the_season_has_empty_dekads_and_each_has_its_label(
    composite: Cube, observations: Observations
) -> None:
    assert len(composite.meta.dim("t").labels) == 24
    seen = {dekad_of(day) for day in observations.days}
    empty = [n for n, d in enumerate(DEKADS) if d not in seen]
    assert empty
    assert not composite.validity()[empty].any()


@pytest.mark.parametrize("window", [8, 17, 64])
def test_medians_are_the_same_for_every_window(site_catalog: Catalog, window: int) -> None:
    graph = composite_graph(interpolate=True, season=MONTH)
    whole = run_cubes(graph, site_catalog)["filled"]
    assert_same_cube(whole, run_cubes(graph, site_catalog, window, threads=2)["filled"])


@pytest.mark.proof
@pytest.mark.parametrize("window", [8, 17, 64])
def test_medians_of_the_season_are_the_same_for_every_window(
    composite: Cube, site_catalog: Catalog, window: int
) -> None:
    made = run_cubes(composite_graph(interpolate=False), site_catalog, window, threads=2)["result"]
    assert_same_cube(composite, made)


def interpolated(series: Array) -> Array:
    """(dekads, pixels): numpy.interp between the first and the last valid dekad, NaN outside."""
    steps = np.arange(len(series), dtype=float)
    result = np.full(series.shape, np.nan)
    for p in range(series.shape[1]):
        known = np.flatnonzero(np.isfinite(series[:, p]))
        if len(known):
            inside = slice(known[0], known[-1] + 1)
            result[inside, p] = np.interp(steps[inside], steps[known], series[known, p])
    return result


def test_interpolation_equals_numpys_between_first_and_last_valid_dekad(
    site_catalog: Catalog, expected: Array
) -> None:
    made = run_cubes(composite_graph(interpolate=True), site_catalog, WHOLE, threads=2)["filled"]
    wanted = interpolated(expected.reshape(24, -1)).reshape(expected.shape)
    np.testing.assert_array_equal(made.validity(), np.isfinite(wanted))
    ends = (~np.isfinite(wanted)) & np.isfinite(wanted).any(axis=0)
    filled = np.isfinite(wanted) & ~np.isfinite(expected)
    assert ends.sum() > 1_000
    assert filled.sum() > 100_000
    # numpy.interp goes by slope and float64, so that the last bit of float32 may differ.
    valid = np.isfinite(wanted)
    np.testing.assert_array_max_ulp(made.values[valid], wanted[valid].astype(np.float32), maxulp=1)
    untouched = np.isfinite(expected)
    np.testing.assert_array_equal(made.values[untouched], expected[untouched].astype(np.float32))
