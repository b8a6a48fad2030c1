"""Where the sun stands."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a time zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def sun_position(moment: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Azimuth (degrees from north, eastward) and elevation (degrees) of the sun, to within a degree.

    `moment` is in UTC unless it says otherwise; degrees. Spencer 1971's series for declination and
    equation of time.
    """
    moment = in_utc(moment)
    hours = moment.hour + moment.minute / 60 + moment.second / 3600
    g = 2 * math.pi / 365 * (moment.timetuple().tm_yday - 1 + (hours - 12) / 24)
    minutes = 229.18 * (
        0.000075
        + 0.001868 * math.cos(g)
        - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g)
        - 0.040849 * math.sin(2 * g)
    )
    declination = (
        0.006918
        - 0.399912 * math.cos(g)
        + 0.070257 * math.sin(g)
        - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g)
        - 0.002697 * math.cos(3 * g)
        + 0.00148 * math.sin(3 * g)
    )
    angle = math.radians((hours * 60 + minutes + 4 * longitude) / 4 - 180)
    north = math.radians(latitude)
    up = math.sin(north) * math.sin(declination) + math.cos(north) * math.cos(declination) * math.cos(angle)
    east_part = -math.cos(declination) * math.sin(angle)
    north_part = math.cos(north) * math.sin(declination) - math.sin(north) * math.cos(declination) * math.cos(
        angle
    )
    azimuth = math.degrees(math.atan2(east_part, north_part)) % 360
    return azimuth, math.degrees(math.asin(min(1.0, max(-1.0, up))))
