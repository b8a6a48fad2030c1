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
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
_USER_DEFINED = 32767


class _NotPlain(Exception):
    """Something that is left to GDAL."""


@dataclass(frozen=True)
class PlainGeotiff:
    """A file of one band in tiles, north up, in a CRS with an EPSG code, its pixels areas.

    Attributes:
        epsg: of the CRS.
        transform: pixel to CRS.
        shape: (rows, columns).
        dtype: of the pixels, little-endian.
        nodata: null value, None where there is none.
        block: (rows, columns) of a tile.
        compression, predictor: as TIFF numbers them.
        offsets, sizes: of every tile in bytes, row by row; a size of 0 is a tile that is not there.
    """

    epsg: int
    transform: Affine
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    nodata: float | None
    block: tuple[int, int]
    compression: int
    predictor: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


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
            return _parsed(file, file.read(_HEAD))
    except (OSError, struct.error, _NotPlain, ValueError, OverflowError):
        return None


def _parsed(file: Any, head: bytes) -> PlainGeotiff:
    tags = _tags(file, head)

    def one(tag: int, default: int | None = None) -> int:
        values = tags.get(tag, () if default is None else (default,))
        if len(values) != 1:
            raise _NotPlain
        return int(values[0])

    if one(_SAMPLES, 1) != 1 or one(_FILL_ORDER, 1) != 1 or _MATRIX in tags:
        raise _NotPlain
    bits, kind = one(_BITS), _KINDS.get(one(_SAMPLE_FORMAT, 1))
    if bits not in (8, 16, 32, 64) or kind is None or (kind == "f" and bits < 32):
        raise _NotPlain
    shape = (one(_HEIGHT), one(_WIDTH))
    block = (one(_TILE_HEIGHT), one(_TILE_WIDTH))
    offsets, sizes = tags.get(_OFFSETS, ()), tags.get(_SIZES_OF_TILES, ())
    tiles = -(-shape[0] // block[0]) * -(-shape[1] // block[1])
    if not len(offsets) == len(sizes) == tiles:
        raise _NotPlain
    epsg, transform = _place(tags)
    return PlainGeotiff(
        epsg,
        transform,
        shape,
        np.dtype(f"<{kind}{bits // 8}"),
        _nodata(tags.get(_NODATA)),
        block,
        one(_COMPRESSION, 1),
        one(_PREDICTOR, 1),
        tuple(map(int, offsets)),
        tuple(map(int, sizes)),
    )


def _tags(file: Any, head: bytes) -> Mapping[int, tuple[Any, ...]]:
    """The tags of the first image."""
    if head[:4] == b"II*\0":
        (start,) = struct.unpack_from("<I", head, 4)
        count_format, entry, value = "<H", "<HHII", 4
    elif head[:8] == b"II+\0\x08\0\0\0":
        (start,) = struct.unpack_from("<Q", head, 8)
        count_format, entry, value = "<Q", "<HHQQ", 8
    else:
        raise _NotPlain
    if start + struct.calcsize(count_format) > len(head):
        raise _NotPlain
    (count,) = struct.unpack_from(count_format, head, start)
    at = start + struct.calcsize(count_format)
    step = struct.calcsize(entry)
    if at + count * step > len(head):
        raise _NotPlain
    tags: dict[int, tuple[Any, ...]] = {}
    for n in range(count):
        tag, kind, number, place = struct.unpack_from(entry, head, at + n * step)
        code = _FORMATS.get(kind)
        if code is None:
            continue
        size = number * _SIZES[code]
        if size > _MOST:
            raise _NotPlain
        if size <= value:
            place = at + (n + 1) * step - value
        data = head[place : place + size]
        if len(data) < size:
            file.seek(place)
            data = file.read(size)
        tags[tag] = struct.unpack(f"<{number}{code}", data)
    return tags


def _place(tags: Mapping[int, tuple[Any, ...]]) -> tuple[int, Affine]:
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
