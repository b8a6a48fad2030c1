"""What was asked and what is left to ask, against a count cell by cell and day by day."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acreage.catalog.index.coverage import (
    LAG_MS,
    OPEN_END,
    OPEN_START,
    RECENT_MS,
    WORLD,
    Asked,
    Block,
    blocks_of,
    missing,
    oldest,
    pieces,
    rectangles,
    with_asked,
)
from acreage.catalog.index.policy import DAY_MS

NOW = 20_000 * DAY_MS
LONG_AGO = NOW - 100 * DAY_MS
SIZE = 6


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    def span() -> tuple[int, int]:
        a = draw(st.integers(0, SIZE - 1))
        return a, draw(st.integers(a + 1, SIZE))

    (x0, x1), (y0, y1), (t0, t1) = span(), span(), span()
    return Block(x0, y0, x1, y1, t0 * DAY_MS, t1 * DAY_MS)


def cells(block: Block) -> set[tuple[int, int, int]]:
    return {
        (x, y, t)
        for x in range(block.x0, block.x1)
        for y in range(block.y0, block.y1)
        for t in range(block.start // DAY_MS, block.end // DAY_MS)
    }


@settings(max_examples=60)
@given(st.lists(blocks(), max_size=4), blocks())
def test_what_is_left_is_exactly_what_was_not_asked_each_part_once(done: list[Block], wanted: Block) -> None:
    asked = [Asked(block, LONG_AGO) for block in done]
    left = missing(asked, wanted, NOW, None)
    expected = cells(wanted) - set().union(*(cells(b) for b in done))
    found = [cell for block in left for cell in cells(block)]
    assert set(found) == expected
    assert len(found) == len(expected)
    assert missing([*asked, *(Asked(b, LONG_AGO) for b in left)], wanted, NOW, None) == []


@settings(max_examples=60)
@given(st.lists(st.tuples(blocks(), st.integers(1, 50)), max_size=4), blocks())
def test_the_age_is_that_of_the_part_asked_longest_ago(done: list[tuple[Block, int]], wanted: Block) -> None:
    asked: list[Asked] = []
    for block, at in sorted(done, key=lambda d: d[1]):
        asked = with_asked(asked, Asked(block, at))
    latest = {cell: max((at for b, at in done if cell in cells(b)), default=0) for cell in cells(wanted)}
    assert oldest(asked, wanted) == (min(latest.values()) or None)


def test_what_was_asked_before_a_limit_is_asked_again() -> None:
    block = Block(0, 0, 2, 2, 0, DAY_MS)
    assert missing([Asked(block, LONG_AGO)], block, NOW, LONG_AGO + 1) == [block]
    assert missing([Asked(block, LONG_AGO)], block, NOW, LONG_AGO) == []


def test_the_days_just_before_the_asking_are_asked_again_the_next_day_the_others_are_not() -> None:
    asked_at = NOW - 3 * DAY_MS
    block = Block(0, 0, 1, 1, NOW - 100 * DAY_MS, NOW)
    (left,) = missing([Asked(block, asked_at)], block, NOW, None)
    assert (left.start, left.end) == (asked_at - LAG_MS, NOW)
    assert missing([Asked(block, NOW - RECENT_MS + 1)], block, NOW, None) == []


def test_a_layer_without_time_is_asked_once() -> None:
    always = Block(0, 0, 1, 1, OPEN_START, OPEN_END)
    assert missing([Asked(always, LONG_AGO)], always, NOW, None) == []
    assert missing([Asked(WORLD, LONG_AGO)], always, NOW, None) == []


@settings(max_examples=40)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_rectangles_make_up_the_mask(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    painted = np.zeros(mask.shape, int)
    for x0, y0, x1, y1 in rectangles(mask):
        painted[y0:y1, x0:x1] += 1
    assert np.array_equal(painted, mask.astype(int))


def test_a_continent_and_season_is_cut_into_small_searches_that_make_it_up() -> None:
    (whole,) = blocks_of(
        (-11.0, 34.0, 35.0, 71.5), (np.datetime64("2025-03-01"), np.datetime64("2025-11-01"))
    )
    parts = pieces(whole)

    def volume(b: Block) -> int:
        return (b.x1 - b.x0) * (b.y1 - b.y0) * ((b.end - b.start) // DAY_MS)

    assert sum(map(volume, parts)) == volume(whole)
    assert max(map(volume, parts)) <= 2000
    assert all(whole.holds(part) for part in parts)
    assert not any(a.touches(b) for n, a in enumerate(parts[:80]) for b in parts[:n])


def test_a_tile_and_season_is_one_or_two_searches() -> None:
    (tile,) = blocks_of((4.2, 50.6, 4.5, 50.8), (np.datetime64("2025-03-01"), np.datetime64("2025-11-01")))
    assert (tile.x1 - tile.x0, tile.y1 - tile.y0) == (1, 1)
    assert len(pieces(tile)) == 1


def test_a_request_over_the_antimeridian_is_two_blocks_that_hold_it() -> None:
    east, west = blocks_of((179.8, -17.0, -179.7, -16.4), (None, None))
    assert east.bounds == (179.5, -17.0, 180.0, -16.0)
    assert west.bounds == (-180.0, -17.0, -179.5, -16.0)
    assert east.interval == (None, None)


@settings(max_examples=60)
@given(st.integers(-1800, 1800), st.integers(-900, 900), st.integers(0, 30), st.integers(0, 30))
def test_the_cells_hold_the_request(west: int, south: int, width: int, height: int) -> None:
    bounds = (west / 10, south / 10, min(west + width, 1800) / 10, min(south + height, 900) / 10)
    (block,) = blocks_of(bounds, (None, None))
    w, s, e, n = block.bounds
    assert w <= bounds[0]
    assert s <= bounds[1]
    assert e >= bounds[2]
    assert n >= bounds[3]
