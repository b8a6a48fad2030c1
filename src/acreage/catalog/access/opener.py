"""Rasters at remote addresses, opened through `Transport`.

GDAL reads a file through an opener of rasterio's. The opener's file never raises into GDAL, which would lose
the reason: it keeps the first error, and whoever uses the dataset gets that error when done with it.

Datasets are kept open and lent to one user at a time, whatever the thread: GDAL wants no more, and threads
end before their files do.
"""

from __future__ import annotations

import atexit
import contextvars
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import rasterio
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from acreage.catalog.access.address import shown
from acreage.catalog.access.model import Access, AccessFailed
from acreage.catalog.access.ranges import BlockCache, RemoteFile
from acreage.catalog.access.stores import access_for
from acreage.catalog.access.transport import Transport, shared

T = TypeVar("T")
# A remote folder is not listed, nor searched for the sidecars that a local file may have. Threads of GDAL's
# own (JPEG 2000) would open the file anew where rasterio does not find its opener, and read garbage.
REMOTE_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}
_MOST_OPEN = 128
_MOST_FILES = 1024


class _Handle(io.RawIOBase):
    """One of GDAL's handles on a file."""

    def __init__(self, opener: _Opener) -> None:
        self._opener = opener
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        self._at = offset + (self._opener.size() if base is None else base)
        return self._at

    def read(self, length: int = -1) -> bytes:
        if length < 0:
            length = self._opener.size() - self._at
        data = self._opener.read(self._at, length)
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        return self._opener.read_many(list(zip(offsets, sizes, strict=True)))


class _OneFile(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """What rasterio asks of a file system, answered for a single file without neighbours."""

    def isfile(self, path: str) -> bool:
        return True

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise FileNotFoundError(path)

    def size(self, path: str = "") -> int:
        return 0


class _Opener(_OneFile):
    """What rasterio opens one dataset through; `error` is the first that its file met.

    Methods that GDAL calls never raise: an error there would be printed and forgotten.
    """

    def __init__(self, file: RemoteFile) -> None:
        self.file = file
        self.error: AccessFailed | None = None
        self.beyond = 0
        self._handles: list[_Handle] = []  # GDAL itself holds bare pointers to them

    def open(self, path: str, mode: str = "rb", **kwds: Any) -> _Handle:
        handle = _Handle(self)
        self._handles.append(handle)
        return handle

    def size(self, path: str = "") -> int:
        try:
            return self.file.size()
        except AccessFailed as error:
            self.error = self.error or error
            return 0

    def read(self, offset: int, length: int) -> bytes:
        try:
            if offset + length > self.file.size():
                self.beyond = max(self.beyond, offset + length)
            return self.file.read(offset, length)
        except AccessFailed as error:
            self.error = self.error or error
            return b""

    def read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        try:
            return self.file.read_many(ranges)
        except AccessFailed as error:
            # The zeros are never seen: the error is raised when the dataset is given back.
            self.error = self.error or error
            return [bytes(length) for _, length in ranges]


@lru_cache(maxsize=4096)
def _access_for(address: str) -> Access:
    return access_for(address)


@dataclass(frozen=True)
class _Open:
    dataset: DatasetReader
    opener: _Opener


class RemoteRasters:
    """Open datasets of remote files, each lent to one user at a time."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._cache = BlockCache()
        self._files: OrderedDict[tuple[str, Access], RemoteFile] = OrderedDict()
        self._idle: OrderedDict[int, tuple[tuple[str, Access], _Open]] = OrderedDict()
        self._lock = threading.Lock()

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
        """Close all datasets that nobody uses."""
        with self._lock:
            idle = [lent for _, lent in self._idle.values()]
            self._idle.clear()
            self._files.clear()
        for lent in idle:
            _in_context(lent.dataset.close)

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
        opener = _Opener(file)
        name = unquote(PurePosixPath(urlsplit(key[0]).path).name) or "raster"
        try:
            with rasterio.Env(**REMOTE_OPTIONS):
                dataset = _in_context(lambda: rasterio.open(name, opener=opener, sharing=False))
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
            _in_context(oldest.dataset.close)

    def _drop(self, key: tuple[str, Access], lent: _Open) -> None:
        self._forget(key)
        _in_context(lent.dataset.close)

    def _forget(self, key: tuple[str, Access]) -> None:
        with self._lock:
            self._files.pop(key, None)


def _reason(opener: _Opener, error: Exception) -> Exception:
    """What lies behind GDAL's error: the failed read, or reads beyond the end, else the error itself."""
    if opener.error is not None:
        return opener.error
    if opener.beyond:
        return opener.file.cut_short(opener.beyond)
    return error


class _Nothing(_OneFile):
    """An opener of an empty file."""

    def open(self, path: str, mode: str = "rb", **kwds: Any) -> io.BytesIO:
        return io.BytesIO()


@cache
def _context() -> contextvars.Context:
    """A context that has what rasterio keeps of openers in variables, which a new thread does not have."""
    context = contextvars.Context()

    def open_nothing() -> None:
        with suppress(RasterioError):
            rasterio.open("nothing", opener=_Nothing()).close()

    context.run(open_nothing)  # rasterio sets them when it first opens something
    return context


def _in_context(call: Callable[[], T]) -> T:
    # A context is entered by one thread at a time; copies hold the same variables.
    return _context().copy().run(call)


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

    def close(self) -> None:
        if self._rasters is not None:
            self._rasters.close()


_PROCESS = _Process()
# GDAL must not call back into an interpreter that has ended.
atexit.register(_PROCESS.close)


def remote_rasters() -> RemoteRasters:
    """The remote datasets of this process, over its transport."""
    return _PROCESS.get()
