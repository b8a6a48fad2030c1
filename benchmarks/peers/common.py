"""What the peers share: the command line, items of a static catalog, loading, masks, dekads and gaps.

Nothing here is taken from the engine. Sentinel-2 items are in Earth Search's form: where the offset of
processing baseline 04.00 is still in the pixels, 1000 is subtracted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pystac
import xarray as xr
from numba import guvectorize
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds
from shapely.geometry import box

from acreage.bench.scene_mask import REACH, cloud_mask

S2, S1, DEM, LANDCOVER = "sentinel-2-l2a", "sentinel-1-sigma0", "cop-dem-glo-30", "esa-worldcover"
S2_ASSETS = {
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
}
S1_ASSETS = {"VV": "vv", "VH": "vh"}
CROPLAND = 40
# Lazy cubes, a date a chunk. The dilation of the cloud mask takes whole images.
CHUNKS = {"time": 1, "x": 1000, "y": 1000}
WHOLE_IMAGES = {"time": 1, "x": -1, "y": -1}


@dataclass(frozen=True)
class Task:
    """What is to be computed.

    Attributes:
        catalog: a static STAC catalog in Earth Search's form.
        graph: the preprocessing as an openEO process graph, a JSON file; for those that run it as it is.
        area: the pixels, EPSG:3035, 10 m.
        first, last: days, both included.
        out: netCDF file to write.
        threads: that may be used.
    """

    catalog: Path
    graph: Path | None
    area: GeoBox
    first: date
    last: date
    out: Path
    threads: int

    def items(self, collection: str, *, dated: bool = True) -> list[pystac.Item]:
        """Items of the area and, if `dated`, of the season, oldest first; of two processings the last."""
        child = pystac.Catalog.from_file(str(self.catalog)).get_child(collection)
        assert child is not None, collection
        place = box(*transform_bounds(self.area.crs, "EPSG:4326", *self.area.boundingbox))
        found: dict[tuple[str, ...], pystac.Item] = {}
        for item in sorted(child.get_items(recursive=True), key=lambda i: (_sequence(i), i.id)):
            day = item.datetime.date() if item.datetime is not None else self.first
            if (dated and not self.first <= day <= self.last) or not box(*item.bbox).intersects(place):
                continue
            item.make_asset_hrefs_absolute()
            granule = item.properties.get("grid:code")
            found[(item.id,) if granule is None or not dated else (granule, str(day))] = item
        return sorted(found.values(), key=lambda i: (str(i.properties["datetime"]), i.id))


def _sequence(item: pystac.Item) -> int:
    return int(item.properties.get("s2:sequence", 0))


def read_task(description: str | None, arguments: Sequence[str] | None = None) -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--graph", type=Path, help="the preprocessing as an openEO process graph")
    parser.add_argument("--bounds", required=True, help="west,south,east,north in metres of EPSG:3035")
    parser.add_argument("--season", required=True, help="first/last day, both included")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    bounds = tuple(float(v) for v in given.bounds.split(","))
    first, last = (date.fromisoformat(v) for v in given.season.split("/"))
    area = GeoBox.from_bbox(bounds, "EPSG:3035", resolution=10)
    return Task(given.catalog, given.graph, area, first, last, given.out, given.threads)


def load(
    items: Iterable[pystac.Item],
    assets: Mapping[str, str],
    area: GeoBox,
    *,
    resampling: str = "bilinear",
    groupby: str = "solar_day",
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Images on the pixels of an area by odc-stac, (time, y, x): a variable a name, each of an asset.

    With `chunks` they are loaded when they are needed.
    """
    import odc.stac

    loaded = odc.stac.load(
        items, list(assets.values()), geobox=area, resampling=resampling, groupby=groupby, chunks=chunks
    )
    return loaded.rename({asset: name for name, asset in assets.items() if asset != name})


def clear_pixels(
    items: Iterable[pystac.Item], area: GeoBox, chunks: Mapping[str, int] | None = None
) -> xr.DataArray:
    """True where the classification leaves a pixel, (time, y, x); of what is around the area as well."""
    wide = area.pad(REACH)
    scl = load(items, {"scl": "scl"}, wide, resampling="nearest", chunks=chunks)["scl"]
    inner = slice(REACH, -REACH)
    return ~masked(scl).isel(y=inner, x=inner)


