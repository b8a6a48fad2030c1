"""Where a stage's results wait: memory-mapped files on scratch for rasters, memory for the rest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

import numpy as np

from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ScratchFailed
from acreage.core.grid import Box
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
        _make_files(folder, sizes if nan_is_null else {**sizes, "valid": meta.size})
        return cube

    def _map(self, name: str, dtype: Any) -> np.memmap[Any, Any]:
        return np.memmap(self.folder / name, dtype=dtype, mode="r+", shape=self.meta.shape)

    def write(self, cube: Cube, at: Mapping[str, int] | None = None) -> None:
        """Put a piece in its place.

        Args:
            cube: the piece; of one label along the dimensions of `at`.
            at: positions of these labels; the piece has all labels of the other dimensions.
        """
        if cube.values.size == 0:
            return
        index = self._index(cube.meta.box, at or {})
        self._map("values", self.meta.dtype)[index] = cube.values
        if not self.nan_is_null:
            self._map("valid", np.bool_)[index] = True if cube.valid is None else cube.valid

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
        index = self._index(box, at)
        self._put("values", index, values.astype(self.meta.dtype, copy=False))
        if not self.nan_is_null:
            self._put("valid", index, ~np.isnan(values) if valid is None else valid)

    def _put(self, name: str, index: tuple[Any, ...], plane: Array) -> None:
        """Write (rows, columns); whole rows by one call, which is cheaper than touching mapped pages."""
        rows, columns = index[-2:]
        height, width = self.meta.shape[-2:]
        if columns != slice(0, width):
            shape = (*(1,) * (len(self.meta.dims) - 2), *plane.shape)
            self._map(name, plane.dtype)[index] = plane.reshape(shape)
            return
        number = int(np.ravel_multi_index([s.start for s in index[:-2]], self.meta.shape[:-2]))
        data = memoryview(np.ascontiguousarray(plane).data).cast("B")
        place = (number * height + rows.start) * width * plane.itemsize
        with open(self.folder / name, "r+b", buffering=0) as file:
            done = 0
            while done < len(data):
                done += os.pwrite(file.fileno(), data[done:], place + done)

    def read(self, box: Box | None) -> Cube:
        """A piece, copied into memory."""
        meta = self.meta if box is None else self.meta.with_box(box)
        if meta.size == 0:
            return Cube(np.full(meta.shape, null_like(meta.dtype), meta.dtype), None, meta)
        index = self._index(box, {})
        values = self._take("values", self.meta.dtype, index, meta)
        if self.nan_is_null:
            valid = ~np.isnan(values)
            return Cube(values, None if valid.all() else valid, meta)
        return owned(values, self._take("valid", np.dtype(bool), index, meta), meta)

    def _take(self, name: str, dtype: np.dtype[Any], index: Any, meta: CubeMeta) -> Array:
        """A piece; of whole rows by plain reading, which is cheaper than mapping pages and copying them."""
        whole = self.meta.box
        if whole is None or meta.names[-2:] != ("y", "x") or index[-1] not in (..., slice(0, whole.width)):
            return np.array(self._map(name, dtype)[index])
        if index == (...,):
            return np.array(self._map(name, dtype)[index])
        found = np.empty(meta.shape, dtype)
        planes = memoryview(found.reshape(-1).data).cast("B")
        size = int(np.prod(meta.shape[-2:])) * dtype.itemsize
        step, start = whole.size * dtype.itemsize, index[-2].start * whole.width * dtype.itemsize
        with open(self.folder / name, "rb", buffering=0) as file:
            for number in range(found.size * dtype.itemsize // size):
                part = planes[number * size : (number + 1) * size]
                done = 0
                while done < size:
                    got = os.preadv(file.fileno(), [part[done:]], number * step + start + done)
                    if got == 0:
                        raise ScratchFailed(f"{self.folder / name} is shorter than it was made.")
                    done += got
        return found

    def _index(self, box: Box | None, at: Mapping[str, int]) -> Any:
        if box is None or self.meta.box is None:
            return (...,)
        rows, columns = box.slices_in(self.meta.box)
        places = {name: slice(n, n + 1) for name, n in at.items()}
        return tuple(
            places.get(d.name, {"y": rows, "x": columns}.get(d.type, slice(None))) for d in self.meta.dims
        )


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
        _make_files(folder, {"counts": len(periods) * meta.size * dtype.itemsize})
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


def _make_files(folder: Path, sizes: Mapping[str, int]) -> None:
    """Files of zeros of these sizes in a new folder.

    Raises:
        ScratchFailed: there is no room for them.
    """
    try:
        folder.mkdir(parents=True)
        for name, size in sizes.items():
            with open(folder / name, "wb") as file:
                _reserve(file, max(size, 1))
    except OSError as error:
        raise ScratchFailed(
            f"{sum(sizes.values()) / 1e6:,.1f} MB of intermediate results do not fit in "
            f"{folder.parent.parent}: {error.strerror or error}.",
            hint="Make room, or name a folder with more of it in ACREAGE_SCRATCH.",
        ) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Take the space now: a full disk kills a process that writes to a mapped sparse file."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
