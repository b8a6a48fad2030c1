"""Reference data of a simulated archive: parcels and points with labels, and their split."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from acreage.simulate.noise import key_of, mix

POINTS_PER_PARCEL = 4
_INSET_M = 12.0


def split_parcels(table: gpd.GeoDataFrame, seed: int, train_share: float) -> gpd.GeoDataFrame:
    """The table with its `split`: `train` or `test` for parcels with a crop code, else empty.

    A parcel's side depends on its number and the seed only, not on the area that was asked for.
    """
    key = np.uint64(key_of("split", seed))
    draws = np.array([int(mix(np.uint64(n) ^ key)) / 2.0**64 for n in table["parcel_id"]])
    sides = np.where(draws < train_share, "train", "test")
    return table.assign(split=np.where(table["code"].to_numpy() > 0, sides, ""))


def points_of(table: gpd.GeoDataFrame, seed: int) -> gpd.GeoDataFrame:
    """Up to four points inside of each parcel that has a split, away from its edges.

    Columns: point_id, parcel_id, label, code, split, geometry; in the CRS of the table.
    """
    marked = table[table["split"] != ""]
    inner = shapely.buffer(marked.geometry.to_numpy(), -_INSET_M)
    rows, places = [], []
    for (index, row), shape in zip(marked.iterrows(), inner, strict=True):
        del index
        if shape.is_empty:
            continue
        for x, y in _draw(shape, seed, int(row["parcel_id"])):
            rows.append((int(row["parcel_id"]), row["label"], int(row["code"]), row["split"]))
            places.append((x, y))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    names = ("parcel_id", "label", "code", "split")
    data = {"point_id": np.arange(1, len(rows) + 1), **dict(zip(names, columns, strict=True))}
    geometry = gpd.points_from_xy([p[0] for p in places], [p[1] for p in places])
    return gpd.GeoDataFrame(data, geometry=geometry, crs=table.crs)


def _draw(shape: BaseGeometry, seed: int, parcel: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, parcel])
    west, south, east, north = shape.bounds
    places = np.column_stack([rng.uniform(west, east, 40), rng.uniform(south, north, 40)])
    inside = shapely.contains_xy(shape, places[:, 0], places[:, 1])
    return np.round(places[inside][:POINTS_PER_PARCEL], 2)


def write_labels(folder: Path, parcels: gpd.GeoDataFrame, points: gpd.GeoDataFrame) -> None:
    """Write `parcels.gpkg`, `points.gpkg` and `points.parquet`."""
    parcels.to_file(folder / "parcels.gpkg", layer="parcels", driver="GPKG")
    points.to_file(folder / "points.gpkg", layer="points", driver="GPKG")
    points.to_parquet(folder / "points.parquet")
