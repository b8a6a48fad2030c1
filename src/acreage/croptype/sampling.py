"""From reference data to dekad series: aggregate_spatial over parcels and points, area by area."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry import mapping

from acreage.core.errors import InvalidInput, NoDataAvailable
from acreage.core.grid import Box, Grid, transformer
from acreage.core.inputs import Inputs, ItemKey
from acreage.core.temporal import Season, period_label
from acreage.croptype.runner import Runner
from acreage.croptype.series import Samples, season_dekads
from acreage.croptype.workflow import CubeSettings, map_grid, preprocess, to_graph

CELL_METRES = 20_000
_EDGE = 20.0  # metres that a sampled point keeps from its parcel's edge, two pixels of mixed reflectance
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SampledSeries:
    """Series of reference data, and what became of the rest.

    Attributes:
        samples: with at least one observation.
        without_observation: ids that the cropland mask or the archive left without any.
        without_data: ids in areas where the archive has nothing.
        inputs: what became of every expected input of all areas.
    """

    samples: Samples
    without_observation: tuple[str, ...]
    without_data: tuple[str, ...]
    inputs: Inputs


def points_in_parcels(
    table: gpd.GeoDataFrame, count: int, settings: CubeSettings, seed: int
) -> gpd.GeoDataFrame:
    """Pixel centres drawn inside each parcel, away from its edge where it is wide enough.

    Args:
        table: columns `sample_id`, `label`, `group`, `region` and geometry. Points stay as they are.
        count: at most so many a parcel.
        settings: of the map whose pixels are meant.
        seed: the same seed draws the same pixels.

    Returns:
        The same columns in the map's CRS; ids get `-1`, `-2`, ... behind them, groups stay.
    """
    grid = map_grid(settings)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for row in table.to_crs(grid.crs).itertuples():
        centres = [row.geometry]
        if row.geometry.geom_type in ("Polygon", "MultiPolygon"):
            found = _pixel_centres(row.geometry, grid)
            picked = rng.permutation(len(found))[:count]
            centres = [found[i] for i in sorted(picked)]
        for number, point in enumerate(centres, 1):
            rows.append(
                {
                    "sample_id": f"{row.sample_id}-{number}",
                    "label": row.label,
                    "group": row.group,
                    "region": row.region,
                    "geometry": point,
                }
            )
    if not rows:
        raise InvalidInput("No parcel holds the centre of a pixel.", hint="Sample parcel means instead.")
    return gpd.GeoDataFrame(rows, geometry="geometry", crs=grid.crs)


def _pixel_centres(parcel: Any, grid: Grid) -> list[Any]:
    for shape in (parcel.buffer(-_EDGE), parcel):
        if shape.is_empty:
            continue
        box = grid.box_covering(*shape.bounds)
        x, y = np.meshgrid(box.x_centres(), box.y_centres())
        inside = shapely.contains_xy(shape, x.ravel(), y.ravel())
        if inside.any():
            points: Any = shapely.points(x.ravel()[inside], y.ravel()[inside])
            return list(points)
    return []


def sample_series(
    table: gpd.GeoDataFrame,
    season: Season,
    settings: CubeSettings,
    runner: Runner,
    progress: Progress | None = None,
    settings_of: Callable[[Box], CubeSettings] | None = None,
) -> SampledSeries:
    """Dekad series of labelled geometries: a point's pixel, the mean over a parcel's pixels.

    The geometries are taken in cells of 20 km, one job each, with the very graph that maps are made with. A
    product that fails in one cell is in none: cells that had used it before are sampled again without it.

    Args:
        table: columns `sample_id`, `label`, `group`, `region` and geometry, with a CRS.
        season: both days included.
        settings: preprocessing.
        runner: runs the jobs.
        progress: called with (cells done, cells in all).
        settings_of: the settings of a cell's area, where they differ from area to area (the orbit direction).

    Raises:
        InvalidInput: no geometry has an observation.
        AcreageError: a job failed.
    """
    grid = map_grid(settings)
    projected = table.to_crs(grid.crs).reset_index(drop=True)
    cells = list(_cells(projected))
    tables: dict[int, pd.DataFrame] = {}
    inputs: dict[int, Inputs] = {}
    without_data: list[str] = []
    waiting = list(range(len(cells)))
    lost: set[ItemKey] = set()
    failures: list[Inputs] = []
    while waiting:
        number = waiting.pop(0)
        if progress is not None:
            progress(len(cells) - len(waiting) - 1, len(cells))
        part = projected.iloc[cells[number]]
        with tempfile.TemporaryDirectory(prefix="acreage-sample-") as folder:
            try:
                chosen = settings if settings_of is None else settings_of(sampled_area(part, settings))
                done = runner.run(sampling_graph(part, season, chosen), Path(folder) / "cell.parquet")
            except NoDataAvailable:
                without_data.extend(part["sample_id"])
                continue
            tables[number] = pd.read_parquet(done.files[0])
        inputs[number] = done.inputs
        failures.append(replace(done.inputs, assets=done.inputs.failed))  # a cell's second account lacks them
        news = {(a.collection, a.item) for a in done.inputs.failed} - lost
        lost |= news
        waiting += [n for n, known in inputs.items() if n not in waiting and _uses(known, news)]
    if progress is not None:
        progress(len(cells), len(cells))
    parts = [(projected.iloc[cells[number]], table) for number, table in sorted(tables.items())]
    samples, empty = _to_samples(parts, season, settings)
    return SampledSeries(samples, empty, tuple(without_data), Inputs.merged([*inputs.values(), *failures]))


def _uses(inputs: Inputs, items: Collection[ItemKey]) -> bool:
    return any((i.collection, i.id) in items for i in inputs.items_read)


def sampling_graph(part: gpd.GeoDataFrame, season: Season, settings: CubeSettings) -> dict[str, Any]:
    """The process graph that samples geometries of one cell (in the map's CRS)."""
    cube = preprocess(sampled_area(part, settings), season, settings).cube.filter_bands(
        [*settings.s2_bands, *settings.s1_bands, "DEM"]
    )
    features = [
        {"type": "Feature", "id": str(n), "properties": {}, "geometry": mapping(g)}
        for n, g in enumerate(part.to_crs("EPSG:4326").geometry)
    ]
    collection = {"type": "FeatureCollection", "features": features}
    return to_graph(cube.aggregate_spatial(geometries=collection, reducer="mean"), "GeoParquet")


def sampled_area(part: gpd.GeoDataFrame, settings: CubeSettings) -> Box:
    """The map pixels around geometries of one cell (in the map's CRS)."""
    return map_grid(settings).box_covering(*part.total_bounds).expand(1, 1)


def _cells(projected: gpd.GeoDataFrame) -> Iterator[list[int]]:
    centres = projected.geometry.representative_point()
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, point in enumerate(centres):
        groups[(int(point.x // CELL_METRES), int(point.y // CELL_METRES))].append(row)
    for key in sorted(groups):
        yield groups[key]


def _to_samples(
    parts: list[tuple[Any, pd.DataFrame]], season: Season, settings: CubeSettings
) -> tuple[Samples, tuple[str, ...]]:
    dekads = season_dekads(season)
    labels = [period_label("dekad", _moment(d)) for d in dekads]
    bands = (*settings.s2_bands, *settings.s1_bands, "DEM")
    tables, values = [], []
    for part, frame in parts:
        columns = [frame[[f"{band}_{label}" for label in labels]].to_numpy(np.float32) for band in bands]
        values.append(np.stack(columns, axis=-1))
        tables.append(part)
    if not tables:
        raise InvalidInput(
            "The archive has nothing where the reference data lie.", hint="Check the area and the season."
        )
    table = pd.concat(tables, ignore_index=True)
    series = np.concatenate(values)
    seen = np.isfinite(series[:, :, : len(bands) - 1]).any(axis=(1, 2))
    if not seen.any():
        raise InvalidInput(
            "None of the reference data has an observation.",
            hint="Check the season, and whether the land cover mask keeps their classes.",
        )
    kept = table[seen].reset_index(drop=True)
    samples = Samples(
        ids=kept["sample_id"].to_numpy(str),
        labels=kept["label"].to_numpy(str),
        groups=kept["group"].to_numpy(str),
        regions=kept["region"].to_numpy(str),
        bands=bands,
        dekads=tuple(dekads),
        values=series[seen],
        geometry=gpd.GeoSeries(kept["geometry"], crs=map_grid(settings).crs).reset_index(drop=True),
        s1_unit=settings.s1_unit,
    )
    return samples, tuple(table["sample_id"][~seen])


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def area_of(bounds: tuple[float, float, float, float], crs: str, settings: CubeSettings) -> Box:
    """The map pixels that cover bounds given in a CRS."""
    grid = map_grid(settings)
    if crs != grid.crs:
        bounds = transformer(crs, grid.crs).transform_bounds(*bounds, densify_pts=21)
    return grid.box_covering(*bounds)
