"""What is told of the files that a job wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acreage.backend.jobs.documents import media_type
from acreage.backend.jobs.items import raster_facts
from acreage.core.cube import CubeMeta
from acreage.core.grid import Box, transformer
from acreage.core.temporal import format_instant
from acreage.engine.plan import Plan

_CHUNK = 1 << 20
_SHA2_256 = "1220"  # multihash: the function and the length of its value


def told_of_file(path: Path, roles: Sequence[str]) -> dict[str, Any]:
    """Name, type, size and checksum (multihash) of a file; of a raster also what its item needs."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    raster = raster_facts(path) if "data" in roles else None
    return {
        **({} if raster is None else {"raster": raster}),
        "name": path.name,
        "type": media_type(path.name),
        "size": path.stat().st_size,
        "roles": list(roles),
        "checksum": _SHA2_256 + digest.hexdigest(),
    }


def told_of_outputs(plan: Plan) -> dict[str, Any]:
    """Area, time, CRS and dimensions of the outputs; those of the first one where they differ."""
    metas = [plan.nodes[o.node].meta for o in plan.outputs]
    rasters = [m for m in metas if m.box is not None]
    about: dict[str, Any] = {}
    if rasters:
        box = rasters[0].box
        assert box is not None
        about["bbox"] = _degrees(box)
        epsg = box.grid.crs.rpartition(":")[2]
        if epsg.isdecimal():
            about["proj:epsg"] = int(epsg)
        about["proj:bbox"] = [float(v) for v in box.bounds]
        about["proj:shape"] = list(box.shape)
        about["dimensions"] = _dimensions(rasters[0])
    elif (shapes := next((m.geometries for m in metas if m.geometries is not None), None)) is not None:
        about["bbox"] = _bounds_of(shapes)
    intervals = [i for m in metas if (i := _interval(m)) is not None]
    if intervals:
        about["interval"] = [min(i[0] for i in intervals), max(i[1] for i in intervals)]
    return about


def _degrees(box: Box) -> list[float]:
    west, south, east, north = box.bounds
    if box.grid.crs != "EPSG:4326":
        project = transformer(box.grid.crs, "EPSG:4326")
        west, south, east, north = project.transform_bounds(west, south, east, north, densify_pts=21)
    return [float(v) for v in (west, south, east, north)]


def _bounds_of(shapes: Any) -> list[float]:
    import shapely

    west, south, east, north = shapely.total_bounds(list(shapes.shapes))
    if shapes.crs != "EPSG:4326":
        project = transformer(shapes.crs, "EPSG:4326")
        west, south, east, north = project.transform_bounds(west, south, east, north, densify_pts=21)
    return [float(v) for v in (west, south, east, north)]


def _interval(meta: CubeMeta) -> tuple[str, str] | None:
    dim = next((d for d in meta.dims if d.type == "temporal"), None)
    if dim is None or not dim.labels:
        return None
    import numpy as np

    moments = [v for v in dim.labels if isinstance(v, np.datetime64)]
    return (format_instant(min(moments)), format_instant(max(moments))) if moments else None


def _dimensions(meta: CubeMeta) -> dict[str, Any]:
    assert meta.box is not None
    west, south, east, north = (float(v) for v in meta.box.bounds)
    epsg = meta.grid.crs.rpartition(":")[2]
    reference: Any = int(epsg) if epsg.isdecimal() else meta.grid.crs
    found: dict[str, Any] = {}
    for dim in meta.dims:
        if dim.type == "x":
            about = {"type": "spatial", "axis": "x", "extent": [west, east], "step": float(meta.grid.res_x)}
            found[dim.name] = {**about, "reference_system": reference}
        elif dim.type == "y":
            about = {"type": "spatial", "axis": "y", "extent": [south, north], "step": float(meta.grid.res_y)}
            found[dim.name] = {**about, "reference_system": reference}
        elif dim.type == "temporal":
            interval = _interval(meta)
            found[dim.name] = {"type": "temporal", "extent": list(interval or (None, None))}
        elif dim.type == "bands":
            found[dim.name] = {"type": "bands", "values": [str(v) for v in dim.labels]}
        else:
            found[dim.name] = {"type": dim.type, "values": [str(v) for v in dim.labels]}
    return found
