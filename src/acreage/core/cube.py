"""Data cubes: labelled dimensions, values plus validity.

`CubeMeta` is what is known of a cube before a pixel is read; `Cube` is a piece of it in memory. The order of
the
dimensions of a raster cube is (t, bands, ..., y, x): x and y, where present, come last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from shapely.geometry.base import BaseGeometry

from acreage.core.arrays import Array, BoolArray, normalise, null_like
from acreage.core.errors import DimensionNotAvailable, LabelNotAvailable
from acreage.core.grid import Box, Grid

DimensionType = Literal["x", "y", "temporal", "bands", "geometry", "other"]
Label = str | int | float | np.datetime64
Attribute = str | float | bool


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of a cube.

    Attributes:
        name: as graphs call it (`x`, `y`, `t`, `bands`, ...).
        type: openEO's dimension type, with x and y told apart.
        labels: in order. Empty for x and y, whose labels come from the box. Temporal labels are
            datetime64[ms]
            (UTC) or strings (period labels such as `2019-03`), bands strings, geometries their ids.
        extent: temporal only: the half-open interval that was filtered, [start, end), datetime64[ms].
        period: temporal only: the calendar period (`core.temporal.PERIODS`) that string labels name, if any.
    """

    name: str
    type: DimensionType
    labels: tuple[Label, ...] = ()
    extent: tuple[np.datetime64, np.datetime64] | None = None
    period: str | None = None

    def index(self, label: Label) -> int:
        """Position of a label.

        Raises:
            LabelNotAvailable: the dimension has no such label.
        """
        try:
            return self.labels.index(label)
        except ValueError:
            shown = ", ".join(map(str, self.labels[:20])) + (", ..." if len(self.labels) > 20 else "")
            raise LabelNotAvailable(
                f"Dimension {self.name!r} has no label {label!r}; it has {shown}."
            ) from None


