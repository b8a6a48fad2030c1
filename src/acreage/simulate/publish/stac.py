"""STAC as these catalogs write it: items with what all forms share, collections, and the catalog on disk."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from acreage.core.grid import Box, transformer
from acreage.simulate.publish.products import Published

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
JP2 = "image/jp2"
XML = "application/xml"
Json = dict[str, Any]


def item(
    collection: str,
    name: str,
    footprint: BaseGeometry,
    properties: Mapping[str, Any],
    assets: Mapping[str, Json],
    extensions: Sequence[str],
    version: str = "1.0.0",
) -> Published:
    """An item with its links, which are relative to its place in the catalog."""
    collection_link = {"rel": "collection", "href": "../collection.json", "type": "application/json"}
    return Published(
        collection,
        {
            "type": "Feature",
            "stac_version": version,
            "stac_extensions": [f"https://stac-extensions.github.io/{e}/schema.json" for e in extensions],
            "id": name,
            "geometry": geometry(footprint),
            "bbox": [round(v, 8) for v in footprint.bounds],
            "properties": {**properties, "acreage:simulated": True},
            "links": [
                {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
                collection_link,
                {**collection_link, "rel": "parent"},
            ],
            "assets": dict(assets),
            "collection": collection,
        },
    )


def geometry(shape: BaseGeometry) -> Json:
    """GeoJSON with eight decimals."""
    found: Json = json.loads(shapely.to_geojson(shapely.set_precision(shape, 1e-8)))
    return found


def degrees(shape: BaseGeometry, crs: str) -> BaseGeometry:
    """A geometry of another CRS in longitude and latitude, its corners only."""
    forward = transformer(crs, "EPSG:4326").transform
    found: BaseGeometry = shapely.transform(shape, lambda p: np.column_stack(forward(p[:, 0], p[:, 1])))
    return found


def numbers(values: Sequence[float]) -> list[float]:
    """Whole numbers without a point, as catalogs write them."""
    return [int(v) if float(v).is_integer() else float(v) for v in values]


def grid_fields(box: Box) -> Json:
    """`proj:shape` and `proj:transform` of a file."""
    return {"proj:shape": list(box.shape), "proj:transform": numbers(tuple(box.affine)[:6])}


def write_catalog(
    folder: Path, title: str, published: Sequence[Published], descriptions: Mapping[str, str]
) -> None:
    """Write `catalog.json`, and each collection in its folder with `ITEM/ITEM.json`."""
    members: dict[str, list[Published]] = defaultdict(list)
    for one in published:
        members[one.collection].append(one)
    links = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    for name in sorted(members):
        links.append({"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"})
        _write_collection(folder, name, descriptions[name], sorted(members[name], key=lambda p: p.id))
    catalog = {
        "type": "Catalog",
        "id": "simulated-archive",
        "stac_version": "1.0.0",
        "description": f"SIMULATED: {title}. Nothing in it is real.",
        "links": links,
    }
    _write(folder / "catalog.json", catalog)


def _write_collection(folder: Path, name: str, description: str, items: Sequence[Published]) -> None:
    links = [
        {"rel": "root", "href": "../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
    ]
    moments, boxes = [], []
    for one in items:
        _write(folder / name / one.id / f"{one.id}.json", one.item)
        links.append({"rel": "item", "href": f"./{one.id}/{one.id}.json", "type": "application/geo+json"})
        properties = one.item["properties"]
        moments += [
            m for k in ("datetime", "start_datetime", "end_datetime") if (m := properties.get(k)) is not None
        ]
        boxes.append(one.item["bbox"])
    corners = np.array(boxes)
    extent = [*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist()]
    collection = {
        "type": "Collection",
        "id": name,
        "stac_version": "1.0.0",
        "title": f"SIMULATED {name}",
        "description": f"SIMULATED: {description}",
        "license": "other",
        "extent": {"spatial": {"bbox": [extent]}, "temporal": {"interval": [[min(moments), max(moments)]]}},
        "links": links,
    }
    _write(folder / name / "collection.json", collection)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
