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
import pandas as pd
import pystac
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.peers.common import (
    S1,
    S1_ASSETS,
    S2,
    S2_ASSETS,
    Task,
    backscatter,
    by_day,
    clear_pixels,
    cropland,
    dekad_of,
    dekad_starts,
    elevation,
    fill_gaps,
    read_task,
    reflectances,
    write,
)


def optical_dekad(days: list[list[pystac.Item]], task: Task, crops: xr.DataArray) -> xr.Dataset:
    """Medians of one dekad: a variable a band, float32, NaN where nothing was seen."""
    images = []
    for items in days:
        kept = clear_pixels(items, task.area) & crops
        images.append(reflectances(items, task.area, kept).isel(time=0))
    return xr.Dataset({band: median(np.stack([i[band].values for i in images])) for band in S2_ASSETS})


def median(images: np.ndarray) -> xr.DataArray:
    """Median over the first axis without NaN, by flox, which is quicker here than numbagg."""
    labelled = xr.DataArray(images, dims=("time", "y", "x"), coords={"t": ("time", [0] * len(images))})
    return labelled.groupby("t").median("time").isel(t=0, drop=True)


def empty_stacks(bands: dict[str, str], task: Task, dekads: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """NaN for every dekad, (dekads, y, x) float32 a band."""
    return {band: np.full((len(dekads), *task.area.shape), np.nan, np.float32) for band in bands}


def optical(task: Task, crops: xr.DataArray, dekads: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Dekad medians with their gaps filled, (dekads, y, x) float32 a band."""
    days = by_day(task.items(S2))
    starts = dekad_of(np.array(list(days), "datetime64[D]"))
    stacks = empty_stacks(S2_ASSETS, task, dekads)
    for n, start in enumerate(dekads):
        of_dekad = [items for items, s in zip(days.values(), starts, strict=True) if s == start]
        if of_dekad:
            medians = optical_dekad(of_dekad, task, crops)
            for band in S2_ASSETS:
                stacks[band][n] = medians[band].values
    for stack in stacks.values():
        for row in range(stack.shape[1]):  # a row at a time: the stack is not copied
            stack[:, row] = fill_gaps(stack[:, row].T.copy()).T
    return stacks


def radar(task: Task, crops: xr.DataArray, dekads: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Dekad medians of sigma0, linear power, (dekads, y, x) float32 a polarisation."""
    items = task.items(S1)
    starts = dekad_of(np.array([i.datetime.date() for i in items], "datetime64[D]"))
    stacks = empty_stacks(S1_ASSETS, task, dekads)
    for n, start in enumerate(dekads):
        of_dekad = [i for i, s in zip(items, starts, strict=True) if s == start]
        if of_dekad:
            loaded = backscatter(of_dekad, task.area)
            for band, stack in stacks.items():
                stack[n] = np.where(crops.values, median(loaded[band].values).values, np.nan)
    return stacks


def main() -> None:
    """Compute and write the cube."""
    task = read_task(__doc__)
    crops, dem, dekads = cropland(task), elevation(task), dekad_starts(task.first, task.last)
    stacks = {**optical(task, crops, dekads), **radar(task, crops, dekads)}
    cube = xr.Dataset(
        {
            **{band: (("t", "y", "x"), stack) for band, stack in stacks.items()},
            "DEM": (("y", "x"), dem.values),
            "CROPLAND": (("y", "x"), crops.values.astype(np.uint8)),
        },
        coords={"t": dekads, "y": dem["y"].values, "x": dem["x"].values},
    )
    write(cube, task.out)


if __name__ == "__main__":
    main()
