"""merge_cubes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries, Label
from acreage.core.errors import (
    CubesNotCompatible,
    IncompatibleGeometryTypes,
    OverlapResolverMissing,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box, Grid
from acreage.processes.callback import Callback
from acreage.processes.convert import as_slice, owned
from acreage.processes.dtypes import common
from acreage.processes.probing import callback_meta, null_scalar, single_dtype
from acreage.processes.registry import Footprint, Span, cube_process

_SPATIAL = ("y", "x")


# --- what comes out -----------------------------------------------------------------------------------------


def _describe(*, cube1: CubeMeta, cube2: CubeMeta, overlap_resolver: Any, context: Any) -> CubeMeta:
    wide = _wider(cube1, cube2)
    box = _box(cube1, cube2)
    dims = tuple(_joined(d, cube1, cube2) for d in wide.dims)
    overlap = _overlap_size(cube1, cube2, wide)
    merged = replace(
        wide,
        dims=dims,
        box=box,
        geometries=_geometries(cube1, cube2),
        nodata=cube1.nodata if cube1.nodata == cube2.nodata else None,
        attributes=_attributes(cube1, cube2),
    )
    sizes = [_extended_size(c, wide) for c in (cube1, cube2)]
    if overlap and overlap_resolver is None:
        raise OverlapResolverMissing(
            f"The data cubes overlap in {_overlap_text(cube1, cube2)}, and merge_cubes has no overlap "
            "resolver.",
            hint="Give an `overlap_resolver` such as max, or rename or filter the labels that both have.",
        )
    parts = [c.dtype for c, size in zip((cube1, cube2), sizes, strict=True) if size > overlap]
    if overlap:
        parts.append(_resolver_dtype(overlap_resolver, cube1, cube2, context))
    covered = sizes[0] + sizes[1] - overlap == merged.size
    free = covered and not overlap and not cube1.may_be_null and not cube2.may_be_null
    return replace(merged, dtype=common(*(parts or [cube1.dtype, cube2.dtype])), may_be_null=not free)


def _resolver_dtype(resolver: Any, cube1: CubeMeta, cube2: CubeMeta, context: Any) -> np.dtype[Any]:
    scope = {"x": null_scalar(cube1), "y": null_scalar(replace(cube2, dims=cube1.dims)), "context": context}
    return single_dtype("merge_cubes", resolver, callback_meta(resolver, scope))


def _wider(cube1: CubeMeta, cube2: CubeMeta) -> CubeMeta:
    """The cube whose dimensions include the other's (the first where both have the same)."""
    names1, names2 = set(cube1.names), set(cube2.names)
    if bool(cube1.geometries) != bool(cube2.geometries) and (cube1.is_raster or cube2.is_raster):
        raise CubesNotCompatible("A raster cube and a vector cube cannot be merged.")
    if not (names1 <= names2 or names2 <= names1):
        raise CubesNotCompatible(
            f"The data cubes cannot be merged: one has the dimensions {', '.join(cube1.names)}, the other "
            f"{', '.join(cube2.names)}.",
            hint="Use add_dimension, drop_dimension or reduce_dimension, so that one cube has all "
            "dimensions of the other.",
        )
    for name in names1 & names2:
        a, b = cube1.dim(name).type, cube2.dim(name).type
        if a != b:
            raise CubesNotCompatible(
                f"Dimension {name!r} is of type {a} in one data cube and {b} in the other."
            )
    return cube1 if names2 <= names1 else cube2


