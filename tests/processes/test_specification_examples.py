"""Every example in the installed process descriptions, run as it stands there."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from acreage.core.arrays import Masked
from acreage.processes.operands import plain
from acreage.processes.registry import array_processes
from acreage.processes.specs import load_spec

# What openEO processes 2.0.0-rc.2 changed since the installed descriptions.
OTHERWISE_IN_RC2: dict[tuple[str, int], Any] = {
    ("is_nan", 1): False,  # a text is no longer "not a number"
    ("is_nan", 2): False,  # nor is null
    ("all", 9): True,  # an empty array
    ("any", 9): False,
}
UNUSABLE = {
    ("count", 4): "its callback names a parameter that the description does not define",
    ("array_modify", 3): "removes an element without a length, whose default removes none",
}


def installed_examples(process_id: str) -> list[dict[str, Any]]:
    package = find_spec("openeo_processes_dask")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "specs" / "openeo-processes"
    for path in (folder / f"{process_id}.json", folder / "proposals" / f"{process_id}.json"):
        if path.is_file():
            examples: list[dict[str, Any]] = json.loads(path.read_text("utf-8")).get("examples", [])
            return examples
    return []


def cases() -> list[Any]:
    found = []
    for process_id in sorted(array_processes()):
        for number, example in enumerate(installed_examples(process_id)):
            if (process_id, number) not in UNUSABLE:
                expected = OTHERWISE_IN_RC2.get((process_id, number), example["returns"])
                name = f"{process_id}-{number}"
                found.append(pytest.param(process_id, example["arguments"], expected, id=name))
        for number, example in enumerate(load_spec(process_id).get("examples", [])):
            if example not in installed_examples(process_id):
                name = f"{process_id}-ours-{number}"
                found.append(pytest.param(process_id, example["arguments"], example["returns"], id=name))
    return found


@pytest.mark.parametrize(("process_id", "arguments", "expected"), cases())
def test_example_of_the_description_gives_its_documented_result(
    process_id: str, arguments: dict[str, Any], expected: Any
) -> None:
    result = array_processes()[process_id].function(**arguments)
    if isinstance(result, Masked):
        result = plain(result)
    assert same(result, expected), f"{result!r} instead of {expected!r}"


def test_every_listed_exception_is_an_example_that_exists() -> None:
    for process_id, number in (*OTHERWISE_IN_RC2, *UNUSABLE):
        assert len(installed_examples(process_id)) > number


def same(result: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(result, list) and len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        return type(result) is type(expected) and result == expected
    return (
        isinstance(result, int | float)
        and not isinstance(result, bool)
        and math.isclose(result, expected, rel_tol=1e-12, abs_tol=1e-15)
    )
