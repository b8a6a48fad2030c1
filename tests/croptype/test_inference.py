"""Batches, precisions, devices and memory of the classification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

from acreage.croptype.features import default_channels, features, fit_features
from acreage.croptype.memory import STEP, PlannedBatch, inference_memory, plan_batch
from acreage.croptype.model import TrainedModel
from acreage.croptype.precision import compare_precisions, disagreement
from acreage.croptype.udf_source import crop_type_udf
from acreage.croptype.udf_source.crop_type_udf import (
    BATCH_PIXELS,
    BF16_DISAGREEMENT,
    NETWORKS,
    Batch,
    Classifier,
    FeatureMaker,
    FeatureSpec,
    apply_datacube,
    build_network,
    choose_device,
    choose_precision,
    classify_cube,
    gather,
    inference_form,
    run_batches,
)
from support.croptype_samples import BANDS, make_samples

SMALL: dict[str, dict[str, Any]] = {
    "patch_cnn": {"levels": [[3, 1, 8], [4, 2, 8]], "hidden": 16},
    "patch_mlp": {"width": 8, "hidden": 16},
    "temporal_cnn": {"width": 8, "hidden": 16},
    "gru": {"hidden": 8},
    "transformer": {"width": 16, "heads": 2, "layers": 1},
}
SPEC = fit_features(make_samples(40).without_terrain())


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As a UDF runs by default."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def classifier_of(architecture: str, members: int = 2, spec: FeatureSpec = SPEC, **sizes: Any) -> Classifier:
    """Random weights, and normalisations that have seen something, as training leaves them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = build_network(architecture, sizes or SMALL[architecture], spec, 3, members).train()
        series = torch.randn(64, len(spec.temporal) + len(spec.sensors), len(spec.dekads))
        static = torch.randn(64, 2 * len(spec.static))
        for _ in range(3):
            network(series, static)
    return Classifier(spec, network.eval(), np.array([3, 17, 40], np.uint8))


def window(seed: int, rows: int = 9, columns: int = 11) -> xr.DataArray:
    """A cube with gaps, other land, places outside and pixels without an observation."""
    rng = np.random.default_rng(seed)
    values = make_samples(rows * columns, seed).values.transpose(1, 2, 0).reshape(24, 8, rows, columns)
    mask = rng.choice([0.0, 1.0, 1.0, np.nan], (rows, columns))
    values[:, :7][:, :, rng.random((rows, columns)) < 0.1] = np.nan
    cube = np.concatenate([values, np.broadcast_to(mask, (24, 1, rows, columns))], axis=1)
    dates = [np.datetime64(f"2019-{d}") for d in SPEC.dekads]
    return xr.DataArray(
        cube.astype(np.float32), {"t": dates, "bands": [*BANDS, "CROPLAND"]}, ("t", "bands", "y", "x")
    )


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_the_form_that_runs_says_what_the_trained_network_says(architecture: str) -> None:
    classifier = classifier_of(architecture)
    generator = torch.Generator().manual_seed(1)
    series = torch.randn((50, len(SPEC.temporal) + len(SPEC.sensors), 24), generator=generator)
    static = torch.zeros(50, 0)
    with torch.inference_mode():
        wanted = classifier.network(series, static)
        found = classifier.compiled()(series, static)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    np.testing.assert_allclose(found.sum(dim=1), 1, atol=1e-6)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_members_with_static_features_are_merged_right(architecture: str) -> None:
    spec = fit_features(make_samples(40))
    classifier = classifier_of(architecture, spec=spec)
    made = features(make_samples(64, 3).values, spec)
    series, static = torch.from_numpy(np.ascontiguousarray(made.series)), torch.from_numpy(made.static)
    with torch.inference_mode():
        wanted, found = classifier.network(series, static), classifier.compiled()(series, static)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("steps", [1, 3, 6, 7, 23, 36])
