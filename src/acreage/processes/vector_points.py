"""Points of geometries: vector_to_random_points and vector_to_regular_points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import CountMismatch, ProcessParameterInvalid
from acreage.processes.registry import cube_process
from acreage.processes.vector_shapes import check_metres, vector_cube, vector_meta, with_geometries

Points = NDArray[np.float64]
_MOST_POINTS = 1_000_000


def _with_points(data: Any, process_id: str, points: Sequence[Points], group: bool) -> CubeMeta:
    """The metadata of the points of each geometry: one MultiPoint each, or one Point after the other."""
    meta, _, dim = vector_meta(data, process_id)
    if group:
        return with_geometries(meta, dim, range(len(points)), [shapely.MultiPoint(p) for p in points])
    sources = [i for i, found in enumerate(points) for _ in found]
    shapes = [shapely.Point(p) for found in points for p in found]
    made = with_geometries(meta, dim, sources, shapes)
    # Points of their own are not the geometries whose labels they would have.
    labels = tuple(str(i) for i in range(len(sources)))
    new = made.dim(dim.name)
    return made.with_dim(dim.name, type(new)(new.name, new.type, labels))


def _repeated(data: Any, points: Sequence[Points], group: bool, out: CubeMeta) -> Cube:
    """The values of each geometry, once for each of its points where they are not grouped."""
    cube = vector_cube(data)
    if group:
        return Cube(cube.values, cube.valid, out)
    dim = out.find("geometry")
    assert dim is not None
    rows = np.repeat(np.arange(len(points)), [len(p) for p in points])
    taken = cube.take(dim.name, rows, dim)
    return Cube(taken.values, taken.valid, out)


def _check_count(count: float) -> None:
    if count > _MOST_POINTS:
        raise ProcessParameterInvalid(
            f"{count:,.0f} points are asked for, more than {_MOST_POINTS:,}.", hint="Ask for fewer."
        )


# --- vector_to_random_points --------------------------------------------------------------------------------


def _random_points(
    data: Any, geometry_count: int | None, total_count: int | None, seed: int | None
) -> list[Points]:
    _, found, _ = vector_meta(data, "vector_to_random_points")
    filled = [i for i, s in enumerate(found.shapes) if not s.is_empty]
    counts = dict.fromkeys(filled, geometry_count or 1)
    if total_count is not None:
        if total_count < len(filled):
            raise CountMismatch(
                f"{total_count} points are asked for of {len(filled)} geometries, of which each gets one.",
                hint="Raise total_count, or filter the geometries.",
            )
        each, more = divmod(total_count, max(len(filled), 1))
        shares = {i: each + (place < more) for place, i in enumerate(filled)}
        counts = {i: min(n, geometry_count or n) for i, n in shares.items()}
    _check_count(sum(counts.values()))
    nothing = np.zeros((0, 2))
    return [
        _sampled(s, counts[i], np.random.default_rng([(seed or 0) % 2**32, i])) if i in counts else nothing
        for i, s in enumerate(found.shapes)
    ]


def _sampled(shape: BaseGeometry, count: int, generator: np.random.Generator) -> Points:
    """Points of a geometry: any of a polygon's area or a line's length is as likely as any other."""
    if shape.geom_type in ("Point", "MultiPoint"):
        own = shapely.get_coordinates(shape)
        chosen = np.sort(generator.permutation(len(own))[:count])
        return np.asarray(own[chosen])
    if shape.geom_type in ("LineString", "MultiLineString"):
        lines = shapely.get_parts(shape)
        chosen = _weighted(shapely.length(lines), count, generator)
        places = shapely.line_interpolate_point(lines[chosen], generator.random(count), normalized=True)
        return np.asarray(shapely.get_coordinates(places))
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(shape))
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
    a, b, c = corners[_weighted(shapely.area(triangles), count, generator)].transpose(1, 0, 2)
    # Uniform in a triangle: Osada et al. (2002), Shape distributions, equation 1.
    root, other = np.sqrt(generator.random((count, 1))), generator.random((count, 1))
    return np.asarray((1 - root) * a + root * (1 - other) * b + root * other * c)


def _weighted(weights: Points, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    return np.asarray(generator.choice(len(weights), count, p=weights / weights.sum()), np.int64)


def _describe_random(
    *, data: Any, geometry_count: int | None, total_count: int | None, group: bool, seed: int | None
) -> CubeMeta:
    points = _random_points(data, geometry_count, total_count, seed)
    return _with_points(data, "vector_to_random_points", points, group)


@cube_process("vector_to_random_points", describe=_describe_random)
def vector_to_random_points(
    *,
    data: Any,
    geometry_count: int | None,
    total_count: int | None,
    group: bool,
    seed: int | None,
    out: CubeMeta,
) -> Cube:
    """Random points of each geometry, uniform in the coordinates of its CRS; the same for the same seed.

    Without a seed it is 0, so that a graph gives the same points whenever it runs. A total is shared out
    evenly, the first geometries getting one more where it is no multiple. A point gives itself.
    """
    return _repeated(data, _random_points(data, geometry_count, total_count, seed), group, out)


# --- vector_to_regular_points -------------------------------------------------------------------------------


def _regular_points(data: Any, distance: float) -> list[Points]:
    _, found, _ = vector_meta(data, "vector_to_regular_points")
    check_metres(found, "vector_to_regular_points")
    if not distance > 0:
        raise ProcessParameterInvalid(f"The distance between points must be above 0, not {distance}.")
    _check_count(sum(_expected(s, distance) for s in found.shapes))
    return [np.zeros((0, 2)) if s.is_empty else _spaced(s, distance) for s in found.shapes]


def _expected(shape: BaseGeometry, distance: float) -> float:
    """At most so many points are tried."""
    if shape.is_empty:
        return 0.0
    west, south, east, north = shape.bounds
    if shape.geom_type in ("Polygon", "MultiPolygon"):
        return (math.ceil((east - west) / distance) or 1) * (math.ceil((north - south) / distance) or 1)
    return float(shape.length) / distance + int(shapely.get_num_coordinates(shape))


def _spaced(shape: BaseGeometry, distance: float) -> Points:
    if shape.geom_type in ("Point", "MultiPoint"):
        return np.asarray(shapely.get_coordinates(shape))
    if shape.geom_type in ("LineString", "MultiLineString"):
        lines = shapely.get_parts(shape)
        steps = [np.arange(math.floor(line.length / distance) + 1) * distance for line in lines]
        places = [shapely.line_interpolate_point(line, at) for line, at in zip(lines, steps, strict=True)]
        return np.asarray(shapely.get_coordinates(np.concatenate(places)))
    found = np.concatenate([_cells(part, distance) for part in shapely.get_parts(shape)])
    return found if len(found) else np.asarray(shapely.get_coordinates(shape)[:1])


def _cells(polygon: BaseGeometry, distance: float) -> Points:
    """Middles of cells within a polygon, row by row from the upper left of its bounds."""
    west, south, east, north = polygon.bounds
    x = west + (np.arange(math.ceil((east - west) / distance)) + 0.5) * distance
    y = north - (np.arange(math.ceil((north - south) / distance)) + 0.5) * distance
    columns, rows = np.meshgrid(x, y)
    inside = shapely.contains_xy(polygon, columns.ravel(), rows.ravel())
    return np.column_stack([columns.ravel()[inside], rows.ravel()[inside]])


def _describe_regular(*, data: Any, distance: float, group: bool) -> CubeMeta:
    return _with_points(data, "vector_to_regular_points", _regular_points(data, distance), group)


@cube_process("vector_to_regular_points", describe=_describe_regular)
def vector_to_regular_points(*, data: Any, distance: float, group: bool, out: CubeMeta) -> Cube:
    """Points at a distance in metres: middles of cells in a polygon, steps along a line, points themselves.

    A polygon that holds no middle gives its first vertex.
    """
    return _repeated(data, _regular_points(data, distance), group, out)
