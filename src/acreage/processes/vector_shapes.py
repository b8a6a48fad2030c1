"""Vector cubes whose geometries are chosen or changed: filter_vector, vector_buffer, vector_reproject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import DimensionNotAvailable, InvalidInput, ProcessParameterInvalid, UnitMismatch
from acreage.core.grid import crs_name, parse_crs
from acreage.processes.convert import pick, positions
from acreage.processes.geometries import geometries_of, in_crs
from acreage.processes.registry import cube_process
from acreage.processes.vectors import load_geojson

# --- arguments ----------------------------------------------------------------------------------------------


def vector_cube(argument: Any) -> Cube:
    """A vector cube, given as it is or as GeoJSON (then of nulls)."""
    return argument if isinstance(argument, Cube) else load_geojson(argument)


def vector_meta(argument: Any, process_id: str) -> tuple[CubeMeta, Geometries, Dimension]:
    """Metadata of a vector cube or of GeoJSON, its geometries, and their dimension.

    Raises:
        ProcessParameterInvalid: a data cube without geometries.
        GeometryInvalid: as `parse_geometries`.
    """
    meta = argument if isinstance(argument, CubeMeta) else vector_cube(argument).meta
    found, dim = geometries_of(meta, process_id)
    return meta, found, dim


def check_metres(geometries: Geometries, process_id: str) -> None:
    """Refuse geometries whose CRS does not count in metres.

    Raises:
        UnitMismatch: degrees, or another unit.
    """
    axis = parse_crs(geometries.crs).axis_info[0]
    if axis.unit_name not in ("metre", "meter") or axis.unit_conversion_factor != 1:
        raise UnitMismatch(
            f"{process_id} takes a distance in metres; the geometries' CRS {geometries.crs} counts in "
            f"{axis.unit_name}.",
            hint="Use vector_reproject first, for example to the UTM zone.",
        )


def with_geometries(
    meta: CubeMeta, dim: Dimension, sources: Sequence[int], shapes: Sequence[BaseGeometry]
) -> CubeMeta:
    """The metadata with other geometries: for each the position of the one whose properties it has.

    Labels stay where geometries stay one for one, else they are 0, 1, 2, ... as text.
    """
    old = meta.geometries
    assert old is not None
    properties = tuple(old.properties[i] for i in sources) if old.properties else ()
    same = list(sources) == list(range(len(dim.labels)))
    labels = dim.labels if same else tuple(str(i) for i in range(len(sources)))
    new = Geometries(old.crs, tuple(shapes), properties)
    return replace(meta.with_dim(dim.name, replace(dim, labels=labels)), geometries=new)


# --- filter_vector ------------------------------------------------------------------------------------------

_RELATIONS = ("intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "contains", "within")


def _describe_filter(*, data: Any, geometries: Any, relation: str) -> CubeMeta:
    meta, found, dim = vector_meta(data, "filter_vector")
    if relation not in _RELATIONS:
        raise ProcessParameterInvalid(
            f"There is no relation {relation!r}.", hint=f"There are {', '.join(_RELATIONS)}."
        )
    base = shapely.union_all(in_crs(geometries_of(geometries, "filter_vector")[0], found.crs))
    related = getattr(shapely, relation)
    keep = [i for i, s in enumerate(found.shapes) if not s.is_empty and related(base, s)]
    kept = Geometries(
        found.crs,
        tuple(found.shapes[i] for i in keep),
        tuple(found.properties[i] for i in keep) if found.properties else (),
    )
    labels = tuple(dim.labels[i] for i in keep)
    return replace(meta.with_dim(dim.name, replace(dim, labels=labels)), geometries=kept)


@cube_process("filter_vector", describe=_describe_filter)
def filter_vector(*, data: Any, geometries: Any, relation: str, out: CubeMeta) -> Cube:
    """The geometries of a vector cube to which the union of others has a relation (Simple Features).

    Read as: the union `contains`, or is `within`, the geometry. Empty geometries are left out.
    """
    cube = vector_cube(data)
    dim = out.find("geometry")
    assert dim is not None
    return pick(cube, dim.name, positions(cube.meta.dim(dim.name), dim.labels), out)


# --- vector_buffer ------------------------------------------------------------------------------------------


def _describe_buffer(*, geometries: Any, distance: float) -> CubeMeta:
    meta, found, dim = vector_meta(geometries, "vector_buffer")
    check_metres(found, "vector_buffer")
    if distance == 0:
        raise ProcessParameterInvalid("The distance of vector_buffer must not be 0.")
    shapes = [s if s.is_empty else shapely.buffer(s, distance, quad_segs=16) for s in found.shapes]
    return with_geometries(meta, dim, range(len(shapes)), shapes)


@cube_process("vector_buffer", describe=_describe_buffer)
def vector_buffer(*, geometries: Any, distance: float, out: CubeMeta) -> Cube:
    """Geometries grown by a distance in metres, or shrunk by a negative one; values stay.

    Round corners have 16 segments a quarter. A point or line shrunk is empty, as is a small polygon.
    """
    cube = vector_cube(geometries)
    return Cube(cube.values, cube.valid, out)


# --- vector_reproject ---------------------------------------------------------------------------------------


def _describe_reproject(*, data: Any, projection: Any, dimension: str | None) -> CubeMeta:
    meta, found, dim = vector_meta(data, "vector_reproject")
    if dimension is not None and meta.dim(dimension).name != dim.name:
        raise DimensionNotAvailable(
            f"Dimension {dimension!r} of the data cube has no geometries.",
            hint=f"Name {dim.name!r}, or none.",
        )
    try:
        crs = crs_name(projection)
    except InvalidInput as error:
        raise ProcessParameterInvalid(f"In `projection`: {error.message}", hint=error.hint) from error
    return replace(meta, geometries=replace(found, crs=crs, shapes=in_crs(found, crs)))


@cube_process("vector_reproject", describe=_describe_reproject)
def vector_reproject(*, data: Any, projection: Any, dimension: str | None, out: CubeMeta) -> Cube:
    """The same geometries in another CRS; long edges get more vertices, so that they stay where they are."""
    cube = vector_cube(data)
    return Cube(cube.values, cube.valid, out)
