"""Jobs as the API tells them: metadata, results as a STAC collection."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from typing import Any

from acreage.backend.database.tables import JobRow
from acreage.backend.jobs.logs import timestamp

_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".tiff": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".nc": "application/netcdf",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".png": "image/png",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".log": "text/plain",
}
_PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_WORLD = [-180.0, -90.0, 180.0, 90.0]


def media_type(name: str) -> str:
    """Of a file, by its name."""
    suffix = "." + name.rpartition(".")[2].lower()
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def summary(job: JobRow) -> dict[str, Any]:
    """What a list of jobs shows."""
    found: dict[str, Any] = {
        "id": job.id,
        "status": job.status,
        "created": timestamp(job.created),
        "updated": timestamp(job.updated),
    }
    if job.status in ("running", "finished", "error", "canceled"):
        found["progress"] = job.progress
    for name in ("title", "description", "plan", "costs", "budget"):
        if getattr(job, name) is not None:
            found[name] = getattr(job, name)
    return found


def details(job: JobRow) -> dict[str, Any]:
    """All that is known of a job."""
    found = {**summary(job), "process": job.process, "log_level": job.log_level}
    if job.usage is not None:
        found["usage"] = usage_document(job)
    if job.estimate is not None:
        found["estimate"] = job.estimate
    for name, value in (job.options or {}).items():
        found.setdefault(name, value)
    return found


def usage_document(job: JobRow) -> dict[str, Any]:
    """What a job used, in the API's form."""
    usage = job.usage or {}
    found: dict[str, Any] = {}
    if "cpu_seconds" in usage:
        found["cpu"] = {"value": round(usage["cpu_seconds"], 3), "unit": "cpu-seconds"}
    if "peak_memory" in usage and "seconds" in usage:
        value = usage["peak_memory"] / 1e6 * usage["seconds"]
        found["memory"] = {"value": round(value, 3), "unit": "mb-seconds"}
        found["max_memory"] = {"value": round(usage["peak_memory"] / 1e6, 1), "unit": "mb"}
    if "seconds" in usage:
        found["duration"] = {"value": round(usage["seconds"], 3), "unit": "seconds"}
    if "source_pixels" in usage:
        found["input_pixel"] = {"value": round(usage["source_pixels"] / 1e6, 6), "unit": "mega-pixel"}
    for name in ("items_read", "items_skipped", "items_failed"):
        if name in usage:
            found[name] = {"value": usage[name], "unit": "items"}
    return found


def results_document(
    job: JobRow, result: Mapping[str, Any], href: Callable[[str], str], links: list[dict[str, Any]]
) -> dict[str, Any]:
    """The results of a job as a STAC collection with its files as assets.

    Args:
        job: that has results.
        result: files and what is known of them, as the job's process wrote it.
        href: the address of a file.
        links: of the document.
    """
    about = result.get("about", {})
    bbox = about.get("bbox") or _WORLD
    interval = about.get("interval") or [None, None]
    files = result.get("files", [])
    document: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [_PROJECTION, _FILE],
        "id": job.id,
        "title": job.title or job.id,
        "description": job.description or "Results of a batch job.",
        "license": "proprietary",
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}},
        "links": [*links, *_further(files, href)],
        # Clients take what is here for the result, so that other files are links.
        "assets": {f["name"]: _asset(f, href(f["name"]), about) for f in files if _is_data(f)},
        "openeo:status": job.status,
    }
    if "dimensions" in about:
        document["stac_extensions"].append("https://stac-extensions.github.io/datacube/v2.2.0/schema.json")
        document["cube:dimensions"] = about["dimensions"]
    return document


def _is_data(file: Mapping[str, Any]) -> bool:
    return "data" in file.get("roles", ["data"])


def _further(files: list[Mapping[str, Any]], href: Callable[[str], str]) -> list[dict[str, Any]]:
    """Links to files that are told of the result, as the account of its inputs."""
    return [
        {"rel": "describedby", "href": href(f["name"]), "type": f.get("type"), "title": f["name"]}
        for f in files
        if not _is_data(f)
    ]


def _asset(file: Mapping[str, Any], href: str, about: Mapping[str, Any]) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": href,
        "type": file.get("type") or media_type(file["name"]),
        "title": file["name"],
        "roles": list(file.get("roles", ["data"])),
    }
    if "size" in file:
        asset["file:size"] = file["size"]
    if "checksum" in file:
        asset["file:checksum"] = file["checksum"]
    for name in ("proj:epsg", "proj:bbox", "proj:shape"):
        if about.get(name) is not None:
            asset[name] = about[name]
    return asset