@pytest.mark.parametrize("architecture", ["patch_cnn", "patch_mlp"])
def test_patches_reach_both_ends_of_seasons_of_any_length(architecture: str, steps: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS[architecture](5, steps, 0, 3, hidden=32).eval()
    series = torch.zeros(1, 5, steps, requires_grad=True)
    network(series, torch.zeros(1, 0)).sum().backward()
    assert series.grad is not None
    assert (series.grad.abs().sum(dim=(0, 1)) > 0).all()
    ensemble = crop_type_udf.Ensemble([network])
    given_series = torch.randn((8, 5, steps), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = inference_form(ensemble)(given_series, torch.zeros(8, 0))
        np.testing.assert_allclose(found, ensemble(given_series, torch.zeros(8, 0)), atol=2e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
def test_features_are_the_same_in_training_and_in_a_batch(seed: int, count: int) -> None:
    """To the bit, whatever the number of pixels and a pixel's place."""
    values = make_samples(count, seed).without_terrain().values
    trained_on = features(values, SPEC)
    maker = FeatureMaker(SPEC)
    out, raw = maker.empty(192), torch.full((24, 7, 192), torch.nan)
    place = np.random.default_rng(seed).permutation(192)[:count]
    raw[:, :, torch.from_numpy(place)] = torch.from_numpy(values.transpose(1, 2, 0).copy())
    seen = maker.fill(raw, out).numpy()
    np.testing.assert_array_equal(out.numpy()[:, :, place].transpose(2, 1, 0), trained_on.series)
    assert seen[place].tolist() == trained_on.observed.any(axis=(1, 2)).tolist()
    assert seen.sum() == seen[place].sum()


def test_a_normalised_difference_of_nothing_is_zero_and_of_opposites_at_the_limit() -> None:
    spec = FeatureSpec(("B04", "B08"), ("03-01",), default_channels(("B04", "B08")))
    values = np.array([[[0, 0]], [[-5, 5]], [[5, -5]], [[np.nan, 5]], [[30, 90]]], np.float32)
    made = features(values, spec).series[:, 2, 0]
    np.testing.assert_allclose(made, [0, 6, -6, 0, 0.5])


@given(st.integers(0, 1000), st.integers(4, 150), st.sampled_from(sorted(NETWORKS)))
def test_classes_do_not_depend_on_the_batch(seed: int, batch: int, architecture: str) -> None:
    cube, classifier = window(seed), CLASSIFIERS[architecture]
    whole = classify_cube(cube, classifier, 128)
    parts = classify_cube(cube, classifier, batch)
    assert (parts.sel(bands="class") == whole.sel(bands="class")).all()
    apart = parts.sel(bands="confidence").astype(int) - whole.sel(bands="confidence").astype(int)
    assert np.abs(apart).max() <= 1


CLASSIFIERS = {name: classifier_of(name) for name in NETWORKS}


@given(st.integers(0, 1000))
def test_a_window_is_what_a_plain_loop_over_pixels_says(seed: int) -> None:
    cube, classifier = window(seed, 4, 5), CLASSIFIERS["patch_mlp"]
    result = classify_cube(cube, classifier, 128)
    for y in range(4):
        for x in range(5):
            pixel = cube[:, :, y, x].values
            mask, series = pixel[0, 8], pixel[None, :, :7]
            code, confidence = result[:, y, x].values.tolist()
            if np.isnan(mask) or mask == 0:
                assert (code, confidence) == (0 if np.isnan(mask) else 254, 255)
            elif not features(series, SPEC).observed.any():
                assert (code, confidence) == (255, 255)
            else:
                probabilities = classifier.probabilities(series, 128)[0]
                assert code == classifier.codes[probabilities.argmax()]
                assert abs(confidence - 100 * probabilities.max()) <= 0.51


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64, np.int16]))
def test_gathered_pixels_are_those_of_the_cube_and_the_rest_of_a_batch_is_empty(
    seed: int, dtype: type[np.generic]
) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 3000, (3, 6, 40)).astype(dtype)
    start = int(rng.integers(0, 20))
    pixels = (
        np.flatnonzero(rng.random(40) < 0.5)
        if seed % 2
        else np.arange(start, start + int(rng.integers(1, 20)))
    )
    if not len(pixels):
        pixels = np.array([7])
    order = rng.permutation(6)[:4].tolist()
    out = np.zeros((3, 4, max(len(pixels), int(rng.integers(1, 45)))), np.float32)
    gather(planes, pixels, crop_type_udf._band_blocks(order), out)
    np.testing.assert_array_equal(out[:, :, : len(pixels)], planes[:, order][:, :, pixels].astype(np.float32))
    assert np.isnan(out[:, :, len(pixels) :]).all()


@pytest.mark.parametrize("under_way", [1, 2, 3])
def test_batches_under_way_together_come_back_in_order(under_way: int) -> None:
    classifier = CLASSIFIERS["patch_mlp"]
    values = make_samples(100, 4).without_terrain().values
    whole = classifier.probabilities(values, 16).argmax(axis=1)
    batches = [Batch(classifier, 16, "fp32", "cpu") for _ in range(under_way)]
    parts = [np.arange(at, min(at + 16, 100)) for at in range(0, 100, 16)]

    def fill(part: NDArray[np.intp], raw: NDArray[np.float32]) -> None:
        raw[...] = np.nan
        raw[:, :, : len(part)] = values[part].transpose(1, 2, 0)

    found = [(part.copy(), done.copy()) for part, done in run_batches(batches, parts, fill)]
    assert [p.tolist() for p, _ in found] == [p.tolist() for p in parts]
    np.testing.assert_array_equal(np.concatenate([done[0] for _, done in found]), classifier.codes[whole])


@pytest.mark.parametrize(
    ("wanted", "recorded", "cpu_has", "chosen"),
    [
        ("fp32", 0.0, True, "fp32"),
        ("bf16", None, False, "bf16"),
        ("auto", None, True, "fp32"),
        ("auto", 0.0, False, "fp32"),
        ("auto", BF16_DISAGREEMENT, True, "bf16"),
        ("auto", 2 * BF16_DISAGREEMENT, True, "fp32"),
    ],
)
def test_bf16_is_taken_where_it_is_native_and_the_classes_agree(
    wanted: str, recorded: float | None, cpu_has: bool, chosen: str
) -> None:
    assert choose_precision(wanted, recorded, "cpu", cpu_has) == chosen


