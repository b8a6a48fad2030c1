"""The real site read by a few lines of NumPy and rasterio, and the graphs that the engine runs on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from numpy.typing import NDArray

Array = NDArray[Any]
Json = Any

MONTH = ["2019-06-01", "2019-07-01"]
SEASON = ["2019-03-01", "2019-11-01"]
FIRST, LAST = date(2019, 3, 1), date(2019, 10, 31)
ASSETS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
BANDS = tuple(ASSETS)
CLOUDS = (3, 8, 9, 10, 11)


@dataclass(frozen=True)
class Observations:
    """Every Sentinel-2 date of the season, in time order.

    Attributes:
        days: their dates.
        bands: per date and band name the digital numbers as in the file, 0 is null.
        scl: per date the scene classification as in the file.
        transforms: of the files, by band name and `SCL`.
    """

    days: tuple[date, ...]
    bands: tuple[dict[str, Array], ...]
    scl: tuple[Array, ...]
    transforms: dict[str, Affine]


def read_observations(site: Path) -> Observations:
    """All dates of the season; nothing of the package is used."""
    found = []
    transforms: dict[str, Affine] = {}
    for path in sorted((site / "sentinel-2-l2a").glob("*/*.json")):
        day = date.fromisoformat(json.loads(path.read_text())["properties"]["datetime"][:10])
        if not FIRST <= day <= LAST:
            continue
        bands = {}
        for band, asset in {**ASSETS, "SCL": "scl"}.items():
            with rasterio.open(path.parent / f"{asset}.tif") as file:
                bands[band] = file.read(1)
                transforms[band] = file.transform
        found.append((day, bands))
    found.sort(key=lambda f: f[0])
    scl = tuple(b.pop("SCL") for _, b in found)
    return Observations(tuple(d for d, _ in found), tuple(b for _, b in found), scl, transforms)


def to_10m(values: Array) -> Array:
    """Each 20 m pixel as the four 10 m pixels in it; 10 m bands as they are."""
    return values if values.shape == (64, 64) else values.repeat(2, 0).repeat(2, 1)


def dekad_of(day: date) -> tuple[int, int]:
    """(month, 0-2) of a day: days 1-10, 11-20 and the rest of the month."""
    return day.month, min((day.day - 1) // 10, 2)


DEKADS = tuple((month, part) for month in range(3, 11) for part in range(3))


def node(process_id: str, **arguments: Json) -> dict[str, Json]:
    """One node of a graph."""
    return {"process_id": process_id, "arguments": arguments}


def reducer(process_id: str) -> Json:
    """A callback of one process on `data`."""
    return {"process_graph": {"r": {**node(process_id, data={"from_parameter": "data"}), "result": True}}}


def from_node(key: str) -> Json:
    """A reference."""
    return {"from_node": key}


def cloud_callback() -> Json:
    """True where SCL is one of the cloud classes."""
    nodes: dict[str, Json] = {}
    previous = ""
    for code in CLOUDS:
        nodes[f"is{code}"] = node("eq", x={"from_parameter": "x"}, y=code)
        if previous:
            nodes[f"or{code}"] = node("or", x=from_node(previous), y=from_node(f"is{code}"))
        previous = f"or{code}" if previous else f"is{code}"
    nodes[previous]["result"] = True
    return {"process_graph": nodes}


def composite_graph(*, interpolate: bool, season: list[str] = SEASON) -> dict[str, Json]:
    """Dekad medians in the site's own grid, clouds masked without dilation, all ten bands."""
    load = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": season}
    graph = {
        "s2": node("load_collection", **load, bands=list(BANDS)),
        "scl": node("load_collection", **load, bands=["SCL"]),
        "fine": node("resample_cube_spatial", data=from_node("scl"), target=from_node("s2"), method="near"),
        "flat": node("drop_dimension", data=from_node("fine"), name="bands"),
        "cloud": node("apply", data=from_node("flat"), process=cloud_callback()),
        "clear": node("mask", data=from_node("s2"), mask=from_node("cloud")),
        "result": node(
            "aggregate_temporal_period", data=from_node("clear"), period="dekad", reducer=reducer("median")
        ),
    }
    if interpolate:
        graph["filled"] = node(
            "apply_dimension",
            data=from_node("result"),
            dimension="t",
            process=reducer("array_interpolate_linear"),
        )
    graph["filled" if interpolate else "result"]["result"] = True
    return graph


def warp_graph(method: str, season: list[str] = SEASON) -> dict[str, Json]:
    """All bands of the season on the European grid at 10 m."""
    load = node(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=None,
        temporal_extent=season,
        bands=list(BANDS),
    )
    warp = node("resample_spatial", data=from_node("s2"), resolution=10, projection=3035, method=method)
    return {"s2": load, "warped": {**warp, "result": True}}
