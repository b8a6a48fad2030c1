"""Folders: STAC documents wherever they lie in one, or bare GeoTIFFs by a naming convention.

Bare GeoTIFFs lie as `FOLDER/COLLECTION/ITEM/BAND.tif`. The name of the item's folder holds its date, as
`20190801` or `20190801T105022` (UTC) or a year alone; static collections such as elevation need none. The
file's stem is the asset key.
Grid and footprint are read from the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapely.geometry import box as to_box
from shapely.geometry import mapping

from acreage.catalog.fetch import Fetcher
from acreage.catalog.headers import Header, Unreadable, read_header
from acreage.catalog.sources import UNDATED, Document
from acreage.catalog.stac import Json
from acreage.catalog.static import StaticCollection, StaticSource, group_documents, open_static
from acreage.core.errors import CatalogError, InvalidInput
from acreage.core.grid import Grid, transformer

_RASTERS = (".tif", ".tiff")
_DATE = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2}))?(?!\d)")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d{2})(?!\d)")


def open_folder(folder: Path, fetcher: Fetcher) -> StaticSource:
    """Open a folder: its catalog.json or collection.json, else the STAC documents in it, else bare GeoTIFFs.

    Raises:
        CatalogError: it holds nothing of these.
    """
    for name in ("catalog.json", "collection.json"):
        path = folder / name
        if path.is_file():
            return open_static(str(path), fetcher.read_json(str(path)), fetcher)
    source = _stac_documents(folder, fetcher) or _bare_rasters(folder, fetcher)
    if source is None:
        raise CatalogError(
            f"{folder} holds neither STAC documents nor GeoTIFFs as COLLECTION/ITEM/BAND.tif.",
            hint="Give a folder with a catalog.json, with STAC items, or laid out so.",
        )
    return source


def _stac_documents(folder: Path, fetcher: Fetcher) -> StaticSource | None:
    """Every STAC item and collection under a folder; other JSON files are none of the catalog's."""
    paths = sorted(str(p) for p in folder.rglob("*") if p.suffix in (".json", ".geojson") and p.is_file())
    items: list[Document] = []
    collections: dict[str, Json] = {}
    broken: list[CatalogError] = []
    for path, data in zip(paths, fetcher.read_many(paths), strict=True):
        if isinstance(data, CatalogError):
            broken.append(data)
        elif data.get("type") == "Collection" and isinstance(data.get("id"), str):
            collections[data["id"]] = data
        elif _is_item(data):
            items.append(Document(path, data))
    if not items and not collections:
        return None
    if broken:
        raise broken[0]
    return StaticSource(str(folder), group_documents(items, collections), fetcher)


def _is_item(data: Json) -> bool:
    """A STAC item or a feature collection of them, told from other GeoJSON by `stac_version` or assets."""
    if data.get("type") == "FeatureCollection" and isinstance(data.get("features"), list):
        return any(isinstance(f, Mapping) and _is_item(f) for f in data["features"])
    return data.get("type") == "Feature" and ("stac_version" in data or "assets" in data)


def _bare_rasters(folder: Path, fetcher: Fetcher) -> StaticSource | None:
    by_item: dict[Path, list[Path]] = {}
    for path in sorted(folder.glob("*/*/*")):
        if path.suffix.lower() in _RASTERS and path.is_file():
            by_item.setdefault(path.parent, []).append(path)
    collections: dict[str, StaticCollection] = {}
    for place, paths in by_item.items():
        identifier = place.parent.name
        home = collections.setdefault(identifier, StaticCollection({"type": "Collection", "id": identifier}))
        home.documents.append(Document(str(place / "item"), _item_of_rasters(place, paths)))
    return StaticSource(str(folder), collections, fetcher) if collections else None


def _item_of_rasters(place: Path, paths: list[Path]) -> Json | CatalogError:
    """A STAC item for the files of one folder, or why there is none."""
    boxes = []
    for path in paths:
        header = read_header(str(path))
        if isinstance(header, Unreadable):
            return CatalogError(f"{path} cannot be opened: {header.reason}.")
        try:
            boxes.append(_lonlat(header))
        except InvalidInput as error:
            return CatalogError(f"{path}: {error}")
    west, south, east, north = zip(*boxes, strict=True)
    bbox = [min(west), min(south), max(east), max(north)]
    return {
        "type": "Feature",
        "id": place.name,
        "collection": place.parent.name,
        "bbox": bbox,
        "geometry": mapping(to_box(*bbox)),
        "properties": _dates_of(place.name),
        "assets": {path.stem: {"href": str(path), "roles": ["data"]} for path in paths},
        "links": [{"rel": "self", "href": str(place)}],
    }


def _lonlat(header: Header) -> tuple[float, float, float, float]:
    if header.crs is None:
        raise InvalidInput("the file has no coordinate reference system.")
    grid = Grid.of_transform(header.crs, header.transform)
    bounds = grid.box_of_transform(header.transform, header.shape[1], header.shape[0]).bounds
    west, south, east, north = transformer(grid.crs, "EPSG:4326").transform_bounds(*bounds, densify_pts=21)
    return (west, south, east, north)


def _dates_of(name: str) -> dict[str, Any]:
    """Date properties from an item's name; an item without any is marked and holds for all times."""
    match = _DATE.search(name)
    if match is not None:
        year, month, day, *clock = match.groups()
        return {"datetime": f"{year}-{month}-{day}T{':'.join(part or '00' for part in clock)}Z"}
    match = _YEAR.search(name)
    if match is not None:
        start, end = f"{match[1]}-01-01T00:00:00Z", f"{match[1]}-12-31T23:59:59Z"
        return {"datetime": None, "start_datetime": start, "end_datetime": end}
    always = {"start_datetime": "0001-01-01T00:00:00Z", "end_datetime": "9999-12-30T00:00:00Z"}
    return {"datetime": None, **always, UNDATED: True}