@dataclass(frozen=True)
class Geometries:
    """The geometries of a vector cube, aligned with the labels of its geometry dimension.

    Attributes:
        crs: CRS name.
        shapes: shapely geometries.
        properties: one dict of attributes a geometry (JSON values).
    """

    crs: str
    shapes: tuple[BaseGeometry, ...]
    properties: tuple[dict[str, Any], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class CubeMeta:
    """What is known of a cube before it is computed.

    Attributes:
        dims: in array order; x and y, where present, come last as (y, x).
        dtype: static dtype of the values.
        box: the pixels it covers; None for a cube without x and y.
        geometries: the shapes of a vector cube's geometry dimension.
        nodata: preferred null value of integer files, None where the writer chooses.
        may_be_null: False where every value is known to be valid.
        attributes: what else the source says of the data, as (name, value) pairs sorted by name, for example
            `sar:calibration` or `band:B04:common_name`.
    """

    dims: tuple[Dimension, ...]
    dtype: np.dtype[Any]
    box: Box | None = None
    geometries: Geometries | None = None
    nodata: float | int | None = None
    may_be_null: bool = True
    attributes: tuple[tuple[str, Attribute], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dimensions, in order."""
        return tuple(d.name for d in self.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions, in order."""
        return tuple(self._length(d) for d in self.dims)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def grid(self) -> Grid:
        """The grid of a raster cube.

        Raises:
            DimensionNotAvailable: the cube has no x and y.
        """
        if self.box is None:
            raise DimensionNotAvailable("The data cube has no spatial dimensions x and y.")
        return self.box.grid

    @property
    def is_raster(self) -> bool:
        """True where it has x or y."""
        return self.box is not None

    def _length(self, dim: Dimension) -> int:
        if dim.type == "x":
            assert self.box is not None
            return self.box.width
        if dim.type == "y":
            assert self.box is not None
            return self.box.height
        return len(dim.labels)

    def dim(self, name: str) -> Dimension:
        """The dimension of this name.

        Raises:
            DimensionNotAvailable: there is none.
        """
        for d in self.dims:
            if d.name == name:
                return d
        raise DimensionNotAvailable(
            f"The data cube has no dimension {name!r}; it has {', '.join(self.names) or 'none'}."
        )

    def axis(self, name: str) -> int:
        """Array axis of a dimension (errors as `dim`)."""
        self.dim(name)
        return self.names.index(name)

    def find(self, type_: DimensionType) -> Dimension | None:
        """The first dimension of a type, or None."""
        return next((d for d in self.dims if d.type == type_), None)

    def with_dim(self, name: str, new: Dimension) -> CubeMeta:
        """The same with one dimension replaced."""
        self.dim(name)
        return replace(self, dims=tuple(new if d.name == name else d for d in self.dims))

    def without_dim(self, name: str) -> CubeMeta:
        """The same with one dimension dropped.

        Without x the box is one column wide (without y one row high), so that windows of what is left are not
        cut
        along it; without both there is no box.
        """
        dropped = self.dim(name)
        dims = tuple(d for d in self.dims if d.name != name)
        geometries = None if dropped.type == "geometry" else self.geometries
        box = self.box
        if box is not None and dropped.type == "x":
            box = replace(box, x1=box.x0 + 1)
        elif box is not None and dropped.type == "y":
            box = replace(box, y1=box.y0 + 1)
        if not {"x", "y"} & {d.type for d in dims}:
            box = None
        return replace(self, dims=dims, geometries=geometries, box=box)

    def with_box(self, box: Box) -> CubeMeta:
        """The same over other pixels."""
        return replace(self, box=box)

    def attribute(self, name: str) -> Attribute | None:
        """What the source says under this name, or None."""
        return dict(self.attributes).get(name)

    def with_attributes(self, changes: Mapping[str, Attribute | None]) -> CubeMeta:
        """The same with attributes set, or removed where the value is None."""
        merged = {**dict(self.attributes), **changes}
        kept = tuple(sorted((k, v) for k, v in merged.items() if v is not None))
        return replace(self, attributes=kept)

    def labels_of(self, name: str) -> tuple[Any, ...]:
        """Labels of any dimension; for x and y the pixel centres in CRS units."""
        d = self.dim(name)
        if d.type == "x":
            assert self.box is not None
            return tuple(self.box.x_centres().tolist())
        if d.type == "y":
            assert self.box is not None
            return tuple(self.box.y_centres().tolist())
        return d.labels


@dataclass(frozen=True, eq=False)
class Cube:
    """A piece of a cube in memory.

    Attributes:
        values: array in the order of `meta.dims`, dtype `meta.dtype`.
        valid: boolean array of the same shape, None where all is valid. Floats hold NaN where invalid.
        meta: its own metadata; `meta.box` is the piece's box.
    """

    values: Array
    valid: BoolArray | None
    meta: CubeMeta

    def __post_init__(self) -> None:
        if self.values.shape != self.meta.shape:
            raise ValueError(
                f"values of shape {self.values.shape} for a cube of "
                f"{dict(zip(self.meta.names, self.meta.shape, strict=True))}"
            )
        if self.values.dtype != self.meta.dtype:
            raise ValueError(f"values of dtype {self.values.dtype} for a cube of {self.meta.dtype}")
        if self.valid is not None and self.valid.shape != self.values.shape:
            raise ValueError(f"validity of shape {self.valid.shape} for values of shape {self.values.shape}")

    @staticmethod
    def of(values: Array, valid: BoolArray | None, meta: CubeMeta) -> Cube:
        """A cube with nulls normalised: NaN (floats) or zero (others) stands under every invalid place."""
        if valid is not None and valid.shape != values.shape:
            valid = np.broadcast_to(valid, values.shape)
        clean, mask = normalise(values, valid)
        return Cube(clean, mask, meta)

    @property
    def dims(self) -> tuple[Dimension, ...]:
        """Its dimensions, in array order."""
        return self.meta.dims

    @property
    def nbytes(self) -> int:
        """Bytes of values and validity."""
        return int(self.values.nbytes + (0 if self.valid is None else self.valid.nbytes))

    def validity(self) -> BoolArray:
        """The mask, made where it is not there. Do not write into it."""
        return np.ones(self.values.shape, bool) if self.valid is None else self.valid

    def crop(self, box: Box) -> Cube:
        """The part over a box inside this cube's box (views, no copy)."""
        if self.meta.box is None or self.meta.box == box:
            return self
        rows, columns = box.slices_in(self.meta.box)
        spatial = {"y": rows, "x": columns}
        index = tuple(spatial.get(d.type, slice(None)) for d in self.meta.dims)
        return Cube(
            self.values[index], None if self.valid is None else self.valid[index], self.meta.with_box(box)
        )

    def take(self, name: str, positions: Array | list[int] | slice, dimension: Dimension) -> Cube:
        """Labels picked along a dimension that is neither x nor y; `dimension` is the new one."""
        axis = self.meta.axis(name)
        index = (slice(None),) * axis + (positions,)
        return Cube(
            self.values[index],
            None if self.valid is None else self.valid[index],
            self.meta.with_dim(name, dimension),
        )


def empty_cube(meta: CubeMeta) -> Cube:
    """A cube of nulls (or of nothing, where a dimension is empty)."""
    values = np.full(meta.shape, null_like(meta.dtype), dtype=meta.dtype)
    return Cube(values, np.zeros(meta.shape, bool) if values.size else None, meta)
