"""Functions and descriptions name the same parameters with the same defaults."""

from __future__ import annotations

import inspect

import pytest

from acreage.processes.registry import array_processes


@pytest.mark.parametrize("process_id", sorted(array_processes()))
def test_function_has_the_parameters_of_its_description(process_id: str) -> None:
    process = array_processes()[process_id]
    described = {p["name"]: p for p in process.spec["parameters"]}
    parameters = inspect.signature(process.function).parameters
    assert list(parameters) == list(described)
    for name, parameter in parameters.items():
        optional = described[name].get("optional", False)
        assert (parameter.default is not inspect.Parameter.empty) == optional, name
        if optional:
            default = described[name].get("default")
            default = tuple(default) if isinstance(default, list) else default
            assert parameter.default == default, name
        assert described[name]["description"]
    assert process.spec["returns"]["schema"] is not None
