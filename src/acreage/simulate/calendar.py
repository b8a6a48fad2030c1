"""Regional calendars: how much later the seasons come at a place, and which crops grow there.

Latitude and elevation delay the seasons by Hopkins' bioclimatic law: four days a degree of latitude and four
days for 400 feet (Hopkins 1918, Monthly Weather Review Supplement 9). The law's third part, the longitude, is
replaced by a continental shortening of the season, of invented size. All curves hold for the reference place
of the fit; northern hemisphere only.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

REFERENCE_LATITUDE = 46.0
"""Degrees: the middle of the labelled series that the curves were fitted to."""
REFERENCE_ELEVATION = 105.0
"""Metres: the median of the same."""
DAYS_PER_DEGREE = 4.0
DAYS_PER_METRE = 4.0 / 122.0
GREATEST_DELAY = 40.0
"""Days. Below 83 the year's order of days is kept (see `felt_day`)."""
CONTINENTAL_DAYS = 6.0
"""Days of delay at 30 degrees east of the reference's meridian; invented."""

# EPSG:3035: Lambert azimuthal equal area, origin 52 N 10 E, false easting and northing; the sphere of
# equal area
# (authalic radius of GRS 80) is within 0.2 degrees, which is less than a day of delay.
_RADIUS, _X0, _Y0 = 6371007.181, 4321000.0, 3210000.0
_LAT0, _LON0 = math.radians(52.0), math.radians(10.0)


@njit(nogil=True, cache=True)
def lonlat(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude in degrees of a place in EPSG:3035, to about 0.2 degrees (spherical)."""
    east, north = (x - _X0) / _RADIUS, (y - _Y0) / _RADIUS
    rho = min(math.hypot(east, north), 1.9)
    if rho < 1e-12:
        return math.degrees(_LON0), math.degrees(_LAT0)
    c = 2.0 * math.asin(rho / 2.0)
    sin_lat = math.cos(c) * math.sin(_LAT0) + north * math.sin(c) * math.cos(_LAT0) / rho
    latitude = math.asin(min(1.0, max(-1.0, sin_lat)))
    longitude = _LON0 + math.atan2(
        east * math.sin(c), rho * math.cos(_LAT0) * math.cos(c) - north * math.sin(_LAT0) * math.sin(c)
    )
    return math.degrees(longitude), math.degrees(latitude)


@njit(nogil=True, cache=True)
def season_delay(longitude: float, latitude: float, elevation: float) -> float:
    """Days by which spring comes later than at the reference place."""
    days = (
        DAYS_PER_DEGREE * (latitude - REFERENCE_LATITUDE)
        + DAYS_PER_METRE * (elevation - REFERENCE_ELEVATION)
        + CONTINENTAL_DAYS * min(1.0, max(0.0, longitude / 30.0))
    )
    return min(GREATEST_DELAY, max(-GREATEST_DELAY, days))


@njit(nogil=True, cache=True)
def felt_day(day: float, delay: float) -> float:
    """The day of the year at the reference place that a place with this delay feels on `day`.

    A delay counts in full at the end of May and shrinks to -0.4 of itself at the end of November: a northern
    year starts later and ends earlier.
    """
    return day - delay * (0.3 + 0.7 * math.cos((day - 150.0) * (2.0 * math.pi / 365.25)))


def felt_days(days: np.ndarray, delay: float) -> np.ndarray:
    """`felt_day` of an array of days."""
    return np.asarray(days - delay * (0.3 + 0.7 * np.cos((days - 150.0) * (2.0 * np.pi / 365.25))))
