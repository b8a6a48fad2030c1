"""What all writers need: a stored cube read piece by piece, and a null value that no valid pixel has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import FormatUnsuitable
from acreage.core.grid import Box
from acreage.core.temporal import format_instant
from acreage.engine.store import Stored

_PIECE_BYTES = 32_000_000
_EXACT = 2**53  # integers up to here are exact as 64-bit floats


def pieces(stored: Stored) -> Iterator[Cube]:
    """The cube in bands of rows of some 32 MB; whole where it has no x and y."""
    box = stored.meta.box
    if box is None or isinstance(stored, Cube):
        yield stored if isinstance(stored, Cube) else stored.read(None)
        return
    if stored.windows:
        yield from (stored.read(window) for window in stored.windows)
        return
    rows = piece_rows(stored)
    for y in range(box.y0, box.y1, rows):
        yield stored.read(Box(box.grid, box.x0, y, box.x1, min(y + rows, box.y1)))


def piece_rows(stored: Stored) -> int:
    """Rows of every piece but the last one."""
    meta = stored.meta
    if meta.box is None or isinstance(stored, Cube):
        return 1 if meta.box is None else max(meta.box.height, 1)
    if stored.windows:
        return max(window.height for window in stored.windows)
    row = max(meta.size // max(meta.box.height, 1), 1) * (meta.dtype.itemsize + 1)
    return max(_PIECE_BYTES // row // 256 * 256, 64)


@dataclass(frozen=True)
class Encoding:
    """How values go into a file.

    Attributes:
        dtype: in the file.
        nodata: what stands for null; None where nothing is null.
    """

    dtype: np.dtype[Any]
    nodata: float | int | None

    def encode(self, cube: Cube) -> Array:
        """Values in the file's dtype with nulls filled."""
        if self.dtype.kind == "f" and cube.values.dtype == self.dtype:
            return cube.values  # NaN stands under every null already
        values = cube.values.astype(self.dtype)
        if cube.valid is not None:
            assert self.nodata is not None
            values[~cube.valid] = self.nodata
        return values


def choose_encoding(stored: Stored) -> Encoding:
    """A dtype and a null value that no valid value of the cube equals; NaN for floats.

    Raises:
        FormatUnsuitable: 64-bit integers that use every candidate.
    """
    meta = stored.meta
    if meta.dtype.kind == "f":
        return Encoding(np.dtype(np.float32 if meta.dtype.itemsize < 4 else meta.dtype), float("nan"))
    dtype = np.dtype(np.uint8) if meta.dtype.kind == "b" else meta.dtype
    info = np.iinfo(dtype)
    free = [
        c
        for c in dict.fromkeys([meta.nodata, info.max, info.min, 0, _EXACT, -_EXACT])
        # A GeoTIFF's null value is a 64-bit float, also where its pixels are 64-bit integers.
        if c is not None and info.min <= c <= info.max and abs(c) <= _EXACT
    ]
    nulls = False
    for cube in pieces(stored):
        nulls = nulls or cube.valid is not None
        valid = cube.values if cube.valid is None else cube.values[cube.valid]
        free = [c for c in free if not (valid == c).any()]
    if not nulls:
        return Encoding(dtype, None)
    if free:
        return Encoding(dtype, int(free[0]))
    wider = _wider(dtype)
    if wider is None:
        raise FormatUnsuitable(
            "A cube of 64-bit integers leaves no value free for null.", hint="Scale it first."
        )
    return Encoding(wider, int(np.iinfo(wider).max))


def _wider(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The next larger integers, which hold every value of these and some more; None behind 64 bits."""
    return None if dtype.itemsize == 8 else np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")


def label_text(label: Any) -> str:
    """A label for people and file names: dates as 2019-03-01 or 2019-03-01T10:50:22Z."""
    if isinstance(label, np.datetime64):
        return format_instant(label).removesuffix("T00:00:00Z")
    return str(label)


def band_names(meta: CubeMeta) -> tuple[str, ...]:
    """Names of the bands, or the federation's name where the cube has no bands."""
    dim = meta.find("bands")
    return ("var",) if dim is None else tuple(map(str, dim.labels))
