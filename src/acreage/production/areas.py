"""Areas of productions: countries and groups of them by name, files, rectangles."""

from __future__ import annotations

import csv
import difflib
import functools
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio.errors
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.core.errors import InvalidInput
from acreage.core.grid import crs_name, transformer

GROUPS: Mapping[str, tuple[str, ...]] = {
    "EU27": (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    ),
}
"""Groups of countries by name, as ISO 3166-1 letters."""

_DATA = resources.files("acreage.production.data")
_ATLAS, _CODES = "countries-10m.json.gz", "countries.csv"
_FORMS = (
    "Give EU27, countries (FR,DE or names), a vector file, west,south,east,north in degrees, or the same in "
    "the units of a CRS as EPSG:3035:w,s,e,n."
)
_DENSIFIED = 64  # pieces of a rectangle's side, which is curved in degrees


@dataclass(frozen=True)
class Area:
    """Where a production makes a map.

    Attributes:
        name: for titles and files.
        geometry: polygons in degrees, longitude first.
        countries: the parts that are countries, by two letters (or the name where there are none); empty
            where the area is no countries.
    """

    name: str
    geometry: BaseGeometry
    countries: Mapping[str, BaseGeometry]


def find_area(text: str) -> Area:
    """The area that a text names.

    Args:
        text: groups and countries (`EU27`, `FR,DE`, `Belgium`), a vector file with polygons,
            `west,south,east,north` in degrees, or `EPSG:n:west,south,east,north`.

    Raises:
        InvalidInput: it is none of these, or has no extent.
    """
    path = Path(text)
    if path.suffix and path.exists():
        return _of_file(path)
    if _is_rectangle(text):
        return _of_rectangle(text)
    return _of_countries(text)


def country_shapes(codes: Sequence[str]) -> dict[str, BaseGeometry]:
    """Borders (Natural Earth 1:10m) of countries by their two letters, or by name where they have none.

    All parts of a country are there, those overseas too.
    """
    table = _codes()
    wanted = {name: code for name, code in table.items() if code in codes}
    wanted |= {code: code for code in codes if code not in wanted.values()}
    frame = _atlas()
    frame = frame[frame["name"].isin(list(wanted))]
    found: dict[str, list[BaseGeometry]] = {}
    for name, shape in zip(frame["name"], frame.geometry, strict=True):
        found.setdefault(wanted[name], []).append(shapely.make_valid(shape))
    return {code: _polygons(shapely.union_all(parts)) for code, parts in sorted(found.items())}


def countries_around(geometry: BaseGeometry) -> dict[str, BaseGeometry]:
    """Borders of the countries whose bounds meet those of a shape, as `country_shapes` has them."""
    frame = _atlas()
    west, south, east, north = geometry.bounds
    near = frame.cx[west:east, south:north]
    return country_shapes(sorted({_codes().get(name) or name for name in near["name"]}))


@functools.cache
def _atlas() -> gpd.GeoDataFrame:
    """All countries: reading them takes longer than all that is asked of them."""
    atlas = gzip.decompress((_DATA / _ATLAS).read_bytes())
    return gpd.read_file(io.BytesIO(atlas), layer="countries")


@functools.cache
def _codes() -> dict[str, str]:
    """Two letters of every country of the atlas that has them, by name."""
    with (_DATA / _CODES).open("r", encoding="utf-8") as file:
        return {row["name"]: row["iso2"] for row in csv.DictReader(file)}


