"""Users' GeoJSON and GeoParquet files as vector cubes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acreage.core.cube import Cube
from acreage.core.errors import FileContentInvalid, FileSizeExceeded, GeometryInvalid, InvalidInput
from acreage.engine.user_files.places import Limits, UserFile
from acreage.processes.vectors import load_geojson


def open_geojson(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Cube:
    """The vector cube of a GeoJSON file; see `load_geojson`.

    Raises:
        FileContentInvalid: it is no GeoJSON that can be used.
        FileSizeExceeded: it is too large.
    """
    size = file.path.stat().st_size
    if size > limits.table_bytes:
        raise FileSizeExceeded(
            f"{file.name} has {size / 1e6:.0f} MB; {limits.table_bytes / 1e6:g} MB are the most for GeoJSON.",
            hint="Upload it as GeoParquet, or in parts.",
        )
    try:
        data = json.loads(file.path.read_bytes())
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise FileContentInvalid(
            f"{file.name} is empty." if not size else f"{file.name} is not valid JSON{where}.",
            hint="Check the option 'format'.",
        ) from error
    return _cube(file, data, options)


def open_geoparquet(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Cube:
    """The vector cube of a GeoParquet file; see `load_geojson`.

    Raises:
        FileContentInvalid: it is no GeoParquet that can be used.
        FileSizeExceeded: it is too large when it is unpacked.
    """
    import geopandas as gpd  # slow to load
    import pyarrow as pa

    try:
        size = _unpacked_bytes(file.path, limits.table_bytes)
        if size > limits.table_bytes:
            raise FileSizeExceeded(
                f"{file.name} is too large when it is unpacked; {limits.table_bytes / 1e6:g} MB are the most "
                "for GeoParquet.",
                hint="Upload it in parts.",
            )
        frame = gpd.read_parquet(file.path)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise FileContentInvalid(
            f"{file.name} cannot be opened as GeoParquet: it is another format, damaged, not whole, or "
            "without geometries.",
            hint="Check the option 'format', or upload it again.",
        ) from error
    plain = frame.drop(columns=frame.geometry.name)
    ids = plain["id"] if "id" in plain and plain["id"].notna().all() else None
    rows = json.loads(plain.to_json(orient="records", date_format="iso", default_handler=str))
    rows = rows or [{} for _ in range(len(frame))]
    features = [
        {
            "type": "Feature",
            "id": None if ids is None else ids.iloc[n],
            "geometry": None if shape is None or shape.is_empty else shape.__geo_interface__,
            "properties": rows[n],
        }
        for n, shape in enumerate(frame.geometry)
    ]
    data: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if frame.crs is not None:
        data["crs"] = {"type": "name", "properties": {"name": frame.crs.to_wkt()}}
    return _cube(file, data, options)


def _unpacked_bytes(path: Path, most: int) -> int:
    """Bytes of a Parquet file's values in memory; any number above `most` where they are more.

    A text that is repeated stands in the file once, and takes memory as often as it is there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    told = pq.read_metadata(path)
    groups = [told.row_group(n) for n in range(told.num_row_groups)]
    values = sum(g.column(n).num_values for g in groups for n in range(g.num_columns))
    size = max(8 * values, sum(g.total_byte_size for g in groups))
    if size > most:
        return int(size)
    schema = pq.read_schema(path)
    texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    for column in pq.read_table(path, columns=texts, read_dictionary=texts).columns if texts else ():
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                size += pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
    return int(size)


def _cube(file: UserFile, data: Any, options: Mapping[str, Any]) -> Cube:
    try:
        return load_geojson(data, options["properties"])
    except (GeometryInvalid, InvalidInput) as error:
        raise FileContentInvalid(f"{file.name}: {error.message}", hint=error.hint) from error
    except RecursionError as error:
        raise FileContentInvalid(f"{file.name} is nested too deeply.") from error
