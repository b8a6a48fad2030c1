"""GeoJSON and vector cubes as geometries: parsing, checking, reprojecting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.errors import GEOSException
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import GeometryInvalid, InvalidInput, ProcessParameterInvalid
from acreage.core.grid import crs_name, parse_crs, transformer

WGS84 = "EPSG:4326"  # longitude before latitude, as RFC 7946 and all our CRS have it
GEOMETRY_DIMENSION = "geometry"
_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
# A chord of 0.01 degree (1.1 km) leaves the projected curve by about 2 cm, far less than a pixel.
_LONGEST_DEGREES, _LONGEST_METRES = 0.01, 1000.0


# --- parsing ------------------------------------------------------------------------------------------------


def parse_geometries(geojson: Any) -> tuple[Geometries, Dimension]:
    """The geometries of a GeoJSON object, and the geometry dimension that they make.

    One geometry a Feature; a bare geometry is one. Labels are the Features' ids where all have one of their
    own, else their positions, as text. Longitude and latitude unless the object has the `crs` member of
    GeoJSON 2008. Empty geometries and `null` ones are kept as empty. Z coordinates are dropped.

    Raises:
        GeometryInvalid: not GeoJSON, a GeometryCollection, an empty collection, no numbers, or a geometry
            that
            crosses itself.
    """
    crs = _crs_of(geojson)
    features = list(_features(geojson))
    if not features:
        raise GeometryInvalid(
            "The GeoJSON FeatureCollection has no features.", hint="Give at least one feature."
        )
    shapes = tuple(_shape(f.get("geometry"), i) for i, f in enumerate(features))
    if crs == WGS84:
        _check_degrees(shapes)
    for i, feature in enumerate(features):
        if not isinstance(feature.get("properties") or {}, Mapping):
            raise GeometryInvalid(f"The properties of Feature {i} are not an object.")
    properties = tuple(dict(f.get("properties") or {}) for f in features)
    return Geometries(crs, shapes, properties), geometry_dimension([f.get("id") for f in features])


def geometry_dimension(ids: Sequence[Any]) -> Dimension:
    """The dimension of geometries with these ids (None where there is none)."""
    texts = [str(i) for i in ids]
    own = all(i is not None for i in ids) and len(set(texts)) == len(texts)
    labels = tuple(texts) if own else tuple(str(i) for i in range(len(texts)))
    return Dimension(GEOMETRY_DIMENSION, "geometry", labels)


def _features(geojson: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(geojson, Mapping):
        raise GeometryInvalid(
            f"{str(geojson)[:80]!r} is not a GeoJSON object.", hint="Give an object with a `type`."
        )
    kind = geojson.get("type")
    if kind == "FeatureCollection":
        features = geojson.get("features")
        if not isinstance(features, list):
            raise GeometryInvalid("The GeoJSON FeatureCollection has no list of `features`.")
        for i, feature in enumerate(features):
            if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
                raise GeometryInvalid(f"Member {i} of the GeoJSON FeatureCollection is not a Feature.")
            yield feature
    elif kind == "Feature":
        yield geojson
    elif kind in _TYPES:
        yield {"geometry": geojson}
    elif kind == "GeometryCollection":
        raise GeometryInvalid(
            "A GeoJSON GeometryCollection cannot be used.", hint="Make it a FeatureCollection."
        )
    else:
        raise GeometryInvalid(
            f"{kind!r} is not a GeoJSON type.", hint="Give a FeatureCollection, a Feature or a geometry."
        )


_FURTHEST = 1e12  # no CRS of the Earth reaches as far, in any unit


def _shape(geometry: Any, position: int) -> BaseGeometry:
    where = f"Geometry {position} of the GeoJSON object"
    if geometry is None:
        return shapely.Polygon()
    if not isinstance(geometry, Mapping) or geometry.get("type") not in _TYPES:
        raise GeometryInvalid(
            f"{where} is not one of {', '.join(_TYPES)}.", hint="GeometryCollections are not supported."
        )
    if not isinstance(geometry.get("coordinates"), list | tuple):
        raise GeometryInvalid(f"{where} has no coordinates.")
    try:
        found: BaseGeometry = shapely.force_2d(shape(dict(geometry)))
    except (ValueError, TypeError, IndexError, GEOSException) as error:
        raise GeometryInvalid(f"{where} has coordinates that make no {geometry['type']}: {error}") from error
    if not (np.abs(shapely.get_coordinates(found)) < _FURTHEST).all():
        raise GeometryInvalid(f"{where} has coordinates that are not finite numbers, or beyond any map.")
    if not found.is_valid:
        raise GeometryInvalid(
            f"{where} is not valid: {shapely.is_valid_reason(found)}.",
            hint="Repair it first, for example with shapely's make_valid or QGIS's Fix geometries.",
        )
    return found


def _crs_of(geojson: Any) -> str:
    member = geojson.get("crs") if isinstance(geojson, Mapping) else None
    if member is None:
        return WGS84
    properties = member.get("properties") if isinstance(member, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if not isinstance(name, str):
        raise GeometryInvalid(
            "The `crs` member of the GeoJSON object names no CRS.",
            hint='Write it as {"type": "name", "properties": {"name": "EPSG:3035"}}, or leave it out for '
            "longitude and latitude.",
        )
    if name.upper().endswith("CRS84"):
        return WGS84
    try:
        return crs_name(name)
    except InvalidInput as error:
        raise GeometryInvalid(f"In the `crs` member of the GeoJSON object: {error.message}") from error


def _check_degrees(shapes: Sequence[BaseGeometry]) -> None:
    for i, found in enumerate(shapes):
        if found.is_empty:
            continue
        west, south, east, north = found.bounds
        if west < -360 or east > 360 or south < -90 or north > 90:
            raise GeometryInvalid(
                f"Geometry {i} of the GeoJSON object reaches from {west:g}, {south:g} to {east:g}, "
                f"{north:g}, which are no longitudes and latitudes.",
                hint="Give degrees, longitude first, or name the CRS in a `crs` member.",
            )


# --- arguments of processes ---------------------------------------------------------------------------------


def geometries_of(argument: Any, process_id: str) -> tuple[Geometries, Dimension]:
    """The geometries of a process's argument: GeoJSON, a vector cube, or its metadata.

    Raises:
        ProcessParameterInvalid: a data cube without geometries.
        GeometryInvalid: as `parse_geometries`.
    """
    meta = argument.meta if isinstance(argument, Cube) else argument
    if not isinstance(meta, CubeMeta):
        return parse_geometries(argument)
    dim = meta.find("geometry")
    if meta.geometries is None or dim is None:
        raise ProcessParameterInvalid(
            f"{process_id} was given a raster data cube where it needs geometries.",
            hint="Give GeoJSON or a vector data cube, for example from load_geojson.",
        )
    return meta.geometries, dim


def in_crs(geometries: Geometries, crs: str) -> tuple[BaseGeometry, ...]:
    """The shapes in another CRS, long edges cut into short ones first so that they follow the projection.

    Raises:
        GeometryInvalid: a geometry has no place in that CRS.
    """
    source = crs_name(geometries.crs)
    target = crs_name(crs)
    if source == target:
        return geometries.shapes
    longest = _LONGEST_DEGREES if parse_crs(source).is_geographic else _LONGEST_METRES
    project = transformer(source, target)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(project.transform(points[:, 0], points[:, 1]))

    moved = []
    for i, found in enumerate(geometries.shapes):
        new: BaseGeometry = shapely.transform(shapely.segmentize(found, longest), move)
        if not new.is_empty and not all(map(math.isfinite, new.bounds)):
            raise GeometryInvalid(
                f"Geometry {i} has no place in {target}.", hint="Check its coordinates and CRS."
            )
        moved.append(new)
    return tuple(moved)
