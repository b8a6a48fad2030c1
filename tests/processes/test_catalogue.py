"""The list of processes as `GET /processes` gives it."""

from __future__ import annotations

import json

from acreage.processes.catalogue import process_descriptions
from acreage.processes.registry import process_ids


def test_every_callable_process_is_listed_once_in_order() -> None:
    assert [p["id"] for p in process_descriptions()] == list(process_ids())


def test_every_entry_has_what_the_api_requires() -> None:
    for process in process_descriptions():
        assert process["description"].strip()
        assert process["returns"]["description"].strip() is not None
        assert "schema" in process["returns"]
        for parameter in process["parameters"]:
            assert {"name", "description", "schema"} <= set(parameter), process["id"]
            assert parameter.get("optional", False) or "default" not in parameter, process["id"]
    json.dumps(process_descriptions(), allow_nan=False)


def test_callers_may_change_what_they_get() -> None:
    process_descriptions()[0]["parameters"].clear()
    assert process_descriptions()[0]["parameters"]
