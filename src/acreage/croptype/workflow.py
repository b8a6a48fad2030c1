"""The crop type workflow as openEO process graphs, built with the official client.

One function builds the data cube that both sampling and inference read; a second adds the model. They use
only processes of the openEO federation (held by a test), so that the same graph runs on any of its back ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

from openeo.metadata import Band, BandDimension, CollectionMetadata, SpatialDimension, TemporalDimension
from openeo.processes import ProcessBuilder, eq, neq
from openeo.rest._datacube import UDF
from openeo.rest.datacube import DataCube
from openeo.rest.vectorcube import VectorCube

from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season
from acreage.croptype.bands import OUTPUT_BANDS
from acreage.croptype.udf_source import udf_source

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
S1_BANDS = ("VV", "VH")
COUNT_BANDS = ("s2_observations", "s1_observations")
MAP_BANDS = (*OUTPUT_BANDS, *COUNT_BANDS)


@dataclass(frozen=True)
class CubeSettings:
    """What may be chosen of the preprocessing; recorded with every product.

    Attributes:
        crs: EPSG code of the map.
        resolution: pixel size in metres.
        buffer: metres that are loaded around the area, so that dilated clouds and resampling know what is
            around.
        cropland_codes: WorldCover classes that are mapped.
        s2_bands, s1_bands: bands of the cube.
        collections: ids of the S2, S1, elevation and land cover collections.
        scl_mask: parameters of `to_scl_dilation_mask`. Class 0, no data, counts as clear: it has no values
            to mask, and clear pixels beside it are kept.
        s1_properties: property filters of the S1 load, as property to value, for example the orbit direction.
        s1_coefficient: what the S1 collection must be calibrated to, as `sar_backscatter` names it.
        s1_unit: `linear`: composites stay in linear power; `db`: they are turned into decibels. They are made
            in linear power, whatever unit the archive has.
    """

    crs: int = 3035
    resolution: float = 10.0
    buffer: float = 1000.0
    cropland_codes: tuple[int, ...] = (40,)
    s2_bands: tuple[str, ...] = S2_BANDS
    s1_bands: tuple[str, ...] = S1_BANDS
    collections: tuple[str, str, str, str] = (
        "SENTINEL2_L2A",
        "SENTINEL1_GRD",
        "COPERNICUS_30",
        "ESA_WORLDCOVER_10M_2021_V2",
    )
    scl_mask: tuple[tuple[str, Any], ...] = (
        ("mask1_values", (0, 2, 4, 5, 6, 7)),
        ("kernel1_size", 17),
        ("kernel2_size", 77),
        ("erosion_kernel_size", 3),
    )
    s1_properties: tuple[tuple[str, str], ...] = ()
    s1_coefficient: str = "sigma0-ellipsoid"
    s1_unit: Literal["linear", "db"] = "linear"


@dataclass(frozen=True)
class Preprocessed:
    """What preprocessing gives.

    Attributes:
        cube: dimensions t (dekads), bands (S2, VV, VH, DEM, CROPLAND), y, x.
        counts: dimensions bands (`COUNT_BANDS`), y, x: observations of the season that masking left.
    """

    cube: DataCube
    counts: DataCube


def preprocess(area: Box, season: Season, settings: CubeSettings) -> Preprocessed:
    """The cube that models are trained on and run on.

    Args:
        area: pixels on the map's grid; `settings.buffer` is loaded around them and stays in the cube.
        season: both days included; every dekad that it touches gets a label.
        settings: what may be chosen.
    """
    s2_id, s1_id, dem_id, landcover_id = settings.collections
    extent, days = _extent(area, settings.buffer), [str(d) for d in _dates(season)]
    landcover = _static(landcover_id, "MAP", extent, settings, "near")
    cropland = landcover.rename_labels("bands", ["CROPLAND"], ["MAP"]).apply(_any_of(settings.cropland_codes))
    outside = landcover.drop_dimension("bands").apply(_none_of(settings.cropland_codes))
    scl = _on_grid(_load(s2_id, extent, days, ["SCL"]), settings, "near")
    clouds = scl.process("to_scl_dilation_mask", data=scl, **dict(settings.scl_mask)).drop_dimension("bands")
    s2 = (
        _on_grid(_load(s2_id, extent, days, settings.s2_bands), settings, "bilinear")
        .mask(clouds)
        .mask(outside)
    )
    s1 = _load(s1_id, extent, days, settings.s1_bands, dict(settings.s1_properties))
    s1 = _on_grid(_backscatter(s1, settings.s1_coefficient), settings, "bilinear").mask(outside)
    dem = _static(dem_id, "DEM", extent, settings, "bilinear")
    cube = s2.aggregate_temporal_period("dekad", "median").apply_dimension(
        "array_interpolate_linear", dimension="t"
    )
    backscatter = s1.aggregate_temporal_period("dekad", "median")
    if settings.s1_unit == "db":
        backscatter = backscatter.apply(_decibels)
    cube = cube.merge_cubes(backscatter)
    counts = _count(s2, settings.s2_bands[0], COUNT_BANDS[0])
    return Preprocessed(
        cube.merge_cubes(dem).merge_cubes(cropland),
        counts.merge_cubes(_count(s1, settings.s1_bands[0], COUNT_BANDS[1])),
    )


def map_cube(area: Box, season: Season, settings: CubeSettings, model: Mapping[str, Any]) -> DataCube:
    """The map: class, confidence and observation counts of every pixel of the area.

    Args:
        area, season, settings: as for `preprocess`.
        model: the UDF's context: `model` (address as the back end sees it) and `model_sha256`.

    Returns:
        Dimensions bands (`MAP_BANDS`), y, x over exactly the area; all values fit uint8.
    """
    given = preprocess(area, season, settings)
    udf = UDF(code=udf_source(), runtime="Python", version="3", context=dict(model))
    classes = given.cube.apply_dimension(process=udf, dimension="t", target_dimension="bands")
    counts = given.counts.apply(lambda x: x.clip(0, 254))
    return _crop(classes.merge_cubes(counts), area)


def to_graph(
    cube: DataCube | VectorCube, file_format: str, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The flat process graph that saves a cube."""
    graph: dict[str, Any] = json.loads(cube.save_result(file_format, options=dict(options or {})).to_json())
    return graph


