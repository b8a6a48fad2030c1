"""Tiny static STAC catalogs with Earth Search's asset names, made in a test from arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

CRS = "EPSG:32631"
WEST, NORTH = 500_000.0, 5_600_000.0
S2_ASSETS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B08": "nir", "B8A": "nir08",
    "B11": "swir16", "SCL": "scl",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One asset: values (rows, columns) from a north-west corner, in metres of the item's CRS."""

    values: NDArray[Any]
    resolution: float = 10.0
    west: float = WEST
    north: float = NORTH
    nodata: float | None = 0

    @property
    def transform(self) -> Affine:
        return Affine(self.resolution, 0, self.west, 0, -self.resolution, self.north)


@dataclass
class TinyArchive:
    """A catalog under construction; `write` gives the path of its catalog.json."""

    folder: Path
    items: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(
        self,
        collection: str,
        name: str,
        moment: str,
        layers: Mapping[str, Layer],
        *,
        crs: str = CRS,
        **properties: Any,
    ) -> Path:
        """An item with its files, the assets by name; returns the item's folder."""
        home = self.folder / collection / name
        home.mkdir(parents=True)
        assets: dict[str, Any] = {}
        for asset, layer in layers.items():
            write_layer(home / f"{asset}.tif", layer, crs)
            assets[asset] = {
                "href": f"./{asset}.tif",
                "proj:shape": list(layer.values.shape),
                "proj:transform": list(layer.transform)[:6],
                "raster:bands": [{"data_type": str(layer.values.dtype), "nodata": layer.nodata}],
            }
        outline = _outline(crs, next(iter(layers.values())))
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "collection": collection,
            "geometry": shapely.geometry.mapping(outline),
            "bbox": list(outline.bounds),
            "properties": {"datetime": moment, "proj:code": crs, **properties},
            "assets": assets,
            "links": [],
        }
        self.items.setdefault(collection, []).append(item)
        return home

    def s2(
        self, name: str, day: str, bands: Mapping[str, Layer], *, crs: str = CRS, **properties: Any
    ) -> Path:
        """A Sentinel-2 item, its bands by openEO name; its offset is stated to be applied."""
        stated = {
            "platform": "sentinel-2a",
            "grid:code": "MGRS-31UES",
            "s2:datatake_id": f"GS2A_{day.replace('-', '')}T105621_019308_N02.07",
            "earthsearch:boa_offset_applied": True,
        }
        layers = {S2_ASSETS[b]: layer for b, layer in bands.items()}
        return self.add(
            "sentinel-2-l2a", name, f"{day}T10:56:21Z", layers, crs=crs, **{**stated, **properties}
        )

    def write(self) -> Path:
        """The catalog, its collections and items as JSON files."""
        links = []
        for collection, items in self.items.items():
            boxes = np.array([i["bbox"] for i in items])
            moments = sorted(i["properties"]["datetime"] for i in items)
            for item in items:
                path = self.folder / collection / item["id"] / f"{item['id']}.json"
                path.write_text(json.dumps(item))
            bbox = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
            document = {
                "type": "Collection",
                "id": collection,
                "stac_version": "1.1.0",
                "description": "made by a test",
                "license": "other",
                "extent": {
                    "spatial": {"bbox": [bbox]},
                    "temporal": {"interval": [[moments[0], moments[-1]]]},
                },
                "links": [{"rel": "item", "href": f"./{i['id']}/{i['id']}.json"} for i in items],
            }
            (self.folder / collection / "collection.json").write_text(json.dumps(document))
            links.append({"rel": "child", "href": f"./{collection}/collection.json"})
        root = {
            "type": "Catalog",
            "id": "tiny",
            "stac_version": "1.1.0",
            "description": "tiny",
            "links": links,
        }
        path = self.folder / "catalog.json"
        path.write_text(json.dumps(root))
        return path


def write_layer(path: Path, layer: Layer, crs: str = CRS) -> None:
    """A tiled GeoTIFF of one band."""
    rows, columns = layer.values.shape
    with rasterio.open(
        path, "w", "GTiff", columns, rows, 1, crs, layer.transform, layer.values.dtype, nodata=layer.nodata,
        tiled=True, blockxsize=32, blockysize=32, compress="deflate",
    ) as file:  # fmt: skip
        file.write(layer.values, 1)


def _outline(crs: str, layer: Layer) -> shapely.Polygon:
    forward = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    rows, columns = layer.values.shape
    east, south = layer.west + columns * layer.resolution, layer.north - rows * layer.resolution
    xs, ys = [layer.west, east, east, layer.west], [layer.north, layer.north, south, south]
    return shapely.Polygon(list(zip(*forward(xs, ys), strict=True)))


def extent(columns: int, rows: int, west: float = WEST, north: float = NORTH) -> dict[str, Any]:
    """A spatial_extent of so many 10 m pixels from the corner, in the archive's CRS."""
    return {
        "west": west,
        "east": west + 10 * columns,
        "north": north,
        "south": north - 10 * rows,
        "crs": 32631,
    }


def load(
    bands: list[str] | None = None,
    area: Mapping[str, Any] | None = None,
    days: list[str] | None = None,
    collection: str = "SENTINEL2_L2A",
) -> dict[str, Any]:
    """A load_collection node."""
    arguments: dict[str, Any] = {"id": collection, "spatial_extent": area, "temporal_extent": days}
    if bands is not None:
        arguments["bands"] = bands
    return {"process_id": "load_collection", "arguments": arguments}


def node(process_id: str, **arguments: Any) -> dict[str, Any]:
    """A node of a process graph; a string argument that begins with `@` refers to a node."""
    return {"process_id": process_id, "arguments": {k: _reference(v) for k, v in arguments.items()}}


def _reference(value: Any) -> Any:
    return {"from_node": value[1:]} if isinstance(value, str) and value.startswith("@") else value


def chain(first: dict[str, Any], *steps: dict[str, Any]) -> dict[str, Any]:
    """A graph of nodes that each take the one before as `data`: n0, n1, ...; the last is the result."""
    nodes = {"n0": first}
    for number, step in enumerate(steps, 1):
        step = {**step, "arguments": {"data": {"from_node": f"n{number - 1}"}, **step["arguments"]}}
        nodes[f"n{number}"] = step
    nodes[f"n{len(steps)}"]["result"] = True
    return nodes
