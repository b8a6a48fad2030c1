"""Files of results as STAC items, so that `load_stac` can load them, here and elsewhere."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.logs import timestamp

_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]


def raster_facts(path: Path) -> dict[str, Any] | None:
    """What an item says of a GeoTIFF: place, bands, date; None where the file is none."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with rasterio.open(path, driver="GTiff") as file:
            epsg = None if file.crs is None else file.crs.to_epsg()
            bands = []
            for name, dtype, null in zip(file.descriptions, file.dtypes, file.nodatavals, strict=True):
                band: dict[str, Any] = (
                    {"data_type": dtype} if name is None else {"name": name, "data_type": dtype}
                )
                if null is not None:
                    band["nodata"] = "nan" if math.isnan(null) else null
                bands.append(band)
            facts = {
                "proj:shape": [file.height, file.width],
                "proj:transform": list(file.transform)[:6],
                "proj:bbox": list(file.bounds),
                "bands": bands,
                "datetime": file.tags().get("datetime"),
            }
            return facts | ({} if epsg is None else {"proj:code": f"EPSG:{epsg}"})
    except RasterioError:
        return None


def item_files(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The files of a result that are items."""
    return [f for f in result.get("files", []) if f.get("raster")]


def item_document(
    job: JobRow, file: Mapping[str, Any], href: str, links: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The STAC item of a file.

    Args:
        job: that has results.
        file: as `item_files` gives it.
        href: of the file.
        links: of the item.
    """
    about, raster = (job.result or {}).get("about", {}), file["raster"]
    bands = raster["bands"]
    # Readers name a single band after its asset.
    key = bands[0].get("name", "data") if len(bands) == 1 else "data"
    asset: dict[str, Any] = {"href": href, "type": file.get("type"), "title": file["name"], "roles": ["data"]}
    asset |= {f"file:{k}": file[k] for k in ("size", "checksum") if k in file}
    bbox = about.get("bbox") or [-180.0, -90.0, 180.0, 90.0]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": _EXTENSIONS,
        "id": file["name"].rpartition(".")[0],
        "collection": job.id,
        "bbox": bbox,
        "geometry": _rectangle(*bbox),
        "properties": {
            **_time(raster, about, job),
            **{k: raster[k] for k in raster if k.startswith("proj:")},
        },
        "links": list(links),
        "assets": {key: {**asset, "bands": bands}},
    }


def _time(raster: Mapping[str, Any], about: Mapping[str, Any], job: JobRow) -> dict[str, Any]:
    date = raster.get("datetime")
    if date:
        return {"datetime": date if "T" in date else f"{date}T00:00:00Z"}
    start, end = about.get("interval") or (None, None)
    if start and end:
        return {"datetime": None, "start_datetime": start, "end_datetime": end}
    return {"datetime": timestamp(job.updated)}


def _rectangle(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def local_items(job: JobRow, place: JobFolder, stored: Callable[[str], str] | None = None) -> Path:
    """The items of a job with the places of its files, for jobs of this server.

    Args:
        job: that is finished.
        place: its folder.
        stored: the signed address of a file that does not lie there.

    Raises:
        OSError: the disk refuses.
    """
    path = place.attempt_path / "items.json"
    if stored is not None or not path.exists():
        result = job.result or {}

        def href(file: Mapping[str, Any]) -> str:
            return str(place.results / file["name"]) if stored is None else stored(file["name"])

        def named(file: Mapping[str, Any]) -> list[dict[str, Any]]:
            # What users are told of the item; where it lies is the server's own affair. Where its files are
            # signed for it must be read again.
            return [] if stored is not None else [{"rel": "self", "href": f"job://{job.id}/{file['name']}"}]

        document = {
            "type": "FeatureCollection",
            "features": [item_document(job, f, href(f), named(f)) for f in item_files(result)],
            "cube:dimensions": result.get("about", {}).get("dimensions"),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".items-{secrets.token_hex(8)}.part")
        part.write_text(json.dumps(document), encoding="utf-8")
        part.replace(path)
    return path