def _joined(dim: Dimension, cube1: CubeMeta, cube2: CubeMeta) -> Dimension:
    """A dimension of the result: the first cube's labels, then the second's new ones; times in order."""
    if dim.type in _SPATIAL or dim.name not in cube1.names or dim.name not in cube2.names:
        return dim
    a, b = cube1.dim(dim.name), cube2.dim(dim.name)
    labels = tuple(dict.fromkeys((*a.labels, *b.labels)))
    if dim.type != "temporal":
        return replace(a, labels=labels)
    kinds = {isinstance(label, np.datetime64) for label in labels}
    periods = {d.period for d in (a, b) if d.labels}
    if len(kinds) > 1 or len(periods) > 1:
        raise CubesNotCompatible(
            f"Dimension {dim.name!r} has labels of different kinds: {_sample(a.labels)} and "
            f"{_sample(b.labels)}.",
            hint="Aggregate both data cubes to the same period first.",
        )
    extent = None
    if a.extent is not None and b.extent is not None:
        extent = min(a.extent[0], b.extent[0]), max(a.extent[1], b.extent[1])
    return replace(
        a, labels=tuple(sorted(labels, key=_order)), extent=extent, period=next(iter(periods), None)
    )


def _order(label: Label) -> Any:
    return label


def _sample(labels: Iterable[Label]) -> str:
    return ", ".join(map(str, list(labels)[:3]))


def check_aligned(a: Grid, b: Grid, what: str) -> None:
    """Refuse grids that are not one lattice, saying how they differ.

    Raises:
        CubesNotCompatible: other CRS, other pixel size, or shifted against each other.
    """
    if a.aligned_with(b):
        return
    if a.crs != b.crs:
        why = f"one is in {a.crs}, the other in {b.crs}"
    elif not Grid(a.crs, a.res_x, a.res_y).aligned_with(Grid(b.crs, b.res_x, b.res_y)):
        why = f"one has pixels of {a.res_x:g} x {a.res_y:g}, the other of {b.res_x:g} x {b.res_y:g}"
    else:
        dx, dy = _shift(b.off_x - a.off_x, a.res_x), _shift(a.off_y - b.off_y, a.res_y)
        why = f"the second grid is shifted by {dx:g} pixels in x and {dy:g} in y"
    raise CubesNotCompatible(
        f"{what} lie on different grids: {why}.",
        hint="Bring one onto the other's grid with resample_cube_spatial first.",
    )


def _shift(distance: float, res: float) -> float:
    pixels = (distance / res) % 1.0
    return round(pixels - 1.0 if pixels > 0.5 else pixels, 6)


def _box(cube1: CubeMeta, cube2: CubeMeta) -> Box | None:
    if cube1.box is None or cube2.box is None:
        return cube1.box or cube2.box
    check_aligned(cube1.box.grid, cube2.box.grid, "The data cubes")
    one, two = cube1.box, cube2.box.on(cube1.box.grid)
    for name, low, high in (("x", "x0", "x1"), ("y", "y0", "y1")):
        if name not in cube1.names:  # a collapsed axis holds no place of its own
            one = replace(one, **{low: getattr(two, low), high: getattr(two, high)})
        elif name not in cube2.names:
            two = replace(two, **{low: getattr(one, low), high: getattr(one, high)})
    return one.union(two)


def _geometries(cube1: CubeMeta, cube2: CubeMeta) -> Geometries | None:
    a, b = cube1.geometries, cube2.geometries
    if a is None or b is None:
        return a or b
    dim1, dim2 = cube1.find("geometry"), cube2.find("geometry")
    if dim1 is None or dim2 is None:
        return a if dim1 is not None else b
    if a.crs != b.crs:
        raise CubesNotCompatible(f"The vector cubes have different CRS: {a.crs} and {b.crs}.")
    bases = {s.geom_type.removeprefix("Multi") for s in (*a.shapes, *b.shapes) if not s.is_empty}
    if len(bases) > 1:
        raise IncompatibleGeometryTypes(f"Geometries of types {', '.join(sorted(bases))} cannot be merged.")
    shapes = dict(zip(dim1.labels, a.shapes, strict=True))
    properties = dict(zip(dim1.labels, a.properties or ({},) * len(a.shapes), strict=True))
    others = zip(dim2.labels, b.shapes, b.properties or ({},) * len(b.shapes), strict=True)
    for label, shape, attributes in others:
        if not shapes.setdefault(label, shape).equals(shape):
            raise CubesNotCompatible(f"Geometry {label!r} differs between the two vector cubes.")
        properties[label] = {**attributes, **properties.get(label, {})}
    return Geometries(a.crs, tuple(shapes.values()), tuple(properties.values()))


