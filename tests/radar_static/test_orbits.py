"""The orbit direction of a tile: counted by footprints, chosen, applied and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from tests.support.layers import Piece, write_pieces

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.cli.radar_options import OrbitPicker, s1_unit
from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season
from acreage.croptype.orbits import ORBIT_STATE, choose_orbit
from acreage.croptype.workflow import CubeSettings

GRID = Grid.snapped(32631, 20)
WEST, NORTH = 500_000.0, 5_600_000.0
TILE = GRID.box_covering(WEST, NORTH - 1000, WEST + 1000, NORTH)
SEASON = Season.parse("2019-03-01/2019-10-31")
SETTINGS = CubeSettings()


def passed(
    name: str, direction: str, orbit: int, day: str = "2019-04-01", west: float = 0.0, width: float = 1000.0,
    spelling: str = ORBIT_STATE,
) -> Piece:  # fmt: skip
    """A pass whose footprint begins `west` metres from the tile's edge and is `width` metres wide."""
    values = np.ones((60, round(width / 20)), np.float32)
    place = Affine(20, 0, WEST + west, 0, -20, NORTH + 100)
    properties = {spelling: direction, "sat:absolute_orbit": orbit, "platform": "sentinel-1a"}
    return Piece(
        name, {"vv": values, "vh": values}, place, "EPSG:32631", None, f"{day}T17:31:53Z", properties
    )


def catalog_of(folder: Path, *pieces: Piece) -> Catalog:
    return open_catalog(write_pieces(folder, {"sentinel-1-sigma0": pieces}))


def test_the_direction_that_covers_more_wins_not_the_one_with_more_files(tmp_path: Path) -> None:
    catalog = catalog_of(
        tmp_path,
        passed("a1", "ascending", 1, width=300),
        passed("a2", "ascending", 2, "2019-05-01", width=300),
        passed("a3", "ascending", 3, "2019-06-01", width=300),
        passed("d1", "descending", 11),
    )
    choice = choose_orbit(catalog, TILE, SEASON, SETTINGS)
    ascending, descending = choice.covers
    assert choice.chosen == "descending"
    assert (ascending.acquisitions, descending.acquisitions) == (3, 1)
    assert ascending.coverage == pytest.approx(0.9, abs=0.03)
    assert descending.coverage == pytest.approx(1.0, abs=0.01)


def test_slices_of_one_pass_are_one_acquisition_and_their_overlap_counts_once(tmp_path: Path) -> None:
    catalog = catalog_of(
        tmp_path,
        passed("a1", "ascending", 1, width=600),
        passed("a2", "ascending", 1, west=400, width=600),
        passed("d1", "descending", 2),
    )
    ascending, descending = choose_orbit(catalog, TILE, SEASON, SETTINGS).covers
    assert ascending.acquisitions == 1
    assert ascending.coverage == pytest.approx(descending.coverage, abs=0.01)


def test_equal_coverage_gives_ascending_and_passes_out_of_season_do_not_count(tmp_path: Path) -> None:
    catalog = catalog_of(
        tmp_path,
        passed("d1", "descending", 2),
        passed("a1", "ascending", 1),
        passed("d2", "descending", 3, "2019-11-01"),
    )
    choice = choose_orbit(catalog, TILE, SEASON, SETTINGS)
    assert choice.chosen == "ascending"
    assert [c.acquisitions for c in choice.covers] == [1, 1]


def test_the_direction_is_understood_in_other_catalogs_spelling(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, passed("d1", "DESCENDING", 2, spelling="orbitDirection"))
    assert choose_orbit(catalog, TILE, SEASON, SETTINGS).chosen == "descending"


@pytest.mark.parametrize(
    ("asked", "filters"),
    [
        ("ascending", ((ORBIT_STATE, "ascending"),)),
        ("descending", ((ORBIT_STATE, "descending"),)),
        ("best", ((ORBIT_STATE, "descending"),)),
        ("both", ()),
    ],
)
def test_the_choice_becomes_the_filter_of_the_load_and_is_recorded(
    tmp_path: Path, asked: str, filters: tuple[tuple[str, str], ...]
) -> None:
    choice = choose_orbit(catalog_of(tmp_path, passed("d", "descending", 2)), TILE, SEASON, SETTINGS, asked)
    before = CubeSettings(s1_properties=((ORBIT_STATE, "ascending"),))
    assert choice.applied(before).s1_properties == filters
    told = choice.to_dict()
    assert told["asked"] == asked
    assert told["descending"] == {"acquisitions": 1, "coverage": pytest.approx(1, abs=0.01)}
    assert "descending 1 acquisitions" in str(choice)


def test_what_is_no_direction_is_refused(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, passed("d", "descending", 2))
    with pytest.raises(InvalidInput, match=r"'upward' is not an orbit direction"):
        choose_orbit(catalog, TILE, SEASON, SETTINGS, "upward")
    with pytest.raises(InvalidInput, match=r"'dB2' is not a unit"):
        s1_unit("dB2")


def test_every_area_gets_its_own_direction_once(tmp_path: Path) -> None:
    catalog = catalog_of(
        tmp_path,
        passed("a", "ascending", 1, width=1000),
        passed("d", "descending", 2, west=1000, width=1000),
    )
    picker = OrbitPicker(catalog, SEASON, SETTINGS, "best")
    east = Box(GRID, TILE.x1 + 1, TILE.y0, TILE.x1 + 40, TILE.y1)
    west = Box(GRID, TILE.x0, TILE.y0, TILE.x0 + 40, TILE.y1)
    assert [picker(a).s1_properties[0][1] for a in (west, east, west)] == [
        "ascending",
        "descending",
        "ascending",
    ]
    assert len(picker.choices) == 2
    assert picker.told() == "Sentinel-1 orbit (best asked): ascending in 1 areas, descending in 1 areas"
