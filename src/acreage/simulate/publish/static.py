"""Copernicus DEM GLO-30 and ESA WorldCover in their published tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from acreage.core.grid import Box, Grid, transformer
from acreage.simulate.ground import points
from acreage.simulate.orbits import GROUND_CRS
from acreage.simulate.publish import stac
from acreage.simulate.publish.products import Published, stamp
from acreage.simulate.publish.rasters import write_sparse

DEM, WORLDCOVER = "cop-dem-glo-30", "esa-worldcover"
DESCRIPTIONS: Mapping[str, str] = {
    DEM: "elevation in metres, tiles of one degree as Copernicus DEM GLO-30 has them, none for the sea",
    WORLDCOVER: "land cover of 2020 and 2021, tiles of three degrees as ESA WorldCover has them",
}
DEM_ROWS = 3600
# Columns of a tile by the latitude of its southern edge (Copernicus DEM product handbook, table 3).
_DEM_COLUMNS = ((50, 3600), (60, 2400), (70, 1800), (75, 1200), (80, 720), (90, 360))
WORLDCOVER_VERSIONS = {2020: ("v100", "1.0.0"), 2021: ("v200", "2.0.0")}
# Value, name and colour (WorldCover product user manual).
_CLASSES = (
    (10, "Tree cover", "006400"),
    (20, "Shrubland", "FFBB22"),
    (30, "Grassland", "FFFF4C"),
    (40, "Cropland", "F096FF"),
    (50, "Built-up", "FA0000"),
    (60, "Bare / sparse vegetation", "B4B4B4"),
    (70, "Snow and ice", "F0F0F0"),
    (80, "Permanent water bodies", "0064C8"),
    (90, "Herbaceous wetland", "0096A0"),
    (95, "Mangroves", "00CF75"),
    (100, "Moss and lichen", "FAE6A0"),
)
_CHUNK = 2048
Values = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[Any]]
Bounds = tuple[float, float, float, float]


def dem_columns(latitude: int) -> int:
    """Columns of a DEM tile whose southern edge lies at a latitude, degrees north."""
    return next(columns for limit, columns in _DEM_COLUMNS if latitude < limit)


def dem_tile(longitude: int, latitude: int) -> Box:
    """Pixels of the DEM tile with this south-western corner: posts on whole degrees, so half a pixel off."""
    columns = dem_columns(latitude)
    width, height = 1.0 / columns, 1.0 / DEM_ROWS
    grid = Grid("EPSG:4326", width, height, width / 2, height / 2)
    return Box(
        grid,
        longitude * columns - 1,
        -(latitude + 1) * DEM_ROWS,
        (longitude + 1) * columns - 1,
        -latitude * DEM_ROWS,
    )


def dem_name(longitude: int, latitude: int) -> str:
    """As `Copernicus_DSM_COG_10_N53_00_W115_00_DEM`."""
    return f"Copernicus_DSM_COG_10_{_north(latitude)}_00_{_east(longitude)}_00_DEM"


def worldcover_tile(longitude: int, latitude: int) -> Box:
    """Pixels of the WorldCover tile with this south-western corner, on multiples of three degrees."""
    step = 1.0 / 12_000
    grid = Grid("EPSG:4326", step, step)
    return Box(
        grid, longitude * 12_000, -(latitude + 3) * 12_000, (longitude + 3) * 12_000, -latitude * 12_000
    )


def worldcover_name(year: int, longitude: int, latitude: int) -> str:
    """As `ESA_WorldCover_10m_2021_v200_N00E006`."""
    return f"ESA_WorldCover_10m_{year}_{WORLDCOVER_VERSIONS[year][0]}_{_north(latitude)}{_east(longitude)}"


def publish_dem(folder: Path, bounds: Bounds, whole: bool, elevation: Values) -> list[Published]:
    """Write the DEM tiles of an area (EPSG:3035); a tile that is sea everywhere is left out.

    `whole` fills whole tiles; otherwise only their part over the area holds elevations, and the rest is 0.
    """
    found = []
    for longitude, latitude in _corners(bounds, 1):
        tile = dem_tile(longitude, latitude)
        parts = _parts(tile, bounds, whole, elevation, np.float32)
        if not parts or not any(bool(np.any(v != 0.0)) for v in parts.values()):
            continue
        name = dem_name(longitude, latitude)
        write_sparse(folder / DEM / name / f"{name}.tif", tile, parts, None, codes=False, point=True)
        assets = {
            "data": {
                "href": f"./{name}.tif",
                "type": stac.COG,
                "title": "Data",
                "raster:bands": [
                    {"sampling": "point", "data_type": "float32", "spatial_resolution": 30, "unit": "meter"}
                ],
                "roles": ["data"],
            }
        }
        properties = {
            "platform": "tandem-x",
            "gsd": 30,
            "proj:epsg": 4326,
            **stac.grid_fields(tile),
            "grid:code": f"CDEM-{_north(latitude)}{_east(longitude)}",
            "datetime": "2021-04-22T00:00:00Z",
        }
        extensions = ("projection/v1.1.0", "grid/v1.1.0", "raster/v1.1.0")
        found.append(stac.item(DEM, name, shapely.box(*tile.bounds), properties, assets, extensions))
    return found


def publish_worldcover(
    folder: Path, bounds: Bounds, whole: bool, landcover: Callable[[int], Values]
) -> list[Published]:
    """Write the WorldCover tiles of an area (EPSG:3035) for 2020 and 2021; `landcover(year)` gives codes."""
    found = []
    for year, (_, version) in WORLDCOVER_VERSIONS.items():
        for longitude, latitude in _corners(bounds, 3):
            tile = worldcover_tile(longitude, latitude)
            parts = _parts(tile, bounds, whole, landcover(year), np.uint8)
            if not parts:
                continue
            name = worldcover_name(year, longitude, latitude)
            path = folder / WORLDCOVER / name / f"{name}_Map.tif"
            write_sparse(path, tile, parts, 0, codes=True)
            found.append(_worldcover_item(name, version, year, tile, parts, (longitude, latitude)))
    return found


def _worldcover_item(
    name: str, version: str, year: int, tile: Box, parts: Mapping[Box, Any], corner: tuple[int, int]
) -> Published:
    band = {
        "name": "Band1",
        "description": "Classification values",
        "nodata": 0,
        "sampling": "area",
        "data_type": "uint8",
        "spatial_resolution": 10,
    }
    assets = {
        "map": {
            "href": f"./{name}_Map.tif",
            "type": stac.COG,
            "title": "Land Cover Classes",
            "raster:bands": [band],
            "classification:classes": [
                {"value": v, "description": text, "color-hint": colour} for v, text, colour in _CLASSES
            ],
            **stac.grid_fields(tile),
            "created": stamp(datetime(year + 1, 10, 21, tzinfo=UTC)),
            "roles": ["data"],
        }
    }
    product_tile = f"{_north(corner[1])}{_east(corner[0])}"
    properties = {
        "esa_worldcover:product_version": version,
        "esa_worldcover:product_tile": product_tile,
        "start_datetime": f"{year}-01-01T00:00:00Z",
        "end_datetime": f"{year}-12-31T23:59:59Z",
        "description": "ESA WorldCover product at 10m resolution",
        "mission": "sentinel-1, sentinel-2",
        "platform": "sentinel-1a, sentinel-1b, sentinel-2a, sentinel-2b",
        "instruments": ["c-sar", "msi"],
        "proj:epsg": 4326,
        "grid:code": f"ESAWORLDCOVER-{product_tile}",
        "datetime": None,
    }
    extensions = ("projection/v1.1.0", "grid/v1.1.0", "raster/v1.1.0", "classification/v1.0.0")
    filled = shapely.union_all([shapely.box(*part.bounds) for part in parts])
    return stac.item(WORLDCOVER, name, filled, properties, assets, extensions)


def _corners(bounds: Bounds, step: int) -> list[tuple[int, int]]:
    """South-western corners (longitude, latitude) of the tiles that may share pixels with an area."""
    west, south, east, north = transformer(GROUND_CRS, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
    edge = 0.001  # a DEM tile reaches half a pixel beyond its degree
    return [
        (longitude, latitude)
        for latitude in range(math.floor((south - edge) / step) * step, math.floor(north + edge) + 1, step)
        for longitude in range(math.floor((west - edge) / step) * step, math.floor(east + edge) + 1, step)
    ]


def _parts(tile: Box, bounds: Bounds, whole: bool, values: Values, dtype: Any) -> dict[Box, NDArray[Any]]:
    """Values of a tile, in pieces: of all of it, or of what covers the area."""
    if whole:
        wanted = tile
    else:
        around = transformer(GROUND_CRS, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
        wanted = tile.grid.box_covering(*around).intersect(tile)
    found = {}
    for piece in wanted.windows(_CHUNK, _CHUNK):
        x, y = points(piece)
        found[piece] = np.asarray(values(x, y)).astype(dtype)
    return found


def _north(latitude: int) -> str:
    return f"{'N' if latitude >= 0 else 'S'}{abs(latitude):02d}"


def _east(longitude: int) -> str:
    return f"{'E' if longitude >= 0 else 'W'}{abs(longitude):03d}"
