"""merge_cubes on grids a part of a pixel apart refuses, or merges what was aligned; no axis is doubled."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.engine_runs import run_cubes
from tests.support.real_site import from_node, node, reducer
from tests.support.tiny_archive import NORTH, WEST, Layer, TinyArchive

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.errors import CubesNotCompatible

SIZE = 12


def shifted_archive(folder: Path, dx: float, dy: float) -> Catalog:
    """Elevation, and land cover whose 10 m pixels are shifted by parts of a pixel."""
    rng = np.random.default_rng(5)
    archive = TinyArchive(folder)
    height = Layer(rng.normal(100, 9, (SIZE, SIZE)).astype(np.float32), nodata=None)
    cover = Layer(
        rng.integers(1, 90, (SIZE, SIZE)).astype(np.uint8), west=WEST + 10 * dx, north=NORTH + 10 * dy
    )
    archive.add("cop-dem-glo-30", "dem", "2021-04-22T00:00:00Z", {"data": height})
    archive.add("esa-worldcover", "cover", "2021-01-01T00:00:00Z", {"map": cover})
    return open_catalog(str(archive.write()))


def graph(*, aligned: str | None) -> dict[str, Any]:
    """Both in one cube; with a method the second is resampled onto the first."""
    nodes = {}
    for key, collection in (("dem", "COPERNICUS_30"), ("cover", "ESA_WORLDCOVER_10M_2021_V2")):
        nodes[f"load_{key}"] = node(
            "load_collection", id=collection, spatial_extent=None, temporal_extent=None
        )
        nodes[key] = node(
            "reduce_dimension", data=from_node(f"load_{key}"), dimension="t", reducer=reducer("first")
        )
    second = "cover"
    if aligned is not None:
        second = "moved"
        nodes[second] = node(
            "resample_cube_spatial", data=from_node("cover"), target=from_node("dem"), method=aligned
        )
    nodes["both"] = {**node("merge_cubes", cube1=from_node("dem"), cube2=from_node(second)), "result": True}
    return nodes


def shifts() -> st.SearchStrategy[float]:
    parts = st.floats(-1, 1, allow_nan=False).map(lambda v: round(v, 4))
    return st.one_of(parts, st.sampled_from([0.0, 0.5, -0.5, 1.0, -1.0, 0.001]))


def check_shift(dx: float, dy: float, method: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalog = shifted_archive(Path(folder), dx, dy)
        whole = dx in (-1, 0, 1) and dy in (-1, 0, 1)
        if whole:
            made = run_cubes(graph(aligned=None), catalog)["both"]
            assert made.values.shape == (2, SIZE + abs(int(dy)), SIZE + abs(int(dx)))
        else:
            with pytest.raises(CubesNotCompatible, match="shifted by"):
                run_cubes(graph(aligned=None), catalog)
        made = run_cubes(graph(aligned=method), catalog)["both"]
        assert made.meta.box is not None
        assert made.meta.grid.off_x == made.meta.grid.off_y == 0
        # The second may reach one pixel beyond the first on one side; its axis is never there twice.
        assert SIZE <= made.meta.box.width <= SIZE + 1
        assert SIZE <= made.meta.box.height <= SIZE + 1
        valid = made.validity()
        assert valid[0].sum() == SIZE * SIZE
        assert (SIZE - 1) ** 2 <= valid[1].sum() <= (SIZE + 1) ** 2
        assert (valid[0] & valid[1]).sum() >= (SIZE - 1) ** 2


@settings(max_examples=15)
@given(dx=shifts(), dy=shifts(), method=st.sampled_from(["near", "bilinear"]))
def test_shifted_grids_are_refused_or_aligned_and_never_doubled(dx: float, dy: float, method: str) -> None:
    check_shift(dx, dy, method)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@settings(hypothesis.settings.get_profile("proof"), max_examples=300)
@given(dx=shifts(), dy=shifts(), method=st.sampled_from(["near", "bilinear", "cubic", "average"]))
def test_many_shifted_grids_are_refused_or_aligned(dx: float, dy: float, method: str) -> None:
    check_shift(dx, dy, method)
