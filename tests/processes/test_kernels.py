"""Compiled kernels: sorting networks, blocks, threads, and installs that cannot be written to."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba.core import caching
from tests.support.masked_arrays import call

from acreage.core.arrays import Masked
from acreage.processes import kernels


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


def test_memory_order_of_the_input_does_not_matter() -> None:
    values = np.asfortranarray(np.random.default_rng(3).integers(0, 9, (4, 6, 5)).astype(np.int16))
    valid = (values > 2).transpose(0, 2, 1).copy().transpose(0, 2, 1)
    expected = np.ma.median(np.ma.MaskedArray(values, ~valid), axis=0)
    result = call("median", data=Masked(values, valid, True))
    np.testing.assert_array_equal(result.validity(), ~np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(result.values[result.validity()], expected.compressed())
