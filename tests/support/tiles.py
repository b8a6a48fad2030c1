"""One area as one job, and as four tiles put together again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from openeo.rest.datacube import DataCube
from tests.support.engine_runs import WHOLE, run_cubes
from tests.support.harness import place

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings, preprocess

Build = Callable[[Box], Mapping[str, Any]]


def four_tiles(area: Box, column: int, row: int) -> tuple[Box, ...]:
    """The area cut at a column and a row, counted from its upper left corner."""
    x, y = area.x0 + column, area.y0 + row
    columns, rows = ((area.x0, x), (x, area.x1)), ((area.y0, y), (y, area.y1))
    return tuple(Box(area.grid, a, c, b, d) for c, d in rows for a, b in columns)


def only(cubes: Mapping[str, Cube]) -> Cube:
    """The one output of a graph."""
    (cube,) = cubes.values()
    return cube


def put_together(pieces: list[Cube], whole: Cube) -> Cube:
    """The pieces in one array with the metadata of the whole; they must cover it."""
    assert whole.meta.box is not None
    values, valid = np.zeros(whole.meta.shape, whole.meta.dtype), np.zeros(whole.meta.shape, bool)
    filled = np.zeros(whole.meta.shape, np.uint8)
    for piece in pieces:
        assert piece.meta.box is not None
        assert piece.meta.with_box(whole.meta.box) == whole.meta
        at = place(whole.meta, piece.meta.box)
        values[at], valid[at] = piece.values, piece.validity()
        filled[at] += 1
    assert (filled == 1).all()
    return Cube.of(values, valid, whole.meta)


def run_as_tiles(build: Build, tiles: tuple[Box, ...], catalog: Catalog, window: int = WHOLE) -> list[Cube]:
    """A job for each tile."""
    return [only(run_cubes(build(tile), catalog, window)) for tile in tiles]


def cropped(cube: DataCube, area: Box) -> dict[str, Any]:
    """The graph of a cube cut to the pixels of an area."""
    west, south, east, north = area.bounds
    epsg = int(area.grid.crs.removeprefix("EPSG:"))
    done = cube.filter_bbox(west=west, south=south, east=east, north=north, crs=epsg)
    graph: dict[str, Any] = json.loads(done.to_json())["process_graph"]
    return graph


def preprocessing(season: Season, settings: CubeSettings) -> Build:
    """The crop type cube of an area: loaded with the buffer, cropped last."""
    return lambda area: cropped(preprocess(area, season, settings).cube, area)


def map_like(season: Season, settings: CubeSettings) -> Build:
    """As a map: a value a pixel from the whole series, beside the observation counts, cropped last."""

    def build(area: Box) -> Mapping[str, Any]:
        given = preprocess(area, season, settings)
        value = given.cube.reduce_dimension(dimension="t", reducer="mean")
        return cropped(value.merge_cubes(given.counts.apply(lambda x: x.clip(0, 254))), area)

    return build
