"""The catalogue of processes: what a back end lists for its users."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from acreage.processes.registry import description, process_ids


def process_descriptions() -> list[dict[str, Any]]:
    """The description of every process that a graph may call, sorted by id: the `processes` of openEO's
    `GET /processes`.

    The official descriptions, with what this engine does otherwise said in them. The caller may change them:
    they are copies.
    """
    return [_listed(process_id) for process_id in process_ids()]


def _listed(process_id: str) -> dict[str, Any]:
    listed = deepcopy(dict(description(process_id)))
    listed.setdefault("summary", "")
    listed.setdefault("categories", [])
    listed.setdefault("parameters", [])
    return listed
