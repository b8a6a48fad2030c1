"""Whether an area lies where a catalog has collections at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import shapely

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.production.planning.places import Place


def check_within(catalogs: Mapping[str, Catalog], names: Sequence[str], places: Sequence[Place]) -> None:
    """Say clearly that an area lies outside of a collection in every catalog before anything is counted.

    Args:
        catalogs: by name.
        names: collections that every map needs.
        places: tiles.

    Raises:
        InvalidInput: no tile touches a collection in any catalog.
        CollectionNotFound: a catalog does not have it.
    """
    tree = shapely.STRtree([place.outline for place in places])
    for name in names:
        stated = []
        for catalog in catalogs.values():
            boxes = catalog.describe(name).bboxes
            if not boxes or any(len(tree.query(shapely.box(*box), predicate="intersects")) for box in boxes):
                break
            stated.append(boxes[0])
        else:
            own = "; ".join(", ".join(f"{v:.4f}" for v in box) for box in stated)
            around = shapely.total_bounds([place.outline for place in places])
            area = ", ".join(f"{v:.4f}" for v in around)
            raise InvalidInput(
                f"The area ({area}) lies outside of collection {name} ({own}).",
                hint="Check the order of the coordinates and the catalog.",
            )
