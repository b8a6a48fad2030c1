"""Zarr, version 2, zipped: as netCDF after the CF conventions, a variable a band, written piece by piece."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import CubeMeta
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


def write_zarr(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """One zipped store with consolidated metadata. The zip itself is not compressed: chunks are.

    Version 2 is what zarr-python 2 and 3, xarray and GDAL all read. No chunk is shared by two pieces, so that
    each is written once, as a zip needs it.

    Options: `compression`: `zstd` (in Blosc, with shuffled bytes), `deflate` or `none`.
    """
    import zarr  # slow to load, and few jobs write it
    from zarr.storage import ZipStore

    meta = stored.meta
    path = folder / f"{stem}.zarr.zip"
    encoding = choose_encoding(stored)
    _write_header(path, meta, encoding, options["compression"], piece_rows(stored))
    store = ZipStore(path, mode="a", compression=zipfile.ZIP_STORED, allowZip64=True)
    group = zarr.open_group(store, mode="r+", zarr_format=2)
    try:
        variables: list[Any] = [group[name] for name in variable_names(meta)]
        write_values(stored, variables, encoding)
    finally:
        store.close()
    return [path]


def _write_header(path: Path, meta: CubeMeta, encoding: Encoding, compression: str, rows: int) -> None:
    """The zip with all metadata and coordinates, and no values yet.

    Made in memory first: to consolidate metadata in a zip would write parts of it twice.
    """
    import zarr
    from zarr.storage import MemoryStore

    documents: dict[str, Any] = {}
    store = MemoryStore(documents)
    group = zarr.create_group(store, zarr_format=2, attributes=global_attributes(meta))
    _coordinates(group, meta)
    compressor = _compressor(compression)
    names = [d.name for d in outer_dims(meta)]
    lengths = dict(zip(meta.names, meta.shape, strict=True))
    for name, band in zip(variable_names(meta), band_names(meta), strict=True):
        group.create_array(
            name,
            shape=tuple(lengths[n] for n in names),
            chunks=tuple(max(n, 1) for n in chunk_shape(meta, rows)),
            dtype=encoding.dtype,
            fill_value=encoding.nodata,
            filters=None,
            compressors=compressor,
            attributes=_attributes({**variable_attributes(band, meta), "_ARRAY_DIMENSIONS": names}),
        )
    zarr.consolidate_metadata(store, zarr_format=2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for key, document in documents.items():
            file.writestr(key, document.to_bytes())


def _compressor(compression: str) -> Any:
    import numcodecs

    if compression == "none":
        return None
    # Blosc shuffles bytes itself; GDAL does not know the filter that would do so before zlib.
    return numcodecs.Blosc("zstd", 1, numcodecs.Blosc.SHUFFLE) if compression == "zstd" else numcodecs.Zlib(1)


def _coordinates(group: Any, meta: CubeMeta) -> None:
    for dim in outer_dims(meta):
        values, attributes = coordinate(dim, meta)
        _small(group, dim.name, values, (dim.name,), attributes)
    if meta.box is not None:
        _small(group, GRID_MAPPING, np.zeros((), np.int32), (), grid_mapping(meta))
    if (geometries := geometry_texts(meta)) is not None:
        name, along, texts, crs = geometries
        _small(group, name, texts, (along,), {"crs": crs})


def _small(group: Any, name: str, values: Array, dims: tuple[str, ...], attributes: dict[str, Any]) -> None:
    """An array in one chunk; text in elements of fixed length, which needs no codec for objects."""
    if values.dtype == object:
        values = np.asarray(values, f"<U{max(map(len, values), default=1) or 1}")
    group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(n, 1) for n in values.shape),
        dtype=values.dtype,
        filters=None,
        compressors=None,
        fill_value=None,
        attributes=_attributes({**attributes, "_ARRAY_DIMENSIONS": list(dims)}),
    )[...] = values


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them."""
    return {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in attributes.items()}
