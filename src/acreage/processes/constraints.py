"""What filters say of their sources: the area, time and bands that a planner may carry back to a load.

Pure functions of a process's arguments, before any cube is known. They answer None where nothing can be said,
for instance because an argument comes from another node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from acreage.core.cube import CubeMeta
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.temporal import Instant
from acreage.processes.time_labels import interval

Bounds = tuple[float, float, float, float]
SpatialConstraint = tuple[float, float, float, float, str | int]
_GEOMETRY_PARAMETER = {
    "filter_spatial": "geometries",
    "mask_polygon": "mask",
    "aggregate_spatial": "geometries",
}


def bounding_box(extent: Any) -> SpatialConstraint:
    """(west, south, east, north, crs) of a bounding box object.

    Raises:
        ProcessParameterInvalid: a side is missing or no number, the sides are in the wrong order, or it has a
            vertical extent (no data cube here has a z axis).
    """
    hint = "Give west, south, east and north, and `crs` where they are not longitude and latitude."
    if not isinstance(extent, Mapping):
        raise ProcessParameterInvalid(f"{extent!r} is not a bounding box.", hint=hint)
    sides = [extent.get(side) for side in ("west", "south", "east", "north")]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in sides):
        raise ProcessParameterInvalid(f"The bounding box {dict(extent)} is not complete.", hint=hint)
    west, south, east, north = (float(v) for v in sides if v is not None)
    if east < west or north < south:
        raise ProcessParameterInvalid(
            f"The bounding box is inside out: west {west}, east {east}, south {south}, north {north}.",
            hint="West must not exceed east, nor south north; cut a box over the antimeridian in two.",
        )
    if extent.get("base") is not None or extent.get("height") is not None:
        raise ProcessParameterInvalid(
            "The bounding box has `base` or `height`, but data cubes have no vertical axis here.",
            hint="Leave `base` and `height` out.",
        )
    crs = extent.get("crs")
    if crs is not None and (isinstance(crs, bool) or not isinstance(crs, int | str)):
        raise ProcessParameterInvalid(
            f"The `crs` of the bounding box is {crs!r}.", hint="Give an EPSG code such as 3035, or WKT2."
        )
    return west, south, east, north, 4326 if crs is None else crs


def spatial_constraint(process_id: str, arguments: Mapping[str, Any]) -> SpatialConstraint | None:
    """Bounds outside of which a process reads no pixel, or blanks every pixel it reads.

    filter_bbox and filter_spatial also cut the cube to them; mask_polygon leaves nulls outside (unless it
    masks the inside or replaces by a value, when there is no constraint); aggregate_spatial leaves nothing
    outside. Geometries may be GeoJSON or the metadata of a vector cube. Pixels count by their centres (lines
    and points by the nearest centre), so a source has to give every pixel that touches the bounds.

    Raises:
        ProcessParameterInvalid: a bounding box that is none.
    """
    if process_id == "filter_bbox":
        extent = arguments.get("extent")
        return bounding_box(extent) if _is_literal(extent) else None
    if process_id not in _GEOMETRY_PARAMETER:
        return None
    if process_id == "mask_polygon" and (arguments.get("inside") or arguments.get("replacement") is not None):
        return None
    return _bounds_of(arguments.get(_GEOMETRY_PARAMETER[process_id]))


def temporal_constraint(
    process_id: str, arguments: Mapping[str, Any]
) -> tuple[Instant | None, Instant | None] | None:
    """The half-open interval that filter_temporal keeps; None at an open end.

    It holds for the dimension that the argument `dimension` names, for all temporal ones where it is null.

    Raises:
        ProcessParameterInvalid, TemporalExtentEmpty: an interval that is none.
    """
    if process_id != "filter_temporal" or not _is_literal(arguments.get("extent")):
        return None
    return interval(arguments["extent"], "extent")


def band_constraint(process_id: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names or common names of the bands that filter_bands keeps; None where wavelengths select too."""
    if process_id != "filter_bands" or arguments.get("wavelengths"):
        return None
    bands = arguments.get("bands")
    if not isinstance(bands, list | tuple) or not bands or not all(isinstance(b, str) for b in bands):
        return None
    return tuple(bands)


def _is_literal(value: Any) -> bool:
    """True for plain JSON: no reference to a node or a parameter anywhere inside."""
    if isinstance(value, Mapping):
        return not {"from_node", "from_parameter"} & set(value) and all(map(_is_literal, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, str | int | float | bool)


def _bounds_of(geometries: Any) -> SpatialConstraint | None:
    if isinstance(geometries, CubeMeta):
        found = geometries.geometries
        shapes = [] if found is None else [s for s in found.shapes if not s.is_empty]
        if found is None or not shapes:
            return None
        corners = [c for s in shapes for c in ((s.bounds[0], s.bounds[1]), (s.bounds[2], s.bounds[3]))]
        return (*_around(corners), found.crs)
    if not isinstance(geometries, Mapping) or not _is_literal(geometries) or "type" not in geometries:
        return None
    points = list(_points(geometries))
    if not points:
        return None
    return (*_around(points), _geojson_crs(geometries))


def _around(points: Iterable[tuple[float, float]]) -> Bounds:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _points(geojson: Any) -> Iterator[tuple[float, float]]:
    """Every vertex of a GeoJSON object; what is malformed has none, and is refused where it is used."""
    if not isinstance(geojson, Mapping):
        return
    for member in ("features", "geometries"):
        parts = geojson.get(member)
        for part in parts if isinstance(parts, list | tuple) else ():
            yield from _points(part)
    yield from _points(geojson.get("geometry"))
    yield from _vertices(geojson.get("coordinates"))


def _vertices(coordinates: Any) -> Iterator[tuple[float, float]]:
    if not isinstance(coordinates, list | tuple):
        return
    if len(coordinates) >= 2 and all(isinstance(c, int | float) for c in coordinates[:2]):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _vertices(part)


def _geojson_crs(geojson: Mapping[str, Any]) -> str | int:
    """The CRS that a GeoJSON object names the old way (2008), else longitude and latitude."""
    crs = geojson.get("crs")
    name = crs.get("properties", {}).get("name") if isinstance(crs, Mapping) else None
    return name if isinstance(name, str) else 4326
