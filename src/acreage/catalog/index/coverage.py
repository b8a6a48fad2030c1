"""Which places and times were asked for, and what is left to ask.

Requests are widened to cells of half a degree and whole UTC days, so that neighbouring tiles share answers
and what is left of a request is again a few blocks. Everything here is pure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acreage.catalog.index.policy import DAY_MS
from acreage.catalog.items import Bounds, Interval

CELL_DEGREES = 0.5
COLUMNS, ROWS = round(360 / CELL_DEGREES), round(180 / CELL_DEGREES)
OPEN_START, OPEN_END = -62_135_596_800_000, 253_402_300_800_000  # years 1 and 10000
# Archives publish an acquisition days after it: what was asked about the days before does not last.
LAG_MS = 7 * DAY_MS
RECENT_MS = DAY_MS
# One search of a catalog asks for no more than this: about a thousand Sentinel-2 items.
_CELL_DAYS = 2000
_OPEN_CELLS = 400


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """Cells [x0, x1) x [y0, y1), y northward from the south pole, over [start, end) in ms since 1970."""

    x0: int
    y0: int
    x1: int
    y1: int
    start: int
    end: int

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees."""
        return (
            self.x0 * CELL_DEGREES - 180.0,
            self.y0 * CELL_DEGREES - 90.0,
            self.x1 * CELL_DEGREES - 180.0,
            self.y1 * CELL_DEGREES - 90.0,
        )

    @property
    def interval(self) -> Interval:
        """As instants; None at an open end."""
        return (
            None if self.start <= OPEN_START else np.datetime64(self.start, "ms"),
            None if self.end >= OPEN_END else np.datetime64(self.end, "ms"),
        )

    def touches(self, other: Block) -> bool:
        """True where both have a common part."""
        return (
            self.x0 < other.x1
            and other.x0 < self.x1
            and self.y0 < other.y1
            and other.y0 < self.y1
            and self.start < other.end
            and other.start < self.end
        )

    def lasts(self, start: np.datetime64, end: np.datetime64) -> bool:
        """True where all of a period, both ends included, lies in it."""
        return self.start <= _ms(start) and _ms(end) < self.end

    def holds(self, other: Block) -> bool:
        """True where the other lies in it."""
        return (
            self.x0 <= other.x0
            and other.x1 <= self.x1
            and self.y0 <= other.y0
            and other.y1 <= self.y1
            and self.start <= other.start
            and other.end <= self.end
        )


WORLD = Block(0, 0, COLUMNS, ROWS, OPEN_START, OPEN_END)


@dataclass(frozen=True, slots=True)
class Asked:
    """A block that was asked for, and when (ms since 1970)."""

    block: Block
    at: int


