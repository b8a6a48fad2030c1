"""The grid of granules is Sentinel-2's: corners, names and zones of real items."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acreage.core.grid import transformer
from acreage.simulate.granules import GRANULE_M, Granule, granules_over, utm_zone
from acreage.simulate.ground import points
from acreage.simulate.settings import ArchiveSettings

TILE = re.compile(r"T?(\d{2})([C-X])([A-Z]{2})$")


def real_grids(real_data: Path) -> Iterator[tuple[str, list[float]]]:
    """(tile, transform of a 10 m asset) of every real item."""
    items: list[dict[str, Any]] = []
    for path in sorted(real_data.glob("s2-earthsearch/**/S2*_L2A.json")) + sorted(
        real_data.glob("stac-items/*s2_l2a*json")
    ):
        data = json.loads(path.read_text("utf-8"))
        items += data["features"] if data["type"] == "FeatureCollection" else [data]
    for item in items:
        if item["type"] != "Feature":
            continue
        p = item["properties"]
        tile = p.get("s2:mgrs_tile") or p["grid:code"].removeprefix("MGRS-")
        for key in ("blue", "B02", "B02_10m"):
            if key in item["assets"]:
                yield tile, item["assets"][key]["proj:transform"]


def test_granules_have_the_corners_of_real_ones(real_data: Path) -> None:
    seen = set()
    for tile, transform in real_grids(real_data):
        zone, band, square = int(tile[:2]), tile[2], tile[3:]
        if band < "N":  # the southern hemisphere is not simulated
            continue
        corner_x, corner_y = transform[2], transform[5]
        # The square starts within 60 m east of the granule's corner and ends as much south of it.
        granule = Granule(zone, band, square, math.ceil(corner_x / 1e5 - 1e-3), round(corner_y / 1e5) - 1)
        assert (granule.west, granule.north) == (corner_x, corner_y), tile
        seen.add(tile)
    assert {"33TWN", "33TWM", "33TWL", "32TMS", "36NYH", "06VVN"} <= seen


@pytest.mark.parametrize(
    ("longitude", "latitude", "tile"),
    [
        (15.7, 47.4, "33TWN"),
        (15.7, 46.5, "33TWM"),
        (15.7, 45.6, "33TWL"),
        (8.4, 46.46, "32TMS"),
        (4.06, 50.74, "31UES"),
    ],
)
def test_granules_over_a_place_have_the_names_of_real_ones(
    longitude: float, latitude: float, tile: str
) -> None:
    settings = ArchiveSettings.around((longitude, latitude), 1.0)
    assert tile in [g.tile for g in granules_over(settings.area)]


def test_on_a_zone_boundary_granules_of_both_zones_and_both_rows_overlap() -> None:
    settings = ArchiveSettings.around((5.985, 45.108), 3.2)
    found = granules_over(settings.published)
    assert [g.tile for g in found] == ["31TGK", "31TGL", "32TKQ", "32TKR"]
    upper, lower = found[1], found[0]
    assert lower.north - (upper.north - GRANULE_M) == 9840


def test_cuts_lie_on_the_granules_own_lattice_of_60_metres() -> None:
    settings = ArchiveSettings.around((5.985, 45.108), 3.2)
    for granule in granules_over(settings.published):
        cut = granule.cut(settings.published)
        assert granule.box(10).contains(cut)
        west, south, east, north = cut.bounds
        assert [(west - granule.west) % 60, (granule.north - north) % 60] == [0, 0]
        assert [(east - west) % 60, (north - south) % 60] == [0, 0]


def test_a_wide_area_spans_three_zones_and_norway_has_its_own() -> None:
    settings = ArchiveSettings.within((5.9, 50.0, 12.1, 50.1))
    assert {g.zone for g in granules_over(settings.area)} == {31, 32, 33}
    assert (utm_zone(5.0, 60.0), utm_zone(5.0, 50.0), utm_zone(10.0, 78.0), utm_zone(6.0, 50.0)) == (
        32,
        31,
        33,
        32,
    )


def test_interpolated_ground_coordinates_are_those_of_the_projection() -> None:
    granule = granules_over(ArchiveSettings.around((5.985, 45.108), 3.2).area)[0]
    box = granule.cut(ArchiveSettings.around((5.985, 45.108), 3.2).published)
    x, y = points(box)
    exact = transformer(granule.crs, "EPSG:3035").transform(*(box.x_centres()[7], box.y_centres()[33]))
    assert (x[33, 7], y[33, 7]) == pytest.approx(exact, abs=0.005)
