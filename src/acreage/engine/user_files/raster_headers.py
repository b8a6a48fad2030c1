"""Headers of users' GeoTIFFs: bands, place, date, nulls, and what would be too much to unpack."""

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
from acreage.catalog.items import Raster
from acreage.core.errors import FileContentInvalid, FileSizeExceeded, InvalidInput, ProcessParameterInvalid
from acreage.core.grid import Box, Grid, crs_name
from acreage.core.temporal import Instant, parse_instant
from acreage.engine.readers import ALONE, GDAL_OPTIONS
from acreage.engine.user_files.places import Limits, UserFile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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


def read_header(
    file: UserFile, date: Instant | None, options: Mapping[str, Any], limits: Limits
) -> RasterFile:
    """What a GeoTIFF says of itself.

    Args:
        file: which.
        date: that the user gives; None where the file shall tell.
        options: of the input format GTiff.
        limits: of files.

    Raises:
        FileContentInvalid: it is no GeoTIFF, not whole, or has no place on Earth.
        FileSizeExceeded: it would take too much to unpack.
        ProcessParameterInvalid: an option does not suit it.
    """
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
    except (RasterioError, UnicodeDecodeError) as error:
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


def given_dates(given: Any, count: int) -> list[Instant | None]:
    """The dates that the option `dates` gives, one a file; None where it gives none.

    Raises:
        ProcessParameterInvalid: they are no dates, or not as many as files.
    """
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
