"""A process graph in the words of one back end: its collections, bands and properties of items."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from acreage.production.profiles import CollectionWords, PropertyWords

_LOAD = "load_collection"


def in_words_of(graph: Mapping[str, Any], collections: Mapping[str, CollectionWords]) -> dict[str, Any]:
    """The graph as a back end understands it, giving the same cube.

    Bands are loaded under the back end's names and get ours back at once (`rename_labels`), so that all that
    follows stays as it is.

    Args:
        graph: flat process graph; it is left as it is.
        collections: our ids to the back end's words.
    """
    found = copy.deepcopy(dict(graph))
    for key in list(found):
        node = found[key]
        if node.get("process_id") != _LOAD or node["arguments"]["id"] not in collections:
            continue
        words = collections[node["arguments"]["id"]]
        named = _load_in_words(node["arguments"], words)
        if named:
            _rename_after(found, key, named)
    return found


def sent_words(graph: Mapping[str, Any], collections: Mapping[str, CollectionWords]) -> dict[str, Any]:
    """What `in_words_of` changes in a graph, for the record of a job."""
    ids = {n["arguments"]["id"] for n in graph.values() if n.get("process_id") == _LOAD}
    return {name: words.model_dump(mode="json") for name, words in collections.items() if name in ids}


def _load_in_words(arguments: dict[str, Any], words: CollectionWords) -> dict[str, str]:
    """Change a load's arguments; returns the bands that have another name now, ours to theirs."""
    arguments["id"] = words.id
    named = {}
    if bands := arguments.get("bands"):
        arguments["bands"] = [words.bands.get(band, band) for band in bands]
        named = {
            ours: theirs for ours, theirs in zip(bands, arguments["bands"], strict=True) if ours != theirs
        }
    if properties := arguments.get("properties"):
        arguments["properties"] = dict(
            _property(name, condition, words.properties.get(name)) for name, condition in properties.items()
        )
    return named


def _property(name: str, condition: Any, words: PropertyWords | None) -> tuple[str, Any]:
    if words is None:
        return name, condition
    return words.name, _with_values(condition, words.values)


def _with_values(part: Any, values: Mapping[str, Any]) -> Any:
    """A condition with other constants: all arguments of its processes that are such values."""
    if isinstance(part, Mapping):
        return {
            key: _arguments(value, values) if key == "arguments" else _with_values(value, values)
            for key, value in part.items()
        }
    return part


def _arguments(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, Mapping):
        # A reference names a parameter or a node, which keep their names.
        if {"from_parameter", "from_node"} & set(part):
            return part
        return {key: _arguments(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_arguments(value, values) for value in part]
    return values.get(part, part) if isinstance(part, str) else part


def _rename_after(graph: dict[str, Any], key: str, named: Mapping[str, str]) -> None:
    """Put a renaming of bands behind a load, before all that takes it."""
    added = f"{key}renamed"
    while added in graph:
        added += "x"
    _repoint(graph, key, added)
    graph[added] = {
        "process_id": "rename_labels",
        "arguments": {
            "data": {"from_node": key},
            "dimension": "bands",
            "target": list(named),
            "source": list(named.values()),
        },
    }
    if graph[key].pop("result", False):
        graph[added]["result"] = True


def _repoint(part: Any, key: str, to: str) -> None:
    """Let references to a node of the outermost graph lead to another; callbacks have graphs of their own."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "from_node" and value == key:
                part[name] = to
            elif name != "process_graph":
                _repoint(value, key, to)
    elif isinstance(part, list):
        for value in part:
            _repoint(value, key, to)
