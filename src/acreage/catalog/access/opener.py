"""What GDAL reads a remote file through: an opener of rasterio's.

It never raises into GDAL, which would lose the reason, but keeps the first error.
"""

from __future__ import annotations

import contextvars
import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import rasterio
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.errors import RasterioError

from acreage.catalog.access.model import AccessFailed
from acreage.catalog.access.ranges import RemoteFile
from acreage.core.errors import AddressRefused

T = TypeVar("T")


class _Handle(io.RawIOBase):
    """One of GDAL's handles on a file."""

    def __init__(self, opener: Opener) -> None:
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


class Opener(_OneFile):
    """What rasterio opens one dataset through; `error` is the first that its file met.

    Methods that GDAL calls never raise: an error there would be printed and forgotten.
    """

    def __init__(self, file: RemoteFile) -> None:
        self.file = file
        self.error: AccessFailed | AddressRefused | None = None
        self.beyond = 0
        self._handles: list[_Handle] = []  # GDAL itself holds bare pointers to them

    def open(self, path: str, mode: str = "rb", **kwds: Any) -> _Handle:
        """One more handle on the file."""
        handle = _Handle(self)
        self._handles.append(handle)
        return handle

    def size(self, path: str = "") -> int:
        """Bytes of the file, 0 after an error."""
        try:
            return self.file.size()
        except (AccessFailed, AddressRefused) as error:
            self.error = self.error or error
            return 0

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset: none after an error, fewer at the end of the file."""
        try:
            if offset + length > self.file.size():
                self.beyond = max(self.beyond, offset + length)
            return self.file.read(offset, length)
        except (AccessFailed, AddressRefused) as error:
            self.error = self.error or error
            return b""

    def read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Several (offset, length) at once."""
        try:
            return self.file.read_many(ranges)
        except (AccessFailed, AddressRefused) as error:
            # The zeros are never seen: the error is raised when the dataset is given back.
            self.error = self.error or error
            return [bytes(length) for _, length in ranges]


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


def in_context(call: Callable[[], T]) -> T:
    """Call what opens or closes a dataset, in any thread."""
    # A context is entered by one thread at a time; copies hold the same variables.
    return _context().copy().run(call)
