"""Where a stage's results wait: memory-mapped files on scratch for rasters, memory for the rest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ScratchFailed
from acreage.core.grid import Box
from acreage.engine.scratch_files import Place, make_files, place_of, put, take
from acreage.processes.convert import owned


@dataclass(frozen=True)
class ScratchCube:
    """A raster cube on disk: a raw file of values, one of validity. Opened by its users; picklable.

    Attributes:
        folder: of its files.
        meta: of the cube.
        nan_is_null: floats of which no valid one is NaN: there is no file of validity.
    """

    folder: Path
    meta: CubeMeta
    nan_is_null: bool = False
    windows: ClassVar[tuple[Box, ...]] = ()

    @staticmethod
    def create(folder: Path, meta: CubeMeta, *, nan_is_null: bool = False) -> ScratchCube:
        """Files of zeros of the right size; what is never written reads as null, or 0 where NaN is null.

        Raises:
            ScratchFailed: there is no room for them.
        """
        cube = ScratchCube(folder, meta, nan_is_null)
        sizes = {"values": meta.size * meta.dtype.itemsize}
        make_files(folder, sizes if nan_is_null else {**sizes, "valid": meta.size})
        return cube

    def write(self, cube: Cube, at: Mapping[str, int] | None = None) -> None:
        """Put a piece in its place.

        Args:
            cube: the piece; of one label along the dimensions of `at`.
            at: positions of these labels; the piece has all labels of the other dimensions.
        """
        if cube.values.size == 0:
            return
        place = place_of(self.meta, cube.meta.box, at or {})
        self._put("values", place, cube.values.astype(self.meta.dtype, copy=False))
        if not self.nan_is_null:
            self._put("valid", place, np.ones(cube.values.shape, bool) if cube.valid is None else cube.valid)

    def write_plane(self, values: Array, valid: BoolArray | None, box: Box, at: Mapping[str, int]) -> None:
        """Put one label of every other dimension in its place.

        Args:
            values: (rows, columns) floats, NaN where null.
            valid: of the same shape; None: where values are not NaN.
            box: their pixels.
            at: positions of the labels.
        """
        if not values.size:
            return
        place = place_of(self.meta, box, at)
        shape = (*(1,) * (len(self.meta.dims) - 2), *values.shape)
        self._put("values", place, values.astype(self.meta.dtype, copy=False).reshape(shape))
        if not self.nan_is_null:
            known = ~np.isnan(values) if valid is None else valid
            self._put("valid", place, known.reshape(shape))

    def _put(self, name: str, place: Place, piece: Array) -> None:
        put(self.folder / name, self.meta.shape, place, piece)

    def read(self, box: Box | None) -> Cube:
        """A piece, copied into memory."""
        meta = self.meta if box is None else self.meta.with_box(box)
        if meta.size == 0:
            return Cube(np.full(meta.shape, null_like(meta.dtype), meta.dtype), None, meta)
        place, shape = place_of(self.meta, box, {}), self.meta.shape
        values = take(self.folder / "values", self.meta.dtype, shape, place)
        if self.nan_is_null:
            valid = ~np.isnan(values)
            return Cube(values, None if valid.all() else valid, meta)
        return owned(values, take(self.folder / "valid", np.dtype(bool), shape, place), meta)


@dataclass(frozen=True)
class CountScratch:
    """Counts of observations on disk, one part a period; read as their sum.

    Attributes:
        folder: of its file.
        meta: of the counts: (bands, y, x), or (y, x).
        periods: number of parts.
        dtype: of the parts.
    """

    folder: Path
    meta: CubeMeta
    periods: int
    dtype: np.dtype[Any]
    windows: ClassVar[tuple[Box, ...]] = ()

    @staticmethod
    def create(folder: Path, meta: CubeMeta, periods: Sequence[int]) -> CountScratch:
        """A file of zeros.

        Args:
            folder: of its file.
            meta: of the counts.
            periods: how many observations each period has at most.

        Raises:
            ScratchFailed: there is no room for it.
        """
        dtype = np.min_scalar_type(max(periods, default=0))
        made = CountScratch(folder, meta, len(periods), dtype)
        make_files(folder, {"counts": len(periods) * meta.size * dtype.itemsize})
        return made

    def _map(self) -> np.memmap[Any, Any]:
        assert self.meta.box is not None
        bands = self.meta.size // self.meta.box.size
        shape = (self.periods, bands, *self.meta.box.shape)
        return np.memmap(self.folder / "counts", self.dtype, "r+", shape=shape)

    def write(self, counts: Array, window: Box, period: int, band: int) -> None:
        """Put the counts (rows, columns) of one period and band in their place."""
        assert self.meta.box is not None
        if counts.size:
            self._map()[(period, band, *window.slices_in(self.meta.box))] = counts

    def read(self, box: Box | None) -> Cube:
        """The sum over all periods, copied into memory."""
        meta = self.meta if box is None else self.meta.with_box(box)
        assert meta.box is not None
        assert self.meta.box is not None
        if meta.size == 0 or not self.periods:
            return Cube(np.zeros(meta.shape, meta.dtype), None, meta)
        parts = self._map()[(slice(None), slice(None), *meta.box.slices_in(self.meta.box))]
        return Cube(parts.sum(axis=0, dtype=meta.dtype).reshape(meta.shape), None, meta)


class Readable(Protocol):
    """A completed node."""

    @property
    def meta(self) -> CubeMeta:
        """Of the cube."""
        ...

    @property
    def windows(self) -> tuple[Box, ...]:
        """The pieces in which it is best read; none where any will do."""
        ...

    def read(self, box: Box | None) -> Cube:
        """A piece; all of it for None."""
        ...


Stored = Readable | Cube


def read_stored(stored: Mapping[int, Stored], node: int, box: Box | None) -> Cube:
    """A piece of a completed node."""
    found = stored[node]
    if isinstance(found, Cube):
        return found if box is None else found.crop(box)
    return found.read(box)


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happens.

    Raises:
        ScratchFailed: it cannot be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="acreage-", dir=parent)
    except OSError as error:
        raise ScratchFailed(
            f"No scratch folder can be made in {parent or tempfile.gettempdir()}: {error.strerror or error}.",
            hint="Name another folder in ACREAGE_SCRATCH.",
        ) from error
    with folder as name:
        yield Path(name)
