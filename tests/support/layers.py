"""Small static catalogs of single-band layers: elevation, land cover and radar in any CRS and pixel shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform_bounds


@dataclass(frozen=True)
class Piece:
    """One item: its assets over one place."""

    name: str
    assets: Mapping[str, NDArray[Any]]
    transform: Affine
    crs: str = "EPSG:4326"
    nodata: float | None = None
    moment: str = "2021-04-22T00:00:00Z"
    properties: Mapping[str, Any] = field(default_factory=dict)
    band_facts: Mapping[str, Any] = field(default_factory=dict)


def write_pieces(
    folder: Path, collections: Mapping[str, Sequence[Piece]], bbox: Sequence[float] | None = None
) -> Path:
    """A static catalog; returns its catalog.json. `bbox`: the extent that all collections state."""
    links = []
    for collection, pieces in collections.items():
        home = folder / collection
        items = [_item(home, collection, piece) for piece in pieces]
        for item in items:
            (home / f"{item['id']}.json").write_text(json.dumps(item))
        boxes = np.array([i["bbox"] for i in items])
        stated = bbox or [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
        moments = sorted(i["properties"].get("datetime") or "2021-01-01T00:00:00Z" for i in items)
        document = {
            "type": "Collection",
            "id": collection,
            "stac_version": "1.0.0",
            "description": "made by a test",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [list(stated)]},
                "temporal": {"interval": [[moments[0], moments[-1]]]},
            },
            "links": [{"rel": "item", "href": f"./{i['id']}.json"} for i in items],
        }
        (home / "collection.json").write_text(json.dumps(document))
        links.append({"rel": "child", "href": f"./{collection}/collection.json"})
    root = folder / "catalog.json"
    root.write_text(
        json.dumps(
            {"type": "Catalog", "id": "layers", "stac_version": "1.0.0", "description": "", "links": links}
        )
    )
    return root


def _item(home: Path, collection: str, piece: Piece) -> dict[str, Any]:
    home.mkdir(parents=True, exist_ok=True)
    assets: dict[str, Any] = {}
    for name, values in piece.assets.items():
        path = home / f"{piece.name}_{name}.tif"
        with rasterio.open(
            path, "w", "GTiff", values.shape[1], values.shape[0], 1, piece.crs, piece.transform, values.dtype,
            nodata=piece.nodata, tiled=True, blockxsize=64, blockysize=64,
        ) as file:  # fmt: skip
            file.write(values, 1)
            bounds = file.bounds
        nodata = {} if piece.nodata is None else {"nodata": _word(piece.nodata)}
        assets[name] = {
            "href": f"./{path.name}",
            "proj:shape": list(values.shape),
            "proj:transform": list(piece.transform)[:6],
            "raster:bands": [{"data_type": str(values.dtype), **nodata, **piece.band_facts}],
        }
    box = transform_bounds(piece.crs, "EPSG:4326", *bounds)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": piece.name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(shapely.box(*box)),
        "bbox": list(box),
        "properties": {
            "datetime": piece.moment,
            "proj:epsg": int(piece.crs.removeprefix("EPSG:")),
            **piece.properties,
        },
        "assets": assets,
        "links": [],
    }


def _word(value: float) -> float | str:
    return "nan" if np.isnan(value) else value


def cut(whole: Piece, rows: Sequence[int], columns: Sequence[int], overlap: int = 0) -> list[Piece]:
    """A piece cut into files at these rows and columns; each file reaches `overlap` pixels further."""
    height, width = next(iter(whole.assets.values())).shape
    tops, lefts = [0, *rows], [0, *columns]
    found = []
    for top, bottom in zip(tops, [*rows, height], strict=True):
        for left, right in zip(lefts, [*columns, width], strict=True):
            low, end = max(top - overlap, 0), min(bottom + overlap, height)
            west, east = max(left - overlap, 0), min(right + overlap, width)
            found.append(
                Piece(
                    f"{whole.name}-{top}-{left}",
                    {n: v[low:end, west:east] for n, v in whole.assets.items()},
                    whole.transform * Affine.translation(west, low),
                    whole.crs,
                    whole.nodata,
                    whole.moment,
                    whole.properties,
                    whole.band_facts,
                )
            )
    return found


def layer_graph(
    collection: str,
    extent: Mapping[str, Any],
    *,
    bands: Sequence[str] | None = None,
    days: Sequence[str] | None = None,
    **resample: Any,
) -> dict[str, Any]:
    """Load a collection, and resample it where arguments of `resample_spatial` are given."""
    arguments = {
        "id": collection,
        "spatial_extent": dict(extent),
        "temporal_extent": None if days is None else list(days),
        "bands": None if bands is None else list(bands),
    }
    graph: dict[str, Any] = {"load": {"process_id": "load_collection", "arguments": arguments}}
    if resample:
        graph["grid"] = {
            "process_id": "resample_spatial",
            "arguments": {"data": {"from_node": "load"}, **resample},
        }
    list(graph.values())[-1]["result"] = True
    return graph


def rectangle(west: float, south: float, east: float, north: float, crs: int = 4326) -> dict[str, Any]:
    """A spatial extent."""
    return {"west": west, "south": south, "east": east, "north": north, "crs": crs}
