from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from hypothesis import given

from acreage.core.errors import InvalidInput
from acreage.production.areas import find_area, in_degrees
from acreage.production.tiles import Tile, TileGrid, UtmGrid, parse_grid, tile_of_id

RECTANGLES = st.tuples(
    st.floats(2_600_000, 6_000_000),
    st.floats(1_600_000, 5_000_000),
    st.floats(1_000, 90_000),
    st.floats(1_000, 90_000),
)


@pytest.mark.parametrize(
    ("side", "place", "expected"),
    [
        # Cells of 1, 10 and 100 km as EEA's own files name them.
        (1_000, (4_321, 3_210), "1kmE4321N3210"),
        (10_000, (432, 321), "10kmE432N321"),
        (100_000, (43, 32), "100kmE43N32"),
        (250, (17_284, 12_840), "250mE432100N321000"),
        (20_000, (198, 151), "20kmE396N302"),
        (2_500, (1_559, 1_201), "2500mE38975N30025"),
    ],
)
def test_ids_are_those_of_the_reference_grid(side: int, place: tuple[int, int], expected: str) -> None:
    tile = TileGrid(side).tile(*place)
    assert tile.id == expected
    assert tile.bounds == (place[0] * side, place[1] * side, (place[0] + 1) * side, (place[1] + 1) * side)


@given(
    st.sampled_from([500, 1_000, 2_500, 20_000, 25_600, 100_000]),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.sampled_from(["EPSG:3035", "EPSG:32631", "EPSG:32733"]),
)
def test_an_id_names_its_tile_and_no_other(side: int, column: int, row: int, crs: str) -> None:
    tile = TileGrid(side, crs).tile(column, row)
    assert tile_of_id(tile.id) == tile


@pytest.mark.parametrize(
    "text", ["", "20kmE396", "20kmE395N302", "0kmE0N0", "4326-20kmE1N1", "20kmE0396N302", "99999-20kmE2N2"]
)
def test_what_names_no_tile_gives_none(text: str) -> None:
    assert tile_of_id(text) is None


@given(RECTANGLES)
def test_tiles_are_exactly_those_that_share_ground_with_a_rectangle(
    rectangle: tuple[float, float, float, float],
) -> None:
    left, bottom, width, height = rectangle
    shape = in_degrees(shapely.box(left, bottom, left + width, bottom + height), "EPSG:3035")
    assert shape is not None
    found = {t.bounds for t in TileGrid().covering(shape)}

    def squares(margin: float) -> set[tuple[float, float, float, float]]:
        xs = np.arange((left - margin) // 20_000, (left + width + margin) // 20_000 + 1) * 20_000
        ys = np.arange((bottom - margin) // 20_000, (bottom + height + margin) // 20_000 + 1) * 20_000
        return {(x, y, x + 20_000, y + 20_000) for x in xs.tolist() for y in ys.tolist()}

    # A rectangle's sides are followed to a few metres: between those that are surely in and surely not out.
    assert squares(-50.0) <= found <= squares(50.0)


def test_tiles_of_a_country_cover_it_and_none_lies_outside() -> None:
    luxembourg = find_area("LU").geometry
    tiles = TileGrid().covering(luxembourg)
    assert shapely.union_all([t.outline for t in tiles]).buffer(1e-6).contains(luxembourg)
    assert all(shapely.area(shapely.intersection(t.outline, luxembourg)) > 0 for t in tiles)
    assert len({t.id for t in tiles}) == len(tiles)


def test_the_european_union_has_the_tiles_of_its_published_map() -> None:
    """The map of 2022 had "over 11 000" tiles of 20 km, whether those without cropland count is not said."""
    tiles = TileGrid().covering(find_area("EU27").geometry)
    assert 11_000 < len(tiles) < 12_500
    # Overseas parts lie outside of where EPSG:3035 may be used.
    assert all(900_000 < t.bounds[0] < 7_400_000 for t in tiles)


def test_tiles_of_two_zones_meet_without_a_gap() -> None:
    area = find_area("5.6,50,6.4,50.6").geometry
    tiles = UtmGrid().covering(area)
    assert {t.crs for t in tiles} == {"EPSG:32631", "EPSG:32632"}
    assert shapely.union_all([t.outline for t in tiles]).buffer(1e-6).contains(area)
    assert all(t.id.startswith(t.crs.removeprefix("EPSG:") + "-20km") for t in tiles)


def test_zones_of_the_southern_hemisphere_have_their_own_code() -> None:
    tiles = UtmGrid(10_000).covering(find_area("33.9,-0.1,34.1,0.1").geometry)
    assert {t.crs for t in tiles} == {"EPSG:32636", "EPSG:32736"}


def test_a_tile_is_whole_pixels() -> None:
    box = Tile("t", "EPSG:3035", (3_960_000, 3_020_000, 3_980_000, 3_040_000)).box(10.0)
    assert box.shape == (2000, 2000)
    assert box.bounds == (3_960_000, 3_020_000, 3_980_000, 3_040_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20km", TileGrid(20_000)),
        ("2500m", TileGrid(2_500)),
        ("10km@EPSG:32631", TileGrid(10_000, "EPSG:32631")),
        ("20km@utm", UtmGrid(20_000)),
    ],
)
def test_a_grid_is_written_as_a_side_and_a_crs(text: str, expected: TileGrid | UtmGrid) -> None:
    assert parse_grid(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20", "is no grid"),
        ("-5km", "is no grid"),
        ("0.0001km", "is no grid"),
        ("15m", "no whole number of pixels"),
        ("15m@utm", "no whole number of pixels"),
        ("20km@EPSG:4326", "projected CRS in metres"),
        ("20km@EPSG:2263", "projected CRS in metres"),
        ("20km@mars", "not a coordinate reference system"),
    ],
)
def test_a_grid_whose_tiles_would_not_fit_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_grid(text)
