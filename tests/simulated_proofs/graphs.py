"""Process graphs on a simulated archive, and what the engine makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.engine_runs import run_cubes

from acreage.catalog import open_catalog
from acreage.core.cube import Cube
from acreage.simulate.archive import Archive

Graph = dict[str, Any]


def observations(
    archive: Archive,
    bands: list[str],
    method: str = "near",
    collection: str = "SENTINEL2_L2A",
    **filters: Any,
) -> Graph:
    """Every observation of the archive's area on its 10 m grid in EPSG:3035."""
    west, south, east, north = archive.settings.area
    start, end = archive.settings.season.interval
    arguments: dict[str, Any] = {
        "id": collection,
        "spatial_extent": {"west": west, "south": south, "east": east, "north": north, "crs": 3035},
        "temporal_extent": [str(start.astype("datetime64[D]")), str(end.astype("datetime64[D]"))],
        "bands": bands,
    }
    if filters:
        arguments["properties"] = {name: _condition(*rule) for name, rule in filters["properties"].items()}
    return {
        "load": {"process_id": "load_collection", "arguments": arguments},
        "grid": {
            "process_id": "resample_spatial",
            "arguments": {
                "data": {"from_node": "load"},
                "resolution": 10,
                "projection": 3035,
                "method": method,
            },
        },
    }


def _condition(process_id: str, value: Any) -> Mapping[str, Any]:
    arguments = {"x": {"from_parameter": "value"}, "y": value}
    return {"process_graph": {"test": {"process_id": process_id, "arguments": arguments, "result": True}}}


def then(graph: Graph, key: str, process_id: str, /, **arguments: Any) -> Graph:
    """The graph with one more process, which takes the last one's result as `data`."""
    last = list(graph)[-1]
    node = {"process_id": process_id, "arguments": {"data": {"from_node": last}, **arguments}}
    return {**graph, key: node}


def result(graph: Graph, archive: Archive, tolerance: int = 0) -> Cube:
    """The cube of the last node."""
    last = list(graph)[-1]
    ended = {**graph, last: {**graph[last], "result": True}}
    (cube,) = run_cubes(ended, open_catalog(str(archive.catalog)), tolerance=tolerance).values()
    return cube
