"""Rasters at remote addresses, opened through `Transport`.

Datasets are kept open and lent to one user at a time, whatever the thread: GDAL wants no more, and threads
end before their files do. Whoever uses one gets the first error that its file met when done with it.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from acreage.catalog.access.address import shown
from acreage.catalog.access.model import Access, AccessFailed
from acreage.catalog.access.opener import Opener, in_context
from acreage.catalog.access.ranges import BlockCache, RemoteFile
from acreage.catalog.access.sharing import shared
from acreage.catalog.access.stores import access_for
from acreage.catalog.access.transport import Transport

# A remote folder is not listed, nor searched for the sidecars that a local file may have. Threads of GDAL's
# own (JPEG 2000) would open the file anew where rasterio does not find its opener, and read garbage.
REMOTE_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}
# What strangers publish is opened as nothing else: a virtual raster, for one, names files of this machine.
_JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_MOST_OPEN = 128
_MOST_FILES = 1024


@lru_cache(maxsize=4096)
def _access_for(address: str) -> Access:
    return access_for(address)


@dataclass(frozen=True)
class _Open:
    dataset: DatasetReader
    opener: Opener


_Idle = OrderedDict[int, tuple[tuple[str, Access], _Open]]


def _close(idle: _Idle) -> None:
    while idle:
        in_context(idle.popitem()[1][1].dataset.close)


class RemoteRasters:
    """Open datasets of remote files, each lent to one user at a time."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._cache = BlockCache()
        self._files: OrderedDict[tuple[str, Access], RemoteFile] = OrderedDict()
        self._idle: _Idle = OrderedDict()
        self._lock = threading.Lock()
        # GDAL must not call back into an interpreter that has ended.
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def dataset(self, address: str, access: Access | None = None) -> Iterator[DatasetReader]:
        """A dataset for the time of a `with`; what its reads met is raised at the end.

        Args:
            address: stable: without what signs it.
            access: how it is reached; None for what the address alone tells.

        Raises:
            AccessFailed: its bytes could not be had, or are no image.
            RasterioError: its bytes are there, but GDAL cannot use them.
        """
        key = (address, access or _access_for(address))
        lent = self._take(key) or self._open(key)
        try:
            with rasterio.Env(**REMOTE_OPTIONS):
                yield lent.dataset
        except RasterioError as error:
            self._drop(key, lent)
            raise _reason(lent.opener, error) from error
        except BaseException:
            self._drop(key, lent)
            raise
        if lent.opener.error is not None:
            self._drop(key, lent)
            raise lent.opener.error
        self._give_back(key, lent)

    def close(self) -> None:
        """Close all datasets that nobody uses, and forget which versions of files were seen."""
        with self._lock:
            self._files.clear()
            _close(self._idle)

    def _file(self, key: tuple[str, Access]) -> RemoteFile:
        with self._lock:
            if key not in self._files:
                self._files[key] = RemoteFile(*key, self.transport, self._cache)
                if len(self._files) > _MOST_FILES:
                    self._files.popitem(last=False)
            self._files.move_to_end(key)
            return self._files[key]

    def _open(self, key: tuple[str, Access]) -> _Open:
        file = self._file(key)
        try:
            file.size()  # the first request: an error page is told as such, not as an unknown format
        except AccessFailed:
            self._forget(key)
            raise
        opener = Opener(file)
        name = unquote(PurePosixPath(urlsplit(key[0]).path).name) or "raster"
        try:
            driver = None if key[1].guard is None else _image_driver(file)
            with rasterio.Env(**REMOTE_OPTIONS):
                dataset = in_context(lambda: rasterio.open(name, driver=driver, opener=opener, sharing=False))
        except RasterioError as error:
            self._forget(key)
            if opener.error is None and "not recognized" in str(error):
                raise AccessFailed(
                    f"{shown(key[0])} holds {file.size()} bytes that are no image of a known format.",
                    hint="Look at what its server sends.",
                    kind="not-an-image",
                ) from error
            raise _reason(opener, error) from error
        if opener.error is not None:
            self._drop(key, _Open(dataset, opener))
            raise opener.error
        return _Open(dataset, opener)

    def _take(self, key: tuple[str, Access]) -> _Open | None:
        with self._lock:
            for number, (of, _) in reversed(self._idle.items()):
                if of == key:
                    return self._idle.pop(number)[1]
        return None

    def _give_back(self, key: tuple[str, Access], lent: _Open) -> None:
        lent.opener.beyond = 0
        with self._lock:
            self._idle[id(lent)] = (key, lent)
            oldest = self._idle.popitem(last=False)[1][1] if len(self._idle) > _MOST_OPEN else None
        if oldest is not None:
            in_context(oldest.dataset.close)

    def _drop(self, key: tuple[str, Access], lent: _Open) -> None:
        self._forget(key)
        in_context(lent.dataset.close)

    def _forget(self, key: tuple[str, Access]) -> None:
        with self._lock:
            self._files.pop(key, None)


def _image_driver(file: RemoteFile) -> str:
    return "JP2OpenJPEG" if file.read(0, 8).startswith(_JPEG2000) else "GTiff"


def _reason(opener: Opener, error: Exception) -> Exception:
    """What lies behind GDAL's error: the failed read, or reads beyond the end, else the error itself."""
    if opener.error is not None:
        return opener.error
    if opener.beyond:
        return opener.file.cut_short(opener.beyond)
    return error


class _Process:
    """The datasets that all of this process shares."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rasters: RemoteRasters | None = None

    def get(self) -> RemoteRasters:
        with self._lock:
            transport = shared()
            if self._rasters is None or self._rasters.transport is not transport:
                if self._rasters is not None:
                    self._rasters.close()
                self._rasters = RemoteRasters(transport)
            return self._rasters


_PROCESS = _Process()


def remote_rasters() -> RemoteRasters:
    """The remote datasets of this process, over its transport."""
    return _PROCESS.get()
