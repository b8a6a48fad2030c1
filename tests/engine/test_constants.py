"""Processes on constants, at the top level of a graph: computed while planning, saved as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.process_runner import NoCollections

from acreage.core.errors import InvalidProcessGraph
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan


def saved(tmp_path: Path, **nodes: dict[str, Any]) -> Any:
    """The JSON file of the last node."""
    plan = make_plan(parse_graph(_graph(nodes)), NoCollections(), Budget(2_000_000_000, 1))
    run_plan(plan, tmp_path / "result.json")
    return json.loads((tmp_path / "result.json").read_text("utf-8"))


def _graph(nodes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    graph = {}
    for key, node in nodes.items():
        (process_id, arguments), *_ = node.items()
        graph[key] = {"process_id": process_id, "arguments": arguments}
    last = list(graph)[-1]
    graph[last]["result"] = True
    return graph


LABELLED = {"array_create_labeled": {"data": [1, 2, 3], "labels": ["a", "b", "c"]}}


def test_labels_of_an_array_reach_the_next_process(tmp_path: Path) -> None:
    second = {"array_element": {"data": {"from_node": "array"}, "label": "b"}}
    assert saved(tmp_path, array=LABELLED, element=second) == 2


def test_a_labelled_array_is_an_array_for_processes_that_take_one(tmp_path: Path) -> None:
    assert saved(tmp_path, array=LABELLED, total={"sum": {"data": {"from_node": "array"}}}) == 6


def test_values_of_different_kinds_stay_what_they_are(tmp_path: Path) -> None:
    mixed = {"array_concat": {"array1": ["a", True], "array2": [1, None]}}
    assert saved(tmp_path, mixed=mixed) == ["a", True, 1, None]


def test_an_object_is_saved_as_it_is(tmp_path: Path) -> None:
    assert saved(tmp_path, constant={"constant": {"x": {"a": [1, "b"]}}}) == {"a": [1, "b"]}


def test_numbers_out_of_range_are_for_the_process_to_judge(tmp_path: Path) -> None:
    assert saved(tmp_path, out={"arccos": {"x": 2}}) is None  # JSON has no NaN


def test_counts_out_of_range_are_refused() -> None:
    graph = _graph({"array": {"array_create": {"data": [1], "repeat": 0}}})
    with pytest.raises(InvalidProcessGraph, match="less than the minimum of 1"):
        parse_graph(graph)
