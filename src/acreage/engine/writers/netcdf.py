"""NetCDF after the CF conventions: a variable a band, written piece by piece."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.grid import parse_crs
from acreage.engine.store import Stored
from acreage.engine.writers.common import Encoding, band_names, choose_encoding, label_text, pieces

_CHUNK = 256
_EPOCH = np.datetime64("1970-01-01T00:00:00", "ms")


def write_netcdf(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """One file. Dates are seconds since 1970, other labels strings or numbers; geometries are WKT.

    Options: `compression`, `deflate` by default, or `none`: larger files that take less time to write.
    """
    meta = stored.meta
    compressed = options["compression"] != "none"
    path = folder / f"{stem}.nc"
    encoding = choose_encoding(stored)
    bands = meta.find("bands")
    dims = [d for d in meta.dims if d is not bands]
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.Conventions = "CF-1.10"
        for dim in dims:
            _coordinate(file, dim, meta)
        if meta.box is not None:
            _grid_mapping(file, meta)
        if meta.geometries is not None:
            _geometries(file, meta)
        windows = () if isinstance(stored, Cube) else stored.windows
        rows = max((w.height for w in windows), default=_CHUNK)
        if not compressed:  # every value is written below, and would be written twice
            file.set_fill_off()
            rows = 0
        variables = [_variable(file, name, dims, encoding, meta, rows) for name in band_names(meta)]
        try:
            for cube in pieces(stored):
                _write_piece(variables, cube, meta, bands, dims, encoding)
        except RuntimeError as error:  # what the library raises when a disk is full
            raise OSError(str(error)) from error
    return [path]


def _coordinate(file: Any, dim: Dimension, meta: CubeMeta) -> None:
    labels = meta.labels_of(dim.name)
    file.createDimension(dim.name, len(labels))
    if labels and isinstance(labels[0], np.datetime64):
        variable = file.createVariable(dim.name, "f8", (dim.name,))
        variable.units, variable.calendar, variable.standard_name = (
            "seconds since 1970-01-01",
            "standard",
            "time",
        )
        variable[:] = [(v - _EPOCH) / np.timedelta64(1, "s") for v in labels]
    elif all(isinstance(v, int | float) for v in labels):
        variable = file.createVariable(dim.name, "f8", (dim.name,))
        variable[:] = np.asarray(labels, np.float64)
        if dim.type in ("x", "y"):
            geographic = meta.grid.is_geographic
            names = {"x": "longitude", "y": "latitude"}
            variable.standard_name = names[dim.type] if geographic else f"projection_{dim.type}_coordinate"
            variable.units = ("degrees_east" if dim.type == "x" else "degrees_north") if geographic else "m"
    else:
        variable = file.createVariable(dim.name, str, (dim.name,))
        variable[:] = np.asarray([label_text(v) for v in labels], object)


def _grid_mapping(file: Any, meta: CubeMeta) -> None:
    assert meta.box is not None
    variable = file.createVariable("crs", "i4")
    for name, value in parse_crs(meta.grid.crs).to_cf().items():
        variable.setncattr(name, value)
    variable.spatial_ref = parse_crs(meta.grid.crs).to_wkt()
    a = meta.box.affine
    variable.GeoTransform = " ".join(repr(v) for v in (a.c, a.a, a.b, a.f, a.d, a.e))


def _geometries(file: Any, meta: CubeMeta) -> None:
    assert meta.geometries is not None
    dim = meta.find("geometry")
    assert dim is not None
    variable = file.createVariable(f"{dim.name}_wkt", str, (dim.name,))
    variable.crs = meta.geometries.crs
    variable[:] = np.asarray([s.wkt for s in meta.geometries.shapes], object)


def _variable(
    file: Any, name: str, dims: list[Dimension], encoding: Encoding, meta: CubeMeta, rows: int
) -> Any:
    # A chunk is compressed once only where no two pieces that are written share it; without rows: no chunks.
    most = {"x": _CHUNK, "y": min(_CHUNK, rows)}
    chunks = [min(most.get(d.type, 8), n) for d, n in zip(dims, _lengths(dims, meta), strict=True)]
    compressed = rows > 0
    chunked = compressed and bool(dims) and all(chunks)
    variable = file.createVariable(
        _free_name(file, name),
        encoding.dtype,
        tuple(d.name for d in dims),
        fill_value=False if encoding.nodata is None or not compressed else encoding.nodata,
        **({"compression": "zlib", "complevel": 1, "shuffle": True, "chunksizes": chunks} if chunked else {}),
    )
    variable.set_auto_maskandscale(False)
    if encoding.nodata is not None and not compressed:
        # A `_FillValue` would make the library fill the file before it is written.
        variable.missing_value = np.asarray(encoding.nodata, encoding.dtype)
    variable.long_name = name
    if meta.box is not None:
        variable.grid_mapping = "crs"
    return variable


def _free_name(file: Any, name: str) -> str:
    """A variable's name: the band's, changed where netCDF cannot have it or something else has it."""
    found = re.sub(r"[^\w.+@ -]", "_", name).strip() or "band"
    if not (found[0].isalnum() or found[0] == "_"):
        found = f"_{found}"
    while found in file.variables or found in file.dimensions:
        found += "_band"
    return found


def _lengths(dims: list[Dimension], meta: CubeMeta) -> list[int]:
    return [meta.shape[meta.axis(d.name)] for d in dims]


def _write_piece(
    variables: list[Any],
    cube: Cube,
    meta: CubeMeta,
    bands: Dimension | None,
    dims: list[Dimension],
    encoding: Encoding,
) -> None:
    values: Array = encoding.encode(cube)
    values = values[None] if bands is None else np.moveaxis(values, meta.axis(bands.name), 0)
    index: list[slice] = []
    for dim in dims:
        rows = slice(None)
        if dim.type == "y" and meta.box is not None and cube.meta.box is not None:
            rows = cube.meta.box.slices_in(meta.box)[0]
        index.append(rows)
    for variable, part in zip(variables, values, strict=True):
        variable[tuple(index) if index else ...] = part
