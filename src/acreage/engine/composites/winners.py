"""Which of several items a pixel is taken from, where the items' places alone decide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.catalog.items import SourceItem
from acreage.core.grid import Box
from acreage.engine.mosaic import ReadBand
from acreage.engine.placement import bounding_part, covered, source_region


def settled_winner(
    items: Sequence[SourceItem], group: Sequence[int], reference: str, frame: Box, read: ReadBand
) -> NDArray[np.int8] | None:
    """Per pixel of a frame the first item that covers it, -1 where none does; None where validity decides, too.

    An item without nulls in its reference band is taken wherever it comes first, and granules of one pass lie
    over each other in the same way on every date: so the answer is kept for the next date.

    Args:
        items: of a time step, best first.
        group: those that share the frame's lattice.
        reference: band whose validity decides.
        frame: pixels of the lattice.
        read: pixels of one band of an item, None where they cannot be read.
    """
    known = [(n, items[n].rasters[reference]) for n in group if reference in items[n].rasters]
    if len(items) > np.iinfo(np.int8).max:
        return None
    winner, places = _first(tuple((n, r.box) for n, r in known), frame)
    rasters = dict(known)
    for number, part in places:
        raster = rasters[number]
        pixels = read(items[number], reference, source_region(raster.box, part, "near"))
        if pixels is None or pixels[1] is not None:
            return None
    return winner


@lru_cache(maxsize=12)
def _first(
    boxes: tuple[tuple[int, Box], ...], frame: Box
) -> tuple[NDArray[np.int8], tuple[tuple[int, Box], ...]]:
    """The first item that covers each pixel, and where the validity of which items decides on that.

    These are the parts over which an item comes first and others cover, too.
    """
    winner = np.full(frame.shape, -1, np.int8)
    often = np.zeros(frame.shape, np.int8)
    for number, box in reversed(boxes):
        covers = covered(box, frame)
        winner[covers] = number
        often += covers
    places = []
    for number, _ in boxes:
        part: Any = bounding_part((winner == number) & (often > 1), frame)
        if part is not None:
            places.append((number, part))
    winner.flags.writeable = False
    return winner, tuple(places)
