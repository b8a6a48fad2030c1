"""Compiled kernels: sorting networks, blocks, threads, and installs that cannot be written to."""

from __future__ import annotations

import importlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import caching
from tests.support.masked_arrays import call

from acreage.core.arrays import Masked
from acreage.processes import interpolation, kernels

REDUCERS = ("median", "mean", "sum", "product", "variance", "sd", "min", "max")
KERNELS = (
    *((kernels, n) for n in ("medians", "quantiles", "sums", "products", "squared_deviations", "extremes")),
    (interpolation, "fill_gaps"),
)


@pytest.mark.parametrize("n", range(13))
def test_networks_sort_everything(n: int) -> None:
    # By the zero-one principle (Knuth, TAOCP 3, 5.3.4) all zeros and ones stand for all values.
    cells = np.array(list(itertools.product((0, 1), repeat=n)), np.int8).reshape(2**n, n)
    for low, high in kernels.sorting_network(n):
        assert low < high
        cells[:, low], cells[:, high] = (
            np.minimum(cells[:, low], cells[:, high]),
            np.maximum(cells[:, low], cells[:, high]),
        )
    assert (np.diff(cells, axis=1) >= 0).all()


@pytest.mark.parametrize(
    "pixels", [0, 1, kernels.BLOCK - 1, kernels.BLOCK, kernels.BLOCK + 1, 3 * kernels.BLOCK + 7]
)
def test_results_do_not_depend_on_where_blocks_end(pixels: int) -> None:
    rng = np.random.default_rng(pixels)
    values = rng.integers(0, 100, (7, pixels)).astype(np.uint16)
    valid = rng.random(values.shape) < 0.5
    for process_id in ("median", "mean", "max", "sd", "product"):
        whole = call(process_id, data=Masked(values, valid, True))
        assert whole.values.shape == (pixels,)
        for pixel in {0, pixels // 2, pixels - 1} & set(range(pixels)):
            one = call(process_id, data=Masked(values[:, [pixel]], valid[:, [pixel]], True))
            assert one.validity()[0] == whole.validity()[pixel]
            assert not one.validity()[0] or one.values[0] == whole.values[pixel]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("pixels", [0, 1, kernels.BLOCK + 3])
@pytest.mark.parametrize("elements", [0, 1, 6])
def test_nulls_alone_give_what_the_compiled_loops_give(
    monkeypatch: pytest.MonkeyPatch, elements: int, pixels: int, dtype: type[np.generic]
) -> None:
    data = Masked(np.full((elements, pixels), 7, dtype), np.zeros((elements, pixels), bool), True)
    calls: list[tuple[str, dict[str, Any]]] = [
        *((name, {"ignore_nodata": ignore}) for name in REDUCERS for ignore in (True, False)),
        ("quantiles", {"probabilities": [0.0, 0.3, 1.0]}),
        ("array_interpolate_linear", {}),
    ]
    without = [call(name, data=data, **options) for name, options in calls]
    for module, name in KERNELS:
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)
    for short, (name, options) in zip(without, calls, strict=True):
        looped = call(name, data=data, **options)
        assert (short.values.dtype, short.is_array) == (looped.values.dtype, looped.is_array), name
        np.testing.assert_array_equal(short.values, looped.values, err_msg=name)
        np.testing.assert_array_equal(short.validity(), looped.validity(), err_msg=name)


def test_one_valid_value_is_enough_for_the_compiled_loops() -> None:
    valid = np.zeros((5, 2 * kernels.BLOCK), bool)
    valid[3, -1] = True
    found = call("median", data=Masked(np.full(valid.shape, 4, np.int16), valid, True))
    assert found.validity().sum() == 1
    assert found.values[-1] == 4


def test_threads_may_share_the_kernels() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 1000, (9, 5000)).astype(np.uint16) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda v: call("median", data=Masked(v, None, True)), parts))
    for values, result in zip(parts, results, strict=True):
        np.testing.assert_array_equal(result.values, np.median(values, axis=0).astype(np.float32))


def test_kernels_compile_where_nothing_can_be_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(x: int) -> int:
        return 2 * x

    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    assert kernels.compiled(double)(21) == 42


def test_machine_code_is_used_until_any_file_with_loops_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "loops_of_a_test.py").write_text("def double(x):\n    return 2 * x\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    double = importlib.import_module("loops_of_a_test").double

    def hits() -> int:
        made: Any = kernels.compiled(double)
        assert made(21) == 42
        return sum(made.stats.cache_hits.values())

    assert (hits(), hits()) == (0, 1)
    monkeypatch.setattr(kernels, "sources_digest", lambda: "of a file that was edited")
    assert (hits(), hits()) == (0, 1)


def test_memory_order_of_the_input_does_not_matter() -> None:
    values = np.asfortranarray(np.random.default_rng(3).integers(0, 9, (4, 6, 5)).astype(np.int16))
    valid = (values > 2).transpose(0, 2, 1).copy().transpose(0, 2, 1)
    expected = np.ma.median(np.ma.MaskedArray(values, ~valid), axis=0)
    result = call("median", data=Masked(values, valid, True))
    np.testing.assert_array_equal(result.validity(), ~np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(result.values[result.validity()], expected.compressed())