# --- parts ---


def _load(
    collection: str,
    extent: Mapping[str, Any],
    days: list[str] | None,
    bands: Any,
    properties: Mapping[str, str] | None = None,
) -> DataCube:
    filters: dict[str, Any] = {
        name: (lambda value, wanted=wanted: eq(value, wanted)) for name, wanted in (properties or {}).items()
    }
    loaded = DataCube.load_collection(
        collection,
        connection=None,
        spatial_extent=dict(extent),
        temporal_extent=days,
        bands=list(bands),
        fetch_metadata=False,
        properties=filters or None,
    )
    # Without a connection the client knows no dimensions, and would refuse the names of those that are there.
    dimensions = [
        SpatialDimension("x", extent=[]),
        SpatialDimension("y", extent=[]),
        TemporalDimension("t", extent=[]),
        BandDimension("bands", bands=[Band(b) for b in bands]),
    ]
    return DataCube(
        loaded.result_node(), connection=None, metadata=CollectionMetadata({}, dimensions=dimensions)
    )


def _backscatter(cube: DataCube, coefficient: str) -> DataCube:
    # As a plain process call: the client's own method asks a connected back end for the allowed coefficients.
    return cube.process("sar_backscatter", data=cube, coefficient=coefficient)


def _decibels(power: ProcessBuilder) -> ProcessBuilder:
    return power.log(base=10).multiply(10)


def _on_grid(cube: DataCube, settings: CubeSettings, method: str) -> DataCube:
    return cube.resample_spatial(resolution=settings.resolution, projection=settings.crs, method=method)


def _static(
    collection: str, band: str, extent: Mapping[str, Any], settings: CubeSettings, method: str
) -> DataCube:
    """A layer without time: elevation or land cover."""
    cube = _on_grid(_load(collection, extent, None, [band]), settings, method)
    return cube.reduce_dimension(dimension="t", reducer="first")


def _count(source: DataCube, band: str, name: str) -> DataCube:
    """Number of observations that are left after masking, one band without time."""
    counted = source.filter_bands([band]).reduce_dimension(dimension="t", reducer="count")
    return counted.rename_labels("bands", [name], [band])


def _any_of(codes: tuple[int, ...]) -> Callable[[ProcessBuilder], ProcessBuilder]:
    """True where a value is one of the codes; null stays null."""
    return lambda x: reduce(lambda a, b: a.or_(b), [eq(x, code) for code in codes])


def _none_of(codes: tuple[int, ...]) -> Callable[[ProcessBuilder], ProcessBuilder]:
    """True where a value is none of the codes; null stays null."""
    return lambda x: reduce(lambda a, b: a.and_(b), [neq(x, code) for code in codes])


def _extent(area: Box, buffer: float) -> dict[str, Any]:
    west, south, east, north = area.bounds
    epsg = int(area.grid.crs.removeprefix("EPSG:"))
    return {
        "west": west - buffer,
        "south": south - buffer,
        "east": east + buffer,
        "north": north + buffer,
        "crs": epsg,
    }


def _crop(cube: DataCube, area: Box) -> DataCube:
    extent = _extent(area, 0.0)
    return cube.filter_bbox(**{k: extent[k] for k in ("west", "south", "east", "north", "crs")})


def _dates(season: Season) -> tuple[Any, Any]:
    start, end = season.interval
    return start.astype("datetime64[D]"), end.astype("datetime64[D]")


def map_grid(settings: CubeSettings) -> Grid:
    """The grid of maps with these settings."""
    return Grid.snapped(settings.crs, settings.resolution)
