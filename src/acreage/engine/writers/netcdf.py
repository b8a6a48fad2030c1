"""NetCDF after the CF conventions: a variable a band, written piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from acreage.core.cube import CubeMeta, Dimension
from acreage.engine.store import Stored
from acreage.engine.writers.cf import (
    GRID_MAPPING,
    chunk_shape,
    coordinate,
    geometry_texts,
    global_attributes,
    grid_mapping,
    outer_dims,
    variable_attributes,
    variable_names,
    write_values,
)
from acreage.engine.writers.common import Encoding, band_names, choose_encoding, piece_rows


def write_netcdf(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """One file. Dates are seconds since 1970, other labels strings or numbers; geometries are WKT.

    Options: `compression`, `deflate`, or `none`: larger files that take less time to write.
    """
    meta = stored.meta
    compressed = options["compression"] != "none"
    path = folder / f"{stem}.nc"
    encoding = choose_encoding(stored)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(global_attributes(meta))
        for dim in outer_dims(meta):
            _coordinate(file, dim, meta)
        if meta.box is not None:
            variable = file.createVariable(GRID_MAPPING, "i4")
            variable.setncatts(grid_mapping(meta))
        if (geometries := geometry_texts(meta)) is not None:
            name, along, texts, crs = geometries
            variable = file.createVariable(name, str, (along,))
            variable.crs = crs
            variable[:] = texts
        if not compressed:  # every value is written below, and would be written twice
            file.set_fill_off()
        rows = piece_rows(stored) if compressed else 0
        variables = [
            _variable(file, name, band, encoding, meta, rows)
            for name, band in zip(variable_names(meta), band_names(meta), strict=True)
        ]
        try:
            write_values(stored, variables, encoding)
        except RuntimeError as error:  # what the library raises when a disk is full
            raise OSError(str(error)) from error
    return [path]


def _coordinate(file: Any, dim: Dimension, meta: CubeMeta) -> None:
    values, attributes = coordinate(dim, meta)
    file.createDimension(dim.name, len(values))
    kind = str if values.dtype == object else values.dtype
    variable = file.createVariable(dim.name, kind, (dim.name,))
    variable.setncatts(attributes)
    variable[:] = values


def _variable(file: Any, name: str, band: str, encoding: Encoding, meta: CubeMeta, rows: int) -> Any:
    """A variable in chunks that fit pieces of so many rows; neither chunks nor compression for 0."""
    chunks = chunk_shape(meta, rows)
    chunked = rows > 0 and bool(chunks) and all(chunks)
    variable = file.createVariable(
        name,
        encoding.dtype,
        tuple(d.name for d in outer_dims(meta)),
        fill_value=encoding.nodata if encoding.nodata is not None and rows > 0 else False,
        **({"compression": "zlib", "complevel": 1, "shuffle": True, "chunksizes": chunks} if chunked else {}),
    )
    variable.set_auto_maskandscale(False)
    if encoding.nodata is not None and rows == 0:
        # A `_FillValue` would make the library fill the file before it is written.
        variable.missing_value = np.asarray(encoding.nodata, encoding.dtype)
    variable.setncatts(variable_attributes(band, meta))
    return variable
