"""Medians of unsigned integers on scratch: twice the number in 16 bits, which is half of the bytes.

A median of integers is a whole number of halves. Twice it fits in 16 bits up to 32766.5, which no reflectance
reaches; a piece where a pixel is above is kept as 32-bit floats in a second file, too, which takes no room
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ScratchFailed
from acreage.core.grid import Box
from acreage.engine.scratch_files import make_files, place_of, put, take
from acreage.processes.kernels import compiled

NULL, ABOVE = 65535, 65534
"""Codes of no number, and of one that is in the file of floats."""


@dataclass(frozen=True)
class HalvesScratch:
    """A raster cube of medians on disk. Opened by its users; picklable.

    Attributes:
        folder: of its files.
        meta: of the cube: float32, whole numbers of halves from 0 on, NaN where null.
    """

    folder: Path
    meta: CubeMeta
    windows: ClassVar[tuple[Box, ...]] = ()

    @staticmethod
    def create(folder: Path, meta: CubeMeta) -> HalvesScratch:
        """Its files; what is never written reads as 0.

        Raises:
            ScratchFailed: there is no room for them.
        """
        make_files(folder, {"halves": meta.size * 2})
        try:
            with open(folder / "floats", "wb") as file:
                file.truncate(max(meta.size * 4, 1))
        except OSError as error:
            raise ScratchFailed(f"{folder / 'floats'} cannot be made: {error.strerror or error}.") from error
        return HalvesScratch(folder, meta)

    def write(self, cube: Cube, at: Mapping[str, int] | None = None) -> None:
        """Put a piece in its place; arguments as `ScratchCube.write`."""
        if cube.values.size:
            self._write(cube.values, place_of(self.meta, cube.meta.box, at or {}))

    def write_plane(self, values: Array, valid: BoolArray | None, box: Box, at: Mapping[str, int]) -> None:
        """Put one label of every other dimension in its place; NaN stands where nothing is `valid`."""
        if values.size:
            self._write(
                values.reshape(*(1,) * (len(self.meta.dims) - 2), *values.shape), place_of(self.meta, box, at)
            )

    def _write(self, values: Array, index: tuple[slice, ...]) -> None:
        floats = np.ascontiguousarray(values, np.float32)
        codes = np.empty(floats.shape, np.uint16)
        above = _pack(floats.reshape(-1), codes.reshape(-1))
        put(self.folder / "halves", self.meta.shape, index, codes)
        if above:
            put(self.folder / "floats", self.meta.shape, index, floats)

    def read(self, box: Box | None) -> Cube:
        """A piece, copied into memory."""
        meta = self.meta if box is None else self.meta.with_box(box)
        values = np.empty(meta.shape, np.float32)
        if not meta.size:
            return Cube(values, None, meta)
        index = place_of(self.meta, box, {})
        codes: NDArray[np.uint16] = take(self.folder / "halves", np.dtype(np.uint16), self.meta.shape, index)
        nulls, above = _unpack(codes.reshape(-1), values.reshape(-1))
        if above:
            floats = take(self.folder / "floats", np.dtype(np.float32), self.meta.shape, index)
            np.copyto(values, floats, where=codes == ABOVE)
        return Cube(values, codes != NULL if nulls else None, meta)


@compiled
def _pack(values, codes):  # type: ignore[no-untyped-def]
    """Codes of numbers, written; whether any is above what 16 bits hold."""
    above = False
    for i in range(values.size):
        twice = values[i] * np.float32(2.0)
        null = twice != twice
        fits = twice < np.float32(ABOVE)
        above |= not (fits or null)
        code = np.int32(twice if fits else np.float32(0.0))
        codes[i] = code if fits else (NULL if null else ABOVE)
    return above


@compiled
def _unpack(codes, values):  # type: ignore[no-untyped-def]
    """Numbers of codes, written; whether any is null, and whether any is above."""
    nulls, above = False, False
    for i in range(codes.size):
        code = codes[i]
        nulls |= code == NULL
        above |= code == ABOVE
        values[i] = np.float32(np.nan) if code == NULL else np.float32(code) * np.float32(0.5)
    return nulls, above
