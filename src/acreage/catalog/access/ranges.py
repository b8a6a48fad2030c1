"""Remote files read by parts: checked, resumed, several at once, with what was read lately kept."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from acreage.catalog.access.address import shown, without_queries
from acreage.catalog.access.answers import Reply
from acreage.catalog.access.model import Access, AccessFailed
from acreage.catalog.access.policy import Transient
from acreage.catalog.access.transport import Transport

BLOCK = 1 << 15  # also the first read of a file: it holds the header of any sensible COG
_READ_AHEAD = 1 << 20
_GAP = 1 << 15  # bytes between two wanted parts that cost less than another request
_LONGEST = 1 << 22  # of one request; longer wants are several, at once
_CACHE = 32_000_000
_WHOLE_FILES = 256_000_000
_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+)\s*$")
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"{", b"[{")
_TEXT_TYPES = ("text/html", "application/json", "application/xml", "text/xml", "application/problem+json")


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one version of a file from another."""

    size: int
    tag: str


class _Kept:
    """Bytes read lately, up to so many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: object) -> bytes | None:
        with self._lock:
            data = self._kept.get(key)
            if data is not None:
                self._kept.move_to_end(key)
            return data

    def put(self, key: object, data: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._size += len(data)
            while self._size > self._limit and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])


class BlockCache:
    """What was read lately, of all files together: blocks, and whole files of servers that give no parts.

    Args:
        limit: bytes of blocks that are kept.
        whole_limit: bytes of whole files that are kept; one is, whatever its size.
    """

    def __init__(self, limit: int = _CACHE, whole_limit: int = _WHOLE_FILES) -> None:
        self._blocks, self._wholes = _Kept(limit), _Kept(whole_limit)

    def get(self, key: object, block: int) -> bytes | None:
        """A block, None where it is not kept."""
        return self._blocks.get((key, block))

    def put(self, key: object, block: int, data: bytes) -> None:
        """Keep a block."""
        self._blocks.put((key, block), data)

    def get_whole(self, key: object) -> bytes | None:
        """A whole file, None where it is not kept."""
        return self._wholes.get(key)

    def put_whole(self, key: object, data: bytes) -> None:
        """Keep a whole file."""
        self._wholes.put(key, data)


@dataclass
class _Parts:
    """A read in progress: what has come so far."""

    start: int
    length: int
    parts: list[bytes] = field(default_factory=list)
    got: int = 0


class RemoteFile:
    """A file at an address; safe to use from several threads.

    Args:
        address: stable: without what signs it.
        access: how it is reached.
        transport: by which its bytes come.
        cache: for its blocks.
    """

    def __init__(self, address: str, access: Access, transport: Transport, cache: BlockCache) -> None:
        self.address = address
        self._access = access
        self._transport = transport
        self._cache = cache
        self._key = object()
        self._identity: Identity | None = None
        self._gives_whole = False
        self._ahead = BLOCK
        self._ahead_at = -1
        self._opening = threading.Lock()

    def size(self) -> int:
        """Bytes of the file; the first call reads its beginning.

        Raises:
            AccessFailed: it cannot be read, or is not what a raster can be.
        """
        if self._identity is None:
            with self._opening:
                if self._identity is None:
                    self._open()
        assert self._identity is not None
        return self._identity.size

    def _open(self) -> None:
        start = self._request(_Parts(0, BLOCK))
        _check_content(self.address, start)
        self._cache.put(self._key, 0, start)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset, fewer at the end of the file.

        Raises:
            AccessFailed: they cannot be had, or the file has changed since its first part was read.
        """
        length = max(0, min(length, self.size() - offset))
        if length == 0:
            return b""
        whole = self._whole()
        if whole is not None:
            return whole[offset : offset + length]
        if length > BLOCK:
            return self._read_exact([(offset, length)])[0]
        blocks = range(offset // BLOCK, (offset + length - 1) // BLOCK + 1)
        data = b"".join(self._block(n) for n in blocks)
        skip = offset - blocks.start * BLOCK
        return data[skip : skip + length]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (offset, length) at once; near ones share a request, the others run beside each other.

        Raises:
            AccessFailed: as `read`; `truncated` where one lies beyond the end of the file.
        """
        size = self.size()
        for offset, length in ranges:
            if offset + length > size:
                raise self.cut_short(offset + length)
        whole = self._whole()
        if whole is not None:
            return [whole[offset : offset + length] for offset, length in ranges]
        return self._read_exact(ranges)

    def _whole(self) -> bytes | None:
        """The whole file where its server gives no parts, read again by one thread if it is not kept."""
        if not self._gives_whole:
            return None
        kept = self._cache.get_whole(self._key)
        if kept is None:
            with self._opening:
                kept = self._cache.get_whole(self._key) or self._request(_Parts(0, self.size()))
        return kept

    def cut_short(self, wanted: int) -> AccessFailed:
        """The error for a file that ends before what its own header announces."""
        return AccessFailed(
            f"{shown(self.address)} is cut short: it has {self.size()} bytes, its header tells of {wanted}.",
            hint="The file at the source is broken; ask its publisher.",
            kind="truncated",
        )

    def _block(self, number: int) -> bytes:
        kept = self._cache.get(self._key, number)
        if kept is not None:
            return kept
        # Small reads one after the other (JPEG 2000) would be a request each: fetch ever more at once.
        length = min(self._ahead * 2, _READ_AHEAD) if number == self._ahead_at else BLOCK
        length = min(length, self.size() - number * BLOCK)
        data = self._request(_Parts(number * BLOCK, length))
        self._ahead, self._ahead_at = max(length, BLOCK), number + -(-length // BLOCK)
        for n in range(0, length, BLOCK):
            self._cache.put(self._key, number + n // BLOCK, data[n : n + BLOCK])
        return data[:BLOCK]

    def _read_exact(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        runs = _merge(ranges)
        wanted = [_Parts(start, stop - start) for start, stop in runs]
        if len(wanted) == 1:
            read = [self._request(wanted[0])]
        else:
            read = list(self._transport.range_threads.map(self._request, wanted))
        found = []
        for offset, length in ranges:
            parts = [
                data[max(offset - start, 0) : max(offset + length - start, 0)]
                for (start, stop), data in zip(runs, read, strict=True)
                if start < offset + length and stop > offset
            ]
            found.append(b"".join(parts))
        return found

    def _request(self, wanted: _Parts) -> bytes:
        """Read one part; after a cut connection only the rest is asked for."""

        def asked() -> dict[str, str]:
            first, last = wanted.start + wanted.got, wanted.start + wanted.length - 1
            return {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}

        def take(reply: Reply, deadline: float) -> bytes:
            return self._take(wanted, reply, deadline)

        return self._transport.fetch(self.address, self._access, take, asked)

    def _take(self, wanted: _Parts, reply: Reply, deadline: float) -> bytes:
        start = wanted.start + wanted.got
        if reply.status == 416:
            raise self._unsatisfiable(reply)
        if reply.status == 200:
            whole = self._take_whole(reply, deadline)
            return whole[wanted.start : wanted.start + wanted.length]
        match = _CONTENT_RANGE.match(reply.headers.get("Content-Range", ""))
        if reply.status != 206 or match is None:
            raise AccessFailed(
                f"{shown(self.address)} answers HTTP {reply.status} without saying which bytes it sends.",
                hint="A server of rasters must answer range requests with 206 and Content-Range.",
            )
        first, last, size = (int(g) for g in match.groups())
        self._same_file(Identity(size, reply.headers.get("ETag", "")))
        wanted.length = min(wanted.length, size - wanted.start)
        length = wanted.start + wanted.length - start
        if (first, last) != (start, start + length - 1):
            raise Transient(f"its server sends the bytes {first}-{last} for {start}-{start + length - 1}")
        for part in self._transport.body(reply, deadline, length, decode=False):
            wanted.parts.append(part)
            wanted.got += len(part)
        if wanted.got < wanted.length:
            raise Transient("its server sends fewer bytes than it says", progress=True)
        return b"".join(wanted.parts)

    def _take_whole(self, reply: Reply, deadline: float) -> bytes:
        """The whole file from a server that gives no parts, where it is small."""
        limit = self._transport.policy.whole_limit
        kind = reply.headers.get("Content-Type", "").split(";")[0].strip().lower()
        length = reply.headers.get("Content-Length", "")
        if kind not in _TEXT_TYPES and length.isdecimal() and int(length) > limit:
            raise AccessFailed(
                f"{shown(self.address)} lies on a server that gives no parts of files (range requests), "
                f"and is too large to be read whole: {int(length)} bytes, more than {limit}.",
                hint="Serve it from a store with range requests, or copy it to a local disk.",
            )
        data = b"".join(self._transport.body(reply, deadline, limit, decode=True))
        _check_content(self.address, data)
        if kind in _TEXT_TYPES:
            raise _not_an_image(self.address, f"its type is {kind}")
        self._same_file(Identity(len(data), reply.headers.get("ETag", "")))
        self._cache.put_whole(self._key, data)
        self._gives_whole = True
        return data

    def _same_file(self, seen: Identity) -> None:
        known = self._identity
        if known is None:
            self._identity = seen
        elif seen.size != known.size or (seen.tag and known.tag and seen.tag != known.tag):
            raise AccessFailed(
                f"{shown(self.address)} has changed while it was read: {known.size} bytes before, "
                f"{seen.size} now{'' if seen.size != known.size else ', with another ETag'}.",
                hint="Run the job again, so that all of it is read from one version.",
            )

    def _unsatisfiable(self, reply: Reply) -> AccessFailed:
        size = reply.headers.get("Content-Range", "").rpartition("/")[2]
        if self._identity is None and size in ("0", ""):
            return AccessFailed(f"{shown(self.address)} is empty.", kind="not-an-image")
        if self._identity is not None and size.isdecimal():
            self._same_file(Identity(int(size), ""))
        return AccessFailed(f"{shown(self.address)} refuses the range of bytes (HTTP 416).")


def _check_content(address: str, start: bytes) -> None:
    """Refuse what is plainly no raster: nothing at all, or a page of text."""
    if not start:
        raise AccessFailed(f"{shown(address)} is empty.", kind="not-an-image")
    text = start[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.lower().startswith(_MARKUP):
        begins = without_queries(" ".join(text.decode("utf-8", "replace").split()))[:60]
        raise _not_an_image(address, f"it begins with {begins!r}")


def _not_an_image(address: str, because: str) -> AccessFailed:
    return AccessFailed(
        f"{shown(address)} is no image but a text, such as a server's error page: {because}.",
        hint="Open the address in a browser to see what its server says.",
        kind="not-an-image",
    )


def _merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs [start, stop) that cover all ranges, near ones joined, none longer than one request should be."""
    runs: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        start, stop = offset, offset + length
        if runs:
            first, last = runs[-1]
            start = max(start, last) if start < last else start
            if stop <= last:
                continue
            if start - last <= _GAP and stop - first <= _LONGEST:
                runs[-1] = (first, stop)
                continue
        while stop - start > _LONGEST:
            runs.append((start, start + _LONGEST))
            start += _LONGEST
        runs.append((start, stop))
    return runs