def blocks_of(bounds: Bounds, interval: Interval) -> tuple[Block, ...]:
    """The cells and days that a request touches; two blocks where it reaches over the antimeridian."""
    west, south, east, north = bounds
    if west > east:
        parts = ((west, south, 180.0, north), (-180.0, south, east, north))
        return tuple(block for part in parts for block in blocks_of(part, interval))
    x0, x1 = _cells(west, east, 180.0, COLUMNS)
    y0, y1 = _cells(south, north, 90.0, ROWS)
    start, end = interval
    first = OPEN_START if start is None else _ms(start) // DAY_MS * DAY_MS
    last = OPEN_END if end is None else -(-_ms(end) // DAY_MS) * DAY_MS
    return (Block(x0, y0, x1, y1, first, max(last, first + DAY_MS)),)


def _ms(value: np.datetime64) -> int:
    return int(value.astype("datetime64[ms]").astype(np.int64))


def _cells(low: float, high: float, origin: float, count: int) -> tuple[int, int]:
    first = min(max(math.floor((low + origin) / CELL_DEGREES), 0), count - 1)
    last = min(max(math.ceil((high + origin) / CELL_DEGREES), first + 1), count)
    return first, last


def missing(asked: Iterable[Asked], wanted: Block, now: int, not_before: int | None) -> list[Block]:
    """What of a block is not answered by what was asked, as blocks that do not overlap.

    Args:
        asked: all that was asked.
        wanted: the block.
        now: ms since 1970.
        not_before: what was asked before this does not count; None: all counts.
    """
    answers = _answers(asked, wanted, now, not_before)
    edges = _edges(answers, wanted)
    open_ = _paint(answers, wanted, edges) == 0
    found: list[Block] = []
    for layer, (start, end) in zip(open_, itertools.pairwise(edges), strict=True):
        for x0, y0, x1, y1 in rectangles(layer):
            block = Block(wanted.x0 + x0, wanted.y0 + y0, wanted.x0 + x1, wanted.y0 + y1, start, end)
            before = next((b for b in found if b.end == start and _same_cells(b, block)), None)
            if before is None:
                found.append(block)
            else:
                found[found.index(before)] = Block(*_place(block), before.start, end)
    return found


def oldest(asked: Iterable[Asked], wanted: Block) -> int | None:
    """When the part of a block that was asked longest ago was asked; None where a part never was."""
    answers = [(a.block, a.at) for a in asked if a.block.touches(wanted)]
    edges = _edges(answers, wanted)
    times = _paint(answers, wanted, edges)
    least = int(times.min())
    return least or None


def _answers(
    asked: Iterable[Asked], wanted: Block, now: int, not_before: int | None
) -> list[tuple[Block, int]]:
    """The parts of what was asked that still hold."""
    answers = []
    for each in asked:
        block = each.block
        if not block.touches(wanted) or (not_before is not None and each.at < not_before):
            continue
        if wanted.end < OPEN_END and now - each.at >= RECENT_MS:
            block = Block(*_place(block), block.start, min(block.end, each.at - LAG_MS))
        if block.start < block.end:
            answers.append((block, each.at))
    return answers


def _place(block: Block) -> tuple[int, int, int, int]:
    return block.x0, block.y0, block.x1, block.y1


def _same_cells(a: Block, b: Block) -> bool:
    return _place(a) == _place(b)


def _edges(answers: Sequence[tuple[Block, int]], wanted: Block) -> list[int]:
    inner = {t for b, _ in answers for t in (b.start, b.end) if wanted.start < t < wanted.end}
    return sorted({wanted.start, wanted.end} | inner)


def _paint(
    answers: Sequence[tuple[Block, int]], wanted: Block, edges: Sequence[int]
) -> npt.NDArray[np.int64]:
    """(times, rows, columns): the latest asking of each cell, 0 where there is none."""
    result = np.zeros((len(edges) - 1, wanted.y1 - wanted.y0, wanted.x1 - wanted.x0), np.int64)
    starts = np.array(edges[:-1])
    for block, at in answers:
        times = slice(
            int(np.searchsorted(starts, max(block.start, wanted.start))),
            int(np.searchsorted(starts, min(block.end, wanted.end))),
        )
        rows = slice(max(block.y0 - wanted.y0, 0), block.y1 - wanted.y0)
        columns = slice(max(block.x0 - wanted.x0, 0), block.x1 - wanted.x0)
        part = result[times, rows, columns]
        np.maximum(part, at, out=part)
    return result


def rectangles(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Rectangles (x0, y0, x1, y1) that make up a mask, without overlap."""
    done: list[tuple[int, int, int, int]] = []
    growing: dict[tuple[int, int], int] = {}
    for y in range(mask.shape[0] + 1):
        runs = _runs(mask[y]) if y < mask.shape[0] else set()
        ended = [run for run in growing if run not in runs]
        done += [(run[0], growing.pop(run), run[1], y) for run in ended]
        for run in runs:
            growing.setdefault(run, y)
    return sorted(done, key=lambda r: (r[1], r[0]))


def _runs(row: npt.NDArray[np.bool_]) -> set[tuple[int, int]]:
    change = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return {(int(a), int(b)) for a, b in zip(change[::2], change[1::2], strict=True)}


def pieces(block: Block) -> list[Block]:
    """A block in parts, each small enough for one search of a catalog."""
    width, height = block.x1 - block.x0, block.y1 - block.y0
    endless = block.start <= OPEN_START or block.end >= OPEN_END
    days = max((block.end - block.start) // DAY_MS, 1)
    if width * height <= _OPEN_CELLS if endless else width * height * days <= _CELL_DAYS:
        return [block]
    if not endless and width * height == 1 and days == 1:
        return [block]
    if not endless and days > 31 and max(width, height) <= 8:
        middle = block.start + days // 2 * DAY_MS
        halves = (
            Block(*_place(block), block.start, middle),
            Block(*_place(block), middle, block.end),
        )
    elif width >= height:
        x = block.x0 + width // 2
        halves = (
            Block(block.x0, block.y0, x, block.y1, block.start, block.end),
            Block(x, block.y0, block.x1, block.y1, block.start, block.end),
        )
    else:
        y = block.y0 + height // 2
        halves = (
            Block(block.x0, block.y0, block.x1, y, block.start, block.end),
            Block(block.x0, y, block.x1, block.y1, block.start, block.end),
        )
    return [piece for half in halves for piece in pieces(half)]


def with_asked(asked: Sequence[Asked], new: Asked) -> list[Asked]:
    """Add what was asked now; what it holds whole is forgotten."""
    return [*(a for a in asked if not new.block.holds(a.block)), new]
