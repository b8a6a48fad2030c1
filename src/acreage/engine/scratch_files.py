"""Raw arrays in files of scratch: made at their full size, written and read by pieces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import CubeMeta
from acreage.core.errors import ScratchFailed
from acreage.core.grid import Box

Place = tuple[slice, ...]
"""A piece of an array: a slice with start and stop for every axis."""


def place_of(meta: CubeMeta, box: Box | None, at: Mapping[str, int]) -> Place:
    """Where a piece of a cube lies.

    Args:
        meta: of the cube.
        box: pixels of the piece; None for all.
        at: positions of single labels, by dimension; the piece has all labels of the others.
    """
    rows, columns = (slice(None), slice(None)) if box is None or meta.box is None else box.slices_in(meta.box)
    places = {name: slice(n, n + 1) for name, n in at.items()}
    chosen = [places.get(d.name, {"y": rows, "x": columns}.get(d.type, slice(None))) for d in meta.dims]
    return tuple(slice(*s.indices(n)[:2]) for s, n in zip(chosen, meta.shape, strict=True))


def put(path: Path, shape: tuple[int, ...], place: Place, piece: Array) -> None:
    """Write a piece of an array.

    Args:
        path: of a file of the array's size.
        shape: of the array.
        place: of the piece.
        piece: of the place's shape and the array's dtype.
    """
    if not _whole_rows(shape, place):
        np.memmap(path, dtype=piece.dtype, mode="r+", shape=shape)[place] = piece
        return
    data = memoryview(np.ascontiguousarray(piece).reshape(-1).data).cast("B")
    with open(path, "r+b", buffering=0) as file:
        for start, size, offset in _runs(shape, place, piece.dtype.itemsize):
            done = 0
            while done < size:
                done += os.pwrite(file.fileno(), data[start + done : start + size], offset + done)


def take(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], place: Place) -> Array:
    """A piece of an array, copied into memory; arguments as `put`.

    Raises:
        ScratchFailed: the file is shorter than it was made.
    """
    if not _whole_rows(shape, place):
        return np.array(np.memmap(path, dtype=dtype, mode="r", shape=shape)[place])
    found = np.empty(tuple(s.stop - s.start for s in place), dtype)
    data = memoryview(found.reshape(-1).data).cast("B")
    with open(path, "rb", buffering=0) as file:
        for start, size, offset in _runs(shape, place, dtype.itemsize):
            done = 0
            while done < size:
                got = os.preadv(file.fileno(), [data[start + done : start + size]], offset + done)
                if got == 0:
                    raise ScratchFailed(f"{path} is shorter than it was made.")
                done += got
    return found


def _whole_rows(shape: tuple[int, ...], place: Place) -> bool:
    """Whether a piece is runs of whole rows: reading and writing these is cheaper than mapped pages."""
    return len(shape) >= 2 and place[-1] == slice(0, shape[-1])


def _runs(shape: tuple[int, ...], place: Place, itemsize: int) -> Iterator[tuple[int, int, int]]:
    """Runs of rows: first byte in the piece, bytes, and first byte in the file."""
    rows, width = place[-2], shape[-1]
    size = (rows.stop - rows.start) * width * itemsize
    leading = [range(s.start, s.stop) for s in place[:-2]]
    for number, index in enumerate(np.ndindex(*(len(r) for r in leading))):
        plane = 0
        for r, i, n in zip(leading, index, shape[:-2], strict=True):
            plane = plane * n + r[i]
        yield number * size, size, (plane * shape[-2] + rows.start) * width * itemsize


def make_files(folder: Path, sizes: Mapping[str, int]) -> None:
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
