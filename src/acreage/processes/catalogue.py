"""The catalogue of processes: what a back end lists for its users."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from acreage.core.errors import InvalidInput
from acreage.processes.registry import description, process_ids

_FOLDERS = ("", "proposals")
_log = logging.getLogger(__name__)


def process_descriptions(official: Path | None = None) -> list[dict[str, Any]]:
    """The description of every process that a graph may call, sorted by id: the `processes` of openEO's
    `GET /processes`. The caller may change them: they are copies.

    Args:
        official: folder with the official descriptions (a checkout of openeo-processes), which are then given
            word by word. Without it, they are the installed ones, with our words for what changed since.
            What this engine does otherwise is told either way in the field `deviation`, and behind the
            description where that is not official.

    Raises:
        InvalidInput: the folder cannot be used.
    """
    words = {} if official is None else _read(official)
    return [_listed(process_id, words.get(process_id)) for process_id in process_ids()]


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """Official descriptions of processes that this engine has, with the parameters that it has."""
    found: dict[str, dict[str, Any]] = {}
    for process_id in process_ids():
        path = next((p for f in _FOLDERS if (p := folder / f / f"{process_id}.json").is_file()), None)
        if path is None:
            continue
        try:
            document = json.loads(path.read_text("utf-8"))
            named = [p["name"] for p in document["parameters"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"The process description {path} cannot be read: {error}.") from error
        ours = [p["name"] for p in description(process_id)["parameters"]]
        if named == ours:
            found[process_id] = document
        else:
            _log.warning(
                "%s has the parameters %s, this engine %s: its own description is listed.", path, named, ours
            )
    if not found:
        raise InvalidInput(
            f"The folder {folder} has no descriptions of processes.",
            hint="Name a checkout of https://github.com/Open-EO/openeo-processes.",
        )
    return found


@cache
def _deviations() -> Mapping[str, str]:
    text = resources.files("acreage.processes").joinpath("deviations.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def _listed(process_id: str, official: Mapping[str, Any] | None) -> dict[str, Any]:
    listed = deepcopy(dict(description(process_id) if official is None else official))
    listed.setdefault("summary", "")
    listed.setdefault("categories", [])
    listed.setdefault("parameters", [])
    otherwise = _deviations().get(process_id)
    if otherwise is not None:
        listed["deviation"] = otherwise
        if official is None:
            listed["description"] += f"\n\n**Here:** {otherwise}"
    return listed
