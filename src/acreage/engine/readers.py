"""Reading rasters: one window of one band, with its nulls, from a file or an address.

The only place where pixels come from storage. What cannot be read becomes an `ItemUnreadable` that names the
item, the band and the reason; nothing is read as silence.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from acreage.catalog.access import AccessFailed, is_remote, remote_rasters
from acreage.catalog.geotiff import plain_geotiff
from acreage.catalog.headers import is_local, open_local
from acreage.catalog.intact import broken_file, missing_end
from acreage.catalog.items import Raster
from acreage.core.arrays import Array, BoolArray
from acreage.core.errors import ItemUnreadable
from acreage.core.faults import FaultKind
from acreage.core.grid import Box, Grid, crs_name
from acreage.engine.decode import border_halo, decode, mask_border_noise

_OPEN_FILES = 64
_HINT = "Check that the file is there and whole, or allow failed items (tolerance)."
# Datasets must not be shared between threads, so every thread has its own cache.
_local = threading.local()
# Which rasters an open file was found to agree with.
_checked: WeakKeyDictionary[DatasetReader, set[tuple[Box, int]]] = WeakKeyDictionary()

GDAL_OPTIONS: dict[str, Any] = {
    # Windows are read once; GDAL's own default of a share of the machine's memory would not be in any plan.
    "GDAL_CACHEMAX": 64_000_000,
}

ALONE: dict[str, Any] = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""Options with which GDAL looks at no file beside the one that it opens."""


