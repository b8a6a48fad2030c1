"""stac-geoparquet: writing a part's items, and turning rows of any such file into item documents.

https://github.com/radiantearth/stac-geoparquet-spec, through the library of that name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import shapely
from shapely.geometry import mapping, shape
from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet
from stac_geoparquet.arrow import stac_table_to_items as _to_items

from acreage.catalog.stac import Json


def documents_to_table(documents: Sequence[Json]) -> pa.Table:
    """Items as a stac-geoparquet table, in the order given.

    A field that has several kinds of values among the items (a number here, a text there) is written as text,
    for a column has one type.
    """
    shaped = [_shaped(d) for d in documents]
    try:
        return parse_stac_items_to_arrow(shaped, chunk_size=len(shaped)).read_all()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for document in shaped:
            _kinds(document, (), kinds)
        mixed = {path for path, found in kinds.items() if len(found - {"null"}) > 1}
        even = [_evened(document, (), mixed) for document in shaped]
        return parse_stac_items_to_arrow(even, chunk_size=len(even)).read_all()


def _shaped(document: Json) -> dict[str, Any]:
    """With a footprint, which the format needs: the bounds where the item has none."""
    result = dict(document)
    if not isinstance(result.get("geometry"), Mapping):
        result["geometry"] = mapping(shapely.box(*result["bbox"]))
    result["geometry"] = mapping(shape(result["geometry"]))
    return result


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list | tuple) else "object"


def _kinds(value: Any, path: tuple[str, ...], found: dict[tuple[str, ...], set[str]]) -> None:
    found[path].add(_kind(value))
    if path and path[-1] == "geometry":
        return
    if isinstance(value, Mapping):
        for key, member in value.items():
            _kinds(member, (*path, key), found)
    elif isinstance(value, list | tuple):
        for member in value:
            _kinds(member, (*path, "[]"), found)


def _evened(value: Any, path: tuple[str, ...], mixed: set[tuple[str, ...]]) -> Any:
    if path in mixed:
        if value is None or isinstance(value, str):
            return value
        return orjson.dumps(value).decode()
    if path and path[-1] == "geometry":
        return value
    if isinstance(value, Mapping):
        return {key: _evened(member, (*path, key), mixed) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_evened(member, (*path, "[]"), mixed) for member in value]
    return value


def write_items(table: pa.Table, path: Path, collection: str, stac: Json) -> None:
    """Write a stac-geoparquet file."""
    document = {str(key): value for key, value in stac.items()}
    to_parquet(
        table, path, collections={collection: document}, compression="zstd", write_batch_size=1024
    )  # fmt: skip


def joined(tables: Sequence[pa.Table]) -> pa.Table | None:
    """Several stac-geoparquet tables as one; None where their columns have kinds that do not go together."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def table_to_documents(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a stac-geoparquet table as item documents, without the nulls that stand for absent fields."""
    return [_without_nulls(document) for document in _to_items(table)]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(member) for member in value]
    return value
