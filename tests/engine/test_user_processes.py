"""User-defined processes are put in the place of the nodes that call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.tiny_archive import node

from acreage.core.errors import (
    ProcessGraphError,
    ProcessParameterRequired,
    ProcessParameterUnsupported,
    ProcessUnsupported,
)
from acreage.engine.parser import parse_graph
from acreage.engine.user_processes import Lookup, expand


def parameter(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "", "schema": {}, **more}


def ref(name: str) -> dict[str, str]:
    return {"from_parameter": name}


def result(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "result": True}


DOUBLE = {
    "parameters": [parameter("x"), parameter("by", optional=True, default=2)],
    "process_graph": {"m": result(node("multiply", x=ref("x"), y=ref("by")))},
}
TWICE = {
    "parameters": [parameter("x")],
    "process_graph": {"a": node("double", x=ref("x")), "b": result(node("double", x="@a", by=3))},
}
SCALED = {
    "parameters": [parameter("data"), parameter("x", optional=True, default=10)],
    "process_graph": {
        "s": result(
            node(
                "apply",
                data=ref("data"),
                # `x` is the pixel here, not the parameter of the process.
                process={"process_graph": {"d": result(node("double", x=ref("x"), by=ref("x")))}},
            )
        ),
    },
}


def known(**processes: Mapping[str, Any]) -> Lookup:
    return lambda process_id, namespace: processes.get(process_id) if namespace in (None, "user") else None


def test_calls_of_calls_are_put_in_and_parse() -> None:
    made = expand({"t": result(node("twice", x=5))}, known(double=DOUBLE, twice=TWICE))
    assert made["process_graph"] == {
        "t.a.m": {"process_id": "multiply", "arguments": {"x": 5, "y": 2}},
        "t.b.m": {
            "process_id": "multiply",
            "arguments": {"x": {"from_node": "t.a.m"}, "y": 3},
            "result": True,
        },
    }
    assert len(parse_graph(made).nodes) == 2


def test_parameters_of_callbacks_hide_those_of_the_process() -> None:
    made = expand({"c": result(node("scaled", data=[1]))}, known(double=DOUBLE, scaled=SCALED))
    inner = made["process_graph"]["c.s"]["arguments"]["process"]["process_graph"]
    assert inner["d.m"]["arguments"] == {"x": ref("x"), "y": ref("x")}
    assert inner["d.m"]["result"] is True


def test_nodes_after_a_call_take_its_result_in_any_order() -> None:
    graph = {"sum": result(node("add", x="@t", y=1)), "t": node("twice", x=5)}
    made = expand(graph, known(double=DOUBLE, twice=TWICE))["process_graph"]
    assert made["sum"]["arguments"]["x"] == {"from_node": "t.b.m"}


def test_predefined_processes_come_first_unless_the_namespace_says_user() -> None:
    own = {"process_graph": {"k": result(node("add", x=1, y=1))}}
    lookup = known(multiply=own)
    graph = {"m": result(node("multiply", x=1, y=2))}
    assert expand(graph, lookup)["process_graph"] == graph
    graph["m"]["namespace"] = "backend"
    assert expand(graph, lookup)["process_graph"]["m"]["process_id"] == "multiply"
    called = {"m": {**result(node("multiply")), "namespace": "user"}}
    assert list(expand(called, lookup)["process_graph"]) == ["m.k"]


def test_keys_of_other_nodes_are_not_taken() -> None:
    graph = {"t": node("double", x=1), "t.m": result(node("add", x="@t", y=1))}
    made = expand(graph, known(double=DOUBLE))["process_graph"]
    assert list(made) == ["t..m", "t.m"]
    assert made["t.m"]["arguments"]["x"] == {"from_node": "t..m"}


def test_what_cannot_be_put_in_is_named() -> None:
    lookup = known(double=DOUBLE, loop={"process_graph": {"l": result(node("loop"))}})
    with pytest.raises(ProcessGraphError, match=r"loop.*calls itself"):
        expand({"a": result(node("loop"))}, lookup)
    with pytest.raises(ProcessUnsupported, match="no process 'other' in the namespace 'user'"):
        expand({"a": {**result(node("other")), "namespace": "user"}}, lookup)
    with pytest.raises(ProcessParameterRequired, match="needs the parameter 'x'"):
        expand({"a": result(node("double"))}, lookup)
    with pytest.raises(ProcessParameterUnsupported, match="no parameter z"):
        expand({"a": result(node("double", x=1, z=1))}, lookup)
    growing: dict[str, Any] = {
        f"p{n}": {
            "process_graph": {
                **{f"n{i}": node(f"p{n + 1}") for i in range(9)},
                "r": result(node(f"p{n + 1}")),
            }
        }
        for n in range(6)
    }
    growing["p6"] = {"process_graph": {"a": result(node("add", x=1, y=1))}}
    with pytest.raises(ProcessGraphError, match="20,000 nodes"):
        expand({"a": result(node("p0"))}, known(**growing))
