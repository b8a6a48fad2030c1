"""The list of processes as `GET /processes` gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acreage.core.errors import InvalidInput
from acreage.processes.catalogue import process_descriptions
from acreage.processes.registry import description, process_ids


def official(folder: Path, process_id: str, **changes: Any) -> Path:
    """A folder with the description of one process, in other words than the installed ones."""
    document = {**description(process_id), "description": "Word by word.", **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{process_id}.json").write_text(json.dumps(document), "utf-8")
    return folder


def listed(process_id: str, folder: Path | None = None) -> dict[str, Any]:
    return next(p for p in process_descriptions(folder) if p["id"] == process_id)


def test_every_callable_process_is_listed_once_in_order(tmp_path: Path) -> None:
    assert [p["id"] for p in process_descriptions()] == list(process_ids())
    folder = official(tmp_path, "add")
    assert [p["id"] for p in process_descriptions(folder)] == list(process_ids())


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


def test_a_deviation_is_told_behind_the_description() -> None:
    assert "\n\n**Here:** The mask is not resampled implicitly" in listed("mask")["description"]
    assert listed("mask")["deviation"].startswith("The mask is not resampled implicitly")
    assert "**Here:**" not in description("mask")["description"]
    assert "**Here:**" not in listed("add")["description"]


def test_official_descriptions_are_given_word_by_word_with_our_deviations_beside_them(tmp_path: Path) -> None:
    folder = official(tmp_path, "add")
    official(folder / "proposals", "cumsum")
    official(folder, "mask", links=[])
    assert listed("add", folder)["description"] == "Word by word."
    assert listed("cumsum", folder)["description"] == "Word by word."
    mask = listed("mask", folder)
    assert mask["description"] == "Word by word."
    assert mask["deviation"].startswith("The mask is not resampled implicitly")
    assert "deviation" not in listed("add", folder)
    assert listed("subtract", folder) == listed("subtract")


def test_a_description_with_other_parameters_is_not_given_as_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = official(tmp_path, "add", parameters=[{"name": "z", "schema": {}}])
    official(folder, "subtract")
    assert listed("add", folder) == listed("add")
    assert "has the parameters ['z'], this engine ['x', 'y']" in caplog.text


def test_a_folder_without_descriptions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no descriptions"):
        process_descriptions(tmp_path)
    (tmp_path / "add.json").write_text("{", "utf-8")
    with pytest.raises(InvalidInput, match=r"add\.json cannot be read"):
        process_descriptions(tmp_path)
