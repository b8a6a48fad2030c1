"""aggregate_spatial_window, against a plain loop over windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.cube import Cube
from acreage.core.errors import ProcessParameterInvalid
from support.harness import (
    GRID,
    assert_same,
    callback,
    cubes,
    describe,
    fill,
    null_mean,
    raster_meta,
    run_eager,
    run_windowed,
    valid_count,
    window_sizes,
)

MEAN = callback(null_mean, "data", "context")
CORNERS = st.sampled_from(["upper-left", "lower-left", "upper-right", "lower-right"])


def starts(length: int, size: int, boundary: str, *, far: bool) -> list[int]:
    """Where windows begin along an axis, which may be before its first pixel."""
    if boundary == "trim":
        count = length // size
        return [length % size * far + i * size for i in range(count)]
    count = -(-length // size)
    return [(length - count * size) * far + i * size for i in range(count)]


@given(cubes(), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.sampled_from(["pad", "trim"]), CORNERS,
       window_sizes)  # fmt: skip
def test_every_window_is_reduced(
    cube: Cube, size: tuple[int, int], boundary: str, align: str, windows: tuple[int, int]
) -> None:
    assert cube.meta.box is not None
    height, width = cube.meta.box.shape
    ys = starts(height, size[1], boundary, far=align.startswith("lower"))
    xs = starts(width, size[0], boundary, far=align.endswith("right"))
    arguments: dict[str, Any] = {"data": cube, "reducer": MEAN, "size": list(size), "boundary": boundary,
                                 "align": align}  # fmt: skip
    if not ys or not xs:
        with pytest.raises(ProcessParameterInvalid, match="less than one window"):
            describe("aggregate_spatial_window", **arguments)
        return
    made = run_eager("aggregate_spatial_window", **arguments)
    assert_same(run_windowed("aggregate_spatial_window", *windows, **arguments), made)
    assert made.meta.shape == (*cube.meta.shape[:-2], len(ys), len(xs))
    values = np.where(cube.validity(), cube.values.astype(float), np.nan)
    for row, y in enumerate(ys):
        for column, x in enumerate(xs):
            part = values[..., max(y, 0) : y + size[1], max(x, 0) : x + size[0]]
            flat = part.reshape(*part.shape[:-2], -1)
            for at in np.ndindex(flat.shape[:-1]):
                known = flat[at][~np.isnan(flat[at])]
                assert made.validity()[(*at, row, column)] == (known.size > 0)
                if known.size:
                    assert made.values[(*at, row, column)] == pytest.approx(known.mean(), rel=1e-5, abs=1e-3)
    centres = [cube.meta.box.bounds[0] + (x + size[0] / 2) * GRID.res_x for x in xs]
    np.testing.assert_allclose(made.meta.labels_of("x"), centres)
    centres = [cube.meta.box.bounds[3] - (y + size[1] / 2) * GRID.res_y for y in ys]
    np.testing.assert_allclose(made.meta.labels_of("y"), centres)


def test_what_is_padded_is_null() -> None:
    cube = fill(raster_meta(width=5, height=4), nulls=0)
    count = callback(valid_count, "data", "context")
    made = run_eager("aggregate_spatial_window", data=cube, reducer=count, size=[3, 4])
    assert made.values.tolist() == [[12, 8]]


def test_pixels_come_row_by_row() -> None:
    from support.harness import official

    cube = fill(raster_meta(width=4, height=2), nulls=0)
    second = official("array_element", data="@data", index=1)
    made = run_eager("aggregate_spatial_window", data=cube, reducer=second, size=[2, 2])
    np.testing.assert_array_equal(made.values, cube.values[:1, 1::2])
