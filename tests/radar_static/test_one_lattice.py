"""Files of one lattice are one raster: where it is cut into files cannot be seen in anything made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.engine_runs import WHOLE, assert_same_cube, run_cubes
from tests.support.layers import Piece, cut, layer_graph, rectangle, write_pieces

from acreage.catalog import open_catalog
from acreage.core.cube import Cube

WEST, NORTH = 6.0, 50.01
RES = 1 / 3600
METHODS = ("near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode", "max", "med")


def random_piece(seed: int, nulls: float = 0.1) -> Piece:
    rng = np.random.default_rng(seed)
    values = rng.normal(300, 30, (40, 44)).astype(np.float32)
    values[rng.random(values.shape) < nulls] = -9999
    return Piece("tile", {"data": values}, Affine(RES, 0, WEST, 0, -RES, NORTH), nodata=-9999)


AREA = rectangle(WEST - 0.001, NORTH - 41 * RES, WEST + 45 * RES, NORTH + 0.001)


def made(folder: Path, pieces: list[Piece], method: str, window: int = WHOLE) -> Cube:
    graph = layer_graph("COPERNICUS_30", AREA, projection=3035, resolution=25, method=method)
    return run_cubes(graph, open_catalog(write_pieces(folder, {"cop-dem-glo-30": pieces})), window)["grid"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [0, 3])
def test_cut_files_give_the_very_values_of_the_whole_one(tmp_path: Path, method: str, overlap: int) -> None:
    piece = random_piece(1)
    whole = made(tmp_path / "whole", [piece], method)
    assert whole.validity().any()
    parts = cut(piece, [17], [9, 30], overlap)
    assert_same_cube(whole, made(tmp_path / "cut", parts, method))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 99),
    rows=st.lists(st.integers(1, 39), max_size=3, unique=True).map(sorted),
    columns=st.lists(st.integers(1, 43), max_size=3, unique=True).map(sorted),
    overlap=st.integers(0, 4),
    method=st.sampled_from(METHODS),
    window=st.sampled_from([7, 16, WHOLE]),
)
def test_wherever_it_is_cut_and_in_whatever_windows(
    seed: int,
    rows: list[int],
    columns: list[int],
    overlap: int,
    method: str,
    window: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    piece = random_piece(seed)
    whole = made(folder / "whole", [piece], method)
    assert_same_cube(whole, made(folder / "cut", cut(piece, rows, columns, overlap), method, window))


def test_without_the_mosaic_a_seam_would_show(tmp_path: Path) -> None:
    """The test above can fail: a lattice moved by a part of a pixel is another one, and is not joined."""
    piece = random_piece(1, nulls=0.0)
    left, right = cut(piece, [], [20])
    moved = Piece(right.name, right.assets, right.transform * Affine.translation(0.02, 0), nodata=-9999)
    whole = made(tmp_path / "whole", [piece], "bilinear")
    apart = made(tmp_path / "apart", [left, moved], "bilinear")
    difference = np.abs(whole.values - apart.values)[whole.validity() & apart.validity()]
    assert difference.max() > 5.0


SEAM = 50 + 1 / 7200  # published tiles are shifted by half a pixel


def plane(name: str, rows: int, columns: int, transform: Affine) -> Piece:
    """Elevation as a plane over longitude and latitude, which bilinear interpolation reproduces."""
    x, y = (
        transform * (np.arange(columns) + 0.5, np.zeros(columns)),
        transform
        * (
            np.zeros(rows),
            np.arange(rows) + 0.5,
        ),
    )
    values = 3000 * (x[0] - 6)[None, :] + 5000 * (y[1] - 50)[:, None]
    return Piece(name, {"data": values.astype(np.float32)}, transform)


def two_bands(gap: float = 0.0) -> list[Piece]:
    """Two tiles that meet at 50 N, where the spacing of longitudes changes; `gap` in rows."""
    north = Affine(1 / 2400, 0, 6 - 1 / 4800, 0, -1 / 3600, SEAM + 30 / 3600 + gap / 3600)
    south = Affine(1 / 3600, 0, 6 - 1 / 7200, 0, -1 / 3600, SEAM)
    return [plane("N50", 30, 48, north), plane("N49", 30, 72, south)]


def test_two_latitude_bands_meet_without_a_null_or_a_step(tmp_path: Path) -> None:
    path = write_pieces(tmp_path, {"cop-dem-glo-30": two_bands()})
    area = rectangle(6.002, 49.994, 6.016, 50.006)
    graph = layer_graph("COPERNICUS_30", area, projection=4326, resolution=1 / 21600, method="bilinear")
    cube = run_cubes(graph, open_catalog(path))["grid"]
    assert cube.validity().all()
    assert cube.meta.box is not None
    x, y = np.meshgrid(cube.meta.box.x_centres(), cube.meta.box.y_centres())
    error = np.abs(cube.values[0, 0] - (3000 * (x - 6) + 5000 * (y - 50)))
    beside = np.abs(y - SEAM) <= 0.51 / 3600
    # Away from the seam exactly; beside it each band stops at its own last row, half a pixel from it at most.
    assert error[~beside].max() < 1e-3
    assert error.max() < 5000 * 0.51 / 3600
    assert (np.abs(y - SEAM) < 1e-9).any() or beside.any()


@pytest.mark.parametrize(("gap", "method"), [(0.1, "near"), (0.5, "bilinear"), (0.5, "cubic")])
def test_a_gap_of_half_a_pixel_between_two_lattices_is_filled(
    tmp_path: Path, gap: float, method: str
) -> None:
    area = rectangle(6.002, 49.994, 6.016, 50.006)
    graph = layer_graph("COPERNICUS_30", area, projection=4326, resolution=1 / 21600, method=method)
    catalog = open_catalog(write_pieces(tmp_path, {"cop-dem-glo-30": two_bands(gap)}))
    cube = run_cubes(graph, catalog)["grid"]
    assert cube.validity().all()
    assert cube.meta.box is not None
    y = np.broadcast_to(cube.meta.box.y_centres()[:, None], cube.values.shape[2:])
    inside = (y > SEAM) & (y < SEAM + gap / 3600)
    assert inside.any()
    assert_same_cube(cube, run_cubes(graph, catalog, 16)["grid"])


def test_a_wider_gap_and_the_open_sea_stay_null(tmp_path: Path) -> None:
    area = rectangle(6.002, 49.98, 6.016, 50.006)
    graph = layer_graph("COPERNICUS_30", area, projection=4326, resolution=1 / 21600, method="near")
    catalog = open_catalog(write_pieces(tmp_path, {"cop-dem-glo-30": two_bands(2.0)}))
    cube = run_cubes(graph, catalog)["grid"]
    assert cube.meta.box is not None
    y = np.broadcast_to(cube.meta.box.y_centres()[:, None], cube.values.shape[2:])
    null = (y > SEAM) & (y < SEAM + 2 / 3600) | (y < SEAM - 30 / 3600)
    np.testing.assert_array_equal(cube.validity()[0, 0], ~null)
