"""Where the pixels of a netCDF file lie: regular axes, the CRS, and the box of whole pixels on a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from acreage.core.arrays import Array
from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid, crs_name, parse_crs

_UNEVEN = 1e-2  # of a pixel, by which a centre may be off: coordinates are often floats of 32 bits
_REFUSED_UNITS = ("rad", "radian", "radians")


@dataclass(frozen=True)
class Axis:
    """Pixel centres along x or y.

    Attributes:
        least: smallest centre, in units of the CRS.
        step: distance of centres, above 0; 0 where there is only one.
        count: of centres.
        ascending: whether they grow in the order of the file.
        degrees: whether the file says that they are longitudes or latitudes.
    """

    least: float
    step: float
    count: int
    ascending: bool
    degrees: bool


def axis_of(values: Array, told: Mapping[str, Any]) -> Axis:
    """The axis of a coordinate variable.

    Args:
        values: (n,), float64.
        told: its attributes.

    Raises:
        InvalidInput: the rest of a sentence that begins with the axis's name.
    """
    units = str(told.get("units", "")).lower()
    if units in _REFUSED_UNITS:
        raise InvalidInput("is in radians.", hint="Write coordinates in metres or degrees.")
    if not values.size or not np.isfinite(values).all():
        raise InvalidInput("has coordinates that are no numbers.")
    if units in ("km", "kilometer", "kilometre"):
        values = values * 1000.0
    degrees = units.startswith("degree") or str(told.get("standard_name")) in ("longitude", "latitude")
    if values.size == 1:
        return Axis(float(values[0]), 0.0, 1, True, degrees)
    step = float(values[-1] - values[0]) / (values.size - 1)
    even = values[0] + step * np.arange(values.size)
    if step == 0 or np.abs(values - even).max() > _UNEVEN * abs(step):
        raise InvalidInput("has no even steps.", hint="Put the data on a regular grid first.")
    return Axis(
        float(min(values[0], values[-1])), _plain(abs(step), values.size), values.size, step > 0, degrees
    )


def _plain(step: float, count: int) -> float:
    """A step without what is left of rounding, where that is less than a thousandth of a pixel in all."""
    short = float(f"{step:.6g}")
    return short if abs(short - step) * count < 1e-3 * step else step


def crs_of(mapping: Mapping[str, Any], x: Axis, y: Axis) -> str:
    """The CRS that a grid mapping's attributes tell, or longitude and latitude where the axes say so.

    Raises:
        InvalidInput: there is none.
    """
    for key in ("spatial_ref", "crs_wkt"):
        if isinstance(mapping.get(key), str) and mapping[key]:
            return crs_name(mapping[key])
    if mapping.get("grid_mapping_name"):
        try:
            return crs_name(
                CRS.from_cf(
                    {
                        k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v
                        for k, v in mapping.items()
                    }
                ).to_wkt()
            )
        except (CRSError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput("its grid mapping names no coordinate reference system.") from error
    if x.degrees and y.degrees:
        return "EPSG:4326"
    raise InvalidInput(
        "it names no coordinate reference system.", hint="Give it by the option 'crs', such as EPSG:32631."
    )


def box_of(x: Axis, y: Axis, crs: str, geotransform: Any) -> Box:
    """The pixels of axes on a grid.

    Args:
        x, y: the axes.
        crs: name.
        geotransform: attribute of the grid mapping, as GDAL writes it; what it says is exact, if it agrees.

    Raises:
        InvalidInput: the pixels have no size, or lie beyond the meridian of 180 degrees.
    """
    transform = _transform(geotransform)
    if transform is None or not (_agrees(transform.c, transform.a, x) and _agrees_y(transform, y)):
        if not (x.step and y.step):
            raise InvalidInput(
                "an axis with one coordinate has pixels of no size.", hint="Give it a GeoTransform."
            )
        west, north = _edge(x.least, x.step, -1), _edge(y.least + (y.count - 1) * y.step, y.step, 1)
        transform = Affine(x.step, 0.0, west, 0.0, -y.step, north)
    box = Grid.of_transform(crs, transform).box_of_transform(transform, x.count, y.count)
    if parse_crs(crs).is_geographic and box.bounds[2] > 180.0 + box.grid.res_x:
        raise InvalidInput(
            "its longitudes go beyond 180 degrees.",
            hint="Count them from -180 to 180, for example by cdo sellonlatbox.",
        )
    return box


def _edge(centre: float, step: float, side: int) -> float:
    """The outer edge of a pixel; on half a pixel's lattice where it is all but there."""
    edge = centre + side * step / 2
    snapped = round(2 * edge / step) * step / 2
    return snapped if math.isclose(edge, snapped, rel_tol=0, abs_tol=1e-3 * step) else edge


def _transform(text: Any) -> Affine | None:
    try:
        numbers = [float(part) for part in str(text).split()]
    except ValueError:
        return None
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        return None
    found = Affine.from_gdal(*numbers)
    return found if found.b == found.d == 0 and found.a > 0 > found.e else None


def _agrees(edge: float, step: float, axis: Axis) -> bool:
    even = not axis.step or abs(axis.step - step) * axis.count < _UNEVEN * step
    return even and abs(edge + step / 2 - axis.least) <= _UNEVEN * step


def _agrees_y(transform: Affine, y: Axis) -> bool:
    step = -transform.e
    even = not y.step or abs(y.step - step) * y.count < _UNEVEN * step
    south = transform.f - y.count * step
    return even and abs(south + step / 2 - y.least) <= _UNEVEN * step
