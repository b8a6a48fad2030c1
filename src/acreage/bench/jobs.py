"""The jobs that are measured, as process graphs of the crop type workflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings, map_grid, preprocess, to_graph

SEASON = Season(date(2019, 3, 1), date(2019, 10, 31))
WARM_DAYS = Season(date(2019, 6, 1), date(2019, 6, 30))


def area_of(bounds: tuple[float, float, float, float], settings: CubeSettings | None = None) -> Box:
    """The map pixels that lie inside bounds (west, south, east, north) of the map's CRS, in metres.

    Bounds on multiples of the resolution give exactly their pixels.
    """
    return map_grid(settings or CubeSettings()).box_covering(*bounds)


def centred(area: Box, size_m: float) -> Box:
    """A square of this size in the middle of an area, on whole pixels."""
    pixels = round(size_m / area.grid.res_x)
    x0, y0 = (area.x0 + area.x1 - pixels) // 2, (area.y0 + area.y1 - pixels) // 2
    return Box(area.grid, x0, y0, x0 + pixels, y0 + pixels)


def preprocessing_graph(area: Box, season: Season, settings: CubeSettings | None = None) -> dict[str, Any]:
    """The preprocessing of a map over exactly `area`, saved as netCDF without compression.

    The buffer of the settings is loaded around the area, as for a map, and cropped last.

    Returns:
        A flat process graph. Its result has dimensions t (dekads), bands (S2, S1, DEM, CROPLAND), y, x.
    """
    used = settings or CubeSettings()
    west, south, east, north = area.bounds
    cube = preprocess(area, season, used).cube.filter_bbox(
        west=west, south=south, east=east, north=north, crs=used.crs
    )
    return to_graph(cube, "netCDF", {"compression": "none"})


def write_graph(path: Path, area: Box, season: Season, settings: CubeSettings | None = None) -> Path:
    """Save the preprocessing graph as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(preprocessing_graph(area, season, settings), indent=1) + "\n", "utf-8")
    return path


def with_buffer(settings: CubeSettings, metres: float) -> CubeSettings:
    """The same settings with another buffer around the area."""
    return replace(settings, buffer=metres)
