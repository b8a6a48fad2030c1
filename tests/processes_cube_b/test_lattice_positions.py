"""Positions between CRSs: next to exact, and the same for every window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from acreage.core.grid import Box, Grid
from acreage.processes.index_maps import make_index_map
from acreage.processes.lattice_positions import TOLERANCE

PLACES = {
    "EPSG:32631": Grid.snapped("EPSG:32631", 10),
    "EPSG:4326": Grid.snapped("EPSG:4326", 1 / 12000),
    "EPSG:3857": Grid.snapped("EPSG:3857", 10),
}


@pytest.mark.parametrize("source", PLACES.values(), ids=PLACES.keys())
@settings(max_examples=25)
@given(
    x=st.integers(300_000, 600_000), y=st.integers(-450_000, -200_000), width=st.integers(1, 150),
    height=st.integers(1, 150), resolution=st.sampled_from([10, 60]),
)  # fmt: skip
def test_positions_are_exact_to_a_millionth_of_a_pixel_and_independent_of_windows(
    source: Grid, x: int, y: int, width: int, height: int, resolution: int
) -> None:
    grid = Grid.snapped(3035, resolution)
    x, y = x * 10 // resolution, y * 10 // resolution
    box = Box(grid, x, y, x + width, y + height)
    found = make_index_map(source, box)
    east, north = Transformer.from_crs(3035, source.crs, always_xy=True).transform(
        np.broadcast_to(box.x_centres(), box.shape), np.broadcast_to(box.y_centres()[:, None], box.shape)
    )
    assert np.abs(found.columns - (east - source.off_x) / source.res_x).max() <= 2 * TOLERANCE
    assert np.abs(found.rows - (source.off_y - north) / source.res_y).max() <= 2 * TOLERANCE
    inner = Box(grid, x + width // 3, y + height // 2, x + width, y + height)
    again = make_index_map(source, inner)
    at = inner.slices_in(box)
    np.testing.assert_array_equal(again.columns, found.columns[at])
    np.testing.assert_array_equal(again.rows, found.rows[at])


def test_cells_where_a_projection_bends_are_transformed_pixel_by_pixel() -> None:
    grid = Grid.snapped(3035, 100_000)  # cells of 6400 km
    box = Box(grid, 10, -60, 80, -5)
    source = Grid.snapped("EPSG:4326", 1.0)
    found = make_index_map(source, box)
    east, north = Transformer.from_crs(3035, 4326, always_xy=True).transform(
        np.broadcast_to(box.x_centres(), box.shape), np.broadcast_to(box.y_centres()[:, None], box.shape)
    )
    finite = np.isfinite(east)
    np.testing.assert_allclose(found.columns[finite], east[finite], atol=1e-9)
    np.testing.assert_allclose(found.rows[finite], -north[finite], atol=1e-9)