@functools.cache
def _spellings() -> dict[str, str]:
    """Every way to name a country, in capitals, and its two letters."""
    with (_DATA / _CODES).open("r", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_name = {row["name"].upper(): row["iso2"] for row in rows}
    return by_name | {row[kind]: row["iso2"] for kind in ("iso2", "iso3") for row in rows}


def _of_countries(text: str) -> Area:
    codes: list[str] = []
    for part in (p.strip() for p in text.split(",")):
        if part.upper() in GROUPS:
            codes += GROUPS[part.upper()]
        elif part.upper() in _spellings():
            codes.append(_spellings()[part.upper()])
        else:
            close = difflib.get_close_matches(part.upper(), [*GROUPS, *_spellings()], 3)
            meant = (
                f" Did you mean {' or '.join(c.title() if len(c) > 4 else c for c in close)}?"
                if close
                else ""
            )
            raise InvalidInput(f"{part!r} is no country, and {text!r} no area.{meant}", hint=_FORMS)
    shapes = country_shapes(sorted(set(codes)))
    return Area(text.replace(" ", ""), _polygons(shapely.union_all(list(shapes.values()))), shapes)


def read_shapes(path: Path, hint: str = _FORMS) -> gpd.GeoDataFrame:
    """The geometries of a vector file, of any kind, with their CRS.

    Args:
        path: of it.
        hint: what is told of areas where it is none.

    Raises:
        InvalidInput: it cannot be read, or has no geometry or no CRS.
    """
    try:
        table = path.suffix in (".parquet", ".geoparquet")
        frame = gpd.read_parquet(path) if table else gpd.read_file(path)
    except (pyogrio.errors.DataSourceError, ValueError, OSError) as error:
        raise InvalidInput(f"The area {path} cannot be read: {error}.", hint=hint) from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None or frame.empty:
        raise InvalidInput(f"The area {path} has no geometry or no CRS.", hint=hint)
    return frame


def _of_file(path: Path) -> Area:
    frame = read_shapes(path)
    shapes = shapely.make_valid(frame.geometry.to_crs(4326).to_numpy())
    whole = _polygons(shapely.union_all(shapes))
    if whole.is_empty:
        raise InvalidInput(f"The area {path} has no polygons: points and lines have no extent.", hint=_FORMS)
    return Area(path.stem, whole, {})


def _is_rectangle(text: str) -> bool:
    return text.count(",") == 3 and any(c.isdigit() for c in text)


def read_rectangle(text: str, hint: str = _FORMS) -> tuple[tuple[float, float, float, float], str]:
    """West, south, east, north of a rectangle, and their CRS.

    Args:
        text: `west,south,east,north` in degrees, or `EPSG:n:west,south,east,north`.
        hint: what is told of areas where it is none.

    Raises:
        InvalidInput: it is neither, or has no extent.
    """
    crs, _, numbers = text.rpartition(":")
    try:
        west, south, east, north = (float(v) for v in numbers.split(","))
    except ValueError:
        raise InvalidInput(f"{text!r} is not an area.", hint=hint) from None
    if not (west < east and south < north):
        raise InvalidInput(
            f"The area {text} has no extent.", hint="West comes before east, south before north."
        )
    return (west, south, east, north), crs or "EPSG:4326"


def _of_rectangle(text: str) -> Area:
    bounds, crs = read_rectangle(text)
    shape = in_degrees(shapely.box(*bounds), crs_name(crs))
    if shape is None:
        raise InvalidInput(f"The area {text} is not on the globe.", hint=_FORMS)
    return Area("area", shape, {})


def in_degrees(shape: BaseGeometry, crs: str) -> BaseGeometry | None:
    """A shape of another CRS in degrees, longitude first; None where that is no valid shape.

    Straight lines there are not straight here: each side gets points between its ends.
    """
    return moved(shape, crs, "EPSG:4326")


def moved(shape: BaseGeometry, source: str, target: str) -> BaseGeometry | None:
    """A shape in another CRS, with points between the ends of long lines; None where it is no valid shape."""
    if shape.is_empty:
        return shape
    west, south, east, north = shape.bounds
    step = max(east - west, north - south) / _DENSIFIED
    there = transformer(source, target)
    found = shapely.transform(
        shapely.segmentize(shape, step), lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1]))
    )
    finite = bool(np.isfinite(shapely.get_coordinates(found)).all())
    return found if finite and found.is_valid else None


def _polygons(shape: BaseGeometry) -> BaseGeometry:
    """The polygons of a shape; lines and points of it have no extent."""
    parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"]
    parts += [q for p in shapely.get_parts(shape) if p.geom_type == "MultiPolygon" for q in p.geoms]
    return shapely.MultiPolygon(parts)
