"""Graphs whose arguments are of the wrong kind: refused with a message, whatever stands where."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.support.tiny_archive import Layer, TinyArchive, extent, load, node

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.errors import AcreageError, MemoryBudgetExceeded
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan

Json = dict[str, Any]
AREA = extent(20, 20)
PARCELS: Json = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": "a"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[3.001, 50], [3.002, 50], [3.002, 51], [3.001, 50]]],
            },
        }
    ],
}
MEAN = {
    "process_graph": {
        "m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    }
}
THREE = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
OTHERS: tuple[Any, ...] = (
    {"a": 1},
    [],
    [1, "x"],
    3,
    1e308,
    "abc",
    None,
    True,
    {"from_node": "number"},
    {"from_node": "cube"},
    [{"from_node": "cube"}],
    {"from_node": ["x"]},
    {"from_node": "cube", "more": 1},
    {"from_parameter": 5},
    {"process_graph": {}},
    {"process_graph": 5},
    MEAN,
    THREE,
)


def graph() -> Json:
    """Loads, vectors, labels, callbacks and an output; `number` and `cube` are there to be referred to."""
    cube = {"from_node": "cube"}
    return {
        "cube": load(["B04", "B08"], AREA, ["2019-03-01", "2019-04-01"]),
        "number": node("add", x=1, y=2),
        "bands": node("filter_bands", data=cube, bands=["B04"]),
        "renamed": node(
            "rename_labels", data=cube, dimension="bands", target=["a", "b"], source=["B04", "B08"]
        ),
        "mean": node("reduce_dimension", data={"from_node": "renamed"}, dimension="t", reducer=MEAN),
        "coarse": node("resample_spatial", data={"from_node": "mean"}, resolution=20, method="average"),
        "back": node(
            "resample_cube_spatial", data={"from_node": "coarse"}, target={"from_node": "mean"}, method="near"
        ),
        "both": node("merge_cubes", cube1={"from_node": "back"}, cube2={"from_node": "bands"}),
        "parcels": node("aggregate_spatial", data=cube, geometries=PARCELS, reducer=MEAN),
        "saved": node("save_result", data={"from_node": "parcels"}, format="JSON", options={}),
        "result": {
            **node("save_result", data={"from_node": "both"}, format="netCDF", options={}),
            "result": True,
        },
    }


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    archive = TinyArchive(tmp_path_factory.mktemp("archive"))
    red = Layer(np.full((20, 20), 500, np.uint16))
    archive.s2("s2", "2019-03-05", {"B04": red, "B08": red})
    return open_catalog(archive.write())


def plan(document: Json, catalog: Catalog) -> None:
    make_plan(parse_graph(document), catalog, Budget(3_000_000_000, 1))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from places(part, (*at, key))


def changed(document: Json, place: tuple[Any, ...], value: Any) -> Json:
    new = copy.deepcopy(document)
    inner: Any = new
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return new


def test_the_graph_itself_is_sound(catalog: Catalog) -> None:
    plan(graph(), catalog)


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_any_value_in_any_place_is_planned_or_refused_in_words(other: Any, catalog: Catalog) -> None:
    refused = 0
    for place in places(graph()):
        try:
            plan(changed(graph(), place, other), catalog)
        except AcreageError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("place", "other", "words"),
    [
        (("bands", "arguments", "data"), {"a": 1}, "'data' of process 'filter_bands' takes a data cube"),
        (("bands", "arguments", "data"), {"from_node": "number"}, "takes a data cube, not 3"),
        (("bands", "arguments", "bands"), {"from_node": "cube"}, "takes no data cube"),
        (("bands", "arguments", "bands"), [{"from_node": "cube"}], "no data cube inside lists"),
        (("renamed", "arguments", "target"), {"from_node": "number"}, "value 3 does not suit"),
        (("renamed", "arguments", "target"), THREE, "takes no process graph"),
        (("saved", "arguments", "format"), {"from_node": "number"}, "value 3 does not suit"),
        (("parcels", "arguments", "geometries", "features", 0, "properties"), 5, "properties of Feature 0"),
    ],
)
def test_the_refusal_names_the_parameter(
    place: tuple[Any, ...], other: Any, words: str, catalog: Catalog
) -> None:
    with pytest.raises(AcreageError, match=words):
        plan(changed(graph(), place, other), catalog)


def test_bands_that_another_node_computes_are_loaded(catalog: Catalog) -> None:
    document = graph()
    document["names"] = node("array_create", data=["B04"])
    plan(changed(document, ("bands", "arguments", "bands"), {"from_node": "names"}), catalog)
    plan(
        changed(document, ("cube", "arguments", "bands"), {"from_node": "both_names"})
        | {"both_names": node("array_create", data=["B04", "B08"])},
        catalog,
    )


def test_a_resolution_that_gives_endless_windows_is_refused_at_once(catalog: Catalog) -> None:
    fine = node("resample_spatial", data={"from_node": "cube"}, resolution=1e-5)
    with pytest.raises(MemoryBudgetExceeded, match="more than 1,000,000 windows"):
        plan({"cube": graph()["cube"], "fine": {**fine, "result": True}}, catalog)
