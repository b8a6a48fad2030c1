"""The index over items finds what a comparison one by one finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalog_items import parsed

from acreage.catalog.sources import ItemIndex, overall_bounds
from acreage.catalog.stac import StacItem

LONGITUDES = st.integers(-180, 180)
LATITUDES = st.integers(-90, 90)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Bounds in whole degrees; one in two reaches over the antimeridian."""
    south, north = sorted((draw(LATITUDES), draw(LATITUDES)))
    return (float(draw(LONGITUDES)), float(south), float(draw(LONGITUDES)), float(north))


def covered(west: float, east: float) -> set[int]:
    """Whole degrees of longitude of a closed range, -180 and 180 kept apart as their boxes have them."""
    if west <= east:
        return set(range(int(west), int(east) + 1))
    return set(range(int(west), 181)) | set(range(-180, int(east) + 1))


def item(number: int, bbox: tuple[float, float, float, float], day: int) -> StacItem:
    return parsed(f"i{number:03d}", bbox=list(bbox), datetime=f"2020-01-{day:02d}T10:00:00Z")


@given(
    st.lists(st.tuples(boxes(), st.integers(1, 28)), max_size=12),
    boxes(),
    st.one_of(st.none(), st.integers(1, 28)),
    st.one_of(st.none(), st.integers(1, 28)),
)
def test_the_index_finds_what_touches_area_and_time(
    placed: list[tuple[tuple[float, float, float, float], int]],
    bounds: tuple[float, float, float, float],
    first: int | None,
    last: int | None,
) -> None:
    items = [item(n, bbox, day) for n, (bbox, day) in enumerate(placed)]
    start = None if first is None else np.datetime64(f"2020-01-{first:02d}T10:00", "ms")
    end = None if last is None else np.datetime64(f"2020-01-{last:02d}T10:00", "ms")
    expected = [
        each.id
        for each, (bbox, day) in zip(items, placed, strict=True)
        if covered(bbox[0], bbox[2]) & covered(bounds[0], bounds[2])
        and bbox[1] <= bounds[3]
        and bbox[3] >= bounds[1]
        and (first is None or day >= first)
        and (last is None or day < last)
    ]
    assert [i.id for i in ItemIndex(items).find(bounds, (start, end))] == expected


def test_a_footprint_narrower_than_its_bbox_is_told_apart() -> None:
    ring = [[4.0, 50.0], [5.0, 50.0], [4.0, 51.0], [4.0, 50.0]]
    triangle = {"type": "Polygon", "coordinates": [ring]}
    index = ItemIndex([parsed("x", bbox=[4.0, 50.0, 5.0, 51.0], geometry=triangle)])
    assert index.find((4.1, 50.1, 4.2, 50.2))
    assert index.find((4.8, 50.8, 4.9, 50.9)) == []
    # Edges of footprints are drawn coarsely, so what lies a hundred metres off still counts.
    assert index.find((4.503, 50.503, 4.6, 50.6))


@pytest.mark.parametrize("west", [179.0, -181.0])
def test_a_footprint_that_wraps_the_wrong_way_is_not_trusted(west: float) -> None:
    ring = [[west, 0], [-179.0, 0], [-179.0, 1], [west, 1], [west, 0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    index = ItemIndex([parsed("x", bbox=[179.0, 0.0, -179.0, 1.0], geometry=geometry)])
    assert len(index.find((179.5, 0.2, 179.9, 0.8))) == 1
    assert len(index.find((-179.9, 0.2, -179.5, 0.8))) == 1
    assert index.find((0.0, 0.2, 1.0, 0.8)) == []


def test_an_item_with_a_period_counts_while_it_lasts() -> None:
    year = parsed(
        "x", datetime=None, start_datetime="2021-01-01T00:00:00Z", end_datetime="2021-12-31T23:59:59Z"
    )
    index = ItemIndex([year])

    def found(start: str, end: str) -> bool:
        return bool(index.find((4.0, 50.0, 4.1, 50.1), (np.datetime64(start), np.datetime64(end))))

    assert found("2021-06-01", "2021-07-01")
    assert found("2020-06-01", "2021-01-02")
    assert not found("2020-06-01", "2021-01-01")
    assert not found("2022-01-01", "2022-02-01")


def test_bounds_of_nothing_are_nothing() -> None:
    assert overall_bounds([]) is None
    assert ItemIndex([]).find((0.0, 0.0, 1.0, 1.0)) == []
    assert overall_bounds([parsed("x", bbox=[179.0, 0.0, -179.0, 1.0])]) == (-180.0, 0.0, 180.0, 1.0)
