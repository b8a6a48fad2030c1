"""A small archive that most tests of the engine read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny_archive import Layer, TinyArchive

DAYS = ("2019-03-02", "2019-03-12", "2019-03-22", "2019-04-01")


def s2_layers(rng: np.random.Generator, size: int = 64) -> dict[str, Layer]:
    """Random bands of one item: 10 m and 20 m pixels over the same area, with holes."""
    layers = {}
    for band, resolution in (("B04", 10), ("B08", 10), ("B05", 20)):
        n = size * 10 // resolution
        values = rng.integers(1, 5000, (n, n)).astype(np.uint16)
        values[rng.random((n, n)) < 0.05] = 0
        layers[band] = Layer(values, resolution)
    layers["SCL"] = Layer(rng.choice([3, 4, 5, 8], (size // 2, size // 2)).astype(np.uint8), 20)
    return layers


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four dates of Sentinel-2, 64 x 64 pixels of 10 m, and one elevation tile."""
    rng = np.random.default_rng(1)
    made = TinyArchive(tmp_path_factory.mktemp("archive"))
    for n, day in enumerate(DAYS):
        made.s2(f"item-{n}", day, s2_layers(rng))
    height = Layer(rng.normal(100, 5, (30, 30)).astype(np.float32), 30, nodata=None)
    made.add("cop-dem-glo-30", "dem", "2021-04-22T00:00:00Z", {"data": height})
    return made.write()
