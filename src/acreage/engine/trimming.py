"""trim_cube: labels that hold nulls only, left out of a result when it is written.

Which labels these are is known when every pixel is, and so nothing can be planned behind it
(docs/decisions/0020-trim-cube-comes-last.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import BoolArray
from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.grid import Box
from acreage.engine.store import Stored

_PIXELS = 4_000_000  # looked at together
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class TrimmedCube:
    """A completed cube without some of its labels.

    Attributes:
        stored: the whole cube.
        meta: of what is left.
        keep: positions of the labels that are left, by dimension; x and y are in the box.
    """

    stored: Stored
    meta: CubeMeta
    keep: Mapping[str, Positions]

    @property
    def windows(self) -> tuple[Box, ...]:
        """The pieces in which it is best read."""
        box = self.meta.box
        if box is None or isinstance(self.stored, Cube):
            return ()
        parts = (window.intersect(box) for window in self.stored.windows)
        return tuple(part for part in parts if not part.is_empty)

    def read(self, box: Box | None) -> Cube:
        """A piece; all of it for None."""
        cube = _piece(self.stored, self.meta.box if box is None else box)
        values, valid = cube.values, cube.valid
        for name, positions in self.keep.items():
            axis = cube.meta.axis(name)
            if len(positions) < values.shape[axis]:
                values = np.take(values, positions, axis=axis)
                valid = None if valid is None else np.take(valid, positions, axis=axis)
        meta = self.meta if box is None else self.meta.with_box(box)
        return Cube(values, None if valid is None or valid.all() else valid, meta)


def trimmed(stored: Stored) -> Stored:
    """The cube without labels that hold nulls only.

    Pixels and dates go at both ends, labels of other dimensions anywhere. A cube of nothing but nulls stays
    as it is.
    """
    found = _filled(stored)
    if not all(known.any() for known in found.values()):
        return stored
    meta, keep = stored.meta, {}
    for dim in stored.meta.dims:
        places = np.flatnonzero(found[dim.name])
        if dim.type in ("x", "y"):
            meta = meta.with_box(_cut(meta, dim, int(places[0]), int(places[-1]) + 1))
            continue
        if dim.type == "temporal":
            places = np.arange(places[0], places[-1] + 1)
        keep[dim.name] = places
        meta = _labelled(meta, dim, places)
    return stored if meta == stored.meta else TrimmedCube(stored, meta, keep)


def _filled(stored: Stored) -> dict[str, BoolArray]:
    """By dimension, which labels have a value that is not null."""
    meta = stored.meta
    found = {name: np.zeros(size, bool) for name, size in zip(meta.names, meta.shape, strict=True)}
    for window in _windows(stored):
        piece = _piece(stored, window)
        valid = piece.validity()
        for axis, dim in enumerate(piece.dims):
            others = tuple(i for i in range(valid.ndim) if i != axis)
            known = valid.any(axis=others)
            place = slice(None)
            if window is not None and meta.box is not None and dim.type in ("x", "y"):
                place = window.slices_in(meta.box)[dim.type == "x"]
            found[dim.name][place] |= known
    return found


def _windows(stored: Stored) -> Iterator[Box | None]:
    """All pixels, in pieces: those in which the cube is best read, else strips of rows."""
    box = stored.meta.box
    if box is None:
        yield None
        return
    own = () if isinstance(stored, Cube) else stored.windows
    if own:
        yield from own
        return
    row = max(stored.meta.size // max(box.height, 1), 1)
    rows = max(_PIXELS // row, 1)
    for top in range(box.y0, box.y1, rows):
        yield replace(box, y0=top, y1=min(top + rows, box.y1))


def _piece(stored: Stored, box: Box | None) -> Cube:
    if isinstance(stored, Cube):
        return stored if box is None else stored.crop(box)
    return stored.read(box)


def _cut(meta: CubeMeta, dim: Dimension, first: int, stop: int) -> Box:
    box = meta.box
    assert box is not None
    if dim.type == "x":
        return replace(box, x0=box.x0 + first, x1=box.x0 + stop)
    return replace(box, y0=box.y0 + first, y1=box.y0 + stop)


def _labelled(meta: CubeMeta, dim: Dimension, places: Positions) -> CubeMeta:
    labels = tuple(dim.labels[i] for i in places)
    meta = meta.with_dim(dim.name, replace(dim, labels=labels))
    old = meta.geometries
    if dim.type != "geometry" or old is None:
        return meta
    properties = tuple(old.properties[i] for i in places) if old.properties else ()
    shapes = tuple(old.shapes[i] for i in places)
    return replace(meta, geometries=Geometries(old.crs, shapes, properties))
