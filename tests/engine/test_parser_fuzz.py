"""Any JSON document gives a graph or a `ProcessGraphError`, never another exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiny_archive import chain, load, node

from acreage.core.errors import ProcessGraphError
from acreage.engine.graph import Graph
from acreage.engine.parser import parse_graph

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 300), st.floats(allow_nan=False), st.text(max_size=6)
)
NAMES = st.sampled_from(
    ["a", "b", "data", "x", "y", "process", "process_graph", "process_id", "arguments", "parameters", "name",
     "default", "from_node", "from_parameter", "result", "reducer", "dimension", "condition"]
)  # fmt: skip
IDS = st.sampled_from(
    ["load_collection", "filter_bands", "apply", "reduce_dimension", "mask", "add", "if", "mean", "run_udf",
     "merge_cubes", "array_apply", "save_result", "none_such", ""]
)  # fmt: skip
JSON = st.recursive(
    SCALARS | st.sampled_from([{"from_node": "a"}, {"from_parameter": "x"}, {"from_parameter": "data"}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def nodes(inner: Any) -> Any:
    call = st.fixed_dictionaries(
        {"process_id": IDS, "arguments": st.dictionaries(NAMES, inner, max_size=4)},
        optional={"result": st.booleans()},
    )
    return st.dictionaries(st.sampled_from("abc"), call, min_size=1, max_size=3)


GRAPHS = nodes(JSON | nodes(JSON).map(lambda g: {"process_graph": g}))
DOCUMENTS = st.one_of(
    JSON,
    GRAPHS,
    st.fixed_dictionaries({"process_graph": GRAPHS}, optional={"parameters": JSON}),
    st.fixed_dictionaries({"process": st.fixed_dictionaries({"process_graph": GRAPHS})}),
)

EXAMPLE = {
    "process_graph": chain(
        load(["B04", "B08"], {"west": 3, "south": 50, "east": 4, "north": 51}, ["2019-03-01", "2019-04-01"]),
        node("filter_temporal", extent=["2019-03-01", {"from_parameter": "end"}]),
        {
            "process_id": "reduce_dimension",
            "arguments": {
                "dimension": "t",
                "reducer": {
                    "process_graph": {
                        "m": {**node("median", data={"from_parameter": "data"}), "result": True},
                    }
                },
            },
        },
        node("save_result", format="GTiff"),
    ),
    "parameters": [{"name": "end", "default": "2019-04-01"}],
}


def check(document: Any) -> None:
    problem = None
    try:
        graph = parse_graph(document)
    except ProcessGraphError as error:
        problem = error
    if problem is None:
        assert isinstance(graph, Graph)
    else:
        assert problem.message


@settings(max_examples=300)
@given(DOCUMENTS)
def test_any_document_gives_a_graph_or_a_process_graph_error(document: Any) -> None:
    check(document)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*at, index))
    return found


PLACES = paths(EXAMPLE)[1:]


@settings(max_examples=300)
@given(st.sampled_from(PLACES), JSON)
def test_a_good_graph_with_one_place_changed_gives_a_graph_or_a_process_graph_error(
    place: tuple[Any, ...], value: Any
) -> None:
    document = json.loads(json.dumps(EXAMPLE))
    owner = document
    for step in place[:-1]:
        owner = owner[step]
    owner[place[-1]] = value
    check(document)


def test_a_good_graph_with_one_place_left_out_gives_a_graph_or_a_process_graph_error() -> None:
    graphs = 0
    for place in PLACES:
        document = json.loads(json.dumps(EXAMPLE))
        owner = document
        for step in place[:-1]:
            owner = owner[step]
        del owner[place[-1]]
        check(document)
        graphs += 1
    assert graphs > 30


def test_the_example_itself_is_a_graph() -> None:
    assert len(parse_graph(EXAMPLE).nodes) == 4
