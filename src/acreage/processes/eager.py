"""Callbacks whose nodes are cube processes, evaluated on a small cube (apply_neighborhood's blocks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ProcessGraphError, ProcessParameterInvalid, ProcessParameterMissing
from acreage.processes.callback import Callback, CallbackNode, NodeRef, ParameterRef
from acreage.processes.inspecting import inspect
from acreage.processes.registry import ENGINE_PROCESSES, array_processes, cube_processes
from acreage.processes.specs import load_spec


def is_array_callback(callback: Callback) -> bool:
    """True where no node is a cube process, so that the callback computes on arrays."""
    return not any(n.process_id in cube_processes() for n in callback.nodes)


def describe_callback(callback: Callback, scope: Mapping[str, Any]) -> CubeMeta:
    """Metadata of the cube that a callback makes of cubes with this metadata.

    Raises:
        ProcessGraphError: an engine process inside, no cube as a result, or what a process itself refuses.
    """
    result = _evaluate(callback, scope, _describe_node)
    if not isinstance(result, CubeMeta):
        raise _no_cube(callback)
    return result


def run_callback(callback: Callback, scope: Mapping[str, Any]) -> Cube:
    """The cube that a callback makes of these cubes (errors as `describe_callback`)."""
    result = _evaluate(callback, scope, _run_node)
    if not isinstance(result, Cube):
        raise _no_cube(callback)
    return result


def _no_cube(callback: Callback) -> ProcessParameterInvalid:
    return ProcessParameterInvalid(
        f"The callback ({', '.join(callback.process_ids)}) gives no data cube, but must give one.",
        hint="Use processes on data cubes; apply and reduce_dimension, for example, reach values.",
    )


def _evaluate(callback: Callback, scope: Mapping[str, Any], call: Any) -> Any:
    results: list[Any] = []
    for node in callback.nodes:
        given = {name: _resolve(value, results, scope) for name, value in node.arguments.items()}
        if node.process_id in cube_processes():
            results.append(call(node, _with_defaults(node, given)))
        elif node.process_id == "inspect" and isinstance(given["data"], Cube | CubeMeta):
            results.append(inspect(**given))
        elif node.process_id in ENGINE_PROCESSES:
            raise ProcessGraphError(
                f"{node.process_id} cannot be used inside a callback beside other processes.",
                hint="Put it into the main process graph, or make run_udf the only node of the callback.",
            )
        elif any(isinstance(v, Cube | CubeMeta) for v in given.values()):
            raise ProcessParameterInvalid(
                f"{node.process_id} was given a data cube inside a callback.",
                hint="Wrap it in apply, apply_dimension or reduce_dimension.",
            )
        else:
            results.append(array_processes()[node.process_id].function(**given))
    return results[callback.result]


def _describe_node(node: CallbackNode, arguments: Mapping[str, Any]) -> CubeMeta:
    return cube_processes()[node.process_id].describe(**arguments)


def _run_node(node: CallbackNode, arguments: Mapping[str, Any]) -> Cube:
    process = cube_processes()[node.process_id]
    about = {name: v.meta if isinstance(v, Cube) else v for name, v in arguments.items()}
    return process.run(**arguments, out=process.describe(**about))


def _with_defaults(node: CallbackNode, given: dict[str, Any]) -> dict[str, Any]:
    parameters = load_spec(node.process_id)["parameters"]
    missing = [p["name"] for p in parameters if not p.get("optional") and p["name"] not in given]
    if missing:
        raise ProcessParameterMissing(f"{node.process_id} in a callback lacks {', '.join(missing)}.")
    return {p["name"]: given.get(p["name"], p.get("default")) for p in parameters}


def _resolve(value: Any, results: list[Any], scope: Mapping[str, Any]) -> Any:
    """References replaced by what they stand for; nested callbacks stay callbacks."""
    if isinstance(value, NodeRef):
        return results[value.index]
    if isinstance(value, ParameterRef):
        if value.name not in scope:
            raise ProcessParameterMissing(
                f"The callback uses a parameter {value.name!r} that is not defined here; defined are "
                f"{', '.join(sorted(scope))}."
            )
        return scope[value.name]
    if isinstance(value, Mapping):
        return {k: _resolve(v, results, scope) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(v, results, scope) for v in value]
    return value
