"""Cloud-optimised GeoTIFF: a file a time step, a band a band."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.windows import Window

from acreage.core.arrays import Array
from acreage.core.cube import CubeMeta
from acreage.core.errors import FormatUnsuitable
from acreage.engine.store import Stored
from acreage.engine.writers.common import Encoding, choose_encoding, label_text, pieces

_BLOCK = 512


def write_geotiff(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """One COG per combination of labels of the dimensions other than bands, x and y.

    Options: `overview_method` (nearest by default), `compression` (deflate by default).

    Raises:
        FormatUnsuitable: more than one such dimension with several labels.
    """
    meta = stored.meta
    assert meta.box is not None
    encoding = choose_encoding(stored)
    names = file_stems(meta, stem)
    plain = [folder / f"{name}.plain.tif" for name in names]
    _write_plain(stored, meta, encoding, plain)
    files = []
    for source, name, tags in zip(plain, names, _tags(meta), strict=True):
        files.append(folder / f"{name}.tif")
        _to_cog(source, files[-1], encoding, options, tags)
        source.unlink()
    return files


def file_stems(meta: CubeMeta, stem: str) -> list[str]:
    """Names of the files without suffix: the stem, and a label where there are several files.

    Raises:
        FormatUnsuitable: more than one dimension besides bands, x and y has several labels.
    """
    names = [stem if label is None else f"{stem}_{_safe(label)}" for label in _file_labels(meta)]
    # Two mosaics of one second have one label in words; their files must not fall on each other.
    seen: Counter[str] = Counter()
    for n, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[n] = f"{name}-{seen[name]}"
    return names


def _file_labels(meta: CubeMeta) -> list[str | None]:
    if meta.find("x") is None or meta.find("y") is None:
        raise FormatUnsuitable("A raster file needs both x and y.", hint="Save it as netCDF or JSON.")
    empty = [d.name for d in meta.dims if d.type not in ("x", "y") and not d.labels]
    if empty:
        raise FormatUnsuitable(
            f"A raster file cannot hold a cube whose dimension {empty[0]!r} has no labels.",
            hint="Check the dates and bands that the graph filters, or save it as netCDF.",
        )
    outer = [d for d in meta.dims if d.type not in ("x", "y", "bands")]
    if sum(len(d.labels) > 1 for d in outer) > 1:
        raise FormatUnsuitable(
            f"Raster files hold one time or other dimension besides bands, and the cube has "
            f"{', '.join(d.name for d in outer)}.",
            hint="Reduce a dimension, or save it as netCDF.",
        )
    long = next((d for d in outer if len(d.labels) > 1), None)
    return [None] if long is None else [label_text(v) for v in long.labels]


def _tags(meta: CubeMeta) -> list[dict[str, str]]:
    """Tags of the files: `datetime` of a date, also where all have the same; `label` of anything else."""
    outer = [d for d in meta.dims if d.type not in ("x", "y", "bands")]
    tags: list[dict[str, str]] = [{} for _ in _file_labels(meta)]
    for dim in outer:
        for n, own in enumerate(tags):
            label = dim.labels[n if len(dim.labels) > 1 else 0]
            if isinstance(label, np.datetime64):
                own["datetime"] = label_text(label)
            elif len(dim.labels) > 1:
                own["label"] = label_text(label)
    return tags


def _safe(label: str) -> str:
    return label.replace(":", "").replace("/", "-")


def by_file(values: Array, meta: CubeMeta) -> Array:
    """Values or validity of a piece, as (files, bands, rows, columns)."""
    bands = meta.find("bands")
    if bands is not None:
        values = np.moveaxis(values, meta.axis(bands.name), -3)
        count = len(bands.labels)
    else:
        count = 1
    return values.reshape(-1, count, *values.shape[-2:])


def _write_plain(stored: Stored, meta: CubeMeta, encoding: Encoding, paths: list[Path]) -> None:
    assert meta.box is not None
    box = meta.box
    bands = meta.find("bands")
    profile = {
        "driver": "GTiff",
        "width": box.width,
        "height": box.height,
        "count": 1 if bands is None else len(bands.labels),
        "dtype": encoding.dtype,
        "crs": box.grid.crs,
        "transform": box.affine,
        "nodata": encoding.nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "bigtiff": "IF_SAFER",
    }
    open_files = [rasterio.open(p, "w", **profile) for p in paths]
    try:
        for cube in pieces(stored):
            part = cube.meta.box
            assert part is not None
            window = Window(0, part.y0 - box.y0, part.width, part.height)
            for file, values in zip(open_files, by_file(encoding.encode(cube), meta), strict=True):
                file.write(values, window=window)
        for file in open_files:
            for n, name in enumerate([] if bands is None else bands.labels, 1):
                file.set_band_description(n, str(name))
    finally:
        for file in open_files:
            file.close()


def _to_cog(
    source: Path,
    final: Path,
    encoding: Encoding,
    options: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    compression, method = options["compression"].upper(), options["overview_method"].upper()
    predictor = (
        {"f": "FLOATING_POINT"}.get(encoding.dtype.kind, "STANDARD") if compression != "NONE" else "NO"
    )
    if tags:
        with rasterio.open(source, "r+") as file:
            file.update_tags(**tags)
    rasterio.shutil.copy(
        source,
        final,
        driver="COG",
        compress=compression,
        predictor=predictor,
        blocksize=_BLOCK,
        overview_resampling=method,
        resampling=method,
        bigtiff="IF_SAFER",
        # Viewers, the openEO Web Editor among them, take the range of colours from them.
        statistics="YES",
        num_threads=2,
    )
