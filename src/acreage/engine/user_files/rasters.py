"""Users' GeoTIFFs as a catalog of one collection: an item a date and place, whose bands lie in the files."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from acreage.catalog.definition import NAN
from acreage.catalog.intact import missing_end
from acreage.catalog.items import BandInfo, Bounds, CollectionInfo, Interval, Raster, Search, SourceItem
from acreage.core.errors import (
    FileContentInvalid,
    FileSizeExceeded,
    InvalidInput,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box, Grid, crs_name, transformer
from acreage.core.temporal import Instant, format_instant, parse_instant
from acreage.engine.readers import ALONE, GDAL_OPTIONS
from acreage.engine.user_files.places import Limits, UserFile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNDATED = np.datetime64("1970-01-01", "ms")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:T([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d(?:\.\d{1,3})?)Z?)?(?!\d)"
)


@dataclass(frozen=True)
class RasterBand:
    """One band of one file.

    Attributes:
        name: openEO band name.
        raster: how it is read.
        scale, offset: value = number * scale + offset.
    """

    name: str
    raster: Raster
    scale: float
    offset: float


@dataclass(frozen=True)
class RasterFile:
    """What is known of a file before its pixels are read.

    Attributes:
        file: which.
        box: its pixels.
        date: of all its bands, None where nothing tells.
        bands: in the order of the file.
    """

    file: UserFile
    box: Box
    date: Instant | None
    bands: tuple[RasterBand, ...]


@dataclass(frozen=True)
class RasterCatalog:
    """The catalog of one collection of files.

    Attributes:
        info: the collection.
        items: of all files.
        dated: False where the files have no dates; the time dimension then means nothing.
        scales: (scale, offset) of each band by name.
    """

    info: CollectionInfo
    items: tuple[SourceItem, ...]
    dated: bool
    scales: Mapping[str, tuple[float, float]]

    @property
    def scaled(self) -> bool:
        """Whether a band's numbers are not its values."""
        return any(scale != (1.0, 0.0) for scale in self.scales.values())

    def collections(self) -> tuple[str, ...]:
        """The one."""
        return (self.info.id,)

    def describe(self, collection_id: str) -> CollectionInfo:
        """The collection."""
        return self.info

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        """Items that touch an area and a half-open interval."""
        west, south, east, north = bounds
        start, end = interval if self.dated else (None, None)
        return Search(
            tuple(
                item
                for item in self.items
                if west <= item.bbox[2]
                and east >= item.bbox[0]
                and south <= item.bbox[3]
                and north >= item.bbox[1]
                and (start is None or item.datetime >= start)
                and (end is None or item.datetime < end)
            )
        )


def open_rasters(
    files: Sequence[UserFile], collection: str, options: Mapping[str, Any], limits: Limits
) -> RasterCatalog:
    """The catalog of some GeoTIFFs; their headers are read.

    Files of one date whose bands have different names are one item. Others of one date are mosaicked, the
    first where they overlap.

    Args:
        files: at least one.
        collection: id that the collection gets.
        options: of the input format GTiff.
        limits: of files.

    Raises:
        FileContentInvalid: a file is no GeoTIFF that can be used, or they do not go together.
        FileSizeExceeded: a file would take too much to unpack.
        ProcessParameterInvalid: an option does not suit the files.
    """
    dates = _dates(options.get("dates"), len(files))
    found = [_header(file, date, options, limits) for file, date in zip(files, dates, strict=True)]
    undated = [f for f in found if f.date is None]
    if undated and len(undated) < len(found):
        raise FileContentInvalid(
            f"{undated[0].file.name} has no date, and other files have one.",
            hint="Give all dates in the option 'dates', or put them into the names of the files.",
        )
    groups: dict[Instant | None, list[list[RasterFile]]] = {}
    for one in found:
        parts = groups.setdefault(one.date, [])
        names = {b.name for b in one.bands}
        home = next((p for p in parts if not names & {b.name for f in p for b in f.bands}), None)
        if home is None:
            parts.append([one])
        else:
            home.append(one)
    items = [part for parts in groups.values() for part in parts]
    bands = _same_bands(items)
    made = tuple(_item(part, collection, n) for n, part in enumerate(items))
    return RasterCatalog(
        _collection(collection, bands, made, dated=not undated),
        tuple(sorted(made, key=lambda i: (i.datetime, i.group, i.rank, i.id))),
        not undated,
        {b.name: (b.scale, b.offset) for b in bands},
    )


