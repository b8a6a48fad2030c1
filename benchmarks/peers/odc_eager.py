"""The preprocessing of a tile with odc-stac and xarray, without Dask.

    .venv/bin/python benchmarks/peers/odc_eager.py --catalog catalog.json --bounds W,S,E,N \
        --season 2019-03-01/2019-10-31 --out cube.nc

Dekad by dekad, so that no more than its images are in memory: load, mask, median (xarray with flox). The
cloud mask is the dilation of the openEO federation in SciPy. Elevation and cropland are written once, without
dates.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import odc.stac
import pandas as pd
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox

sys.path.insert(0, str(Path(__file__).parents[1]))
from acreage.bench.scene_mask import REACH, cloud_mask
from peers.common import (
    CROPLAND,
    DEM,
    LANDCOVER,
    S1,
    S2,
    S2_ASSETS,
    Task,
    dekad_of,
    dekad_starts,
    fill_gaps,
    offset_of,
    read_task,
    write,
)


def clear_pixels(items: list[pystac.Item], wide: GeoBox) -> np.ndarray:
    """True where the classification of one date leaves a pixel, over the area inside of `wide`."""
    scl = odc.stac.load(items, ["scl"], geobox=wide, resampling="nearest", groupby="solar_day")["scl"]
    return ~cloud_mask(scl.values[0])[REACH:-REACH, REACH:-REACH]


def optical_dekad(
    days: list[list[pystac.Item]], task: Task, wide: GeoBox, cropland: np.ndarray
) -> xr.Dataset:
    """Medians of one dekad: a variable a band, float32, NaN where nothing was seen."""
    images = []
    for items in days:
        kept = clear_pixels(items, wide) & cropland
        loaded = odc.stac.load(
            items,
            list(S2_ASSETS.values()),
            geobox=task.area,
            resampling="bilinear",
            groupby="solar_day",
        ).isel(time=0)
        offset = np.float32(offset_of(items))
        image = {}
        for band, asset in S2_ASSETS.items():
            numbers = loaded[asset].values
            image[band] = np.where(kept & (numbers != 0), numbers + offset, np.float32(np.nan))
        images.append(image)
    return xr.Dataset({band: median(np.stack([i[band] for i in images])) for band in S2_ASSETS})


def median(images: np.ndarray) -> xr.DataArray:
    """Median over the first axis without NaN, by flox: numbagg would compile anew in every process."""
    labelled = xr.DataArray(images, dims=("time", "y", "x"), coords={"t": ("time", [0] * len(images))})
    return labelled.groupby("t").median("time").isel(t=0, drop=True)


def optical(task: Task, cropland: np.ndarray, dekads: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Dekad medians with their gaps filled, (dekads, y, x) float32 a band."""
    items = task.items(S2)
    by_day: dict[str, list[pystac.Item]] = {}
    for item in items:
        by_day.setdefault(str(item.datetime.date()), []).append(item)
    starts = dekad_of(np.array(list(by_day), "datetime64[D]"))
    wide = task.area.pad(REACH)
    stacks = {band: np.full((len(dekads), *task.area.shape), np.nan, np.float32) for band in S2_ASSETS}
    for n, start in enumerate(dekads):
        days = [of_day for of_day, s in zip(by_day.values(), starts, strict=True) if s == start]
        if days:
            medians = optical_dekad(days, task, wide, cropland)
            for band in S2_ASSETS:
                stacks[band][n] = medians[band].values
    for stack in stacks.values():
        for row in range(stack.shape[1]):  # a row at a time: the stack is not copied
            stack[:, row] = fill_gaps(stack[:, row].T.copy()).T
    return stacks


def radar(task: Task, cropland: np.ndarray, dekads: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Dekad medians of sigma0, linear power, (dekads, y, x) float32 a polarisation."""
    items = task.items(S1)
    starts = dekad_of(np.array([i.datetime.date() for i in items], "datetime64[D]"))
    stacks = {band: np.full((len(dekads), *task.area.shape), np.nan, np.float32) for band in ("VV", "VH")}
    for n, start in enumerate(dekads):
        of_dekad = [i for i, s in zip(items, starts, strict=True) if s == start]
        if of_dekad:
            loaded = odc.stac.load(
                of_dekad,
                ["vv", "vh"],
                geobox=task.area,
                resampling="bilinear",
                groupby="sat:absolute_orbit",
            )
            for band, stack in stacks.items():
                stack[n] = np.where(cropland, median(loaded[band.lower()].values).values, np.nan)
    return stacks


def main() -> None:
    """Compute and write the cube."""
    task = read_task(__doc__)
    landcover = [i for i in task.items(LANDCOVER, dated=False) if "_2021_" in i.id]
    classes = odc.stac.load(landcover, ["map"], geobox=task.area, resampling="nearest", groupby="id")
    cropland = (classes["map"] == CROPLAND).any("time").values
    dem = odc.stac.load(
        task.items(DEM, dated=False), ["data"], geobox=task.area, resampling="bilinear", groupby="solar_day"
    )["data"].isel(time=0)
    dekads = dekad_starts(task.first, task.last)
    stacks = {**optical(task, cropland, dekads), **radar(task, cropland, dekads)}
    cube = xr.Dataset(
        {
            **{band: (("t", "y", "x"), stack) for band, stack in stacks.items()},
            "DEM": (("y", "x"), dem.values),
            "CROPLAND": (("y", "x"), cropland.astype(np.uint8)),
        },
        coords={"t": dekads, "y": dem["y"].values, "x": dem["x"].values},
    )
    write(cube, task.out)


if __name__ == "__main__":
    main()
