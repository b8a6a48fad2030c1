"""Callbacks given as parameters, UDFs that cannot be known while planning, outputs without a format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acreage.core.errors import InvalidInput
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.processes.callback import Callback


class NoCollections:
    """A catalog that nothing may ask."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the catalog was asked for {name}")


def test_a_parameter_may_hold_a_callback() -> None:
    graph = {
        "load": {
            "process_id": "load_collection",
            "arguments": {"id": "X", "spatial_extent": None, "temporal_extent": None},
        },
        "reduce": {
            "process_id": "reduce_dimension",
            "arguments": {
                "data": {"from_node": "load"},
                "dimension": "t",
                "reducer": {"from_parameter": "how"},
            },
            "result": True,
        },
    }
    how: dict[str, Any] = {
        "process_graph": {
            "m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
        }
    }
    reducer = parse_graph(graph, {"how": how}).nodes[1].arguments["reducer"]
    assert isinstance(reducer, Callback)
    assert reducer.process_ids == ("mean",)


def test_an_output_of_an_unknown_format_is_refused_and_not_made_a_folder(tmp_path: Path) -> None:
    graph = {"sum": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    plan = make_plan(parse_graph(graph), NoCollections(), Budget(2_000_000_000, 1))
    with pytest.raises(InvalidInput, match=r"cube\.xyz is not the name"):
        run_plan(plan, tmp_path / "cube.xyz")
    assert not (tmp_path / "cube.xyz").exists()
