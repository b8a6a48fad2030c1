"""Where STAC items come from: the Protocol that catalogs read through, and the index over items in memory.

What is published in a form that needs a large library is told here, without loading that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import box as to_box

from acreage.catalog.access import split_signature
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.stac import Json, MalformedItem, StacItem, item_name, parse_item
from acreage.core.errors import CatalogError

# Footprints are polygons in degrees whose straight edges stray from the true ones; a hundredth of a degree
# covers the bulge of a granule's edge.
_FOOTPRINT_MARGIN = 0.01
# Property of items that were made up from files whose names hold no date.
UNDATED = "acreage:undated"
GEOPARQUET_SUFFIXES = (".parquet", ".geoparquet")
_ITEM_SEARCH = "item-search"
_OPEN_START, _OPEN_END = np.datetime64("0001-01-01", "ms"), np.datetime64("9999-12-31", "ms")


@dataclass(frozen=True)
class Document:
    """A parsed item document, or the error met in its place.

    Attributes:
        address: where it was read.
        data: the parsed object, or why there is none.
    """

    address: str
    data: Json | CatalogError

    @property
    def name(self) -> str:
        """The address without what signs it."""
        return split_signature(self.address)[0]


class ItemSource(Protocol):
    """A catalog as it is published, with its own collection ids.

    Attributes:
        filters: `find` may leave the filtering of properties to the catalog, so that what it leaves out is
            not seen here; elsewhere all items are at hand.
    """

    filters: bool

    @property
    def address(self) -> str:
        """Where it was opened, for messages."""
        ...

    def stac_collections(self) -> Mapping[str, Json]:
        """The STAC collection objects by id."""
        ...

    def sample(self, collection: str) -> StacItem | None:
        """Any item of a collection, None where it has none."""
        ...

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """Items that touch an area and a half-open interval, with what could not be read."""
        ...


def is_api(document: Json) -> bool:
    """True for the landing page of an API that can search items."""
    classes = document.get("conformsTo")
    return isinstance(classes, list) and any(isinstance(c, str) and c.endswith(_ITEM_SEARCH) for c in classes)


def is_geoparquet(path: Path) -> bool:
    """True for a Parquet file, and for a folder that holds such and no catalog of another kind."""
    if path.is_dir():
        if path.suffix in GEOPARQUET_SUFFIXES:
            return True
        entries = [p for p in path.iterdir() if not p.name.startswith((".", "_"))]
        return bool(entries) and all(p.is_file() and p.suffix in GEOPARQUET_SUFFIXES for p in entries)
    return path.is_file() and path.suffix.lower() in GEOPARQUET_SUFFIXES


def parse_documents(documents: Iterable[Document]) -> tuple[list[StacItem], list[ItemProblem]]:
    """Parse item documents, feature collections included.

    Of different items with one id the first is kept, and the problem says that none may be used. An item that
    is listed twice, as an API's pages may do, is one item.
    """
    items: list[StacItem] = []
    problems: list[ItemProblem] = []
    for document in documents:
        if isinstance(document.data, CatalogError):
            problems.append(ItemProblem(document.name, "", str(document.data), "unreadable"))
            continue
        for data in features(document.data):
            try:
                items.append(parse_item(data, document.address))
            except MalformedItem as error:
                name = item_name(data, document.address)
                problems.append(ItemProblem(name, "", f"The item is unusable: {error}", error.kind))
    kept: dict[str, StacItem] = {}
    others: dict[str, int] = {}
    for item in items:
        first = kept.setdefault(item.id, item)
        if item is not first and item != first:
            others[item.id] = others.get(item.id, 0) + 1
    for identifier, count in sorted(others.items()):
        reason = f"The id is used by {count + 1} items, one at {kept[identifier].href}; none is used."
        problems.append(ItemProblem(identifier, "", reason, "duplicate-id"))
    return list(kept.values()), problems


def features(data: Json) -> list[Json]:
    """The items of a document: itself, or the members of a feature collection."""
    if data.get("type") == "FeatureCollection" and isinstance(data.get("features"), list):
        return [f for f in data["features"] if isinstance(f, Mapping)]
    return [data]


class Boxes:
    """Footprints' bounds and times of many items as arrays.

    Args:
        bounds: (4, n) west, south, east, north in degrees; west > east over the antimeridian.
        start: (n) datetime64[ms].
        end: (n) datetime64[ms], included.
    """

    def __init__(
        self,
        bounds: npt.NDArray[np.float64],
        start: npt.NDArray[np.datetime64],
        end: npt.NDArray[np.datetime64],
    ) -> None:
        self.bounds, self.start, self.end = bounds, start, end

    def hits(self, bounds: Bounds, interval: Interval = (None, None)) -> npt.NDArray[np.intp]:
        """Numbers of those that touch the bounds and whose time lies in [start, end)."""
        west, south, east, north = bounds
        start = _OPEN_START if interval[0] is None else interval[0]
        end = _OPEN_END if interval[1] is None else interval[1]
        own_west, own_south, own_east, own_north = self.bounds
        hit = (own_north >= south) & (own_south <= north) & (self.start < end) & (self.end >= start)
        crossing = own_west > own_east
        if west <= east:
            plain = (own_east >= west) & (own_west <= east)
            wrapped = (own_east >= west) | (own_west <= east)
        else:
            plain = (own_east >= west) | (own_west <= east)
            wrapped = np.ones_like(plain)
        hit &= np.where(crossing, wrapped, plain)
        return np.flatnonzero(hit)


class ItemIndex:
    """Items in memory, searched by area and time on arrays."""

    def __init__(self, items: Sequence[StacItem]) -> None:
        self.items = tuple(items)
        self._boxes = Boxes(
            np.array([item.bbox for item in items], np.float64).reshape(-1, 4).T,
            np.array([item.start for item in items], "datetime64[ms]"),
            np.array([item.end for item in items], "datetime64[ms]"),
        )

    def find(self, bounds: Bounds, interval: Interval = (None, None)) -> list[StacItem]:
        """Items whose footprint touches the bounds and whose time lies in [start, end)."""
        return [item for n in self._boxes.hits(bounds, interval) if touches(item := self.items[n], bounds)]


def touches(item: StacItem, bounds: Bounds) -> bool:
    """Compare the footprint where plain geometry can be trusted with it, else leave the bbox's yes."""
    west, south, east, north = bounds
    geometry = item.geometry
    if geometry is None or geometry.geom_type not in ("Polygon", "MultiPolygon") or west > east:
        return True
    low, _, high, _ = geometry.bounds
    if item.bbox[0] > item.bbox[2] or high - low > 180.0 or not shapely.is_valid(geometry):
        return True
    margin = _FOOTPRINT_MARGIN
    return bool(geometry.intersects(to_box(west - margin, south - margin, east + margin, north + margin)))


def overall_bounds(items: Sequence[StacItem]) -> Bounds | None:
    """The bounds of all items, None where there are none; over the antimeridian: all longitudes."""
    if not items:
        return None
    boxes = [(-180.0, i.bbox[1], 180.0, i.bbox[3]) if i.bbox[0] > i.bbox[2] else i.bbox for i in items]
    west, south, east, north = zip(*boxes, strict=True)
    return (min(west), min(south), max(east), max(north))
