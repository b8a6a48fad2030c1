"""Small made-up items and catalogs for the tests of the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from acreage.catalog.stac import StacItem, parse_item

WORLD = (-180.0, -90.0, 180.0, 90.0)
BBOX = [4.0, 50.0, 4.2, 50.2]


def stac_item(identifier: str, **changes: Any) -> dict[str, Any]:
    """A Sentinel-2 item at a made-up address; changes go into its properties, but for fields of the item."""
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": "sentinel-2-l2a",
        "bbox": list(BBOX),
        "geometry": None,
        "properties": {
            "datetime": "2022-06-01T10:50:22Z",
            "platform": "sentinel-2a",
            "grid:code": "MGRS-31UES",
            "s2:processing_baseline": "04.00",
            "proj:code": "EPSG:32631",
        },
        "assets": {
            "blue": {
                "href": "https://example.com/blue.tif",
                "proj:shape": [100, 100],
                "proj:transform": [10, 0, 500000, 0, -10, 5600000],
                "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}],
            }
        },
        "links": [],
    }
    for key, value in changes.items():
        if key in item:
            item[key] = value
        else:
            item["properties"][key] = value
    return item


def parsed(identifier: str, **changes: Any) -> StacItem:
    """The same, read."""
    return parse_item(stac_item(identifier, **changes), f"/catalog/{identifier}.json")


def write_catalog(
    folder: Path, items: Sequence[Mapping[str, Any]], collection: str = "sentinel-2-l2a"
) -> Path:
    """A static catalog of one collection; returns its catalog.json."""
    home = folder / collection
    home.mkdir(parents=True)
    links = []
    for number, item in enumerate(items):
        (home / f"{number}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{number}.json"})
    (home / "collection.json").write_text(
        json.dumps({"type": "Collection", "id": collection, "stac_version": "1.1.0", "links": links})
    )
    root = folder / "catalog.json"
    child = {"rel": "child", "href": f"./{collection}/collection.json"}
    root.write_text(json.dumps({"type": "Catalog", "id": "test", "stac_version": "1.1.0", "links": [child]}))
    return root


def write_raster(
    path: Path,
    crs: str = "EPSG:32631",
    transform: Affine | None = None,
    shape: tuple[int, int] = (16, 16),
    dtype: str = "uint16",
    nodata: float | None = 0,
    bands: int = 1,
) -> Path:
    """A GeoTIFF of ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = transform or Affine(10, 0, 500000, 0, -10, 5600000)
    with rasterio.open(
        path, "w", "GTiff", shape[1], shape[0], bands, crs, place, dtype, nodata=nodata
    ) as file:
        file.write(np.ones((bands, *shape), dtype))
    return path
