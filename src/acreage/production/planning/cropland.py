"""How much of each tile is mapped: the share of its land cover that the mask keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acreage.catalog.items import Catalog
from acreage.catalog.landcover import class_counts
from acreage.production.planning.kept import Kept
from acreage.production.tiles import Tile

BATCH = 1000
"""Tiles that are counted at once, so that an interrupted plan goes on."""

Tell = Callable[[int, int], None]


def cropland_shares(
    catalog: Catalog,
    address: str,
    collection: str,
    tiles: Sequence[Tile],
    codes: Sequence[int],
    resolution: float | None,
    kept: Kept,
    tell: Tell = lambda *_: None,
) -> tuple[float | None, ...]:
    """The share of each tile's pixels with a class that has one of the codes; None where no file covers it.

    Args:
        catalog, collection: land cover.
        address: of the catalog, by which answers are kept.
        tiles: areas.
        codes: classes of the mask.
        resolution: metres; the coarsest overview that is not coarser is counted; None: every pixel.
        kept: what was counted before.
        tell: told of (tiles done, tiles in all).

    Raises:
        CatalogError: the land cover cannot be read.
    """
    # Neighbours share files: in the order of the grid's rows, a batch touches few.
    shares: list[float | None] = []
    for start in range(0, len(tiles), BATCH):
        some = tiles[start : start + BATCH]
        question = ["cropland", address, collection, sorted(codes), resolution, [t.id for t in some]]

        def count(some: Sequence[Tile] = some) -> list[float | None]:
            boxes = [tile.box(tile.bounds[2] - tile.bounds[0]) for tile in some]
            counts = class_counts(catalog, collection, boxes, codes, resolution)
            return [c.share if c.pixels else None for c in counts]

        shares += kept.asked(question, count)
        tell(len(shares), len(tiles))
    return tuple(shares)
