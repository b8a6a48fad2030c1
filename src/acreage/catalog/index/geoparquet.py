"""Published stac-geoparquet, a file or a folder of files, as a catalog.

Rows are found by the `bbox` and time columns of row groups, whose statistics skip those far away; only the
rows found are read whole. https://github.com/radiantearth/stac-geoparquet-spec
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from acreage.catalog.index.exchange import table_to_documents
from acreage.catalog.items import Bounds, Interval, ItemProblem
from acreage.catalog.query import matches
from acreage.catalog.sources import GEOPARQUET_SUFFIXES, Boxes, Document, parse_documents, touches
from acreage.catalog.stac import Json, StacItem
from acreage.core.errors import CatalogError, InvalidInput
from acreage.core.grid import crs_name

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_TIMES = ("datetime", "start_datetime", "end_datetime")
_UNNAMED = "items"


def open_geoparquet(path: Path) -> GeoparquetSource:
    """Open a stac-geoparquet file, or all such files of a folder.

    Raises:
        CatalogError: it is no stac-geoparquet.
    """
    paths = sorted(p for p in path.rglob("*") if p.suffix in GEOPARQUET_SUFFIXES) if path.is_dir() else [path]
    return GeoparquetSource(str(path), [_open(p) for p in paths])


@dataclass
class GeoparquetFile:
    """One file, opened: its footer is read, its row groups when they are needed."""

    path: Path
    metadata: pq.FileMetaData
    schema: pa.Schema
    stac: Mapping[str, Json]
    _boxes: dict[int, Boxes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, collection: str | None, bounds: Bounds, interval: Interval) -> list[Document]:
        """Documents of the rows that touch an area and interval; of one collection, None for all."""
        documents: list[Document] = []
        for group in range(self.metadata.num_row_groups):
            if not self._may_hold(group, bounds):
                continue
            rows = self._group_boxes(group).hits(bounds, interval)
            if len(rows):
                documents += self.documents(group, rows, collection)
        return documents

    def documents(self, group: int, rows: npt.NDArray[np.intp], collection: str | None) -> list[Document]:
        """Documents of some rows of a row group."""
        table = self._read(group, None).take(pa.array(rows))
        if collection is not None and "collection" in table.column_names:
            named = pc.fill_null(table["collection"].cast(pa.string()), _UNNAMED)
            table = table.filter(pc.equal(named, collection))
        return [Document(str(self.path), d) for d in table_to_documents(_in_form(table))]

    @cached_property
    def collections(self) -> list[str]:
        """Ids of the collections that its rows name."""
        if "collection" not in self.schema.names:
            return [_UNNAMED]
        with pq.ParquetFile(self.path, metadata=self.metadata) as file:
            column = file.read(columns=["collection"])["collection"]
        return [_UNNAMED if v is None else str(v) for v in pc.unique(column.cast(pa.string())).to_pylist()]

    def _may_hold(self, group: int, bounds: Bounds) -> bool:
        west, south, east, north = bounds
        limits = self._limits.get(group)
        if limits is None or west > east:
            return True
        low_x, low_y, high_x, high_y = limits
        return low_x <= east and high_x >= west and low_y <= north and high_y >= south

    @cached_property
    def _limits(self) -> dict[int, tuple[float, float, float, float]]:
        """Bounds of row groups by their statistics; absent where an item may reach over the antimeridian."""
        leaves = {self.metadata.schema.column(n).path: n for n in range(self.metadata.num_columns)}
        columns = [leaves.get(f"bbox.{edge}") for edge in _EDGES]
        found: dict[int, tuple[float, float, float, float]] = {}
        if any(column is None for column in columns):
            return found
        for group in range(self.metadata.num_row_groups):
            statistics = [self.metadata.row_group(group).column(c).statistics for c in columns]
            if all(s is not None and s.has_min_max for s in statistics):
                west, south, east, north = statistics
                if west.max <= east.min or (west.min > -179 and east.max < 179):
                    found[group] = (west.min, south.min, east.max, north.max)
        return found

    def _group_boxes(self, group: int) -> Boxes:
        with self._lock:
            if group not in self._boxes:
                names = [n for n in ("bbox", *_TIMES) if n in self.schema.names]
                table = self._read(group, names)
                self._boxes[group] = Boxes(self._edges(table, group), *_times(table))
            return self._boxes[group]

    def _edges(self, table: pa.Table, group: int) -> npt.NDArray[np.float64]:
        if "bbox" in table.column_names:
            bbox = table["bbox"].combine_chunks()
            if pa.types.is_struct(bbox.type):
                return np.stack([pc.struct_field(bbox, e).to_numpy(zero_copy_only=False) for e in _EDGES])
            rows = [v or [np.nan] * 4 for v in bbox.to_pylist()]
            halves = [(r[0], r[1], r[len(r) // 2], r[len(r) // 2 + 1]) for r in rows]
            return np.array(halves, np.float64).reshape(-1, 4).T
        shapes = shapely.from_wkb(self._read(group, ["geometry"])["geometry"].to_pylist())
        return np.asarray(shapely.bounds(shapes), np.float64).T

    def _read(self, group: int, columns: list[str] | None) -> pa.Table:
        with pq.ParquetFile(self.path, metadata=self.metadata, memory_map=True) as file:
            return file.read_row_group(group, columns=columns)


class GeoparquetSource:
    """stac-geoparquet files as a catalog.

    Attributes:
        whole: a search answers for the area that it asks about only.
        filters: as `ItemSource` says.
    """

    whole = False
    filters = False

    def __init__(self, address: str, files: Sequence[GeoparquetFile]) -> None:
        if not files:
            raise CatalogError(f"{address} holds no stac-geoparquet files.")
        self._address = address
        self._files = files

    @property
    def address(self) -> str:
        """Where it was opened."""
        return self._address

    def stac_collections(self) -> Mapping[str, Json]:
        """The collections that rows name, with the STAC objects that the files hold of them."""
        stated: dict[str, Json] = {}
        for file in self._files:
            for identifier in file.collections:
                stated.setdefault(
                    identifier, file.stac.get(identifier, {"type": "Collection", "id": identifier})
                )
        return stated

    def sample(self, collection: str) -> StacItem | None:
        """The first item, None where there is none."""
        for file in self._files:
            for group in range(file.metadata.num_row_groups):
                rows = np.arange(min(file.metadata.row_group(group).num_rows, 64))
                items, _ = parse_documents(file.documents(group, rows, collection)[:1])
                if items:
                    return items[0]
        return None

    def find(
        self, collection: str, bounds: Bounds, interval: Interval, query: Mapping[str, Any] | None
    ) -> tuple[list[StacItem], list[ItemProblem]]:
        """As `ItemSource.find`."""
        items, problems = parse_documents(self.documents(collection, bounds, interval))
        found = [i for i in items if touches(i, bounds) and (not query or matches(i.properties, query))]
        return found, problems

    def documents(self, collection: str, bounds: Bounds, interval: Interval) -> Sequence[Document]:
        """Item documents that touch an area and a half-open interval."""
        return [d for file in self._files for d in file.find(collection, bounds, interval)]


def _open(path: Path) -> GeoparquetFile:
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogError(f"{path} cannot be read as Parquet: {error}.") from error
    missing = [name for name in ("id", "geometry", "assets") if name not in schema.names]
    if missing or not any(name in schema.names for name in _TIMES):
        raise CatalogError(
            f"{path} is not stac-geoparquet: it has no column {', '.join(missing) or 'datetime'}.",
            hint="A stac-geoparquet file has one STAC item a row.",
        )
    _check_geometry(path, schema)
    return GeoparquetFile(path, metadata, schema, _collections(schema))


def _check_geometry(path: Path, schema: pa.Schema) -> None:
    """Refuse geometries that are not WKB in longitude and latitude.

    Raises:
        CatalogError: they are not.
    """
    try:
        column = json.loads((schema.metadata or {}).get(b"geo", b"{}")).get("columns", {}).get("geometry", {})
    except (ValueError, AttributeError) as error:
        raise CatalogError(f"{path}: its GeoParquet metadata is not valid: {error}.") from error
    if column.get("encoding", "WKB") != "WKB":
        raise CatalogError(f"{path}: its geometries are {column['encoding']}, not WKB.")
    crs = column.get("crs")
    if crs is None:
        return
    identifier = crs.get("id", {}) if isinstance(crs, Mapping) else {}
    name = f"{identifier.get('authority')}:{identifier.get('code')}" if identifier else json.dumps(crs)
    try:
        lonlat = name == "OGC:CRS84" or crs_name(name) == "EPSG:4326"
    except InvalidInput as error:
        raise CatalogError(f"{path}: its coordinate reference system is not known: {error}") from error
    if not lonlat:
        raise CatalogError(
            f"{path}: its footprints are in {name}; STAC items have longitude and latitude (OGC:CRS84).",
            hint="Write it anew from the items with stac-geoparquet.",
        )


def _collections(schema: pa.Schema) -> dict[str, Json]:
    """STAC collections in the file's metadata, as versions 1.0 and 1.1 of the specification keep them."""
    metadata = schema.metadata or {}
    found: dict[str, Json] = {}
    for key in (b"stac-geoparquet", b"stac:collections", b"stac:collection"):
        try:
            data = json.loads(metadata.get(key, b"{}"))
        except ValueError:
            continue
        for each in (data.get("collections"), data if key == b"stac:collections" else None):
            if isinstance(each, Mapping):
                found.update({k: v for k, v in each.items() if isinstance(v, Mapping)})
        for one in (data.get("collection"), data):
            if (
                isinstance(one, Mapping)
                and one.get("type") == "Collection"
                and isinstance(one.get("id"), str)
            ):
                found[one["id"]] = one
    return found


