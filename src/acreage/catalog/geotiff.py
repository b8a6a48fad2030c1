"""Headers of plain tiled GeoTIFFs, read without GDAL.

A season of a tile is a thousand files and more; opening one by GDAL takes milliseconds, reading the few tags
that say where its pixels lie takes microseconds. Files that are anything but plain (see `plain_geotiff`) are
left to GDAL, and so is every question of what is wrong with one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine

_HEAD = 16_384  # bytes of a file that are read at first; headers of cloud-optimized files lie at the start
_MOST = 4_000_000  # bytes of a list of blocks
_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 11: "f", 12: "d", 16: "Q"}  # TIFF 6.0, and LONG8 of BigTIFF
_SIZES = {"B": 1, "s": 1, "H": 2, "I": 4, "f": 4, "d": 8, "Q": 8}
_KINDS = {1: "u", 2: "i", 3: "f"}  # SampleFormat
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PREDICTOR = 256, 257, 258, 259, 277, 317
_TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _SIZES_OF_TILES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_FILL_ORDER, _SCALE, _TIE, _MATRIX, _GEO_KEYS, _NODATA = 266, 33550, 33922, 34264, 34735, 42113
_SUBFILE, _CHILDREN, _OVERVIEW = 254, 330, 1
_MOST_IMAGES = 32
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
_USER_DEFINED = 32767

Tags = Mapping[int, tuple[Any, ...]]


class _NotPlain(Exception):
    """Something that is left to GDAL."""


@dataclass(frozen=True)
class TiledImage:
    """The pixels of a file, or one of its overviews.

    Attributes:
        shape: (rows, columns).
        block: (rows, columns) of a tile.
        offsets, sizes: of every tile in bytes, row by row; a size of 0 is a tile that is not there.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def columns(self) -> int:
        """Number of tiles beside each other."""
        return -(-self.shape[1] // self.block[1])

    @property
    def end(self) -> int:
        """Bytes that a file must have to hold all tiles."""
        return max((o + s for o, s in zip(self.offsets, self.sizes, strict=True) if s), default=0)


@dataclass(frozen=True)
class PlainGeotiff:
    """A whole file of one band in tiles, north up, in a CRS with an EPSG code, its pixels areas.

    Attributes:
        epsg: of the CRS.
        transform: pixel to CRS.
        dtype: of the pixels, little-endian.
        nodata: null value, None where there is none.
        compression, predictor: as TIFF numbers them; the same in all images.
        images: the pixels, then the overviews in the order of the file.
    """

    epsg: int
    transform: Affine
    dtype: np.dtype[Any]
    nodata: float | None
    compression: int
    predictor: int
    images: tuple[TiledImage, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.images[0].shape


def plain_geotiff(path: str) -> PlainGeotiff | None:
    """The header of a file of this machine; None where it is not plain, or cannot be read."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return _kept(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16_384)
def _kept(path: str, size: int, changed: int) -> PlainGeotiff | None:
    if os.path.exists(f"{path}.aux.xml"):  # may hold another georeference, which comes first
        return None
    try:
        with open(path, "rb") as file:
            found = _parsed(file, file.read(_HEAD))
        return found if all(i.end <= size for i in found.images) else None
    except (OSError, struct.error, _NotPlain, ValueError, OverflowError):
        return None


def _parsed(file: Any, head: bytes) -> PlainGeotiff:
    directories = _directories(file, head)
    formats = {_format(tags) for tags in directories}
    if len(formats) != 1 or any(_one(t, _SUBFILE, 0) != _OVERVIEW for t in directories[1:]):
        raise _NotPlain
    ((dtype, compression, predictor),) = formats
    epsg, transform = _place(directories[0])
    images = tuple(map(_image, directories))
    return PlainGeotiff(
        epsg, transform, dtype, _nodata(directories[0].get(_NODATA)), compression, predictor, images
    )


def _one(tags: Tags, tag: int, default: int | None = None) -> int:
    values = tags.get(tag, () if default is None else (default,))
    if len(values) != 1:
        raise _NotPlain
    return int(values[0])


def _format(tags: Tags) -> tuple[np.dtype[Any], int, int]:
    """Dtype, compression and predictor of an image."""
    if (
        _one(tags, _SAMPLES, 1) != 1
        or _one(tags, _FILL_ORDER, 1) != 1
        or _MATRIX in tags
        or _CHILDREN in tags
    ):
        raise _NotPlain
    bits, kind = _one(tags, _BITS), _KINDS.get(_one(tags, _SAMPLE_FORMAT, 1))
    if bits not in (8, 16, 32, 64) or kind is None or (kind == "f" and bits < 32):
        raise _NotPlain
    return np.dtype(f"<{kind}{bits // 8}"), _one(tags, _COMPRESSION, 1), _one(tags, _PREDICTOR, 1)


def _image(tags: Tags) -> TiledImage:
    shape = (_one(tags, _HEIGHT), _one(tags, _WIDTH))
    block = (_one(tags, _TILE_HEIGHT), _one(tags, _TILE_WIDTH))
    if min(*shape, *block) < 1:
        raise _NotPlain
    offsets, sizes = tags.get(_OFFSETS, ()), tags.get(_SIZES_OF_TILES, ())
    if not len(offsets) == len(sizes) == -(-shape[0] // block[0]) * -(-shape[1] // block[1]):
        raise _NotPlain
    return TiledImage(shape, block, tuple(map(int, offsets)), tuple(map(int, sizes)))


def _directories(file: Any, head: bytes) -> list[Tags]:
    """The tags of every image, in the order of the file."""
    if head[:4] == b"II*\0":
        formats = ("<I", "<H", "<HHII")
        (start,) = struct.unpack_from("<I", head, 4)
    elif head[:8] == b"II+\0\x08\0\0\0":
        formats = ("<Q", "<Q", "<HHQQ")
        (start,) = struct.unpack_from("<Q", head, 8)
    else:
        raise _NotPlain
    found: list[Tags] = []
    while start:
        if len(found) == _MOST_IMAGES:
            raise _NotPlain
        tags, start = _tags(file, head, start, *formats)
        found.append(tags)
    return found


def _tags(file: Any, head: bytes, start: int, pointer: str, number: str, entry: str) -> tuple[Tags, int]:
    """The tags of the image whose directory begins at `start`, and where the next begins; 0 for none."""
    at = start + struct.calcsize(number)
    (count,) = struct.unpack(number, _bytes(file, head, start, at - start))
    step, value = struct.calcsize(entry), struct.calcsize(pointer)
    directory = _bytes(file, head, at, count * step + value)
    tags: dict[int, tuple[Any, ...]] = {}
    for n in range(count):
        tag, kind, length, place = struct.unpack_from(entry, directory, n * step)
        code = _FORMATS.get(kind)
        if code is None:
            continue
        size = length * _SIZES[code]
        held = directory[(n + 1) * step - value :][:size]
        data = held if size <= value else _bytes(file, head, place, size)
        tags[tag] = struct.unpack(f"<{length}{code}", data)
    (following,) = struct.unpack_from(pointer, directory, count * step)
    return tags, following


def _bytes(file: Any, head: bytes, start: int, size: int) -> bytes:
    if size > _MOST:
        raise _NotPlain
    if start + size <= len(head):
        return head[start : start + size]
    file.seek(start)
    return bytes(file.read(size))


def _place(tags: Tags) -> tuple[int, Affine]:
    scale, tie, keys = tags.get(_SCALE, ()), tags.get(_TIE, ()), tags.get(_GEO_KEYS, ())
    if len(scale) < 2 or len(tie) != 6 or any(tie[:2]) or min(scale[:2]) <= 0:
        raise _NotPlain
    known = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    code = known.get(_PROJECTED, known.get(_GEOGRAPHIC))
    if known.get(_RASTER_TYPE) != 1 or not code or code == _USER_DEFINED:
        raise _NotPlain
    return int(code), Affine(scale[0], 0.0, tie[3], 0.0, -scale[1], tie[4])


def _nodata(text: tuple[Any, ...] | None) -> float | None:
    """GDAL's tag; a number that is not read the same way everywhere is left to GDAL."""
    if text is None:
        return None
    word = text[0].split(b"\0")[0].strip()
    if word.lower() in (b"nan", b"-nan"):
        return float("nan")
    value = float(word)
    if not value.is_integer() or abs(value) > 2**53:
        raise _NotPlain
    return value