def _attributes(cube1: CubeMeta, cube2: CubeMeta) -> tuple[tuple[str, Any], ...]:
    """What both say or only one says; what they contradict each other in is dropped."""
    a, b = dict(cube1.attributes), dict(cube2.attributes)
    return tuple(sorted((k, v) for k, v in {**a, **b}.items() if a.get(k, v) == v and b.get(k, v) == v))


def _common_labels(name: str, cube1: CubeMeta, cube2: CubeMeta) -> int:
    other = set(cube2.dim(name).labels)
    return sum(label in other for label in cube1.dim(name).labels)


def _overlap_size(cube1: CubeMeta, cube2: CubeMeta, wide: CubeMeta) -> int:
    """Number of values that both cubes have."""
    size = 1
    for dim, length in zip(wide.dims, wide.shape, strict=True):
        if dim.name not in cube1.names or dim.name not in cube2.names:
            size *= length
        elif dim.type in _SPATIAL:
            assert cube1.box is not None
            assert cube2.box is not None
            low, high = ("x0", "x1") if dim.type == "x" else ("y0", "y1")
            start = max(getattr(cube1.box, low), getattr(cube2.box, low))
            size *= max(min(getattr(cube1.box, high), getattr(cube2.box, high)) - start, 0)
        else:
            size *= _common_labels(dim.name, cube1, cube2)
    return size


def _extended_size(cube: CubeMeta, wide: CubeMeta) -> int:
    """Number of values after broadcasting over the dimensions that only the wider cube has."""
    extra = [n for d, n in zip(wide.dims, wide.shape, strict=True) if d.name not in cube.names]
    return cube.size * math.prod(extra)


def _overlap_text(cube1: CubeMeta, cube2: CubeMeta) -> str:
    texts = []
    for name in cube1.names:
        if name in cube2.names and cube1.dim(name).type not in _SPATIAL:
            both = [label for label in cube1.dim(name).labels if label in set(cube2.dim(name).labels)]
            texts.append(f"{name} ({_sample(both)}{', ...' if len(both) > 3 else ''})")
    return " and ".join(texts) or "x and y"


# --- run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A cube spread out in the result's dimensions: where its values go, and the values (broadcast views)."""

    where: tuple[Array, ...]
    values: Array
    valid: BoolArray | None

    def take(self, index: tuple[Array, ...]) -> tuple[Array, BoolArray | None]:
        """Values at positions of the result that the part has."""
        at = _open(tuple(np.searchsorted(w, i) for w, i in zip(self.where, index, strict=True)))
        return self.values[at], None if self.valid is None else self.valid[at]


def _open(index: tuple[Array, ...]) -> tuple[Any, ...]:
    """An index for each axis by itself: slices where they do, which make no copy."""
    slices = [as_slice(i.tolist()) if i.size else slice(0, 0) for i in index]
    if all(isinstance(s, slice) for s in slices):
        return tuple(slices)
    return np.ix_(*index)


def _spread(cube: Cube, out: CubeMeta) -> _Part:
    where: list[Array] = []
    order: list[int] = []
    for axis, dim in enumerate(out.dims):
        if dim.name not in cube.meta.names:
            where.append(np.arange(out.shape[axis]))
            continue
        order.append(cube.meta.axis(dim.name))
        where.append(_places(cube.meta, out, dim))
    sizes = [len(w) if d.name in cube.meta.names else 1 for w, d in zip(where, out.dims, strict=True)]
    full = tuple(len(w) for w in where)

    def spread(array: Array) -> Array:
        return np.broadcast_to(np.transpose(array, order).reshape(sizes), full)

    part = _Part(tuple(where), spread(cube.values), None if cube.valid is None else spread(cube.valid))
    return _sorted(part)


