"""The parser: each node once, scopes, defaults, and all problems listed by the openEO error codes."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from tests.support.tiny_archive import chain, load, node

from acreage.core.errors import (
    InvalidProcessGraph,
    ProcessGraphError,
    ProcessGraphMissing,
    ProcessParameterInvalid,
    ProcessParameterMissing,
    ProcessParameterRequired,
    ProcessUnsupported,
)
from acreage.engine import parser
from acreage.engine.graph import Graph
from acreage.engine.parser import parse_graph
from acreage.processes.callback import Callback, NodeRef, ParameterRef

LOAD = load(["B04", "B08"])


def problems_of(graph: Any, parameters: Any = None) -> list[ProcessGraphError]:
    with pytest.raises(ProcessGraphError) as caught:
        parse_graph(graph, parameters)
    error = caught.value
    return list(error.problems) if isinstance(error, InvalidProcessGraph) else [error]


def the_problem(graph: Any, parameters: Any = None) -> ProcessGraphError:
    (problem,) = problems_of(graph, parameters)
    return problem


def number(process_id: str, **arguments: Any) -> dict[str, Any]:
    """A graph of one node with numbers."""
    return {"only": node(process_id, **arguments)}


def callback_of(graph: Graph, name: str = "process", key: str | None = None) -> Callback:
    found = next(n for n in graph.nodes if (n.key == key if key else name in n.arguments))
    callback = found.arguments[name]
    assert isinstance(callback, Callback)
    return callback


def applying(inner: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return chain(LOAD, {"process_id": "apply", "arguments": {"process": {"process_graph": inner}, **extra}})


# --- order and sharing ---


def test_nodes_come_in_topological_order_whatever_the_order_of_the_document() -> None:
    graph = chain(LOAD, node("filter_bands", bands=["B04"]), node("drop_dimension", name="bands"))
    parsed = parse_graph(dict(reversed(graph.items())))
    assert [n.key for n in parsed.nodes] == ["n0", "n1", "n2"]
    assert parsed.nodes[1].arguments["data"] == NodeRef(0)
    assert parsed.nodes[parsed.result].key == "n2"
    assert parsed.outputs == (2,)


def test_a_chain_of_500_nodes_checks_each_node_once() -> None:
    steps = [node("filter_bands", bands=["B04", "B08"][: 1 + n % 2]) for n in range(500)]
    with mock.patch.object(parser, "_arguments", wraps=parser._arguments) as arguments:
        parsed = parse_graph(chain(LOAD, *steps))
    assert len(parsed.nodes) == 501
    assert arguments.call_count == 501


def diamond(depth: int) -> dict[str, Any]:
    """Every level is used twice by the next: 2 ** depth paths."""
    graph: dict[str, Any] = {"n0": LOAD}
    for n in range(1, depth + 1):
        below = {"from_node": f"m{n - 1}" if n > 1 else "n0"}
        for side, factor in (("a", 1), ("b", 2)):
            scaled = {
                "x": {
                    "process_id": "multiply",
                    "arguments": {"x": {"from_parameter": "x"}, "y": factor},
                    "result": True,
                }
            }
            graph[f"{side}{n}"] = {
                "process_id": "apply",
                "arguments": {"data": below, "process": {"process_graph": scaled}},
            }
        graph[f"m{n}"] = node("mask", data=f"@a{n}", mask=f"@b{n}")
    graph[f"m{depth}"]["result"] = True
    return graph


def test_a_16_deep_diamond_is_parsed_in_one_visit_a_node() -> None:
    with mock.patch.object(parser, "_arguments", wraps=parser._arguments) as arguments:
        parsed = parse_graph(diamond(16))
    assert len(parsed.nodes) == 1 + 3 * 16
    callbacks = 2 * 16
    assert arguments.call_count == len(parsed.nodes) + callbacks


def test_work_grows_linearly_with_depth_of_a_diamond() -> None:
    counts = []
    for depth in (8, 16, 32):
        with mock.patch.object(parser, "_resolve", wraps=parser._resolve) as resolve:
            parse_graph(diamond(depth))
        counts.append(resolve.call_count)
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


def test_a_wide_graph_of_500_branches_keeps_them_all() -> None:
    graph: dict[str, Any] = {"n0": LOAD}
    for n in range(500):
        graph[f"save{n}"] = node("save_result", data="@n0", format="netCDF")
    graph["save499"]["result"] = True
    parsed = parse_graph(graph)
    assert len(parsed.outputs) == 500
    assert parsed.nodes[parsed.result].key == "save499"


def test_equal_calls_become_one_node_and_their_users_share_it() -> None:
    graph = {
        "one": LOAD,
        "two": LOAD,
        "red": node("filter_bands", data="@one", bands=["B04"]),
        "red2": node("filter_bands", data="@two", bands=["B04"]),
        "nir": node("filter_bands", data="@two", bands=["B08"]),
        "both": node("merge_cubes", cube1="@red", cube2="@red2"),
        "all": {**node("merge_cubes", cube1="@both", cube2="@nir"), "result": True},
    }
    parsed = parse_graph(graph)
    assert [n.process_id for n in parsed.nodes].count("load_collection") == 1
    assert [n.process_id for n in parsed.nodes].count("filter_bands") == 2
    both = next(n for n in parsed.nodes if n.key == "both")
    assert both.arguments["cube1"] == both.arguments["cube2"]


@pytest.mark.parametrize("other", [{"bands": ["B08", "B04"]}, {"bands": ["B04"]}, {"id": "SENTINEL1_GRD"}])
def test_calls_that_differ_stay_apart(other: dict[str, Any]) -> None:
    second = {"process_id": "load_collection", "arguments": {**LOAD["arguments"], **other}}
    graph = {"a": LOAD, "b": second, "c": {**node("merge_cubes", cube1="@a", cube2="@b"), "result": True}}
    assert len(parse_graph(graph).nodes) == 3


def test_one_and_true_are_not_equal_calls() -> None:
    graph = {
        "a": node("array_create", data=[1], repeat=1),
        "b": node("array_create", data=[True], repeat=1),
        "c": {**node("array_concat", array1="@a", array2="@b"), "result": True},
    }
    assert len(parse_graph(graph).nodes) == 3


def test_two_saves_of_one_cube_in_one_format_stay_two_outputs() -> None:
    graph = {
        "a": LOAD,
        "s1": node("save_result", data="@a", format="netCDF"),
        "s2": {**node("save_result", data="@a", format="netCDF"), "result": True},
    }
    assert len(parse_graph(graph).outputs) == 2


# --- documents ---


@pytest.mark.parametrize(
    "wrap",
    [
        lambda g: g,
        lambda g: {"process_graph": g},
        lambda g: {"process": {"process_graph": g}, "title": "a job"},
    ],
)
def test_a_flat_graph_a_process_and_a_job_are_the_same(wrap: Any) -> None:
    assert parse_graph(wrap({"a": {**LOAD, "result": True}})) == parse_graph({"a": LOAD})


@pytest.mark.parametrize(
    "document",
    [
        None,
        3,
        "text",
        [],
        {},
        {"process_graph": {}},
        {"process": {}},
        {"process_graph": []},
        {"a": 1},
        {"a": {"process_id": 3}},
    ],
)
def test_a_document_without_a_graph_says_so(document: Any) -> None:
    with pytest.raises(ProcessGraphMissing):
        parse_graph(document)


def test_defaults_of_the_description_are_filled_in() -> None:
    (node_,) = parse_graph(number("absolute", x=-3)).nodes[:1]
    assert node_.arguments == {"x": -3}
    parsed = parse_graph(chain(LOAD, node("ndvi")))
    assert parsed.nodes[1].arguments["nir"] == "nir"
    assert parsed.nodes[1].arguments["red"] == "red"
    assert parsed.nodes[1].arguments["target_band"] is None


# --- results ---


def test_the_only_end_is_the_result_where_none_is_marked() -> None:
    graph = chain(LOAD, node("filter_bands", bands=["B04"]))
    del graph["n1"]["result"]
    assert parse_graph(graph).nodes[parse_graph(graph).result].key == "n1"


def test_a_marked_result_may_have_users() -> None:
    graph = chain(LOAD, node("filter_bands", bands=["B04"]))
    del graph["n1"]["result"]
    graph["n0"] = {**LOAD, "result": True}
    parsed = parse_graph(graph)
    assert parsed.nodes[parsed.result].key == "n0"


def test_two_ends_need_a_mark() -> None:
    problem = the_problem({"a": LOAD, "b": load(["B05"])})
    assert "ends in a, b" in problem.message


def test_two_marks_are_refused() -> None:
    problem = the_problem({"a": {**LOAD, "result": True}, "b": {**load(["B05"]), "result": True}})
    assert "marked as result: a, b" in problem.message


# --- parameters and scopes ---


def described(graph: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"process_graph": graph, "parameters": list(parameters)}


def test_parameters_stand_in_lists_and_objects() -> None:
    graph = {
        "a": {
            "process_id": "load_collection",
            "arguments": {
                "id": {"from_parameter": "id"},
                "spatial_extent": {"west": {"from_parameter": "w"}, "south": 50, "east": 4, "north": 51},
                "temporal_extent": ["2019-03-01", {"from_parameter": "end"}],
                "bands": [{"from_parameter": "band"}, "B08"],
            },
        }
    }
    values = {"id": "SENTINEL2_L2A", "w": 3.5, "end": "2019-04-01", "band": "B04"}
    arguments = parse_graph(graph, values).nodes[0].arguments
    assert arguments["id"] == "SENTINEL2_L2A"
    assert arguments["spatial_extent"]["west"] == 3.5
    assert arguments["temporal_extent"] == ["2019-03-01", "2019-04-01"]
    assert arguments["bands"] == ["B04", "B08"]


def test_a_given_value_wins_over_the_default_and_an_optional_parameter_is_null() -> None:
    graph = number("add", x={"from_parameter": "a"}, y={"from_parameter": "b"})
    process = described(graph, {"name": "a", "default": 1}, {"name": "b", "optional": True, "schema": {}})
    assert parse_graph(process).nodes[0].arguments == {"x": 1, "y": None}
    assert parse_graph(process, {"a": 5, "b": 6}).nodes[0].arguments == {"x": 5, "y": 6}


def test_a_parameter_without_value_is_asked_for_by_name() -> None:
    problem = the_problem(described(number("absolute", x={"from_parameter": "a"}), {"name": "a"}))
    assert isinstance(problem, ProcessParameterRequired)
    assert "'a'" in problem.message
    assert "--parameter a=" in problem.hint


@pytest.mark.parametrize("parameters", [3, "abc", {"name": ["x"]}, [None], [{"name": 3}], [{}]])
def test_a_malformed_list_of_parameters_is_a_problem(parameters: Any) -> None:
    assert (
        "has no name"
        in problems_of({"process_graph": number("absolute", x=1), "parameters": parameters})[0].message
    )


def test_an_undefined_parameter_names_those_that_are_defined() -> None:
    problem = the_problem(number("absolute", x={"from_parameter": "nothing"}), {"some": 1})
    assert isinstance(problem, ProcessParameterMissing)
    assert "'nothing'" in problem.message
    assert "some" in problem.hint


def test_a_value_given_for_a_parameter_is_checked_like_any_other() -> None:
    problem = the_problem(number("absolute", x={"from_parameter": "a"}), {"a": "text"})
    assert isinstance(problem, ProcessParameterInvalid)


def test_a_callback_sees_its_own_and_the_outer_parameters() -> None:
    inner = {
        "s": {
            "process_id": "multiply",
            "arguments": {"x": {"from_parameter": "x"}, "y": {"from_parameter": "factor"}},
            "result": True,
        }
    }
    callback = callback_of(parse_graph(applying(inner), {"factor": 3}))
    assert callback.nodes[0].arguments == {"x": ParameterRef("x"), "y": 3}
    assert callback(x=2).values == 6


def test_an_inner_parameter_hides_an_outer_one_of_the_same_name() -> None:
    inner = {"s": {**node("absolute", x={"from_parameter": "x"}), "result": True}}
    callback = callback_of(parse_graph(applying(inner), {"x": 99}))
    assert callback.nodes[0].arguments == {"x": ParameterRef("x")}
    assert callback(x=-2).values == 2


def test_the_outer_parameter_is_itself_again_behind_the_callback() -> None:
    graph = applying({"s": {**node("absolute", x={"from_parameter": "x"}), "result": True}})
    graph["n1"]["arguments"]["context"] = {"from_parameter": "x"}
    parsed = parse_graph(graph, {"x": 99})
    assert parsed.nodes[1].arguments["context"] == 99


def nested(inner_y: Any) -> dict[str, Any]:
    """apply_dimension over t: for each element x of the series, x * inner_y, by array_apply."""
    element = {
        "m": {
            "process_id": "multiply",
            "arguments": {"x": {"from_parameter": "x"}, "y": inner_y},
            "result": True,
        }
    }
    outer = {
        "a": {
            "process_id": "array_apply",
            "arguments": {"data": {"from_parameter": "data"}, "process": {"process_graph": element}},
            "result": True,
        }
    }
    arguments = {"dimension": "t", "process": {"process_graph": outer}}
    return chain(LOAD, {"process_id": "apply_dimension", "arguments": arguments})


def test_a_nested_callback_computes_with_parameters_of_all_scopes() -> None:
    callback = callback_of(parse_graph(nested({"from_parameter": "index"})))
    np.testing.assert_array_equal(callback(data=[5, 6, 7]).values, [0, 6, 14])
    callback = callback_of(parse_graph(nested({"from_parameter": "k"}), {"k": 10}))
    np.testing.assert_array_equal(callback(data=[5, 6, 7]).values, [50, 60, 70])


def test_a_callback_is_evaluated_afresh_in_every_scope() -> None:
    callback = callback_of(parse_graph(nested({"from_parameter": "index"})))
    np.testing.assert_array_equal(callback(data=[1, 1]).values, [0, 1])
    np.testing.assert_array_equal(callback(data=[2, 2, 2]).values, [0, 2, 4])


def test_a_parameter_of_the_inner_callback_is_unknown_outside_of_it() -> None:
    graph = nested(1)
    graph["n1"]["arguments"]["context"] = {"from_parameter": "index"}
    assert isinstance(the_problem(graph), ProcessParameterMissing)


def test_a_callback_cannot_refer_to_a_node_outside_of_it() -> None:
    inner = {"s": {**node("absolute", x="@n0"), "result": True}}
    problem = the_problem(applying(inner))
    assert "n0" in problem.message
    assert "does not exist" in problem.message


# --- problems ---


def test_all_problems_are_listed_at_once_with_their_codes() -> None:
    graph = {
        "a": node("load_collection", id=3, spatial_extent=None, temporal_extent=None),
        "b": node("filter_band", data="@a", bands=["B04"]),
        "c": node("filter_bands", data="@b", bnds=["B04"]),
        "d": node("filter_temporal", data="@c"),
        "e": {
            **node("apply", data="@d", process={"process_graph": {"x": node("absolut", x=1)}}),
            "result": True,
        },
        "f": node("add", x={"from_parameter": "q"}, y=1),
    }
    found = problems_of(graph)
    assert sorted(p.code for p in found) == [
        "ProcessParameterInvalid",
        "ProcessParameterMissing",
        "ProcessParameterRequired",
        "ProcessParameterUnsupported",
        "ProcessUnsupported",
        "ProcessUnsupported",
    ]
    with pytest.raises(InvalidProcessGraph) as caught:
        parse_graph(graph)
    for problem in found:
        assert problem.message in caught.value.message


def test_an_unknown_process_comes_with_a_suggestion() -> None:
    problem = the_problem({"a": LOAD, "b": {**node("filter_band", data="@a"), "result": True}})
    assert isinstance(problem, ProcessUnsupported)
    assert problem.code == "ProcessUnsupported"
    assert "filter_bands" in problem.hint
    assert "'b'" in problem.message or "Node b" in problem.message


def test_a_circle_names_the_nodes_in_it_and_no_others() -> None:
    graph = {
        "before": LOAD,
        "a": node("merge_cubes", cube1="@before", cube2="@c"),
        "b": node("filter_bands", data="@a", bands=["B04"]),
        "c": node("filter_bands", data="@b", bands=["B04"]),
        "behind": {**node("filter_bands", data="@c", bands=["B04"]), "result": True},
    }
    assert "circle: a, b, c." in the_problem(graph).message


def test_a_node_that_refers_to_itself_is_a_circle() -> None:
    assert "circle" in the_problem({"a": node("filter_bands", data="@a", bands=["B04"])}).message


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"bands": "B04"}, "bands"),
        ({"bands": [3]}, "bands"),
        ({"bands": ["B04"], "wavelengths": 3}, "wavelengths"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_parameter(arguments: dict[str, Any], name: str) -> None:
    problem = the_problem(chain(LOAD, node("filter_bands", **arguments)))
    assert isinstance(problem, ProcessParameterInvalid)
    assert f"'{name}'" in problem.message
    assert "n1" in problem.message


def test_a_problem_inside_a_callback_says_where_it_stands() -> None:
    problem = the_problem(applying({"deep": {**node("absolut", x={"from_parameter": "x"}), "result": True}}))
    assert "n1.process/deep" in problem.message


def test_a_graph_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value]
    assert "levels deep" in the_problem(number("absolute", x=value)).message
    assert "levels deep" in the_problem(number("absolute", x={"from_parameter": "a"}), {"a": value}).message
