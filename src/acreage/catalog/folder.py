"""Folders: STAC documents wherever they lie in one, or bare GeoTIFFs by a naming convention.

Bare GeoTIFFs lie as `FOLDER/COLLECTION/ITEM/BAND.tif`. The name of the item's folder holds its date, as
`20190801` or `20190801T105022` (UTC) or a year alone; static collections such as elevation need none. The
file's stem is the asset key. Elevation and land cover under the names that they are published with
(`published_names.yaml`) may lie anywhere. Grid and footprint are read from the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from shapely.geometry import box as to_box
from shapely.geometry import mapping

from acreage.catalog.definition import parse_yaml
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
    published = _published(folder)
    items = [(collection, name, {asset: path}) for path, (collection, name, asset) in published.items()]
    by_item: dict[Path, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/*/*")):
        if path.suffix.lower() in _RASTERS and path.is_file() and path not in published:
            by_item.setdefault(path.parent, {})[path.stem] = path
    items += [(place.parent.name, place.name, files) for place, files in by_item.items()]
    collections: dict[str, StaticCollection] = {}
    for collection, name, files in items:
        home = collections.setdefault(collection, StaticCollection({"type": "Collection", "id": collection}))
        place = next(iter(files.values())).parent
        home.documents.append(Document(str(place / name), _item_of_rasters(collection, name, place, files)))
    return StaticSource(str(folder), collections, fetcher) if collections else None


def _published(folder: Path) -> dict[Path, tuple[str, str, str]]:
    """Files under published names: collection, item and asset key of each."""
    found: dict[Path, tuple[str, str, str]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _RASTERS and p.is_file()):
        for pattern, collection, asset in _published_names():
            match = pattern.fullmatch(path.name)
            if match is not None:
                found[path] = (collection, match["item"], asset)
    return found


@cache
def _published_names() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    text = (resources.files("acreage.catalog") / "published_names.yaml").read_text("utf-8")
    return tuple((re.compile(e["pattern"]), e["collection"], e["asset"]) for e in parse_yaml(text))


def _item_of_rasters(
    collection: str, name: str, place: Path, files: Mapping[str, Path]
) -> Json | CatalogError:
    """A STAC item for files by asset key, or why there is none."""
    boxes = []
    for path in files.values():
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
        "id": name,
        "collection": collection,
        "bbox": bbox,
        "geometry": mapping(to_box(*bbox)),
        "properties": _dates_of(name),
        "assets": {key: {"href": str(path), "roles": ["data"]} for key, path in files.items()},
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