def _options(raster: Raster) -> dict[str, Any]:
    if raster.untrusted:
        return {**GDAL_OPTIONS, **ALONE}
    # The sidecar of a local file may hold the georeference; a folder inside of an archive need not be listed.
    local = is_local(raster.href)
    return GDAL_OPTIONS if local else {**GDAL_OPTIONS, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


def read_raster(raster: Raster, box: Box, item: str, band: str) -> tuple[Array, BoolArray | None]:
    """Pixels of a box on the raster's own grid.

    Args:
        raster: what to read.
        box: inside `raster.box`.
        item, band: names for errors.

    Returns:
        Values of shape `box.shape`, in the file's dtype with `dn_offset` added, or linear power in float32
        where the file holds decibels; validity (None: all valid).

    Raises:
        ItemUnreadable: the file is missing, truncated, or is not on the grid that the item states.
    """
    read = reading_box(raster, box)
    rows, columns = read.slices_in(raster.box)
    window = Window(columns.start, rows.start, read.width, read.height)
    with opened(raster, item, band) as dataset:
        values = dataset.read(raster.band_index, window=window)
    values, valid = decode(values, raster)
    if raster.border is not None:
        valid = mask_border_noise(values, valid, raster.border)
    if read == box:
        return values, valid
    inside = box.slices_in(read)
    return values[inside], None if valid is None or valid[inside].all() else valid[inside]


def reading_box(raster: Raster, box: Box) -> Box:
    """The pixels that are read for a box: with what decides on border noise around it."""
    halo = border_halo(raster.border)
    return box.expand(halo, halo).intersect(raster.box) if halo else box


@contextmanager
def opened(raster: Raster, item: str, band: str) -> Iterator[DatasetReader]:
    """The raster's file open for reading by this thread alone, its grid checked; errors as `read_raster`."""
    try:
        with rasterio.Env(**_options(raster)):
            if is_remote(raster.href):
                with remote_rasters().dataset(raster.href, raster.access) as dataset:
                    _check_once(dataset, raster, item, band)
                    yield dataset
            else:
                dataset = _dataset(raster.href, "GTiff" if raster.untrusted else None)
                try:
                    _check_once(dataset, raster, item, band)
                except ItemUnreadable:
                    _local.cache.pop(raster.href).close()
                    raise
                yield dataset
    except AccessFailed as error:
        raise ItemUnreadable(
            f"Item {item}, band {band}: {error.message}",
            item=item,
            asset=band,
            hint=error.hint,
            kind=error.kind,
        ) from error
    except (RasterioError, OSError) as error:
        raise _unreadable(raster, item, band, error) from error


def _check_once(dataset: DatasetReader, raster: Raster, item: str, band: str) -> None:
    checked = _checked.setdefault(dataset, set())
    if (raster.box, raster.band_index) in checked:
        return
    try:
        _check_grid(dataset, raster, item, band)
    except ItemUnreadable as error:
        missing = missing_end(raster.href) if is_local(raster.href) else None
        if missing is None:
            raise
        # Its place on Earth, or its bands, were in the part that is not there.
        raise ItemUnreadable(
            f"Item {item}, band {band}: {raster.place} is not whole: {missing}.",
            item=item,
            asset=band,
            hint=_HINT,
            kind="truncated",
        ) from error
    checked.add((raster.box, raster.band_index))


def _dataset(href: str, driver: str | None) -> DatasetReader:
    cache: OrderedDict[str, DatasetReader] = getattr(_local, "cache", None) or OrderedDict()
    _local.cache = cache
    dataset = cache.get(href)
    if dataset is None:
        dataset = open_local(href, driver)
        cache[href] = dataset
        if len(cache) > _OPEN_FILES:
            cache.popitem(last=False)[1].close()
    cache.move_to_end(href)
    return dataset


def _check_grid(dataset: DatasetReader, raster: Raster, item: str, band: str) -> None:
    where = f"Item {item}, band {band}"
    hint = "The item's metadata and its file disagree: repair the item, or allow failed items (tolerance)."
    if dataset.crs is None and not raster.untrusted:
        raise ItemUnreadable(
            f"{where}: {raster.place} has no CRS.", item=item, asset=band, hint=hint, kind="wrong-grid"
        )
    # A user may say that a file is in another CRS than the file says.
    name = raster.box.grid.crs if raster.untrusted else crs_name(dataset.crs.to_wkt())
    if name != raster.box.grid.crs:
        raise ItemUnreadable(
            f"{where}: the item states {raster.box.grid.crs}, the file is in {name}.",
            item=item,
            asset=band,
            hint=hint,
            kind="wrong-grid",
        )
    grid = Grid.of_transform(name, dataset.transform)
    box = grid.box_of_transform(dataset.transform, dataset.width, dataset.height)
    if not grid.aligned_with(raster.box.grid) or box.on(raster.box.grid) != raster.box:
        raise ItemUnreadable(
            f"{where}: the item states {raster.box.shape} pixels of {raster.box.grid.res_x:g} at "
            f"{raster.box.bounds}, the file has {box.shape} pixels of {grid.res_x:g} at {box.bounds}.",
            item=item,
            asset=band,
            hint=hint,
            kind="wrong-grid",
        )
    if raster.band_index > dataset.count:
        raise ItemUnreadable(
            f"{where}: {raster.place} has {dataset.count} bands, not {raster.band_index}.",
            item=item,
            asset=band,
            hint=hint,
            kind="missing-band",
        )


def block_shape(raster: Raster, item: str, band: str) -> tuple[int, int]:
    """(rows, columns) of the blocks in which the file is compressed; errors as `read_raster`."""
    plain = plain_geotiff(raster.href) if is_local(raster.href) else None
    if plain is not None:
        return plain.images[0].block
    with opened(raster, item, band) as dataset:
        rows, columns = dataset.block_shapes[raster.band_index - 1]
    return int(rows), int(columns)


def close_readers() -> None:
    """Close the local files that this thread holds open."""
    cache: OrderedDict[str, DatasetReader] | None = getattr(_local, "cache", None)
    while cache:
        cache.popitem()[1].close()


def _unreadable(raster: Raster, item: str, band: str, error: BaseException) -> ItemUnreadable:
    """The error, with what the file itself shows where it lies on this machine."""
    kind: FaultKind = "unreadable"
    seen = ""
    if is_local(raster.href):
        kind, told = broken_file(raster.href)
        seen = f" {told[:1].upper()}{told[1:]}." if told else ""
    return ItemUnreadable(
        f"Item {item}, band {band}: {raster.place} cannot be read: {_reason(error, raster)}.{seen}",
        item=item,
        asset=band,
        hint=_HINT,
        kind=kind,
    )


def _reason(error: BaseException, raster: Raster) -> str:
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    text = str(deepest).replace(raster.href, raster.place)
    return " ".join(text.split())[:200].rstrip(".") or type(deepest).__name__