def _places(cube: CubeMeta, out: CubeMeta, dim: Dimension) -> Array:
    """Positions in the result of a cube's labels along one dimension."""
    if dim.type in _SPATIAL:
        assert cube.box is not None
        assert out.box is not None
        if dim.type == "x":
            return np.arange(cube.box.x0, cube.box.x1) - out.box.x0
        return np.arange(cube.box.y0, cube.box.y1) - out.box.y0
    index = {label: i for i, label in enumerate(out.dim(dim.name).labels)}
    return np.array([index[label] for label in cube.dim(dim.name).labels], np.int64)


def _sorted(part: _Part) -> _Part:
    """Positions in ascending order, so that they can be searched."""
    if all((np.diff(w) > 0).all() for w in part.where):
        return part
    order = tuple(np.argsort(w) for w in part.where)
    at = np.ix_(*order)
    where = tuple(w[o] for w, o in zip(part.where, order, strict=True))
    return _Part(where, part.values[at], None if part.valid is None else part.valid[at])


def _footprints(*, cube1: CubeMeta, cube2: CubeMeta, **_: Any) -> dict[str, Footprint]:
    found: dict[str, Footprint] = {}
    for name, cube in (("cube1", cube1), ("cube2", cube2)):
        missing = {"x", "y"} - {d.type for d in cube.dims}
        if missing and cube.box is not None:  # a collapsed axis is repeated for every pixel of the other cube
            found[name] = Span(frozenset(missing))  # type: ignore[arg-type]
    return found


@cube_process("merge_cubes", describe=_describe, footprints=_footprints)
def merge_cubes(
    *, cube1: Cube, cube2: Cube, overlap_resolver: Callback | None, context: Any, out: CubeMeta
) -> Cube:
    """Both cubes in one: the union of their labels and areas, nulls where neither has a value.

    Where both have labels, the resolver gives the value (nulls are handed to it as they are). A cube that
    lacks a dimension is repeated for every label of it. Cubes on different grids are refused, not resampled.
    """
    if not overlaps(cube1.meta, cube2.meta):
        return joined((cube1, cube2), out)
    values = np.full(out.shape, null_like(out.dtype), out.dtype)
    valid = np.zeros(out.shape, bool)
    first, second = _spread(cube1, out), _spread(cube2, out)
    both = tuple(np.intersect1d(a, b) for a, b in zip(first.where, second.where, strict=True))
    for part in (second, first):
        # A part that the resolver replaces altogether may be of a dtype that the result's does not hold.
        if all(len(a) == len(b) for a, b in zip(part.where, both, strict=True)):
            continue
        at = _open(part.where)
        values[at] = part.values.astype(out.dtype, copy=False)
        valid[at] = True if part.valid is None else part.valid
    if all(i.size for i in both):
        if overlap_resolver is None:
            raise ProcessParameterInvalid("merge_cubes met an overlap without a resolver.")
        x, y = (Masked(*part.take(both)) for part in (first, second))
        result = overlap_resolver(x=x, y=y, context=context)
        at = _open(both)
        shape = tuple(i.size for i in both)
        values[at] = np.broadcast_to(result.values, shape).astype(out.dtype, copy=False)
        valid[at] = True if result.valid is None else np.broadcast_to(result.valid, shape)
    return owned(values, valid, out)


def overlaps(cube1: CubeMeta, cube2: CubeMeta) -> bool:
    """Whether two cubes that are merged have values of the same labels and pixels."""
    return _overlap_size(cube1, cube2, _wider(cube1, cube2)) > 0


def joined(cubes: Sequence[Cube], out: CubeMeta) -> Cube:
    """Cubes without overlap in one, each copied once; nulls where none has a value."""
    parts = [_spread(cube, out) for cube in cubes]
    values = np.empty(out.shape, out.dtype)
    valid = np.empty(out.shape, bool)
    if sum(math.prod(len(w) for w in part.where) for part in parts) < values.size:
        values[...], valid[...] = null_like(out.dtype), False
    for part in parts:
        at = _open(part.where)
        values[at] = part.values
        valid[at] = True if part.valid is None else part.valid
        if part.valid is not None and part.values.dtype.kind != out.dtype.kind:
            # Other types have other values under their nulls.
            np.copyto(values[at], null_like(out.dtype), where=~part.valid)
    return Cube(values, None if valid.all() else valid, out)
