"""Process graphs as clients of older versions, and openEO's own examples, spell them.

Works on the JSON of one graph, before its nodes are put in order; callbacks come here by themselves.
What is spelled as the specification has it stays as it is. Taken as well are:

- a parameter under the name that it had before, or has in a sibling (`FORMER_NAMES`), where it is not given
  under its own;
- the nodes of a callback without the `process_graph` around them, as the description of `count` has it;
- inside callbacks, `from_argument` for `from_parameter`, as in version 0.4 of the API; where no parameter has
  the name, for `from_node`;
- inside callbacks, the parameter `element`, which is called `x` now;
- `array_modify` with nothing to insert and no `length`, which removes one element, as its description has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from acreage.core.errors import ProcessUnsupported
from acreage.engine.order import is_node
from acreage.processes.registry import description

FORMER_NAMES: Mapping[str, Mapping[str, str]] = {
    "array_filter": {"process": "condition"},
    "apply_polygon": {"polygons": "geometries"},
    # The only list of labels that is given has the new ones.
    "rename_labels": {"source": "target"},
}


def respelled(flat: Mapping[str, Any], parameters: Collection[str] | None = None) -> dict[str, Any]:
    """The nodes of a graph as the specification spells them.

    Args:
        flat: nodes by their keys.
        parameters: of a callback, the names that it may refer to; None for the graph itself.
    """
    made: dict[str, Any] = {}
    for key, node in flat.items():
        if not is_node(node) or not isinstance(node.get("arguments"), Mapping):
            made[key] = node
            continue
        arguments = _callbacks(node["process_id"], _named(node["process_id"], node["arguments"]))
        if parameters is not None:
            arguments = {k: _references(v, flat, parameters) for k, v in arguments.items()}
        made[key] = {**node, "arguments": arguments}
    return made


def _named(process_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the present names of their parameters."""
    former = FORMER_NAMES.get(process_id, {})
    named = {former[k] if former.get(k, k) not in arguments else k: v for k, v in arguments.items()}
    if process_id == "array_modify" and named.get("values") == [] and "length" not in named:
        named["length"] = 1
    return named


def _callbacks(process_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with bare nodes put into a `process_graph`, where the process takes a callback."""
    bare = [k for k, v in arguments.items() if isinstance(v, Mapping) and v and all(map(is_node, v.values()))]
    if not bare:
        return dict(arguments)
    try:
        taken = {p["name"] for p in description(process_id)["parameters"] if _takes_callback(p["schema"])}
    except ProcessUnsupported:
        return dict(arguments)
    return {k: {"process_graph": v} if k in bare and k in taken else v for k, v in arguments.items()}


def _takes_callback(schema: Any) -> bool:
    alternatives = schema if isinstance(schema, list) else [schema]
    return any(a.get("subtype") == "process-graph" for a in alternatives)


def _references(value: Any, nodes: Collection[str], parameters: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_references(v, nodes, parameters) for v in value]
    if not isinstance(value, Mapping) or isinstance(value.get("process_graph"), Mapping):
        return value
    if len(value) == 1:
        ((word, name),) = value.items()
        if word == "from_argument" and isinstance(name, str):
            if name not in parameters and name in nodes:
                return {"from_node": name}
            return {"from_parameter": name}
        if word == "from_parameter" and name == "element" and name not in parameters and "x" in parameters:
            return {"from_parameter": "x"}
    return {k: _references(v, nodes, parameters) for k, v in value.items()}
