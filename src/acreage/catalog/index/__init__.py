"""The catalog index: what searches found, kept as stac-geoparquet and asked before the catalog is."""

from acreage.catalog.index.changes import Changes
from acreage.catalog.index.policy import IndexPolicy, IndexUse
from acreage.catalog.index.source import IndexedSource, IndexReport

__all__ = ["Changes", "IndexPolicy", "IndexReport", "IndexUse", "IndexedSource"]
