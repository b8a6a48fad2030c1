"""The workflow's process graphs: portable to the openEO federation, and the same for sampling and maps."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import geopandas as gpd
import pytest
import shapely

from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.croptype import workflow
from acreage.croptype.sampling import sampling_graph
from acreage.croptype.workflow import (
    COUNT_BANDS,
    MAP_BANDS,
    CubeSettings,
    map_cube,
    map_grid,
    preprocess,
    to_graph,
    udf_source,
)
from acreage.engine.parser import parse_graph

SETTINGS = CubeSettings(s1_properties=(("sat:orbit_state", "ascending"),))
AREA = Box(map_grid(SETTINGS), 384_000, -310_100, 384_050, -310_040)
SEASON = Season.parse("2019-03-01/2019-10-31")
CONTEXT = {"model": "https://example.org/model.pt", "model_sha256": "0" * 64}
FEDERATION: Mapping[str, list[str]] = json.loads(
    resources.files("acreage.croptype").joinpath("federation_processes.json").read_text("utf-8")
)


def graphs() -> dict[str, dict[str, Any]]:
    given = preprocess(AREA, SEASON, SETTINGS)
    west, south, east, north = AREA.bounds
    parcels = gpd.GeoDataFrame(
        {"sample_id": ["a"]},
        geometry=[shapely.box(west + 50, south + 50, east - 50, north - 50)],
        crs="EPSG:3035",
    )
    return {
        "cube": to_graph(given.cube, "netCDF"),
        "counts": to_graph(given.counts, "netCDF"),
        "map": to_graph(map_cube(AREA, SEASON, SETTINGS, CONTEXT), "GTiff"),
        "sampling": sampling_graph(parcels, SEASON, SETTINGS),
    }


GRAPHS = graphs()


def nodes_in(value: Any) -> Iterator[dict[str, Any]]:
    """All nodes of a graph, those of callbacks at any depth too."""
    if isinstance(value, dict):
        if isinstance(value.get("process_id"), str):
            yield value
        for inner in value.values():
            yield from nodes_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes_in(inner)


def calls(name: str, process_id: str) -> list[dict[str, Any]]:
    return [n for n in nodes_in(GRAPHS[name]) if n["process_id"] == process_id]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_process_and_parameter_is_the_federations(name: str) -> None:
    found = list(nodes_in(GRAPHS[name]))
    assert len(found) > 15
    for node in found:
        assert node["process_id"] in FEDERATION
        unknown = set(node["arguments"]) - set(FEDERATION[node["process_id"]])
        assert not unknown, f"{node['process_id']}: {unknown}"
        assert node.get("namespace") is None


def test_the_list_of_the_federation_is_one_of_ids_and_parameter_names() -> None:
    assert len(FEDERATION) > 100
    assert "filter_band" not in FEDERATION
    assert set(FEDERATION["to_scl_dilation_mask"]) >= {"data", "kernel1_size", "kernel2_size"}
    for names in FEDERATION.values():
        assert all(isinstance(n, str) for n in names)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", GRAPHS)
def test_our_own_engine_takes_the_graph(name: str) -> None:
    assert parse_graph(GRAPHS[name]).nodes


@pytest.mark.parametrize("function", ["preprocess", "map_cube"])
def test_the_functions_that_build_the_graphs_stay_short(function: str) -> None:
    tree = ast.parse(inspect.getsource(workflow))
    (found,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    assert found.end_lineno is not None
    assert found.end_lineno - found.lineno + 1 <= 60


COMMON = (
    "load_collection",
    "resample_spatial",
    "to_scl_dilation_mask",
    "aggregate_temporal_period",
    "sar_backscatter",
    "array_interpolate_linear",
)


def test_sampling_and_maps_read_the_very_same_cube() -> None:
    def series(name: str) -> list[dict[str, Any]]:
        """The load and resample calls without their areas."""
        found = []
        for process in COMMON:
            for node in calls(name, process):
                arguments = {
                    k: v for k, v in node["arguments"].items() if k not in ("spatial_extent", "data")
                }
                found.append({"process_id": process, **arguments})
        return sorted(found, key=lambda n: json.dumps(n, sort_keys=True))

    def distinct(name: str) -> list[str]:
        return sorted({json.dumps(n, sort_keys=True) for n in series(name)})

    assert distinct("sampling") == distinct("map")


def test_the_season_is_half_open_and_holds_its_last_day() -> None:
    for node in calls("map", "load_collection"):
        extent = node["arguments"]["temporal_extent"]
        if node["arguments"]["id"] in ("SENTINEL2_L2A", "SENTINEL1_GRD"):
            assert extent == ["2019-03-01", "2019-11-01"]
        else:
            assert extent is None


def test_the_buffer_is_loaded_and_the_map_is_cut_to_its_area() -> None:
    west, south, east, north = AREA.bounds
    for node in calls("map", "load_collection"):
        extent = node["arguments"]["spatial_extent"]
        assert (extent["west"], extent["south"]) == (west - SETTINGS.buffer, south - SETTINGS.buffer)
        assert (extent["east"], extent["north"]) == (east + SETTINGS.buffer, north + SETTINGS.buffer)
        assert extent["crs"] == 3035
    (crop,) = calls("map", "filter_bbox")
    assert [crop["arguments"]["extent"][k] for k in ("west", "south", "east", "north")] == [
        west,
        south,
        east,
        north,
    ]


def test_settings_reach_the_graph() -> None:
    s1 = [n for n in calls("map", "load_collection") if n["arguments"]["id"] == "SENTINEL1_GRD"]
    for node in s1:
        condition = node["arguments"]["properties"]["sat:orbit_state"]
        (eq,) = nodes_in(condition)
        assert eq["arguments"]["y"] == "ascending"
    other = CubeSettings(crs=32631, resolution=20.0, cropland_codes=(40, 30), buffer=0.0)
    area = Box(map_grid(other), 25_000, -280_000, 25_010, -279_990)
    graph = to_graph(preprocess(area, SEASON, other).cube, "netCDF")
    for node in nodes_in(graph):
        if node["process_id"] == "resample_spatial":
            assert (node["arguments"]["projection"], node["arguments"]["resolution"]) == (32631, 20.0)
    codes = {n["arguments"]["y"] for n in nodes_in(graph) if n["process_id"] == "eq"}
    assert codes == {40, 30}


def test_the_model_travels_as_context_and_the_udf_as_its_source() -> None:
    (udf,) = calls("map", "run_udf")
    assert udf["arguments"]["udf"] == udf_source()
    assert udf["arguments"]["runtime"] == "Python"
    (apply,) = [
        n for n in calls("map", "apply_dimension") if n["arguments"].get("target_dimension") == "bands"
    ]
    context = udf["arguments"].get("context") or apply["arguments"].get("context")
    assert context == CONTEXT
    assert "import acreage" not in udf_source()
    assert "from acreage" not in udf_source()


def test_the_map_has_its_classes_confidence_and_counts() -> None:
    assert MAP_BANDS[-2:] == COUNT_BANDS
    labels = [n["arguments"]["target"] for n in calls("counts", "rename_labels")]
    assert [[name] for name in COUNT_BANDS] == [t for t in labels if t[0] in COUNT_BANDS]


def test_the_same_settings_give_the_same_graph() -> None:
    assert graphs() == GRAPHS
