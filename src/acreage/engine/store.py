"""Where a stage's results wait: memory-mapped files on scratch for rasters, memory for the rest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from acreage.core.arrays import null_like
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ScratchFailed
from acreage.core.grid import Box


@dataclass(frozen=True)
class ScratchCube:
    """A raster cube on disk: a raw file of values, one of validity. Opened by its users; picklable."""

    folder: Path
    meta: CubeMeta

    @staticmethod
    def create(folder: Path, meta: CubeMeta) -> ScratchCube:
        """Files of zeros of the right size; what is never written reads as null.

        Raises:
            ScratchFailed: there is no room for them.
        """
        cube = ScratchCube(folder, meta)
        size = meta.size * (meta.dtype.itemsize + 1)
        try:
            folder.mkdir(parents=True)
            for name, itemsize in (("values", meta.dtype.itemsize), ("valid", 1)):
                with open(folder / name, "wb") as file:
                    _reserve(file, max(meta.size * itemsize, 1))
        except OSError as error:
            raise ScratchFailed(
                f"{size / 1e6:,.1f} MB of intermediate results do not fit in {folder.parent.parent}: "
                f"{error.strerror or error}.",
                hint="Make room, or name a folder with more of it in ACREAGE_SCRATCH.",
            ) from error
        return cube

    def _map(self, name: str, dtype: Any) -> np.memmap[Any, Any]:
        return np.memmap(self.folder / name, dtype=dtype, mode="r+", shape=self.meta.shape)

    def write(self, cube: Cube) -> None:
        """Put a piece in its place."""
        if cube.values.size == 0:
            return
        index = self._index(cube.meta.box)
        self._map("values", self.meta.dtype)[index] = cube.values
        self._map("valid", np.bool_)[index] = True if cube.valid is None else cube.valid

    def read(self, box: Box | None) -> Cube:
        """A piece, copied into memory."""
        meta = self.meta if box is None else self.meta.with_box(box)
        if meta.size == 0:
            return Cube(np.full(meta.shape, null_like(meta.dtype), meta.dtype), None, meta)
        index = self._index(box)
        values = np.array(self._map("values", self.meta.dtype)[index])
        return Cube.of(values, np.array(self._map("valid", np.bool_)[index]), meta)

    def _index(self, box: Box | None) -> Any:
        if box is None or self.meta.box is None:
            return (...,)
        rows, columns = box.slices_in(self.meta.box)
        return tuple({"y": rows, "x": columns}.get(d.type, slice(None)) for d in self.meta.dims)


Stored = ScratchCube | Cube


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


def _reserve(file: IO[bytes], size: int) -> None:
    """Take the space now: a full disk kills a process that writes to a mapped sparse file."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