# --- headers ------------------------------------------------------------------------------------------------


def _header(file: UserFile, date: Instant | None, options: Mapping[str, Any], limits: Limits) -> RasterFile:
    try:
        with open(file.path, "rb") as start:
            magic = start.read(4)
    except OSError as error:
        raise FileContentInvalid(f"{file.name} cannot be read: {error.strerror}.") from error
    if magic not in _MAGIC:
        raise FileContentInvalid(
            f"{file.name} is empty." if not magic else f"{file.name} is not a GeoTIFF.",
            hint="Check the option 'format', or convert the file, for example by gdal_translate.",
        )
    try:
        with rasterio.Env(**GDAL_OPTIONS, **ALONE), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(file.path, driver="GTiff") as dataset:
                return _described(file, dataset, date, options, limits)
    except RasterioError as error:
        raise FileContentInvalid(
            f"{file.name} cannot be opened as GeoTIFF: it is damaged, or not whole.", hint="Upload it again."
        ) from error


def _described(
    file: UserFile, dataset: DatasetReader, date: Instant | None, options: Mapping[str, Any], limits: Limits
) -> RasterFile:
    missing = missing_end(str(file.path))
    if missing is not None:
        raise FileContentInvalid(f"{file.name} is not whole: {missing}.", hint="Upload it again.")
    _check_size(file, dataset, limits)
    box = _box(file, dataset, options.get("crs"))
    names = _names(file, dataset, options.get("bands"))
    nodata = options.get("nodata")
    bands = []
    for n, name in enumerate(names):
        null = dataset.nodatavals[n] if nodata is None else float(nodata)
        null = NAN if null is not None and math.isnan(null) else null
        raster = Raster(str(file.path), n + 1, box, dataset.dtypes[n], null, untrusted=True)
        scale, offset = (dataset.scales[n], dataset.offsets[n]) if options["scale"] else (1.0, 0.0)
        bands.append(RasterBand(name, raster, float(scale), float(offset)))
    return RasterFile(file, box, date or _told_date(file, dataset), tuple(bands))


def _check_size(file: UserFile, dataset: DatasetReader, limits: Limits) -> None:
    if dataset.count > limits.bands:
        raise FileSizeExceeded(f"{file.name} has {dataset.count} bands; {limits.bands} are the most.")
    if not all(re.fullmatch(r"u?int\d+|float\d+", name) for name in dataset.dtypes):
        raise FileContentInvalid(
            f"{file.name} holds numbers of the type {', '.join(sorted(set(dataset.dtypes)))}.",
            hint="Whole numbers and floats can be used.",
        )
    each = dataset.count if dataset.interleaving is not None and dataset.interleaving.value == "PIXEL" else 1
    for (rows, columns), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        if rows * columns * np.dtype(dtype).itemsize * each > limits.block_bytes:
            raise FileSizeExceeded(
                f"{file.name} has blocks of {rows} x {columns} pixels, too large to be unpacked.",
                hint="Write it in tiles, for example by gdal_translate -of COG.",
            )
    if any(
        MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in dataset.mask_flag_enums
    ):
        raise FileContentInvalid(
            f"{file.name} marks its nulls in a mask band.", hint="Give them a null value (nodata) instead."
        )


def _box(file: UserFile, dataset: DatasetReader, given: Any) -> Box:
    try:
        crs = given if given is not None else None if dataset.crs is None else dataset.crs.to_wkt()
        if crs is None or (dataset.gcps[0] and dataset.transform.is_identity):
            raise InvalidInput("it has no place on Earth: no coordinate reference system or transform.")
        name = crs_name(crs)
        return Grid.of_transform(name, dataset.transform).box_of_transform(
            dataset.transform, dataset.width, dataset.height
        )
    except InvalidInput as error:
        raise FileContentInvalid(f"{file.name}: {error.message}", hint=error.hint) from error


def _names(file: UserFile, dataset: DatasetReader, given: Sequence[str] | None) -> list[str]:
    if given is not None:
        if len(given) != dataset.count:
            raise ProcessParameterInvalid(
                f"The option 'bands' names {len(given)} bands, and {file.name} has {dataset.count}."
            )
        names = list(given)
    else:
        names = [told or f"B{n}" for n, told in enumerate(dataset.descriptions, 1)]
    if len(set(names)) < len(names):
        raise FileContentInvalid(
            f"{file.name} has several bands of one name.", hint="Name them by the option 'bands'."
        )
    return names


