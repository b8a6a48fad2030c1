"""Layers that have no tile over the sea: null there, said in the plan, and no failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_runs import WHOLE, plan_of, run_cubes
from tests.support.layers import Piece, layer_graph, rectangle, write_pieces

from acreage.catalog import open_catalog
from acreage.catalog.cells import absent_cells, cell_name
from acreage.core.errors import NoDataAvailable

WORLD = (-180.0, -90.0, 180.0, 90.0)


def tile(name: str, longitude: int, latitude: int, step: int = 30) -> Piece:
    """A whole 1-degree tile, shifted by half a pixel as they are published, with few pixels."""
    res = 1 / step
    place = Affine(res, 0, longitude - res / 2, 0, -res, latitude + 1 + res / 2)
    return Piece(name, {"data": np.full((step, step), 100.0 + longitude, np.float32)}, place)


def graph_of(west: float, south: float, east: float, north: float) -> dict[str, object]:
    return layer_graph(
        "COPERNICUS_30", rectangle(west, south, east, north), projection=4326, resolution=0.01, method="near"
    )


def test_a_load_that_reaches_into_the_sea_is_null_there_and_the_plan_says_where(tmp_path: Path) -> None:
    tiles = [tile("a", 4, 50), tile("b", 5, 50)]
    catalog = open_catalog(write_pieces(tmp_path, {"cop-dem-glo-30": tiles}, WORLD))
    graph = graph_of(4.5, 49.5, 5.5, 50.5)
    plan = plan_of(graph, catalog, WHOLE)
    assert [n for n in plan.notes if n.startswith("COPERNICUS_30")] == [
        "COPERNICUS_30: no tile for N49E004, N49E005 (only sea, or not published); null there"
    ]
    cube = run_cubes(graph, catalog)["grid"]
    assert cube.meta.box is not None
    y = np.broadcast_to(cube.meta.box.y_centres()[:, None], cube.values.shape[2:])
    np.testing.assert_array_equal(cube.validity()[0, 0], y > 50 + 1 / 60)
    assert set(np.unique(cube.values[cube.validity()])) == {104.0, 105.0}


@pytest.mark.parametrize("resampled", [True, False])
def test_an_area_without_a_single_tile_is_all_null(tmp_path: Path, resampled: bool) -> None:
    catalog = open_catalog(write_pieces(tmp_path, {"cop-dem-glo-30": [tile("a", 4, 50)]}, WORLD))
    graph = graph_of(-20.2, 44.2, -20.1, 44.3) if resampled else layer_graph(
        "COPERNICUS_30", rectangle(-20.2, 44.2, -20.1, 44.3)
    )  # fmt: skip
    plan = plan_of(graph, catalog, WHOLE)
    assert any("no tile for N44W021 (" in note for note in plan.notes)
    (cube,) = run_cubes(graph, catalog).values()
    assert cube.values.size > 50
    assert len(cube.meta.dim("t").labels) == 1
    assert not cube.validity().any()


def test_an_area_that_the_collection_says_it_does_not_cover_is_refused(tmp_path: Path) -> None:
    catalog = open_catalog(write_pieces(tmp_path, {"cop-dem-glo-30": [tile("a", 4, 50)]}))
    with pytest.raises(NoDataAvailable, match="outside of that area"):
        plan_of(graph_of(-20.2, 44.2, -20.1, 44.3), catalog, WHOLE)


def test_a_tile_that_is_there_and_cannot_be_used_is_no_sea(tmp_path: Path) -> None:
    path = write_pieces(tmp_path, {"cop-dem-glo-30": [tile("a", 4, 50)]}, WORLD)
    (tmp_path / "cop-dem-glo-30" / "a_data.tif").unlink()
    with pytest.raises(NoDataAvailable, match="could not be used"):
        plan_of(graph_of(4.2, 50.2, 4.3, 50.3), open_catalog(path), WHOLE)


def test_a_dated_collection_without_data_fails_as_before(tmp_path: Path) -> None:
    radar = Piece("r", {"vv": np.ones((20, 20), np.float32)}, Affine(20, 0, 5e5, 0, -20, 5.6e6), "EPSG:32631")
    catalog = open_catalog(write_pieces(tmp_path, {"sentinel-1-sigma0": [radar]}, WORLD))
    graph = layer_graph("SENTINEL1_GRD", rectangle(3.0, 50.0, 3.1, 50.1), days=["2010-01-01", "2010-02-01"])
    with pytest.raises(NoDataAvailable):
        plan_of(graph, catalog, WHOLE)


def test_names_of_tiles() -> None:
    assert [cell_name(4, 50), cell_name(-115, 53), cell_name(-1, -1)] == ["N50E004", "N53W115", "S01W001"]
    assert absent_cells((4.2, 50.2, 4.3, 50.3), 1.0, ()) == ("N50E004",)
    assert absent_cells((4.0, 50.0, 5.0, 51.0), 1.0, ()) == ("N50E004",)
    assert absent_cells((-0.5, -0.5, 0.5, 0.5), 1.0, ()) == ("N00W001", "N00E000", "S01W001", "S01E000")
    assert absent_cells((5.0, 50.0, 7.0, 50.5), 3.0, ()) == ("N48E003", "N48E006")
    assert absent_cells((179.5, 0.1, -179.5, 0.2), 1.0, ()) == ("N00E179", "N00W180")
    # A tile that is there and cannot be read is not absent; published tiles are shifted by half a pixel.
    lost = ((3.9998, 50.0001, 4.9998, 51.0001),)
    assert absent_cells((4.2, 50.2, 5.3, 50.3), 1.0, (), lost) == ("N50E005",)


@given(st.integers(-1700, 1600), st.integers(-800, 700), st.integers(1, 80), st.integers(1, 80))
def test_every_touched_degree_is_named_once(west: int, south: int, wide: int, high: int) -> None:
    """Areas in tenths of a degree, their degrees counted on whole numbers."""
    found = absent_cells((west / 10, south / 10, (west + wide) / 10, (south + high) / 10), 1.0, ())
    columns = {x // 10 for x in range(west, west + wide)}
    rows = {y // 10 for y in range(south, south + high)}
    assert sorted(found) == sorted(cell_name(c, r) for c in columns for r in rows)
