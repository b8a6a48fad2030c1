"""Collections: STAC search, items to readable sources, band names, scale and offset."""

from acreage.catalog.items import (
    BandInfo,
    Catalog,
    CollectionInfo,
    ItemProblem,
    Raster,
    Search,
    SourceItem,
)
from acreage.catalog.open import open_catalog

__all__ = [
    "BandInfo",
    "Catalog",
    "CollectionInfo",
    "ItemProblem",
    "Raster",
    "Search",
    "SourceItem",
    "open_catalog",
]