# --- dates --------------------------------------------------------------------------------------------------


def _dates(given: Any, count: int) -> list[Instant | None]:
    """The dates that the option gives, one a file."""
    texts = [given] * count if given is None or isinstance(given, str) else list(given)
    if len(texts) != count:
        raise ProcessParameterInvalid(f"The option 'dates' has {len(texts)} dates for {count} files.")
    try:
        return [None if text is None else parse_instant(text) for text in texts]
    except InvalidInput as error:
        raise ProcessParameterInvalid(f"In the option 'dates': {error.message}", hint=error.hint) from error


def _told_date(file: UserFile, dataset: DatasetReader) -> Instant | None:
    """The date in the tag `datetime`, in the metadata of imagery, or in the file's name.

    TIFF's own DateTime is not asked: it says when the file was made.
    """
    imagery = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "")
    for text in (dataset.tags().get("datetime", ""), imagery.replace(" ", "T"), file.name.rsplit("/", 1)[-1]):
        found = _DATE.search(text)
        if found is not None:
            year, _, month, day, hour, minute, second = found.groups()
            clock = f"T{hour}:{minute}:{second}" if hour else ""
            try:
                return parse_instant(f"{year}-{month}-{day}{clock}")
            except InvalidInput:
                continue
    return None


# --- items --------------------------------------------------------------------------------------------------


def _same_bands(items: Sequence[Sequence[RasterFile]]) -> tuple[RasterBand, ...]:
    """The bands, which all items have with one scale and offset."""
    first = [band for file in items[0] for band in file.bands]
    known = {band.name: band for band in first}
    for files in items[1:]:
        names = {band.name for file in files for band in file.bands}
        if names != known.keys():
            raise FileContentInvalid(
                f"{files[0].file.name} has the bands {', '.join(sorted(names))}, and "
                f"{items[0][0].file.name} has {', '.join(sorted(known))}.",
                hint="Every date and place needs the same bands; name them by the option 'bands'.",
            )
        for file in files:
            for band in file.bands:
                if (band.scale, band.offset) != (known[band.name].scale, known[band.name].offset):
                    raise FileContentInvalid(
                        f"Band {band.name} of {file.file.name} has another scale or offset than in "
                        f"{items[0][0].file.name}.",
                        hint='Load the numbers as they are by the option "scale": false.',
                    )
    return tuple(first)


def _item(files: Sequence[RasterFile], collection: str, number: int) -> SourceItem:
    date = files[0].date
    boxes = [_degrees(file) for file in files]
    west, south, east, north = zip(*boxes, strict=True)
    state = files[0].file.path.stat()
    moment = _UNDATED if date is None else date
    return SourceItem(
        id=files[0].file.name,
        collection=collection,
        # A file that is uploaded anew is another copy.
        href=f"{files[0].file.name}#{state.st_size}-{state.st_mtime_ns}",
        datetime=moment,
        bbox=(min(west), min(south), max(east), max(north)),
        group="undated" if date is None else format_instant(date),
        rank=(number,),
        rasters={band.name: band.raster for file in files for band in file.bands},
        properties={} if date is None else {"datetime": format_instant(date)},
    )


def _degrees(file: RasterFile) -> Bounds:
    crs = file.box.grid.crs
    bounds = file.box.bounds
    if crs != "EPSG:4326":
        bounds = transformer(crs, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
    if not all(map(math.isfinite, bounds)) or not -90 <= bounds[1] <= bounds[3] <= 90.001:
        place = ", ".join(f"{v:g}" for v in file.box.bounds)
        raise FileContentInvalid(
            f"{file.file.name} lies at {place} in {crs[:60]}, which is not on Earth.",
            hint="Check its coordinate reference system; the option 'crs' names another one.",
        )
    return bounds


def _collection(
    collection: str, bands: Sequence[RasterBand], items: Sequence[SourceItem], *, dated: bool
) -> CollectionInfo:
    west, south, east, north = zip(*(item.bbox for item in items), strict=True)
    moments = [item.datetime for item in items]
    return CollectionInfo(
        id=collection,
        title="Files of a user",
        description="",
        bands=tuple(BandInfo(b.name, dtype=b.raster.dtype, nodata=b.raster.nodata) for b in bands),
        bboxes=((min(west), min(south), max(east), max(north)),),
        interval=(min(moments), max(moments)) if dated else (None, None),
        mosaic="item",
    )
