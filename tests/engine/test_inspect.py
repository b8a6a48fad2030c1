"""inspect: data go through as they are, and the log says what they were."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from tests.support.process_runner import SMALL_CUBE as CUBE
from tests.support.process_runner import EngineRunner

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.loading import carried_back
from acreage.engine.parser import parse_graph
from acreage.processes.array import array_create
from acreage.processes.inspecting import inspect, summary

RUNNER = EngineRunner()


def test_a_data_cube_is_described_once_and_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "acreage.inspect")
    cube = RUNNER.encode_datacube(CUBE)
    made = RUNNER.execute("inspect", {"data": cube, "message": "before the mean", "code": "Mine"}).cube
    plain = RUNNER.execute("filter_bands", {"data": cube, "bands": ["red", "nir"]}).cube
    assert made.meta == plain.meta
    np.testing.assert_array_equal(made.values, plain.values)
    (record,) = [r for r in caplog.records if r.name == "acreage.inspect"]
    assert record.levelname == "INFO"
    assert record.code == "Mine"
    said = record.getMessage()
    assert said.startswith("before the mean: data cube of int64 with t (temporal, 1: 2021-03-01T00:00:00Z)")
    assert "bands (bands, 2: red, nir)" in said
    assert "x (x, 3: 400005.0, 400015.0, 400025.0)" in said


def test_what_a_load_must_give_is_the_same_with_and_without_it() -> None:
    box = {"west": 5, "south": 50, "east": 5.1, "north": 50.1}
    load = {"id": "X", "spatial_extent": None, "temporal_extent": None}
    graph = {
        "load": {"process_id": "load_collection", "arguments": load},
        "inspect": {"process_id": "inspect", "arguments": {"data": {"from_node": "load"}}},
        "bbox": {"process_id": "filter_bbox", "arguments": {"data": {"from_node": "inspect"}, "extent": box}},
        "bands": {
            "process_id": "filter_bands",
            "arguments": {"data": {"from_node": "bbox"}, "bands": ["B04"]},
            "result": True,
        },
    }
    with_it = carried_back(parse_graph(graph))[0]
    graph["bbox"]["arguments"]["data"] = {"from_node": "load"}
    del graph["inspect"]
    assert with_it == carried_back(parse_graph(graph))[0]
    assert with_it.bands == ("B04",)


def test_values_in_callbacks_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "acreage.inspect")
    node = {"process_id": "inspect", "arguments": {"data": {"from_parameter": "x"}, "level": "warning"}}
    process = {"process_graph": {"i": {**node, "result": True}}}
    arguments = {"data": RUNNER.encode_datacube(CUBE), "process": process}
    made = EngineRunner(window=100).execute("apply", arguments).cube
    assert made.values.max() == 90
    assert [r.levelname for r in caplog.records if r.name == "acreage.inspect"] != []


def test_summaries_are_short() -> None:
    assert summary([1, None, "a"]) == '[1, null, "a"]'
    assert len(summary("x" * 10_000)) < 600
    many = Masked(np.arange(1000.0), np.arange(1000) >= 10)
    assert summary(many) == "1,000 values of float64, 10 of them null, from 10.0 to 999.0"
    assert "990 of them null" not in summary(Masked(np.zeros(1000), np.zeros(1000, bool)))


@pytest.mark.parametrize("data", [3, [1, 2], {"a": 1}, None, array_create([1])])
def test_anything_is_given_back(data: Any) -> None:
    assert inspect(data) is data


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ProcessParameterInvalid, match="no log level"):
        inspect(1, level="loud")
