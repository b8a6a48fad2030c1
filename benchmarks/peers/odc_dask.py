"""The preprocessing of a tile with odc-stac, xarray and Dask.

    .venv/bin/python benchmarks/peers/odc_dask.py --catalog catalog.json --bounds W,S,E,N \
        --season 2019-03-01/2019-10-31 --out cube.nc --threads 2

One lazy cube, in chunks of 1000 pixels and one date; dekad medians by flox on chunks that hold all dates. The
threads are those of Dask's own scheduler. The cloud mask is the dilation of the openEO federation in SciPy on
whole images. Elevation and cropland are written once, without dates.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import odc.stac
import pandas as pd
import xarray as xr

import dask

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

CHUNK = 1000
CHUNKS = {"time": 1, "x": CHUNK, "y": CHUNK}


def clear_pixels(task: Task) -> xr.DataArray:
    """True where the classification leaves a pixel: (time, y, x) over the area, a chunk a date."""
    wide = task.area.pad(REACH)
    scl = odc.stac.load(
        task.items(S2),
        ["scl"],
        geobox=wide,
        resampling="nearest",
        groupby="solar_day",
        chunks={"time": 1, "x": -1, "y": -1},
    )["scl"]
    masked = xr.apply_ufunc(
        lambda images: np.stack([cloud_mask(image) for image in images]),
        scl,
        dask="parallelized",
        output_dtypes=[bool],
    )
    inner = slice(REACH, -REACH)
    return ~masked.isel(y=inner, x=inner)


def optical(task: Task, cropland: xr.DataArray, dekads: pd.DatetimeIndex) -> xr.Dataset:
    """Dekad medians with their gaps filled, a variable a band."""
    items = task.items(S2)
    clear = clear_pixels(task)
    loaded = odc.stac.load(
        items,
        list(S2_ASSETS.values()),
        geobox=task.area,
        resampling="bilinear",
        groupby="solar_day",
        chunks=CHUNKS,
    )
    by_day: dict[str, list[object]] = {}
    for item in items:
        by_day.setdefault(str(item.datetime.date()), []).append(item)
    offsets = xr.DataArray(
        np.array([offset_of(of_day) for of_day in by_day.values()], np.float32), dims="time"
    )
    loaded["time"] = clear["time"] = np.array(list(by_day), "datetime64[ns]")
    kept = clear & cropland
    found = {}
    for band, asset in S2_ASSETS.items():
        numbers = loaded[asset]
        seen = (numbers + offsets).astype(np.float32).where(kept & (numbers != 0))
        medians = dekad_medians(seen, dekads)
        found[band] = xr.apply_ufunc(
            fill_gaps,
            medians,
            input_core_dims=[["t"]],
            output_core_dims=[["t"]],
            dask="parallelized",
            output_dtypes=[np.float32],
        ).transpose("t", "y", "x")
    return xr.Dataset(found)


def dekad_medians(images: xr.DataArray, dekads: pd.DatetimeIndex) -> xr.DataArray:
    """Medians over the images of each dekad, NaN where it has none: (t, y, x)."""
    labelled = images.chunk(time=-1).assign_coords(t=("time", dekad_of(images["time"].values)))
    return labelled.groupby("t").median("time").reindex(t=dekads).chunk(t=-1)


def radar(task: Task, cropland: xr.DataArray, dekads: pd.DatetimeIndex) -> xr.Dataset:
    """Dekad medians of sigma0, linear power."""
    loaded = odc.stac.load(
        task.items(S1),
        ["vv", "vh"],
        geobox=task.area,
        resampling="bilinear",
        groupby="sat:absolute_orbit",
        chunks=CHUNKS,
    )
    return xr.Dataset(
        {band: dekad_medians(loaded[band.lower()].where(cropland), dekads) for band in ("VV", "VH")}
    )


def main() -> None:
    """Compute and write the cube."""
    task = read_task(__doc__)
    landcover = [i for i in task.items(LANDCOVER, dated=False) if "_2021_" in i.id]
    classes = odc.stac.load(landcover, ["map"], geobox=task.area, resampling="nearest", groupby="id")
    cropland = (classes["map"] == CROPLAND).any("time")
    dem = odc.stac.load(
        task.items(DEM, dated=False), ["data"], geobox=task.area, resampling="bilinear", groupby="solar_day"
    )["data"].isel(time=0, drop=True)
    dekads = dekad_starts(task.first, task.last)
    cube = xr.merge([optical(task, cropland, dekads), radar(task, cropland, dekads)], compat="override")
    cube["DEM"], cube["CROPLAND"] = dem, cropland.astype(np.uint8)
    with dask.config.set(scheduler="threads", num_workers=task.threads):
        write(cube.drop_vars("spatial_ref", errors="ignore"), task.out)


if __name__ == "__main__":
    main()
