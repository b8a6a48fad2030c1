"""The runner of openEO's process examples: what goes in, what comes out, and that a wrong result is seen."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.support.process_examples import Example, read_examples, read_json5, run_example
from tests.support.process_runner import SMALL_CUBE as CUBE
from tests.support.process_runner import EngineRunner

from acreage.processes.registry import process_ids

RUNNER = EngineRunner()


def outcome(process_id: str, folder: Path = Path(), **document: Any) -> tuple[str, str]:
    result = run_example(Example(process_id, 0, folder, document), RUNNER)
    return result.outcome, result.reason


def labelled(**values: Any) -> dict[str, Any]:
    return {"type": "labeled-array", "data": [{"key": k, "value": v} for k, v in values.items()]}


@pytest.mark.parametrize(
    ("process_id", "arguments", "returns"),
    [
        ("add", {"x": 1, "y": 2.5}, 3.5),
        ("add", {"x": {"type": "nodata"}, "y": 2}, {"type": "nodata"}),
        ("divide", {"x": 0, "y": 0}, math.nan),
        ("array_concat", {"array1": ["a"], "array2": [1, True]}, ["a", 1, True]),
        ("constant", {"x": {"a": [1, {"b": None}]}}, {"a": [1, {"b": None}]}),
        ("array_append", {"data": labelled(a=1), "value": 2, "label": "b"}, labelled(a=1, b=2)),
        (
            "date_shift",
            {"date": "2021-03-01T12:00:00Z", "value": 1, "unit": "day"},
            {"type": "datetime", "value": "2021-03-02T12:00:00+00:00"},
        ),
    ],
)
def test_values_go_in_and_come_out(process_id: str, arguments: dict[str, Any], returns: Any) -> None:
    assert outcome(process_id, arguments=arguments, returns=returns) == ("passed", "")


def test_a_data_cube_goes_through_the_engine_and_keeps_the_order_of_its_dimensions() -> None:
    double = {"process_id": "multiply", "arguments": {"x": {"from_parameter": "x"}, "y": 2}, "result": True}
    doubled = [
        [[[None if v == 255 else v * 2 for v in row] for row in image] for image in band]
        for band in CUBE["data"]
    ]
    returns = {**CUBE, "data": json.loads(json.dumps(doubled).replace("null", "255"))}
    arguments = {"data": CUBE, "process": {"process_graph": {"m": double}}}
    assert outcome("apply", arguments=arguments, returns=returns) == ("passed", "")


def test_wrong_results_are_told_where_they_differ() -> None:
    assert outcome("add", arguments={"x": 1, "y": 1}, returns=3) == ("failed", "result is 2 instead of 3")
    assert outcome("add", arguments={"x": 1, "y": 1}, throws=True)[0] == "failed"
    assert outcome("array_create", arguments={"data": [1]}, returns=[1, 1])[0] == "failed"
    said = outcome("constant", arguments={"x": [1, "2"]}, returns=[1, 2])
    assert said == ("failed", "result[1] is '2' instead of 2")
    changed = json.loads(json.dumps(CUBE))
    changed["data"][0][0][2][1] = 9
    keep = {"data": CUBE, "bands": ["red", "nir"]}
    said = outcome("filter_bands", arguments=keep, returns=changed)
    assert said == ("failed", "result.data[0][0][2][1] is 8 instead of 9")


def test_errors_pass_where_they_are_expected_and_fail_elsewhere() -> None:
    arguments = {"data": [1], "index": 4}
    passed = outcome("array_element", arguments=arguments, throws="ArrayElementNotAvailable")
    assert passed[0] == "passed"
    assert passed[1].startswith("ArrayElementNotAvailable: ")
    assert outcome("array_element", arguments=arguments, returns=1)[0] == "failed"


def test_a_process_that_is_not_served_is_skipped() -> None:
    said = outcome("add", required=["no_such_process"], arguments={}, returns=1)
    assert said == ("skipped", "not served: no_such_process")


def test_examples_are_read_with_their_references(tmp_path: Path) -> None:
    (tmp_path / "tests" / "assets").mkdir(parents=True)
    (tmp_path / "tests" / "assets" / "two.json5").write_text("// a number\n2")
    text = """{"id": "add", "tests": [
      // one
      {"arguments": {"x": {"$ref": "assets/two.json5"}, "y": Infinity,}, "returns": Infinity},
    ]}"""
    (tmp_path / "tests" / "add.json5").write_text(text)
    (example,) = read_examples(tmp_path)
    assert example.name == "add-0"
    assert run_example(example, RUNNER).outcome == "passed"


def test_json5_is_json_with_comments_and_spare_commas() -> None:
    assert read_json5("[1,\n // the second\n 2,\n]") == [1, 2]
    assert math.isnan(read_json5('// one\n{"a": NaN,}')["a"])


def test_the_process_of_example_cubes_is_known_to_no_one_else() -> None:
    RUNNER.execute("apply_kernel", {"data": RUNNER.encode_datacube(CUBE), "kernel": [[1]]})
    assert "example_cube" not in process_ids()
