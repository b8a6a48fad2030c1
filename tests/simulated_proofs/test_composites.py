"""Composites against the noise-free truth (simulated): Sentinel-2 under clouds, Sentinel-1 with speckle."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.simulated_proofs.conftest import MAY, Simulate
from tests.simulated_proofs.graphs import Graph, observations, result, then

from acreage.core.cube import Cube
from acreage.simulate.archive import Archive
from acreage.simulate.surface import BANDS_10
from acreage.simulate.truth import reflectance

BANDS = ["B02", "B04", "B08", "B11"]
ASSETS = ("blue", "red", "nir", "swir16")
DEKADS = ((1, 10), (11, 20), (21, 31))
MEDIAN = {
    "process_graph": {
        "median": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    }
}
Float = NDArray[np.float64]


def composites(graph: Graph) -> Graph:
    return then(graph, "composite", "aggregate_temporal_period", period="dekad", reducer=MEDIAN)


def cloud_masked(archive: Archive) -> Graph:
    """As the crop type workflow masks: SCL with dilation, on the map's grid."""
    scl = then(
        observations(archive, ["SCL"]),
        "clouds",
        "to_scl_dilation_mask",
        erosion_kernel_size=3,
        kernel1_size=17,
        kernel2_size=77,
    )
    mask = then(scl, "mask_bands", "drop_dimension", name="bands")
    renamed = {f"m_{key}": renamed_inputs(node) for key, node in mask.items()}
    data = observations(archive, BANDS, "bilinear")
    return then({**renamed, **data}, "masked", "mask", mask={"from_node": "m_mask_bands"})


def renamed_inputs(node: dict[str, object]) -> dict[str, object]:
    arguments = dict(node["arguments"])  # type: ignore[call-overload]
    if "data" in arguments:
        arguments["data"] = {"from_node": f"m_{arguments['data']['from_node']}"}
    return {**node, "arguments": arguments}


def errors(cube: Cube, truth: Float) -> tuple[Float, Float]:
    """Median error and 90th percentile of its size by band, reflectance."""
    error = cube.values / 1e4 - truth
    valid = cube.validity()
    found = [error[:, b][valid[:, b]] for b in range(len(BANDS))]
    return np.array([np.median(e) for e in found]), np.array([np.percentile(abs(e), 90) for e in found])


@pytest.fixture(scope="module")
def truth(without_offset: Archive) -> Float:
    """Mean reflectance of the ground over the days of each dekad: (dekads, bands, rows, columns)."""
    means = []
    for first, last in DEKADS:
        days = [MAY.first + timedelta(day - 1) for day in range(first, last + 1, 3)]
        values = [reflectance(without_offset.settings, without_offset.settings.box, day) for day in days]
        means.append(np.mean(values, axis=0)[[BANDS_10.index(asset) for asset in ASSETS]])
    return np.array(means)


def test_masked_composites_lie_near_the_truth_and_unmasked_do_not(
    without_offset: Archive, truth: Float
) -> None:
    masked = result(composites(cloud_masked(without_offset)), without_offset)
    plain = result(composites(observations(without_offset, BANDS, "bilinear")), without_offset)
    assert masked.values.shape == truth.shape == plain.values.shape
    seen = masked.validity()[:, 0].mean()
    bias, spread = errors(masked, truth)
    bias_plain, spread_plain = errors(plain, truth)
    print(f"seen in a dekad {seen:.3f}", "masked", bias.round(4), spread.round(4))
    print("not masked", bias_plain.round(4), spread_plain.round(4))
    assert seen > 0.3
    assert (np.abs(bias) < 0.02).all()
    assert (spread < 0.08).all()
    assert (spread < spread_plain).all()


@pytest.fixture(scope="module")
def radar(simulated: Simulate) -> dict[str, Archive]:
    """One set of acquisitions: as linear power and as decibels, with speckle and without."""
    common = {"sensors": ("sentinel-1",), "form": "earth-search"}
    return {
        "linear": simulated("s1-linear", radar="sigma0", **common),
        "decibels": simulated("s1-decibels", radar="sigma0-db", **common),
        "noise-free": simulated("s1-noise-free", radar="sigma0", looks=0.0, **common),
    }


def test_radar_composites_are_in_linear_power_however_it_is_published(radar: dict[str, Archive]) -> None:
    linear, decibels = (
        result(composites(observations(radar[n], ["VV", "VH"], "bilinear", "SENTINEL1_GRD")), radar[n])
        for n in ("linear", "decibels")
    )
    np.testing.assert_array_equal(linear.validity(), decibels.validity())
    valid = linear.validity()
    assert valid.mean() > 0.9
    np.testing.assert_allclose(linear.values[valid], decibels.values[valid], rtol=2e-5)
    assert 1e-4 < np.median(linear.values[valid]) < 1.0


def test_radar_composites_lie_near_the_speckle_free_ones(radar: dict[str, Archive]) -> None:
    speckled, free = (
        result(composites(observations(radar[n], ["VV", "VH"], "bilinear", "SENTINEL1_GRD")), radar[n])
        for n in ("linear", "noise-free")
    )
    both = speckled.validity() & free.validity()
    ratio = 10 * np.log10(speckled.values[both] / free.values[both])
    print(f"dB: median {np.median(ratio):.3f}, 90 % within {np.percentile(abs(ratio), 90):.2f}")
    # The median of a gamma distribution lies below its mean: 1 - 1/(3 looks), -0.12 dB for 12 looks.
    assert -0.5 < np.median(ratio) < 0.2
    assert np.percentile(abs(ratio), 90) < 2.5


def test_both_directions_are_there_and_are_told_apart(radar: dict[str, Archive]) -> None:
    archive = radar["linear"]
    counts = []
    for orbit in ("ascending", "descending"):
        graph = observations(
            archive, ["VV"], collection="SENTINEL1_GRD", properties={"sat:orbit_state": ("eq", orbit)}
        )
        counts.append(len(result(graph, archive).meta.dims[0].labels))
    everything = result(observations(archive, ["VV"], collection="SENTINEL1_GRD"), archive)
    assert min(counts) >= 2
    assert sum(counts) == len(everything.meta.dims[0].labels)
