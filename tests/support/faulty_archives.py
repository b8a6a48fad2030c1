"""Simulated archives to put faults into: what is asked of them, and copies whose products can be broken."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
from numpy.typing import NDArray

from acreage.core.grid import Box, Grid
from acreage.core.temporal import Season
from acreage.simulate.archive import open_archive
from acreage.simulate.publish.rasters import write_sparse
from acreage.simulate.settings import ArchiveSettings

Json = dict[str, Any]
Array = NDArray[Any]
MAY = Season(date(2019, 5, 1), date(2019, 5, 31))


def _settings(**rest: Any) -> ArchiveSettings:
    # On 6 degrees east: two granules in two UTM zones, two elevation tiles and two land cover tiles.
    common = {"season": MAY, "margin_m": 200.0, "reprocessed_every": 0, "s2_every": 2, "s1_every": 2}
    return ArchiveSettings.around((6.0, 50.75), 1.2, **common, **rest)


SETTINGS: Mapping[str, ArchiveSettings] = {
    "earth-search": _settings(),
    "planetary-computer": _settings(form="planetary-computer", sensors=("sentinel-2", "sentinel-1")),
    "cdse": _settings(form="cdse", sensors=("sentinel-1",)),
}


@dataclass(frozen=True)
class Subject:
    """What a job reads, and the band whose file is broken.

    Attributes:
        collection: openEO id.
        source: collection in the archive.
        band: openEO band name.
        asset: its key in the items.
        graph: the process graph over an area (EPSG:3035).
    """

    collection: str
    source: str
    band: str
    asset: str
    graph: Callable[[tuple[float, float, float, float]], Json]


# --- process graphs ---


def _load(collection: str, area: tuple[float, ...], bands: list[str], dated: bool = True) -> Json:
    west, south, east, north = area
    start, end = MAY.interval
    days = [str(start.astype("datetime64[D]")), str(end.astype("datetime64[D]"))]
    arguments = {
        "id": collection,
        "spatial_extent": {"west": west, "south": south, "east": east, "north": north, "crs": 3035},
        "temporal_extent": days if dated else None,
        "bands": bands,
    }
    return {"process_id": "load_collection", "arguments": arguments}


def _node(process_id: str, source: str, **arguments: Any) -> Json:
    return {"process_id": process_id, "arguments": {"data": {"from_node": source}, **arguments}}


def _on_grid(source: str, method: str) -> Json:
    return _node("resample_spatial", source, resolution=10, projection=3035, method=method)


def _reducer(process_id: str) -> Json:
    data = {"from_parameter": "data"}
    return {"process_graph": {"r": {"process_id": process_id, "arguments": {"data": data}, "result": True}}}


def _dekads(source: str) -> Json:
    composed = _node("aggregate_temporal_period", source, period="dekad", reducer=_reducer("median"))
    return {**composed, "result": True}


def optical(area: tuple[float, float, float, float]) -> Json:
    """Dekad composites of Sentinel-2 without clouds and what lies around them."""
    clear = {"mask1_values": [0, 2, 4, 5, 6, 7], "kernel1_size": 3, "kernel2_size": 9}
    return {
        "bands": _load("SENTINEL2_L2A", area, ["B02", "B04", "B08"]),
        "classes": _load("SENTINEL2_L2A", area, ["SCL"]),
        "grid": _on_grid("bands", "bilinear"),
        "scl": _on_grid("classes", "near"),
        "clouds": _node("to_scl_dilation_mask", "scl", erosion_kernel_size=3, **clear),
        "flat": _node("drop_dimension", "clouds", name="bands"),
        "masked": _node("mask", "grid", mask={"from_node": "flat"}),
        "dekads": _dekads("masked"),
    }


def _radar(collection: str) -> Callable[[tuple[float, float, float, float]], Json]:
    """Dekad composites of Sentinel-1."""

    def graph(area: tuple[float, float, float, float]) -> Json:
        loaded = _load(collection, area, ["VV", "VH"])
        return {"load": loaded, "grid": _on_grid("load", "bilinear"), "dekads": _dekads("grid")}

    return graph


def _layer(collection: str, band: str, method: str) -> Callable[[tuple[float, float, float, float]], Json]:
    """A layer without time."""

    def graph(area: tuple[float, float, float, float]) -> Json:
        first = _node("reduce_dimension", "grid", dimension="t", reducer=_reducer("first"))
        loaded = _load(collection, area, [band], dated=False)
        return {"load": loaded, "grid": _on_grid("load", method), "layer": {**first, "result": True}}

    return graph


S2, S1 = "SENTINEL2_L2A", "SENTINEL1_GRD"
WORLDCOVER = "ESA_WORLDCOVER_10M_2021_V2"
OPTICAL = Subject(S2, "sentinel-2-l2a", "B04", "red", optical)
OPTICAL_PC = Subject(S2, "sentinel-2-l2a", "B04", "B04", optical)
RADAR = Subject(S1, "sentinel-1-sigma0", "VV", "vv", _radar(S1))
RADAR_DB = Subject(S1, "sentinel-1-sigma0-db", "VV", "vv", _radar(S1))
RADAR_RTC = Subject(S1, "sentinel-1-rtc", "VV", "vv", _radar(S1))
STACKED = Subject("STACKED_RADAR", "sentinel-1-sigma0", "VH", "both", _radar("STACKED_RADAR"))
ELEVATION = Subject(
    "COPERNICUS_30", "cop-dem-glo-30", "DEM", "data", _layer("COPERNICUS_30", "DEM", "bilinear")
)
LANDCOVER = Subject(WORLDCOVER, "esa-worldcover", "MAP", "map", _layer(WORLDCOVER, "MAP", "near"))


# --- archives and products ---


@dataclass(frozen=True)
class Source:
    """An archive without faults.

    Attributes:
        folder: of the archive.
        catalog: the file in it that is opened.
    """

    folder: Path
    catalog: str = "catalog.json"

    @property
    def area(self) -> tuple[float, float, float, float]:
        return open_archive(self.folder).settings.area

    def items(self, subject: Subject) -> dict[str, Json]:
        paths = sorted((self.folder / subject.source).glob("*/*.json"))
        return {path.parent.name: json.loads(path.read_text("utf-8")) for path in paths}


Suits = Callable[[Json], bool]


def product_of(source: Source, subject: Subject, suits: Suits, *, clear: bool = True) -> str:
    """The product to be broken: the one with most to see, or (S2) with least vegetation; by id if equal.

    Of Sentinel-2 it is one of granule 31UGS, which comes first where several granules have a pixel.
    """
    found = {}
    for name, item in source.items(subject).items():
        if not suits(item) or (subject.collection == S2 and "31UGS" not in name):
            continue
        asset = next(item["assets"][key] for key in ("SCL", "scl", subject.asset) if key in item["assets"])
        with rasterio.open(source.folder / subject.source / name / asset["href"]) as file:
            values = file.read(1) if file.width < 30_000 else np.zeros(1)
        seen = values == 4 if subject.collection == S2 else np.isfinite(values) & (values > -32000)
        found[name] = int(seen.sum())
    return max(found, key=lambda n: (found[n] if clear else -found[n], n))


def stacked(source: Source, folder: Path) -> Source:
    """An archive whose radar products hold both bands in one file, with its own catalog configuration."""
    copy_archive(source.folder, folder, keep=("sentinel-1-sigma0",))
    result = Source(folder, "stacked.yaml")
    for name in result.items(STACKED):
        product = Product(folder, STACKED, name)
        both = []
        for key in ("vv", "vh"):
            with rasterio.open(product.home / f"{key}.tif") as file:
                both.append(file.read(1))
                profile = file.profile
        with rasterio.open(product.home / "both.tif", "w", **{**profile, "count": 2}) as file:
            file.write(np.stack(both))
        product.change(_one_asset)
    definition = {
        "id": "STACKED_RADAR",
        "title": "Radar, two bands a file",
        "description": "Simulated.",
        "sources": [{"ids": ["sentinel-1-sigma0"]}],
        "mosaic": "absolute-orbit",
        "mosaic_reference": "VV",
        "license": "other",
        "defaults": {"dtype": "float32", "nodata": None, "gsd": 20, "assets": ["both"]},
        "bands": [{"name": "VV", "band_index": 1}, {"name": "VH", "band_index": 2}],
    }
    (folder / "definition.yaml").write_text(json.dumps(definition), "utf-8")
    entry = {"catalog": "catalog.json", "source": "sentinel-1-sigma0", "definition": "definition.yaml"}
    (folder / result.catalog).write_text(json.dumps({"collections": {"STACKED_RADAR": entry}}), "utf-8")
    return result


def _one_asset(item: Json) -> None:
    asset = {**item["assets"]["vv"], "href": "./both.tif"}
    asset["raster:bands"] = asset["raster:bands"] * 2
    item["assets"] = {"both": asset}


def copy_archive(source: Path, folder: Path, keep: tuple[str, ...] = ()) -> None:
    """Collections (all, or some) as hard links; documents as copies, which may be changed."""

    def place(old: str, new: str) -> None:
        if old.endswith((".json", ".yaml")):
            shutil.copyfile(old, new)
        else:
            os.link(old, new)

    def left_out(at: str, names: list[str]) -> list[str]:
        is_collection = [(Path(at) / n / "collection.json").exists() for n in names]
        return [n for n, yes in zip(names, is_collection, strict=True) if yes and keep and n not in keep]

    shutil.copytree(source, folder, copy_function=place, ignore=left_out)
    if keep:
        root = json.loads((folder / "catalog.json").read_text("utf-8"))
        root["links"] = [
            link for link in root["links"] if link["rel"] != "child" or link["href"].split("/")[1] in keep
        ]
        (folder / "catalog.json").write_text(json.dumps(root), "utf-8")


@dataclass(frozen=True)
class Product:
    """One product of a copy; its files are its own, so that they can be broken."""

    archive: Path
    subject: Subject
    name: str

    @property
    def collection(self) -> Path:
        return self.archive / self.subject.source

    @property
    def home(self) -> Path:
        return self.collection / self.name

    @property
    def document(self) -> Path:
        return self.home / f"{self.name}.json"

    @property
    def file(self) -> Path:
        return self.file_of(self.subject.asset)

    def file_of(self, asset: str) -> Path:
        item = json.loads(self.document.read_text("utf-8"))
        return (self.home / str(item["assets"][asset]["href"])).resolve()

    def own(self) -> Product:
        """Replace links by files of its own."""
        for path in self.home.rglob("*.tif"):
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        return self

    def change(self, edit: Callable[[Json], None]) -> None:
        """Edit the item's document."""
        item = json.loads(self.document.read_text("utf-8"))
        edit(item)
        self.document.write_text(json.dumps(item), "utf-8")

    def relink(self, edit: Callable[[list[Json]], list[Json]]) -> None:
        """Edit the collection's links."""
        path = self.collection / "collection.json"
        stac = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**stac, "links": edit(stac["links"])}), "utf-8")

    def remove(self) -> None:
        """Take the product out of the archive."""
        shutil.rmtree(self.home)
        self.relink(lambda links: [link for link in links if f"/{self.name}/" not in link["href"]])

    def pixels(self, edit: Callable[[Array], Array], assets: tuple[str, ...] = (), **profile: Any) -> None:
        """Write files anew with other pixels, and other metadata where given."""
        for path in [self.file_of(a) for a in assets or (self.subject.asset,)]:
            with rasterio.open(path) as file:
                values, given = edit(file.read()), file.profile
            given.update(profile, dtype=values.dtype, count=len(values))
            path.unlink()
            with rasterio.open(path, "w", **given) as file:
                file.write(values)

    def fill(self, area: tuple[float, float, float, float], value: float, nodata: float | None) -> None:
        """Write a large sparse tile anew that holds one value over the area."""
        with rasterio.open(self.file) as file:
            grid = Grid.of_transform(file.crs.to_string(), file.transform)
            tile = grid.box_of_transform(file.transform, file.width, file.height)
            dtype = file.dtypes[0]
        part = _degrees(area, tile)
        self.file.unlink()
        parts = {part: np.full(part.shape, value, dtype)}
        write_sparse(self.file, tile, parts, nodata, codes=True, point=nodata is None)


def _degrees(area: tuple[float, float, float, float], tile: Box) -> Box:
    bounds = rasterio.warp.transform_bounds("EPSG:3035", "EPSG:4326", *area, densify_pts=21)
    margin = 0.02
    west, south, east, north = bounds
    around = (west - margin, south - margin, east + margin, north + margin)
    return tile.grid.box_covering(*around).intersect(tile)
