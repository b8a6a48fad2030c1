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
import pandas as pd
import xarray as xr

import dask

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.peers.common import (
    CHUNKS,
    S1,
    S2,
    WHOLE_IMAGES,
    Task,
    backscatter,
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


def optical(task: Task, crops: xr.DataArray, dekads: pd.DatetimeIndex) -> xr.Dataset:
    """Dekad medians with their gaps filled, a variable a band."""
    items = task.items(S2)
    kept = clear_pixels(items, task.area, WHOLE_IMAGES) & crops
    found = {}
    for band, seen in reflectances(items, task.area, kept, CHUNKS).items():
        found[band] = xr.apply_ufunc(
            fill_gaps,
            dekad_medians(seen, dekads),
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


def radar(task: Task, crops: xr.DataArray, dekads: pd.DatetimeIndex) -> xr.Dataset:
    """Dekad medians of sigma0, linear power."""
    loaded = backscatter(task.items(S1), task.area, CHUNKS)
    return xr.Dataset({band: dekad_medians(image.where(crops), dekads) for band, image in loaded.items()})


def main() -> None:
    """Compute and write the cube."""
    task = read_task(__doc__)
    crops, dekads = cropland(task), dekad_starts(task.first, task.last)
    cube = xr.merge([optical(task, crops, dekads), radar(task, crops, dekads)], compat="override")
    cube["DEM"], cube["CROPLAND"] = elevation(task), crops.astype(np.uint8)
    with dask.config.set(scheduler="threads", num_workers=task.threads):
        write(cube.drop_vars("spatial_ref", errors="ignore"), task.out)


if __name__ == "__main__":
    main()
