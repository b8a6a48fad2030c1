"""Headers of raster files, read once each and kept."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from acreage.catalog.definition import NAN
from acreage.catalog.fetch import PARALLEL_REQUESTS

_LOCAL_THREADS = 2  # opening a local file is CPU work under a lock; more threads make it slower


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
    """A file that cannot be opened, and why."""

    reason: str


def is_local(href: str) -> bool:
    """True for plain paths of this machine."""
    return "://" not in href and not href.startswith("/vsi")


def read_header(href: str) -> Header | Unreadable:
    """Open a file and read its header."""
    # A local file may have its georeference in a sidecar; looking for one costs a remote file many requests.
    options = {} if is_local(href) else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    try:
        with rasterio.Env(**options), rasterio.open(href) as file:
            nodata = tuple(NAN if n is not None and math.isnan(n) else n for n in file.nodatavals)
            crs = None if file.crs is None else (file.crs.to_string() or None)
            return Header(crs, file.transform, file.shape, tuple(file.dtypes), nodata)
    except (RasterioError, NotGeoreferencedWarning) as error:
        return Unreadable(str(error))


class HeaderCache:
    """Reads headers in parallel and keeps them as long as it lives; failures are tried again."""

    def __init__(self) -> None:
        self._known: dict[str, Header] = {}
        self._lock = threading.Lock()

    def read(self, hrefs: Iterable[str]) -> dict[str, Header | Unreadable]:
        """Headers by href."""
        wanted = list(dict.fromkeys(hrefs))
        with self._lock:
            found: dict[str, Header | Unreadable] = {h: self._known[h] for h in wanted if h in self._known}
        missing = [h for h in wanted if h not in found]
        local = [h for h in missing if is_local(h)]
        remote = [h for h in missing if not is_local(h)]
        for group, threads in ((local, _LOCAL_THREADS), (remote, PARALLEL_REQUESTS)):
            if group:
                with ThreadPoolExecutor(threads) as pool:
                    found.update(zip(group, pool.map(read_header, group), strict=True))
        with self._lock:
            self._known.update((href, h) for href, h in found.items() if isinstance(h, Header))
        return found
