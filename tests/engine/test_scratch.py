"""Scratch: whatever is written by pieces reads as it was, whole and in pieces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.grid import Box, Grid
from acreage.engine.halves import HalvesScratch
from acreage.engine.store import ScratchCube

GRID = Grid.snapped("EPSG:32631", 10.0)
EDGES = [0.0, 0.5, 32766.5, 32767.0, 32767.5, 65535.0, float("nan")]
MAKERS: list[Callable[[Path, CubeMeta], Any]] = [
    HalvesScratch.create,
    lambda folder, meta: ScratchCube.create(folder, meta, nan_is_null=True),
    ScratchCube.create,
]


def meta_of(times: int, bands: int, rows: int, columns: int) -> CubeMeta:
    dims = (
        Dimension("t", "temporal", tuple(map(str, range(times)))),
        Dimension("bands", "bands", tuple(map(str, range(bands)))),
        Dimension("y", "y"),
        Dimension("x", "x"),
    )
    return CubeMeta(dims, np.dtype("f4"), Box(GRID, 7, 11, 7 + columns, 11 + rows))


@pytest.mark.parametrize("make", MAKERS, ids=["halves", "nan is null", "with validity"])
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(2, 6)] * 2),
    seed=st.integers(0, 2**32 - 1),
    above=st.booleans(),
    cut=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    by_plane=st.booleans(),
)
def test_pieces_read_as_they_were_written(
    make: Callable[[Path, CubeMeta], Any],
    shape: tuple[int, int, int, int],
    seed: int,
    above: bool,
    cut: tuple[int, int],
    by_plane: bool,
) -> None:
    rng, meta = np.random.default_rng(seed), meta_of(*shape)
    assert meta.box is not None
    values = rng.integers(0, 131071 if above else 60000, meta.shape).astype(np.float32) / 2
    values[rng.random(meta.shape) < 0.3] = rng.choice(EDGES if above else [np.nan, 0.5])
    box, (row, column) = meta.box, (min(cut[0], shape[2]), min(cut[1], shape[3]))
    with tempfile.TemporaryDirectory() as folder:
        scratch = make(Path(folder) / "job" / "node", meta)
        for y0, y1 in ((box.y0, box.y0 + row), (box.y0 + row, box.y1)):
            for x0, x1 in ((box.x0, box.x0 + column), (box.x0 + column, box.x1)):
                part = Box(GRID, x0, y0, x1, y1)
                piece = values[(..., *part.slices_in(box))]
                for t, b in np.ndindex(*shape[:2]) if by_plane else ():
                    scratch.write_plane(piece[t, b], None, part, {"t": t, "bands": b})
                if not by_plane:
                    scratch.write(Cube.of(piece.copy(), ~np.isnan(piece), meta.with_box(part)))
        for part in (None, box, Box(GRID, box.x0, box.y0 + row - 1, box.x1, box.y1),
                     Box(GRID, box.x0 + column - 1, box.y0, box.x1, box.y1)):  # fmt: skip
            want = values if part is None else values[(..., *part.slices_in(box))]
            found = scratch.read(part)
            known = np.ones(want.shape, bool) if found.valid is None else found.valid
            assert found.values.dtype == np.float32
            assert np.array_equal(known, ~np.isnan(want))
            assert np.array_equal(found.values[known], want[known])
            assert np.isnan(found.values[~known]).all()


def test_medians_of_reflectances_take_half_the_room(tmp_path: Path) -> None:
    scratch = HalvesScratch.create(tmp_path / "job" / "node", meta_of(2, 3, 40, 50))
    scratch.write_plane(np.full((40, 50), 10_000.5, "f4"), None, scratch.meta.box, {"t": 1, "bands": 2})
    used = {f.name: f.stat().st_blocks * 512 for f in scratch.folder.iterdir()}
    assert (scratch.folder / "halves").stat().st_size == scratch.meta.size * 2
    assert used["floats"] == 0