def _times(table: pa.Table) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64]]:
    """First and last instant of rows, which a range states where `datetime` is null."""

    def column(name: str) -> npt.NDArray[np.datetime64]:
        if name not in table.column_names:
            return np.full(len(table), "NaT", "datetime64[ms]")
        values = table[name].combine_chunks()
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = pc.cast(values, pa.timestamp("ms", "UTC"))
        return np.asarray(values.to_numpy(zero_copy_only=False), "datetime64[ms]")

    at, start, end = map(column, _TIMES)
    return np.where(np.isnat(at), start, at), np.where(np.isnat(at), end, at)


def _in_form(table: pa.Table) -> pa.Table:
    """With what the library needs to make items: a `bbox` of fields, no columns of the GeoPandas index."""
    for name in [n for n in table.column_names if n.startswith("__index_level")]:
        table = table.drop_columns([name])
    if "bbox" not in table.column_names or not pa.types.is_struct(table.schema.field("bbox").type):
        if "bbox" in table.column_names:
            table = table.drop_columns(["bbox"])
        edges = shapely.bounds(shapely.from_wkb(table["geometry"].to_pylist())).reshape(-1, 4).T
        struct = pa.StructArray.from_arrays([pa.array(e) for e in edges], list(_EDGES))
        table = table.append_column("bbox", struct)
    for name, value in (("type", "Feature"), ("stac_version", "1.0.0")):
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table)))
    return table
