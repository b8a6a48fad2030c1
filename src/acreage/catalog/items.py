"""What a catalog hands to the engine: collections, items and the rasters behind them.

All types are frozen and picklable. Longitudes come before latitudes; instants are UTC, `datetime64[ms]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from acreage.core.faults import FaultKind
from acreage.core.grid import Box

if TYPE_CHECKING:
    from acreage.catalog.access.model import Access

Bounds = tuple[float, float, float, float]
Interval = tuple[np.datetime64 | None, np.datetime64 | None]
MosaicRule = Literal["solar-day-datatake", "absolute-orbit", "static", "item"]


@dataclass(frozen=True, slots=True)
class BorderNoise:
    """Noise along the edge of a radar swath, which is masked when it is read.

    Attributes:
        distance: pixels from the null part outside of the swath within which noise is looked for.
        floor: linear power below which a pixel there is noise.
    """

    distance: int
    floor: float


@dataclass(frozen=True, slots=True)
class Raster:
    """One band of one item, readable.

    Attributes:
        href: absolute path, or address without what signs it.
        band_index: 1-based band in the file.
        box: its pixels on its own grid.
        dtype: numpy dtype name of the file.
        nodata: the null value in the file, None where there is none.
        dn_offset: added to every valid digital number to harmonise it (Sentinel-2: -1000 or 0).
        scale: physical value = (DN + dn_offset) * scale + offset; information only.
        offset: see `scale`.
        db: True where the physical value is in decibels; such pixels are read as linear power, float32.
        border: noise along the swath's edge that is to be masked, None where there is none.
        access: how a remote address is reached, without secrets; None where the address alone tells.
        untrusted: True for a GeoTIFF that a user brought: it is opened as nothing else, and without the files
            beside it.
    """

    href: str
    band_index: int
    box: Box
    dtype: str
    nodata: float | None
    dn_offset: int = 0
    scale: float = 1.0
    offset: float = 0.0
    db: bool = False
    border: BorderNoise | None = None
    access: Access | None = None
    untrusted: bool = False

    @property
    def place(self) -> str:
        """What people are told of where the file lies: not the folder of a user's own file."""
        return PurePath(self.href).name if self.untrusted else self.href


@dataclass(frozen=True)
class SourceItem:
    """A STAC item whose assets are resolved to rasters.

    Attributes:
        id: STAC item id.
        collection: openEO collection id.
        href: the item's own address, for `derived_from` links.
        datetime: nominal instant, datetime64[ms].
        bbox: west, south, east, north in degrees.
        group: mosaic group: items of one group are mosaicked to one time step. Unique within the collection.
        rank: order inside the group, best first: the smaller tuple wins. Comparable with every other item's.
        rasters: by openEO band name.
        properties: all STAC properties, for property filters.
        footprint: where it has pixels, WKB in degrees; None where only `bbox` is known.
    """

    id: str
    collection: str
    href: str
    datetime: np.datetime64
    bbox: Bounds
    group: str
    rank: tuple[Any, ...]
    rasters: Mapping[str, Raster]
    properties: Mapping[str, Any]
    footprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class ItemProblem:
    """Something of an item that cannot be used, to be counted and reported.

    Attributes:
        item: STAC item id, or the address where the id cannot be read.
        asset: asset or band name; empty where the whole item is meant.
        reason: a sentence for a person.
        kind: which fault it is.
        href: the item's own address; empty where it is not known.
    """

    item: str
    asset: str
    reason: str
    kind: FaultKind = "malformed"
    href: str = ""


@dataclass(frozen=True)
class Search:
    """The answer to a search.

    Attributes:
        items: sorted by datetime, group, rank, id.
        problems: what could not be used, sorted by item and asset.
        superseded: ids of items that a newer processing of the same acquisition replaces, sorted.
        filtered: ids of items that a property filter leaves out, as far as the source lists them; sorted.
        notes: for people: how old the answer is.
        lost: bounds of items none of whose bands can be read; they are among the problems.
    """

    items: tuple[SourceItem, ...]
    problems: tuple[ItemProblem, ...] = ()
    superseded: tuple[str, ...] = ()
    filtered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: tuple[Bounds, ...] = ()


@dataclass(frozen=True, slots=True)
class BandInfo:
    """A band as the collection describes it.

    Attributes:
        name: openEO band name.
        common_name: STAC common name, empty where there is none.
        dtype: numpy dtype name of the digital numbers.
        nodata: null value where a file does not state one.
        scale: physical value = DN * scale + offset (harmonised DN).
        offset: see `scale`.
        gsd: ground sample distance in metres.
        unit: unit of the physical value, empty for a pure number.
        categorical: True for class codes, which are resampled by nearest neighbour unless asked otherwise.
        description: a sentence for a person.
    """

    name: str
    common_name: str = ""
    dtype: str = "float32"
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    gsd: float | None = None
    unit: str = ""
    categorical: bool = False
    description: str = ""


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as it is shown to users and as the engine plans with it.

    Attributes:
        id: openEO collection id.
        title: short name.
        description: a paragraph for a person.
        bands: in the collection's order.
        bboxes: extents in degrees, the overall one first; the item must touch one of them to exist.
        interval: first and last instant with data, None at an open end.
        mosaic: how items become time steps. `static` collections have no time dimension of their own.
        mosaic_reference: band whose validity picks the winning item of a pixel; None: the first band loaded.
        attributes: fixed facts that processes check, such as `sar:calibration`.
        license: SPDX id or `other`.
        providers: STAC provider objects.
        keywords: free words.
        source_collection: the id under which the catalog itself knows the collection.
        cell_degrees: size of the tiles of a layer that has none where there is only sea; None: not tiled so.
    """

    id: str
    title: str
    description: str
    bands: tuple[BandInfo, ...]
    bboxes: tuple[Bounds, ...]
    interval: Interval
    mosaic: MosaicRule
    mosaic_reference: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    license: str = "other"
    providers: tuple[Mapping[str, Any], ...] = ()
    keywords: tuple[str, ...] = ()
    source_collection: str = ""
    cell_degrees: float | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in the collection's order."""
        return tuple(band.name for band in self.bands)

    def band(self, name: str) -> BandInfo | None:
        """The band of this name, or None."""
        return next((band for band in self.bands if band.name == name), None)


class Catalog(Protocol):
    """Where collections come from. Implementations are safe to use from several threads."""

    def collections(self) -> tuple[str, ...]:
        """openEO ids of the collections, in the catalog's order."""
        ...

    def describe(self, collection_id: str) -> CollectionInfo:
        """What is known of a collection.

        Raises:
            CollectionNotFound: it is not in this catalog; the message lists those that are.
        """
        ...

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        """Items that touch an area and a half-open interval, with their rasters.

        Args:
            collection_id: openEO collection id.
            bounds: west, south, east, north in degrees.
            interval: [start, end); None leaves an end open. Ignored for `static` collections.
            bands: openEO band names to resolve; None for all.
            query: property filters as STAC API `query` has them (`eq`, `lte`, ...), to get less; an absent
                property matches no filter but `neq`.

        Raises:
            CollectionNotFound: it is not in this catalog.
            LabelNotAvailable: the collection has no such band.
            CatalogError: the source cannot be reached or read.
        """
        ...
