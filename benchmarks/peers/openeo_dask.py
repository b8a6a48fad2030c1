"""The preprocessing of a tile by openeo-processes-dask: its processes run the product's own process graph.

    .venv/bin/python benchmarks/peers/openeo_dask.py --catalog catalog.json --graph graph.json \
        --bounds W,S,E,N --season 2019-03-01/2019-10-31 --out cube.nc --threads 2

The graph is driven by openeo-pg-parser-networkx. The package leaves loading and saving to its caller and has
no dilated cloud mask; those are here. What it has but cannot do on this graph is done another way, and `WHY`
says what it says. Elevation and cropland are written once, without dates.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBAGG_CACHE", "1")  # Dask's median is compiled by numbagg, else in every process

import numpy as np
import openeo_processes_dask.process_implementations as processes
import pandas as pd
import xarray as xr
from openeo_pg_parser_networkx import OpenEOProcessGraph, ProcessRegistry
from openeo_pg_parser_networkx.process_registry import Process
from openeo_processes_dask.process_implementations.core import process

import dask

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.peers.common import (
    CHUNKS,
    DEM,
    LANDCOVER,
    S1,
    S2,
    WHOLE_IMAGES,
    Task,
    backscatter,
    dekad_starts,
    fill_gaps,
    load,
    masked,
    read_task,
    reflectances,
    write,
)

from acreage.bench.scene_mask import REACH

# Of the release 2026.9.1.
WHY = {
    "resample_spatial": "by it each collection has its own extent, and merge_cubes refuses cubes that "
    "overlap in more than one dimension: loading puts images on the map's pixels, as odc-stac can",
    "aggregate_temporal_period": "of dates of one month it gives as many labels as it has no intervals for, "
    "and a first date on the 10th, 20th or 30th falls before the first dekad: its aggregate_temporal is "
    "given the dekads",
    "array_interpolate_linear": "refuses cubes of more than 50 million numbers: gaps are filled by the "
    "loop that the other peers use",
    "apply_dimension": "loses the labels of the dates: its rename_labels puts them back",
    "merge_cubes": "wants an overlap resolver for a cube without dates: that is written beside the others",
}


class Caller:
    """What the package leaves to who calls it, and the ways around what it cannot do.

    Each method is the openEO process of its name.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.dekads = dekad_starts(task.first, task.last)
        self.undated: list[xr.DataArray] = []

    def registry(self) -> ProcessRegistry:
        """The package's processes, and the methods of this class in place of those of their names."""
        found = ProcessRegistry(wrap_funcs=[process])
        for name, function in inspect.getmembers(processes, inspect.isfunction):
            found[name] = Process(spec={}, implementation=function)
        for name in (*WHY, "load_collection", "to_scl_dilation_mask", "sar_backscatter", "save_result"):
            found[name] = Process(spec={}, implementation=getattr(self, name))
        return found

    def load_collection(self, id: str, bands: list[str], **extents: Any) -> xr.DataArray:  # noqa: A002
        """A lazy cube (t, bands, y, x) on the pixels of the map: of the area alone, which spares the buffer.

        Classes have the surroundings that their dilation needs.
        """
        task = self.task
        if bands == ["SCL"]:
            wide = task.area.pad(REACH)
            found = load(task.items(S2), {"SCL": "scl"}, wide, resampling="nearest", chunks=WHOLE_IMAGES)
        elif id.startswith("SENTINEL2"):
            found = reflectances(task.items(S2), task.area, chunks=CHUNKS)
        elif id.startswith("SENTINEL1"):
            found = backscatter(task.items(S1), task.area, CHUNKS)
        elif bands == ["MAP"]:
            items = [i for i in task.items(LANDCOVER, dated=False) if "_2021_" in i.id]
            found = load(items, {"MAP": "map"}, task.area, resampling="nearest", chunks=CHUNKS)
        else:
            found = load(task.items(DEM, dated=False), {"DEM": "data"}, task.area, chunks=CHUNKS)
        cube = found[bands].to_dataarray(dim="bands").rename(time="t").transpose("t", "bands", "y", "x")
        return cube.rio.write_crs(str(task.area.crs))

    def to_scl_dilation_mask(self, data: xr.DataArray, **parameters: Any) -> xr.DataArray:
        """The mask of the area; its parameters are those that the peers' mask has built in."""
        inner = slice(REACH, -REACH)
        return masked(data).isel(y=inner, x=inner)

    def sar_backscatter(self, data: xr.DataArray, **parameters: Any) -> xr.DataArray:
        """Nothing: the archive has sigma0."""
        return data

    def resample_spatial(self, data: xr.DataArray, **parameters: Any) -> xr.DataArray:
        """Nothing: the cube was loaded so."""
        return data

    def aggregate_temporal_period(
        self, data: xr.DataArray, reducer: Callable[..., Any], **parameters: Any
    ) -> xr.DataArray:
        """The package's aggregation over the dekads as intervals."""
        ends = [*self.dekads[1:], pd.Timestamp(self.task.last + timedelta(days=1))]
        intervals = [[str(a.date()), str(b.date())] for a, b in zip(self.dekads, ends, strict=True)]
        labels = [first for first, _ in intervals]
        return processes.aggregate_temporal(
            data=data.chunk(t=-1), intervals=intervals, reducer=reducer, labels=labels
        )

    def apply_dimension(self, data: xr.DataArray, dimension: str, **parameters: Any) -> xr.DataArray:
        """The package's, with the labels as before."""
        done = processes.apply_dimension(data=data, dimension=dimension, **parameters)
        return processes.rename_labels(done, dimension, list(data[dimension].values))

    def array_interpolate_linear(self, data: Any) -> Any:
        """Fill gaps along the last axis of a Dask array."""
        series = data.astype(np.float32).rechunk({data.ndim - 1: -1})
        return series.map_blocks(fill_gaps, dtype=np.float32)

    def merge_cubes(self, cube1: xr.DataArray, cube2: xr.DataArray) -> xr.DataArray:
        """The package's for cubes with dates; one without is kept for the file."""
        if "t" in cube2.dims:
            return processes.merge_cubes(cube1, cube2)
        self.undated.append(cube2)
        return cube1

    def save_result(self, data: xr.DataArray, **parameters: Any) -> bool:
        """Compute and write the bands, those without dates as well."""
        dated = data.astype(np.float32).assign_coords(t=pd.DatetimeIndex(data["t"].values))
        found = dated.to_dataset("bands")
        for cube in self.undated:
            found = found.assign({str(name): image for name, image in cube.to_dataset("bands").items()})
        found["CROPLAND"] = found["CROPLAND"].astype(np.uint8)
        for image in (found, *found.values()):
            image.attrs.clear()
        write(found.drop_vars("spatial_ref", errors="ignore"), self.task.out)
        return True


def main() -> None:
    """Run the graph."""
    task = read_task(__doc__)
    assert task.graph is not None, "--graph is needed"
    warnings.filterwarnings("ignore", message="All-NaN slice")
    graph = OpenEOProcessGraph.from_file(task.graph)
    run = graph.to_callable(Caller(task).registry())
    with dask.config.set(scheduler="threads", num_workers=task.threads):
        run()


if __name__ == "__main__":
    main()
