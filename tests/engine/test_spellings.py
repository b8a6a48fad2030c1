"""Graphs as older clients and openEO's own examples spell them; others stay as they are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.process_runner import EngineRunner

from acreage.core.errors import InvalidProcessGraph
from acreage.engine.spellings import respelled

RUNNER = EngineRunner()
LABELLED = {"type": "labeled-array", "data": [{"key": "B01", "value": 1.5}, {"key": "B02", "value": 0.5}]}


def one(process_id: str, **arguments: Any) -> dict[str, Any]:
    return {"n": {"process_id": process_id, "arguments": arguments, "result": True}}


def graph(process_id: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": one(process_id, **arguments)}


def value_of(process_id: str, **arguments: Any) -> Any:
    return RUNNER.decode_data(RUNNER.execute(process_id, arguments), [])


@pytest.mark.parametrize("word", ["from_argument", "from_parameter"])
def test_callbacks_may_call_their_parameters_arguments(word: str) -> None:
    double = graph("multiply", x={word: "x"}, y={word: "context"})
    assert value_of("array_apply", data=[1, 2], process=double, context=3) == [3, 6]


def test_an_argument_that_is_no_parameter_is_a_node_of_the_callback() -> None:
    process = {
        "half": {"process_id": "divide", "arguments": {"x": {"from_argument": "x"}, "y": 2}},
        "less": {
            "process_id": "subtract",
            "arguments": {"x": {"from_argument": "half"}, "y": 1},
            "result": True,
        },
    }
    assert value_of("array_apply", data=[4, 8], process={"process_graph": process}) == [1, 3]


def test_an_argument_that_is_neither_is_refused_with_what_there_is() -> None:
    with pytest.raises(InvalidProcessGraph, match=r"'nothing' .*Defined are: context, index, label, x"):
        value_of("array_apply", data=[1], process=graph("absolute", x={"from_argument": "nothing"}))


def test_outside_of_callbacks_the_words_are_values() -> None:
    flat = one("constant", x={"from_argument": "x"})
    assert respelled(flat) == flat


def test_conditions_may_stand_bare_and_call_their_value_element() -> None:
    bare = one("gt", x={"from_parameter": "element"}, y=2)
    assert value_of("count", data=[0, 1, 2, 3, 4, 5, None], condition=bare) == 3


def test_names_that_parameters_had_are_taken_where_their_own_are_not_given() -> None:
    small = graph("lt", x={"from_parameter": "x"}, y=2)
    assert value_of("array_filter", data=[1, 3], process=small) == [1]
    both = {"data": [1, 3], "condition": small, "process": small}
    with pytest.raises(InvalidProcessGraph, match="has no parameter 'process'"):
        value_of("array_filter", **both)
    said = respelled(one("rename_labels", dimension="bands", source=["a"]))["n"]["arguments"]
    assert said == {"dimension": "bands", "target": ["a"]}
    said = respelled(one("rename_labels", source=["a"], target=["b"]))["n"]["arguments"]
    assert said == {"source": ["a"], "target": ["b"]}


def test_array_modify_removes_one_element_where_it_is_given_nothing_to_do() -> None:
    assert value_of("array_modify", data=["a", "b", "c"], values=[], index=1) == ["a", "c"]
    assert value_of("array_modify", data=["a", "b", "c"], values=[], index=1, length=0) == ["a", "b", "c"]
    assert value_of("array_modify", data=["a", "c"], values=["b"], index=1) == ["a", "b", "c"]


def test_a_null_is_a_pixel_of_normalized_difference_though_its_description_forgets_it() -> None:
    assert value_of("normalized_difference", x=None, y=1) is None
    with pytest.raises(InvalidProcessGraph, match="does not suit"):
        value_of("normalized_difference", x="a", y=1)


def test_what_is_no_graph_stays_for_the_parser_to_refuse() -> None:
    odd: dict[str, Any] = {"a": 1, "b": {"process_id": "add", "arguments": 2}, "c": {"process_id": "nothing"}}
    assert respelled(odd) == odd
    unknown = {"n": {"process_id": "no_such", "arguments": {"callback": one("absolute", x=1)}}}
    assert respelled(unknown) == unknown
