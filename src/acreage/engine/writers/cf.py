"""What the CF conventions say of a cube, for netCDF and Zarr: coordinates, the CRS, names of variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.grid import parse_crs
from acreage.engine.store import Stored
from acreage.engine.writers.common import Encoding, band_names, label_text, pieces

GRID_MAPPING = "crs"
DIMENSIONS = "openeo_dimensions"
"""Attribute of a file: names and types of the cube's dimensions in order, as `t:temporal bands:bands`."""
TRUTH = "false true"
"""`flag_meanings` of a variable that holds booleans."""
_EPOCH = np.datetime64("1970-01-01T00:00:00", "ms")
_GEOGRAPHIC = {"x": ("longitude", "degrees_east"), "y": ("latitude", "degrees_north")}


def global_attributes(meta: CubeMeta) -> dict[str, Any]:
    """Attributes of the file."""
    return {"Conventions": "CF-1.10", DIMENSIONS: " ".join(f"{d.name}:{d.type}" for d in meta.dims)}


def variable_attributes(band: str, meta: CubeMeta) -> dict[str, Any]:
    """Attributes of a band's variable, but for what stands for null."""
    attributes: dict[str, Any] = {"long_name": band}
    if meta.box is not None:
        attributes["grid_mapping"] = GRID_MAPPING
    if meta.dtype.kind == "b":
        attributes |= {"flag_values": np.asarray([0, 1], np.uint8), "flag_meanings": TRUTH}
    return attributes


def coordinate(dim: Dimension, meta: CubeMeta) -> tuple[Array, dict[str, Any]]:
    """Values of a dimension's coordinate variable (numbers, or text as objects), and its attributes."""
    labels = meta.labels_of(dim.name)
    if labels and isinstance(labels[0], np.datetime64):
        seconds = np.asarray([(v - _EPOCH) / np.timedelta64(1, "s") for v in labels], np.float64)
        units = {"units": "seconds since 1970-01-01", "calendar": "standard", "standard_name": "time"}
        return seconds, units
    if not all(isinstance(v, int | float) for v in labels):
        period = {} if dim.period is None else {"period": dim.period}
        return np.asarray([label_text(v) for v in labels], object), period
    if dim.type not in ("x", "y"):
        whole = bool(labels) and all(isinstance(v, int) for v in labels)
        return np.asarray(labels, np.int64 if whole else np.float64), {}
    name, unit = f"projection_{dim.type}_coordinate", "m"
    if meta.grid.is_geographic:
        name, unit = _GEOGRAPHIC[dim.type]
    return np.asarray(labels, np.float64), {"standard_name": name, "units": unit}


def grid_mapping(meta: CubeMeta) -> dict[str, Any]:
    """Attributes of the variable that holds the CRS, with what GDAL reads beside CF's own."""
    assert meta.box is not None
    crs = parse_crs(meta.grid.crs)
    a = meta.box.affine
    transform = " ".join(repr(v) for v in (a.c, a.a, a.b, a.f, a.d, a.e))
    return {**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": transform}


def outer_dims(meta: CubeMeta) -> tuple[Dimension, ...]:
    """The dimensions of the variables: all but the bands, each of which is a variable."""
    bands = meta.find("bands")
    return tuple(d for d in meta.dims if d is not bands)


def variable_names(meta: CubeMeta) -> list[str]:
    """A variable's name for each band: the band's, changed where a variable cannot have it."""
    taken = {d.name for d in meta.dims if d.type != "bands"}
    taken |= {f"{d.name}_wkt" for d in meta.dims if d.type == "geometry"}
    taken |= {GRID_MAPPING} if meta.box is not None else set()
    names = []
    for band in band_names(meta):
        name = re.sub(r"[^\w.+@ -]", "_", band).strip() or "band"
        if not (name[0].isalnum() or name[0] == "_"):
            name = f"_{name}"
        while name in taken:
            name += "_band"
        taken.add(name)
        names.append(name)
    return names


def geometry_texts(meta: CubeMeta) -> tuple[str, str, Array, str] | None:
    """Of a cube along geometries: name of their variable and of its dimension, WKT as objects, CRS."""
    dim = meta.find("geometry")
    if meta.geometries is None or dim is None:
        return None
    texts = np.asarray([s.wkt for s in meta.geometries.shapes], object)
    return f"{dim.name}_wkt", dim.name, texts, meta.geometries.crs


def chunk_shape(meta: CubeMeta, rows: int) -> tuple[int, ...]:
    """Of a variable: at most 256 x 256 pixels and 8 of everything else, and no piece shares one with another.

    Args:
        meta: of the cube.
        rows: of the pieces in which it is written.
    """
    most = {"x": 256, "y": min(256, rows)}
    lengths = dict(zip(meta.names, meta.shape, strict=True))
    return tuple(min(most.get(d.type, 8), lengths[d.name]) for d in outer_dims(meta))


def write_values(stored: Stored, variables: Sequence[Any], encoding: Encoding) -> None:
    """Put all values into variables, one for each band in order, that are assigned to by slices."""
    for cube in pieces(stored):
        for variable, (index, part) in zip(variables, parts_of(cube, stored.meta, encoding), strict=True):
            variable[index or ...] = part


def parts_of(cube: Cube, meta: CubeMeta, encoding: Encoding) -> Iterator[tuple[tuple[slice, ...], Array]]:
    """Of a piece of the cube, for each band: where it lies in its variable, and its values as in the file."""
    bands = meta.find("bands")
    values: Array = encoding.encode(cube)
    values = values[None] if bands is None else np.moveaxis(values, meta.axis(bands.name), 0)
    index: list[slice] = []
    for dim in outer_dims(meta):
        rows = slice(None)
        if dim.type == "y" and meta.box is not None and cube.meta.box is not None:
            rows = cube.meta.box.slices_in(meta.box)[0]
        index.append(rows)
    for part in values:
        yield tuple(index), part
