"""Users' GeoTIFFs as a catalog of one collection: an item a date and place, whose bands lie in the files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyproj.exceptions import ProjError

from acreage.catalog.items import BandInfo, Bounds, CollectionInfo, Interval, Search, SourceItem
from acreage.core.errors import FileContentInvalid
from acreage.core.grid import transformer
from acreage.core.temporal import Instant, format_instant
from acreage.engine.user_files.places import Limits, UserFile
from acreage.engine.user_files.raster_headers import RasterBand, RasterFile, given_dates, read_header

_UNDATED = np.datetime64("1970-01-01", "ms")


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
    dates = given_dates(options.get("dates"), len(files))
    found = [read_header(file, date, options, limits) for file, date in zip(files, dates, strict=True)]
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
        try:
            bounds = transformer(crs, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
        except ProjError as error:
            raise FileContentInvalid(
                f"{file.file.name} is in a coordinate reference system whose place on Earth is not known.",
                hint="The option 'crs' names another one.",
            ) from error
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
