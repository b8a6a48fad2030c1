"""The static STAC 1.1 catalog of a simulated scene, with the asset names of Earth Search v1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import shapely

from acreage.core.grid import Box, transformer
from acreage.simulate.settings import SceneSettings

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
DESCRIPTIONS: Mapping[str, str] = {
    "sentinel-2-l2a": "SIMULATED Sentinel-2 L2A: reflectance x 10000, nodata 0, with scene classification",
    "sentinel-1-sigma0": "SIMULATED Sentinel-1 IW: sigma0, linear power, VV and VH, nodata NaN",
    "cop-dem-glo-30": "SIMULATED elevation in metres",
    "esa-worldcover": "SIMULATED land cover in WorldCover's codes: 10 trees, 30 grass, 40 cropland, 50 built",
}


@dataclass(frozen=True)
class AssetFacts:
    """An asset `./<name>.tif`: its pixels, data type and nodata value, and the scale of its values if any."""

    name: str
    box: Box
    data_type: str
    nodata: int | str | None
    scale: float | None = None


@dataclass(frozen=True)
class ItemFacts:
    """An item of a simulated collection; `moment` is UTC."""

    collection: str
    id: str
    moment: datetime
    assets: tuple[AssetFacts, ...]
    properties: Mapping[str, Any]


def write_catalog(folder: Path, settings: SceneSettings, items: Sequence[ItemFacts]) -> None:
    """Write `catalog.json`, a collection for each collection id and their items, all links relative."""
    root = pystac.Catalog(
        "simulated-scene", f"SIMULATED scene of {settings.size_km:g} km, seed {settings.seed}"
    )
    for name, description in DESCRIPTIONS.items():
        members = sorted((i for i in items if i.collection == name), key=lambda i: i.id)
        if members:
            collection = _collection(name, description, members)
            root.add_child(collection)
            collection.add_items([_item(member) for member in members])
    # Without the slash pystac takes a folder with a dot in its name for a file, and writes beside it.
    root.normalize_hrefs(f"{folder.as_posix()}/")
    root.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)


def _collection(name: str, description: str, items: Sequence[ItemFacts]) -> pystac.Collection:
    outlines = shapely.union_all([_outline(i.assets[0].box) for i in items])
    moments = sorted(i.moment for i in items)
    return pystac.Collection(
        id=name,
        description=description,
        extent=pystac.Extent(
            pystac.SpatialExtent([list(outlines.bounds)]),
            pystac.TemporalExtent([[moments[0], moments[-1]]]),
        ),
        license="other",
    )


def _item(facts: ItemFacts) -> pystac.Item:
    outline = _outline(facts.assets[0].box)
    item = pystac.Item(
        id=facts.id,
        geometry=shapely.geometry.mapping(outline),
        bbox=list(outline.bounds),
        datetime=facts.moment,
        properties={
            "proj:code": facts.assets[0].box.grid.crs,
            "acreage:simulated": True,
            **facts.properties,
        },
        stac_extensions=[PROJECTION],
    )
    for asset in facts.assets:
        item.add_asset(asset.name, _asset(asset))
    return item


def _asset(facts: AssetFacts) -> pystac.Asset:
    fields: dict[str, Any] = {
        "proj:shape": list(facts.box.shape),
        "proj:transform": [float(v) for v in tuple(facts.box.affine)[:6]],
    }
    band: dict[str, Any] = {"data_type": facts.data_type}
    if facts.nodata is not None:
        band["nodata"] = facts.nodata
    if facts.scale is not None:
        band |= {"scale": facts.scale, "offset": 0}
    return pystac.Asset(
        f"./{facts.name}.tif",
        media_type=COG,
        roles=["data"],
        extra_fields={**fields, "raster:bands": [band]},
    )


def _outline(box: Box) -> shapely.Polygon:
    """Corners in longitude and latitude."""
    west, south, east, north = box.bounds
    forward = transformer(box.grid.crs, "EPSG:4326").transform
    lon, lat = forward([west, east, east, west], [south, south, north, north])
    return shapely.Polygon(list(zip(lon, lat, strict=True)))
