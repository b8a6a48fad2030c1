"""JSON, CSV, GeoJSON and GeoParquet: small cubes and vector cubes.

pandas and geopandas take long to load; they are, where one of their formats is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.geometry import mapping

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import FormatUnsuitable
from acreage.engine.store import Stored
from acreage.engine.writers.common import label_text
from acreage.processes.geometries import WGS84, in_crs

if TYPE_CHECKING:
    import pandas as pd

_MOST_VALUES = 20_000_000


def check_small(meta: CubeMeta, options: Mapping[str, Any]) -> None:
    """Whether a cube is small enough for a format that is written at once.

    Raises:
        FormatUnsuitable: it is not.
    """
    if meta.size > _MOST_VALUES:
        raise FormatUnsuitable(
            f"{meta.size:,} values are too many for JSON and tables; {_MOST_VALUES:,} are the most.",
            hint="Save it as netCDF, Zarr or GTiff, or reduce it first.",
        )


def _whole(stored: Stored) -> Cube:
    check_small(stored.meta, {})
    return stored if isinstance(stored, Cube) else stored.read(None)


def _json_label(label: Any) -> Any:
    return label_text(label) if isinstance(label, np.datetime64) else label


def _plain(values: Any, valid: Any) -> Any:
    """Nested lists with None for null; JSON has no NaN or infinity, so these are null too."""
    if values.ndim == 0:
        if not bool(valid) or (values.dtype.kind == "f" and not np.isfinite(values)):
            return None
        return values.item()
    return [_plain(v, k) for v, k in zip(values, valid, strict=True)]


def write_json(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """A scalar as it is, an array as a list, a cube as {dims, labels, data} with its geometries."""
    cube = _whole(stored)
    data = _plain(cube.values, cube.validity())
    meta = cube.meta
    if meta.dims and not all(d.name.startswith("array") and d.type == "other" for d in meta.dims):
        document: dict[str, Any] = {
            "dims": list(meta.names),
            "labels": {n: [_json_label(v) for v in meta.labels_of(n)] for n in meta.names},
        }
        if meta.box is not None:
            document["crs"] = meta.grid.crs
        if meta.geometries is not None:
            document["crs"] = meta.geometries.crs
            document["geometries"] = [s.__geo_interface__ for s in meta.geometries.shapes]
            document["properties"] = list(meta.geometries.properties)
        data = {**document, "data": data}
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(data, allow_nan=False) + "\n", "utf-8")
    return [path]


def write_csv(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """A row per combination of labels, a column per band; nulls are empty."""
    cube = _whole(stored)
    frame = _frame(cube)
    path = folder / f"{stem}.csv"
    frame.to_csv(path, index=False)
    return [path]


def _masked(cube: Cube) -> Any:
    values = cube.values.astype(object)
    values[~cube.validity()] = None
    return values


def _frame(cube: Cube) -> pd.DataFrame:
    import pandas as pd

    meta = cube.meta
    bands = meta.find("bands")
    values = _masked(cube)
    names = ["value"] if bands is None else [str(b) for b in bands.labels]
    values = values[..., None] if bands is None else np.moveaxis(values, meta.axis(bands.name), -1)
    rows = [d for d in meta.dims if d is not bands]
    labels = [[_json_label(v) for v in meta.labels_of(d.name)] for d in rows]
    index = pd.DataFrame(list(product(*labels)), columns=[d.name for d in rows])
    return pd.concat([index, pd.DataFrame(values.reshape(-1, len(names)), columns=names)], axis=1)


def write_geojson(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """A FeatureCollection after RFC 7946: a feature a geometry, in longitude and latitude.

    Its properties are the geometry's, and a value for each combination of the other labels, named as the
    columns of GeoParquet; null for null, NaN and infinity.
    """
    cube = _whole(stored)
    found, dim = cube.meta.geometries, cube.meta.find("geometry")
    assert found is not None
    assert dim is not None
    shapes = shapely.orient_polygons(np.asarray(in_crs(found, WGS84), object))
    columns = [(name, _plain(values, valid)) for name, values, valid in _columns(cube)]
    path = folder / f"{stem}.geojson"
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for n, label in enumerate(dim.labels):
            own = dict(found.properties[n]) if found.properties else {}
            feature = {
                "type": "Feature",
                "id": _json_label(label),
                "geometry": None if shapes[n].is_empty else mapping(shapes[n]),
                "properties": own | {name: values[n] for name, values in columns},
            }
            file.write(",\n" if n else "\n")
            file.write(json.dumps(feature, allow_nan=False, ensure_ascii=False))
        file.write("\n]}\n")
    return [path]


def write_geoparquet(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """A row a geometry: id, properties, and a column per combination of the other labels, joined by `_`.

    Properties of these names give way, but for one called `id`.
    """
    import geopandas as gpd

    cube = _whole(stored)
    meta = cube.meta
    dim = meta.find("geometry")
    assert meta.geometries is not None
    assert dim is not None
    columns = {"id": [_json_label(label) for label in dim.labels], **_properties(meta)}
    columns |= {name: _column(values, valid) for name, values, valid in _columns(cube)}
    frame = gpd.GeoDataFrame(columns, geometry=list(meta.geometries.shapes), crs=meta.geometries.crs)
    path = folder / f"{stem}.parquet"
    frame.to_parquet(path)
    return [path]


def _columns(cube: Cube) -> Iterator[tuple[str, Array, Array]]:
    """Name, values and validity of a column for each combination of labels of the other dimensions."""
    meta = cube.meta
    dim = meta.find("geometry")
    assert dim is not None
    others = [d for d in meta.dims if d is not dim]
    shape = (len(dim.labels), -1) if cube.values.size else (len(dim.labels), 0)
    values = np.moveaxis(cube.values, meta.axis(dim.name), 0).reshape(shape)
    valid = np.moveaxis(cube.validity(), meta.axis(dim.name), 0).reshape(shape)
    for n, labels in enumerate(product(*(meta.labels_of(d.name) for d in others)) if values.shape[1] else ()):
        yield "_".join(label_text(v) for v in reversed(labels)) or "value", values[:, n], valid[:, n]


def _column(values: Any, valid: Any) -> Any:
    import pandas as pd

    if values.dtype.kind == "f":
        return np.where(valid, values, np.nan).astype(values.dtype)
    kinds: dict[str, Any] = {
        "b": "boolean",
        "u": f"UInt{8 * values.dtype.itemsize}",
        "i": f"Int{8 * values.dtype.itemsize}",
    }
    series = pd.Series(values).astype(kinds[values.dtype.kind])
    series[~valid] = pd.NA
    return series


def _properties(meta: CubeMeta) -> dict[str, Any]:
    """Attributes of the geometries, as columns; nested values as JSON text."""
    assert meta.geometries is not None
    names = dict.fromkeys(n for p in meta.geometries.properties for n in p)
    columns: dict[str, Any] = {}
    for name in names:
        column = [p.get(name) for p in meta.geometries.properties]
        columns[name] = [json.dumps(v) if isinstance(v, list | dict) else v for v in column]
    return columns