@pytest.mark.parametrize(
    ("flags", "native"),
    [("fpu avx2 fma", False), ("fpu avx512f avx512_bf16", True), ("amx_tile amx_bf16", True), (None, False)],
)
def test_the_processors_flags_tell_whether_bf16_is_native(
    flags: str | None, native: bool, tmp_path: Path
) -> None:
    path = tmp_path / "cpuinfo"
    if flags is not None:
        path.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert crop_type_udf.cpu_multiplies_bf16(str(path)) is native


def test_unknown_precisions_and_devices_are_refused_by_name(model_file: tuple[Path, str]) -> None:
    context = {"model": str(model_file[0]), "model_sha256": model_file[1]}
    with pytest.raises(ValueError, match="'precision' must be one of auto, fp32, bf16, not 'int8'"):
        apply_datacube(window(0), {**context, "precision": "int8"})
    with pytest.raises(ValueError, match="'device' must be one of auto, cpu, cuda, not 'tpu'"):
        apply_datacube(window(0), {**context, "device": "tpu"})
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(ValueError, match="no CUDA device"):
            choose_device("cuda")


def test_bf16_is_compared_on_samples_and_recorded(model: TrainedModel) -> None:
    samples = make_samples(90, 8)
    values = model.values_of(samples)
    check = compare_precisions(model.classifier, values, turns=1)
    single = model.classifier.probabilities(values)
    half = model.classifier.probabilities(values, precision="bf16")
    assert (single != half).any(), "bf16 gave the very same probabilities: it was not used"
    assert check.disagreement == (single.argmax(axis=1) != half.argmax(axis=1)).mean()
    assert check.samples == 90
    assert min(check.fp32_s, check.bf16_s) > 0
    np.testing.assert_allclose(half, single, atol=0.05)
    recorded = model.metrics["bf16"]
    assert recorded == {"samples": 120, "disagreement": model.classifier.bf16_disagreement}
    assert disagreement(replace(model.classifier, network=model.classifier.network), values[:0]) == 0.0


def test_a_window_in_bf16_differs_in_few_classes_at_most(model: TrainedModel) -> None:
    cube = window(3)
    single = classify_cube(cube, model.classifier, 128, "fp32").sel(bands="class")
    half = classify_cube(cube, model.classifier, 128, "bf16").sel(bands="class")
    assert (single != half).mean() < 0.05


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_stated_memory_of_a_batch_holds_what_is_allocated(architecture: str, model: TrainedModel) -> None:
    """In the networks' own sizes: PyTorch's allocations of one batch, at their largest, from its profiler."""
    sizes = {"gru": {"hidden": 64}, "patch_cnn": {"hidden": 128}}.get(architecture, {"width": 48})
    classifier = classifier_of(architecture, 3, **sizes)
    stated = inference_memory(replace(model, classifier=classifier), 512)
    classifier.compiled()
    largest = _largest_allocation(classifier, 512)
    assert largest <= stated.batch
    assert largest >= 0.4 * stated.batch


def _largest_allocation(classifier: Classifier, pixels: int) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        batch = Batch(classifier, pixels, "fp32", "cpu")
        batch.raw.fill_(1)
        batch.start(pixels)
    return max(_running(seen))


def _running(seen: profile) -> Iterator[int]:
    total = 0
    assert seen.profiler is not None
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            yield total


def test_the_largest_batch_within_a_budget_is_chosen(model: TrainedModel) -> None:
    unknown = replace(model, classifier=replace(model.classifier, bf16_disagreement=None))
    room = inference_memory(unknown, 3 * STEP).process
    assert plan_batch(unknown, room) == PlannedBatch(3 * STEP, room)
    assert plan_batch(unknown, room - 1).pixels == 2 * STEP
    assert plan_batch(unknown, 10**12).pixels == BATCH_PIXELS
    smallest = plan_batch(unknown, 10)
    assert smallest == PlannedBatch(STEP, inference_memory(unknown, STEP).process)
    # Where a worker may take bf16, its larger memory is planned.
    either = replace(model, classifier=replace(model.classifier, bf16_disagreement=0.0))
    assert plan_batch(either, 10).memory > smallest.memory


@pytest.mark.gpu
def test_a_cuda_device_says_what_the_cpu_says(model: TrainedModel) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cube = window(7, 40, 50)
    wanted = classify_cube(cube, model.classifier, 256, "fp32", "cpu")
    found = classify_cube(cube, model.classifier, 256, "fp32", "cuda")
    # Sums are in another order there: a pixel between two classes may fall to either.
    assert (wanted.sel(bands="class") == found.sel(bands="class")).mean() > 0.99
