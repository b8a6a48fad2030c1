"""Headers of raster files, read once each and kept."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from acreage.catalog.access import Access, AccessFailed, is_remote, remote_rasters, shown
from acreage.catalog.definition import NAN
from acreage.catalog.fetch import PARALLEL_REQUESTS
from acreage.catalog.geotiff import plain_geotiff
from acreage.core.faults import FaultKind

_filters = threading.Lock()  # of warnings, which belong to the whole process
_LOCAL_THREADS = 2  # opening a local file is CPU work under a lock; more threads make it slower
_LOCAL_BATCH = 64  # files a task of a thread: a plain header is read in the time that a task costs


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        crs: WKT or `EPSG:n`; None where the file has none.
        transform: pixel to CRS.
        shape: (rows, columns).
        dtypes: numpy dtype name of each band.
        nodata: null value of each band, None where there is none.
    """

    crs: str | None
    transform: Affine
    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that cannot be opened, and why.

    Attributes:
        reason: for a person, without a full stop.
        kind: which fault it is.
    """

    reason: str
    kind: FaultKind = "unreadable"


def is_local(href: str) -> bool:
    """True for plain paths of this machine."""
    return "://" not in href and not href.startswith("/vsi")


def read_header(href: str, access: Access | None = None) -> Header | Unreadable:
    """Open a file and read its header.

    Args:
        href: path or address.
        access: how an address is reached, None for what the address alone tells.
    """
    try:
        if is_remote(href):
            with remote_rasters().dataset(href, access) as file:
                return _header(file)
        plain = plain_geotiff(href) if is_local(href) else None
        if plain is not None:
            nodata = NAN if plain.nodata is not None and math.isnan(plain.nodata) else plain.nodata
            name = plain.dtype.name
            return Header(f"EPSG:{plain.epsg}", plain.transform, plain.shape, (name,), (nodata,))
        with open_local(href) as file:
            return _header(file)
    except AccessFailed as error:
        reason = str(error).removeprefix(shown(href)).removeprefix(":").strip()
        return Unreadable(reason.rstrip("."), error.kind)
    except RasterioError as error:
        return Unreadable(str(error))


def open_local(href: str, driver: str | None = None) -> DatasetReader:
    """Open a file of this machine; that it has no georeference is for the caller to see, no warning is made.

    Args:
        href: path.
        driver: GDAL's name of the only format that it may have; None for any.

    Raises:
        RasterioError: it cannot be opened.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(href, driver=driver)


def _header(file: DatasetReader) -> Header:
    nodata = tuple(NAN if n is not None and math.isnan(n) else n for n in file.nodatavals)
    crs = None if file.crs is None else (file.crs.to_string() or None)
    return Header(crs, file.transform, file.shape, tuple(file.dtypes), nodata)


class HeaderCache:
    """Reads headers in parallel and keeps them as long as it lives; failures are tried again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Access | None], Header] = {}
        self._lock = threading.Lock()

    def read(self, hrefs: Iterable[str] | Mapping[str, Access | None]) -> dict[str, Header | Unreadable]:
        """Headers by href; addresses are given with how they are reached."""
        wanted = dict(hrefs) if isinstance(hrefs, Mapping) else dict.fromkeys(hrefs)
        with self._lock:
            found: dict[str, Header | Unreadable] = {
                h: self._known[h, a] for h, a in wanted.items() if (h, a) in self._known
            }
        missing = [h for h in wanted if h not in found]
        local = [h for h in missing if is_local(h)]
        remote = [h for h in missing if not is_local(h)]

        def read(batch: Sequence[str]) -> list[Header | Unreadable]:
            return [read_header(href, wanted[href]) for href in batch]

        for group, threads, size in (
            (local, _LOCAL_THREADS, _LOCAL_BATCH),
            (remote, PARALLEL_REQUESTS, 1),
        ):
            if group:
                batches = [group[n : n + size] for n in range(0, len(group), size)]
                with ThreadPoolExecutor(threads) as pool:
                    answers = chain.from_iterable(pool.map(read, batches))
                    found.update(zip(group, answers, strict=True))
        with self._lock:
            self._known.update(((h, wanted[h]), x) for h, x in found.items() if isinstance(x, Header))
        return found