def masked(scl: xr.DataArray) -> xr.DataArray:
    """The dilated cloud mask of classes whose last axes are y and x, whole images, of the same shape."""

    def each(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(-1, *images.shape[-2:])
        return np.stack([cloud_mask(image) for image in flat]).reshape(images.shape)

    return xr.apply_ufunc(each, scl, dask="parallelized", output_dtypes=[bool])


def reflectances(
    items: Sequence[pystac.Item],
    area: GeoBox,
    kept: xr.DataArray | bool = True,
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Kept numbers of Sentinel-2 without offset, float32, NaN elsewhere: a variable a band, (time, y, x)."""
    loaded = load(items, S2_ASSETS, area, chunks=chunks)
    offsets = xr.DataArray([np.float32(offset_of(of_day)) for of_day in by_day(items).values()], dims="time")
    return loaded.map(lambda n: (n + offsets).astype(np.float32).where(kept & (n != 0)), keep_attrs=False)


def backscatter(
    items: Iterable[pystac.Item], area: GeoBox, chunks: Mapping[str, int] | None = None
) -> xr.Dataset:
    """Sigma0 in linear power, an image an orbit: a variable a polarisation, (time, y, x)."""
    return load(items, S1_ASSETS, area, groupby="sat:absolute_orbit", chunks=chunks)


def cropland(task: Task) -> xr.DataArray:
    """True where the land cover of 2021 is cropland, (y, x)."""
    items = [i for i in task.items(LANDCOVER, dated=False) if "_2021_" in i.id]
    classes = load(items, {"map": "map"}, task.area, resampling="nearest", groupby="id")["map"]
    return (classes == CROPLAND).any("time")


def elevation(task: Task) -> xr.DataArray:
    """Metres, (y, x)."""
    items = task.items(DEM, dated=False)
    return load(items, {"data": "data"}, task.area)["data"].isel(time=0, drop=True)


def by_day(items: Iterable[pystac.Item]) -> dict[str, list[pystac.Item]]:
    """Items of each day, in the order of the days."""
    found: dict[str, list[pystac.Item]] = {}
    for item in items:
        assert item.datetime is not None, item.id
        found.setdefault(str(item.datetime.date()), []).append(item)
    return dict(sorted(found.items()))


def offset_of(items: Iterable[pystac.Item]) -> int:
    """What to add to the valid digital numbers of the items of one date."""
    found = {
        -1000
        if float(i.properties["s2:processing_baseline"]) >= 4.0
        and not i.properties["earthsearch:boa_offset_applied"]
        else 0
        for i in items
    }
    assert len(found) == 1, "items of one date of two kinds are loaded one by one"
    return found.pop()


def dekad_starts(first: date, last: date) -> pd.DatetimeIndex:
    """First days of the dekads from the first day to the last: the 1st, 11th and 21st of a month."""
    days = pd.date_range(first.replace(day=1), last)
    starts = days[days.day.isin((1, 11, 21))]
    inside = starts.searchsorted(pd.Timestamp(first), "right") - 1
    return starts[max(int(inside), 0) :]


def dekad_of(times: np.ndarray) -> pd.DatetimeIndex:
    """The first day of the dekad of each time."""
    stamps = pd.DatetimeIndex(times)
    days = np.where(stamps.day > 20, 21, np.where(stamps.day > 10, 11, 1))
    return pd.to_datetime({"year": stamps.year, "month": stamps.month, "day": days}).pipe(pd.DatetimeIndex)


@guvectorize(["(float32[:], float32[:])"], "(n)->(n)", nopython=True, cache=True)
def fill_gaps(series: np.ndarray, filled: np.ndarray) -> None:
    """Linear interpolation of inner gaps along the last axis; ends stay NaN."""
    last = -1
    for n in range(series.shape[0]):
        filled[n] = series[n]
        if not np.isnan(series[n]):
            if last >= 0:
                step = (series[n] - series[last]) / (n - last)
                for m in range(last + 1, n):
                    filled[m] = series[last] + step * (m - last)
            last = n


def write(cube: xr.Dataset, out: Path) -> None:
    """Uncompressed netCDF."""
    cube.to_netcdf(out, engine="netcdf4", encoding={name: {"zlib": False} for name in cube.data_vars})
