"""Processes that users define, put in the place of the nodes that call them.

Works on the JSON of a graph, before it is parsed: what comes out calls predefined processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from acreage.core.errors import (
    ProcessGraphError,
    ProcessParameterRequired,
    ProcessParameterUnsupported,
    ProcessUnsupported,
)
from acreage.engine.parser import callback_parameters, unwrap
from acreage.processes.registry import description, process_ids

Lookup = Callable[[str, str | None], Mapping[str, Any] | None]
"""(process id, namespace) to the definition of a process; None where there is none."""
_DEEPEST = 20
_MOST_NODES = 20_000


def expand(source: Mapping[str, Any], lookup: Lookup) -> dict[str, Any]:
    """A process whose graph calls predefined processes only.

    Args:
        source: a flat process graph, a process or a job, as `parse_graph` takes it.
        lookup: finds the definition of a process that a node names. A namespace of None means: predefined,
            else the user's own; `backend` is predefined only, `user` the user's own only.

    Raises:
        ProcessGraphMissing: there is no graph in the document.
        ProcessUnsupported: a namespace does not have the process.
        ProcessGraphError: processes call each other in a circle, or become too many nodes.
    """
    process = dict(unwrap(source))
    counter = [0]
    process["process_graph"] = _expanded(process["process_graph"], lookup, {}, "", (), counter)
    return process


def _expanded(
    flat: Mapping[str, Any],
    lookup: Lookup,
    values: Mapping[str, Any],
    prefix: str,
    callers: tuple[str, ...],
    counter: list[int],
) -> dict[str, Any]:
    """Nodes with their keys after `prefix`."""
    made: dict[str, Any] = {}
    renamed = {key: _last_key(flat, key, prefix, lookup, callers) for key in flat}
    for key, node in flat.items():
        if not isinstance(node, Mapping):
            made[prefix + key] = node
            continue
        counter[0] += 1
        if counter[0] > _MOST_NODES:
            raise ProcessGraphError(
                f"The process graph has more than {_MOST_NODES:,} nodes once the processes that it calls "
                "are put in.",
                hint="Call fewer user-defined processes.",
            )
        arguments = _resolved(node.get("arguments", {}), renamed, values, lookup, node, callers, counter)
        is_result = bool(node.get("result")) and not prefix
        definition = _definition(node, lookup)
        if definition is None:
            kept = {k: v for k, v in node.items() if k not in ("namespace", "result")}
            made[prefix + key] = {**kept, "arguments": arguments}
        else:
            inside = _inside(flat, key, prefix)
            made.update(_inlined(key, node, definition, arguments, lookup, inside, callers, counter))
        if is_result:
            made[renamed[key]] = {**made[renamed[key]], "result": True}
    return made


def _inlined(
    key: str,
    node: Mapping[str, Any],
    definition: Mapping[str, Any],
    arguments: Mapping[str, Any],
    lookup: Lookup,
    prefix: str,
    callers: tuple[str, ...],
    counter: list[int],
) -> dict[str, Any]:
    name = str(node["process_id"])
    values = _values_of(name, key, definition, arguments)
    return _expanded(definition["process_graph"], lookup, values, prefix, (*callers, name), counter)


def _definition(node: Mapping[str, Any], lookup: Lookup) -> Mapping[str, Any] | None:
    """What a node calls; None for predefined processes, and for what the parser will refuse."""
    process_id, namespace = node.get("process_id"), node.get("namespace")
    if not isinstance(process_id, str):
        return None
    if namespace in (None, "backend") and process_id in _predefined():
        return None
    if namespace == "backend":
        return None
    found = lookup(process_id, namespace if isinstance(namespace, str) else None)
    if found is None and namespace is not None:
        raise ProcessUnsupported(f"There is no process {process_id!r} in the namespace {namespace!r}.")
    if found is not None:
        unwrap(found)
    return found


def _inside(flat: Mapping[str, Any], key: str, prefix: str) -> str:
    """What the keys of the nodes begin with that come in the place of one: no other key does."""
    dots = "."
    while any(other.startswith(key + dots) for other in flat):
        dots += "."
    return f"{prefix}{key}{dots}"


def _last_key(
    flat: Mapping[str, Any], key: str, prefix: str, lookup: Lookup, callers: tuple[str, ...]
) -> str:
    """The key of the node that a node becomes, or of the last one of those that it becomes.

    Raises:
        ProcessGraphError: processes call each other in a circle.
    """
    node = flat[key]
    definition = _definition(node, lookup) if isinstance(node, Mapping) else None
    if definition is None:
        return prefix + key
    name = str(node["process_id"])
    if name in callers or len(callers) >= _DEEPEST:
        raise ProcessGraphError(
            f"Process {name!r} calls itself: {' -> '.join((*callers, name))}.",
            hint="User-defined processes cannot be recursive.",
        )
    inner = definition["process_graph"]
    return _last_key(
        inner, _result_key(definition, key), _inside(flat, key, prefix), lookup, (*callers, name)
    )


def _result_key(definition: Mapping[str, Any], key: str) -> str:
    flat = definition["process_graph"]
    results = [k for k, n in flat.items() if isinstance(n, Mapping) and n.get("result")]
    if len(results) != 1:
        raise ProcessGraphError(
            f"The process that node {key!r} calls has {len(results)} result nodes, and needs one."
        )
    return str(results[0])


def _values_of(
    name: str, key: str, definition: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        raise ProcessGraphError(f"Node {key}: `arguments` must be an object.")
    stated = definition.get("parameters")
    described = {
        p["name"]: p
        for p in (stated if isinstance(stated, list) else [])
        if isinstance(p, Mapping) and isinstance(p.get("name"), str)
    }
    if unknown := sorted(set(arguments) - set(described)):
        raise ProcessParameterUnsupported(
            f"Node {key}: process {name!r} has no parameter {', '.join(unknown)}.",
            hint=f"It has {', '.join(described) or 'none'}.",
        )
    values = dict(arguments)
    for parameter, about in described.items():
        if parameter in values:
            continue
        if "default" not in about and not about.get("optional"):
            raise ProcessParameterRequired(f"Node {key}: process {name!r} needs the parameter {parameter!r}.")
        values[parameter] = about.get("default")
    return values


def _resolved(
    value: Any,
    renamed: Mapping[str, str],
    values: Mapping[str, Any],
    lookup: Lookup,
    node: Mapping[str, Any] | None,
    callers: tuple[str, ...],
    counter: list[int],
) -> Any:
    """An argument with nodes renamed and parameters of the process put in."""
    if isinstance(value, list):
        return [_resolved(v, renamed, values, lookup, None, callers, counter) for v in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("from_node"), str) and len(value) == 1:
        return {"from_node": renamed.get(value["from_node"], value["from_node"])}
    if isinstance(value.get("from_parameter"), str) and len(value) == 1:
        return values.get(value["from_parameter"], value)
    if isinstance(value.get("process_graph"), Mapping):
        return {
            **value,
            "process_graph": _expanded(value["process_graph"], lookup, values, "", callers, counter),
        }
    if node is None:
        return {k: _resolved(v, renamed, values, lookup, None, callers, counter) for k, v in value.items()}
    hidden = _hidden_names(node)
    return {
        k: _resolved(
            v,
            renamed,
            {n: x for n, x in values.items() if n not in hidden.get(k, ())},
            lookup,
            None,
            callers,
            counter,
        )
        for k, v in value.items()
    }


def _hidden_names(node: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By argument, the parameters that a predefined process gives to its callback: they hide outer ones."""
    process_id = node.get("process_id")
    if not isinstance(process_id, str) or process_id not in _predefined():
        return {}
    raw = node.get("arguments", {})
    return {
        p["name"]: callback_parameters(p["schema"])
        for p in description(process_id)["parameters"]
        if isinstance(raw.get(p["name"]), Mapping) and "process_graph" in raw[p["name"]]
    }


@lru_cache(maxsize=1)
def _predefined() -> frozenset[str]:
    return frozenset(process_ids())
