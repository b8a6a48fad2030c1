"""From process graph JSON to a `Graph`: each node once, every problem listed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acreage.core.errors import (
    ProcessGraphError,
    ProcessGraphMissing,
    ProcessParameterInvalid,
    ProcessParameterMissing,
    ProcessParameterRequired,
    ProcessParameterUnsupported,
    ProcessUnsupported,
)
from acreage.engine.graph import Graph, GraphNode, references
from acreage.engine.order import is_node, order_of
from acreage.engine.problems import Problems
from acreage.engine.schemas import check_literal
from acreage.engine.spellings import respelled
from acreage.processes.callback import Callback, CallbackNode, NodeRef, ParameterRef, UdfCall
from acreage.processes.registry import array_processes, description

_MISSING = object()
_DEEPEST = 200


@dataclass(frozen=True)
class _Scope:
    """Parameters that are visible: values known now, and names that get a value when a callback is called."""

    values: Mapping[str, Any]
    names: frozenset[str]
    path: str

    def inside(self, names: Sequence[str], path: str) -> _Scope:
        known = {k: v for k, v in self.values.items() if k not in names}
        return _Scope(known, self.names | set(names), path)


def parse_graph(source: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Graph:
    """Parse a process graph.

    Args:
        source: a flat process graph, a process (`{"process_graph": ..., "parameters": [...]}`) or a job
            (`{"process": {...}}`).
        parameters: values for the process's own parameters; defaults come from its description.

    Raises:
        InvalidProcessGraph: with all problems that were found, by their openEO error codes.
        ProcessGraphMissing: there is no graph in the document.
    """
    _check_depth([source, dict(parameters or {})])
    process = unwrap(source)
    problems = Problems()
    scope = _Scope(_top_level_values(process, parameters or {}, problems), frozenset(), "")
    flat = respelled(process["process_graph"])
    order, result = order_of(flat, "", problems)
    problems.raise_any()
    nodes, index = _build(flat, order, scope, problems)
    problems.raise_any()
    assert result is not None
    outputs = [i for i, n in enumerate(nodes) if n.process_id == "save_result"]
    if index[result] not in outputs:
        outputs.append(index[result])
    return Graph(tuple(nodes), index[result], tuple(outputs))


def unwrap(source: Any) -> Mapping[str, Any]:
    """The process inside a document: `{"process_graph": {...}, "parameters": [...]}`.

    Raises:
        ProcessGraphMissing: the document holds no process graph.
    """
    if isinstance(source, Mapping) and isinstance(source.get("process"), Mapping):
        source = source["process"]
    if isinstance(source, Mapping) and isinstance(source.get("process_graph"), Mapping):
        process: Mapping[str, Any] = source
    elif isinstance(source, Mapping) and source and all(is_node(v) for v in source.values()):
        process = {"process_graph": source}
    else:
        raise ProcessGraphMissing(
            "The document holds no process graph.",
            hint="Give an object of nodes with process_id and arguments, or a process with a process_graph.",
        )
    if not process["process_graph"]:
        raise ProcessGraphMissing("The process graph is empty.", hint="It needs at least one node.")
    return process


def _check_depth(document: Any) -> None:
    """Refuse what is nested deeper than any graph of use: callbacks are parsed and run by recursion."""
    layer, depth = [document], 0
    while layer:
        depth += 1
        if depth > _DEEPEST:
            raise ProcessGraphError(
                f"The process graph is nested more than {_DEEPEST} levels deep.",
                hint="Use nodes one after the other instead of callbacks inside callbacks.",
            )
        layer = [
            child
            for item in layer
            if isinstance(item, Mapping | list)
            for child in (item.values() if isinstance(item, Mapping) else item)
        ]


def _top_level_values(
    process: Mapping[str, Any], given: Mapping[str, Any], problems: Problems
) -> Mapping[str, Any]:
    values = dict(given)
    described = process.get("parameters") or []
    for parameter in described if isinstance(described, list) else [described]:
        name = parameter.get("name") if isinstance(parameter, Mapping) else None
        if not isinstance(name, str):
            problems.add(
                ProcessGraphError(
                    "A parameter of the process has no name.",
                    hint='Describe each as {"name": ..., "schema": ...}.',
                )
            )
            continue
        if name in values:
            continue
        if "default" in parameter or parameter.get("optional"):
            values[name] = parameter.get("default")
        else:
            problems.add(
                ProcessParameterRequired(
                    f"The process needs a value for its parameter {name!r}.",
                    hint=f"Give it with --parameter {name}=VALUE.",
                )
            )
    return values


def _build(
    flat: Mapping[str, Any], order: Sequence[str], scope: _Scope, problems: Problems
) -> tuple[list[GraphNode], dict[str, int]]:
    nodes: list[GraphNode] = []
    index: dict[str, int] = {}
    seen: dict[str, int] = {}
    for key in order:
        process_id = flat[key]["process_id"]
        arguments = _arguments(key, flat[key], index, scope, problems)
        identity = _identity(process_id, flat[key].get("arguments", {}), index)
        if identity in seen and process_id != "save_result":
            index[key] = seen[identity]
            continue
        index[key] = seen[identity] = len(nodes)
        nodes.append(GraphNode(key, process_id, arguments))
    return nodes, index


def _identity(process_id: str, raw: Mapping[str, Any], index: Mapping[str, int]) -> str:
    """Equal for calls that must give equal results: the raw arguments with node keys replaced by indices."""

    def rename(value: Any) -> Any:
        if isinstance(value, Mapping):
            if isinstance(value.get("from_node"), str) and len(value) == 1:
                return {"from_index": index.get(value["from_node"])}
            if isinstance(value.get("process_graph"), Mapping):
                return value
            return {k: rename(v) for k, v in value.items()}
        if isinstance(value, list):
            return [rename(v) for v in value]
        return value

    return json.dumps([process_id, rename(raw)], sort_keys=True, default=str)


def _arguments(
    key: str, node: Mapping[str, Any], index: Mapping[str, int], scope: _Scope, problems: Problems
) -> Mapping[str, Any]:
    """Resolved arguments of one node with defaults filled in; problems are noted, not raised."""
    process_id, where = node["process_id"], f"{scope.path}{key}"
    try:
        spec = description(process_id)
    except ProcessUnsupported as error:
        problems.add(ProcessUnsupported(f"Node {where}: {error.message}", hint=error.hint))
        return {}
    raw = node.get("arguments", {})
    known = {p["name"]: p for p in spec["parameters"]}
    for name in raw:
        if name not in known:
            problems.add(
                ProcessParameterUnsupported(
                    f"Node {where}: process {process_id!r} has no parameter {name!r}.",
                    hint=f"It has {', '.join(known) or 'none'}.",
                )
            )
    arguments: dict[str, Any] = {}
    for name, parameter in known.items():
        value = raw.get(name, _MISSING)
        if value is _MISSING:
            if not parameter.get("optional", False):
                problems.add(
                    ProcessParameterRequired(
                        f"Node {where}: process {process_id!r} needs the parameter {name!r}."
                    )
                )
            arguments[name] = parameter.get("default")
            continue
        names = callback_parameters(parameter["schema"])
        before = len(problems.found)
        arguments[name] = _resolve(value, index, scope, f"{where}.{name}", names, problems)
        if len(problems.found) == before:  # else it would be blamed twice
            try:
                check_literal(process_id, name, arguments[name])
            except ProcessParameterInvalid as error:
                problems.add(ProcessParameterInvalid(f"Node {where}: {error.message}", hint=error.hint))
    return arguments


def callback_parameters(schema: Any) -> tuple[str, ...]:
    """Names of the parameters that a process passes to the callbacks in a parameter of this schema."""
    names: list[str] = []
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, Mapping):
            if part.get("subtype") == "process-graph":
                names.extend(p["name"] for p in part.get("parameters", []))
            else:
                stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
    return tuple(dict.fromkeys(names))


def _resolve(
    value: Any,
    index: Mapping[str, int],
    scope: _Scope,
    where: str,
    names: Sequence[str],
    problems: Problems,
) -> Any:
    if isinstance(value, list):
        return [_resolve(v, index, scope, f"{where}[{i}]", names, problems) for i, v in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("from_node"), str) and len(value) == 1:
        return NodeRef(index.get(value["from_node"], -1))
    if isinstance(value.get("from_parameter"), str) and len(value) == 1:
        found = _parameter(value["from_parameter"], scope, where, problems)
        if isinstance(found, Mapping) and isinstance(found.get("process_graph"), Mapping):
            return _callback(found["process_graph"], scope.inside(names, f"{where}/"), problems)
        return found
    if isinstance(value.get("process_graph"), Mapping):
        return _callback(value["process_graph"], scope.inside(names, f"{where}/"), problems)
    return {k: _resolve(v, index, scope, f"{where}.{k}", names, problems) for k, v in value.items()}


def _parameter(name: str, scope: _Scope, where: str, problems: Problems) -> Any:
    if name in scope.values:
        return scope.values[name]
    if name in scope.names:
        return ParameterRef(name)
    visible = ", ".join(sorted({*scope.values, *scope.names})) or "none"
    problems.add(
        ProcessParameterMissing(
            f"{where} uses a parameter {name!r} that is not defined there.", hint=f"Defined are: {visible}."
        )
    )
    return None


def _callback(flat: Mapping[str, Any], scope: _Scope, problems: Problems) -> Callback | None:
    before = len(problems.found)
    flat = respelled(flat, {*scope.values, *scope.names})
    order, result = order_of(flat, scope.path, problems)
    if len(problems.found) > before or result is None:
        return None
    index: dict[str, int] = {}
    nodes: list[CallbackNode] = []
    for key in order:
        arguments = _arguments(key, flat[key], index, scope, problems)
        index[key] = len(nodes)
        nodes.append(CallbackNode(key, flat[key]["process_id"], arguments))
    if len(problems.found) > before:
        return None
    return make_callback(nodes, index[result])


def make_callback(nodes: Sequence[CallbackNode], result: int) -> Callback:
    """A callback over nodes in topological order; a single run_udf becomes its `udf`."""
    functions = tuple(
        array_processes()[n.process_id].function if n.process_id in array_processes() else None for n in nodes
    )
    udf = None
    if len(nodes) == 1 and nodes[0].process_id == "run_udf":
        a = nodes[0].arguments
        udf = UdfCall(a["udf"], a["runtime"], a.get("version"), a.get("context") or {})
    return Callback(tuple(nodes), result, functions, udf)


__all__ = ["callback_parameters", "make_callback", "parse_graph", "references", "unwrap"]
