"""Callbacks: the process graphs given to apply, reduce_dimension and the like, compiled and ready to call.

The engine's parser makes them; processes call them. A callback computes on whole arrays at once: a scalar
parameter
is a `Masked` with one element a pixel, an array parameter has the array axis first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from acreage.core.arrays import Masked, from_list, scalar
from acreage.core.errors import ProcessGraphError, ProcessParameterMissing


@dataclass(frozen=True, slots=True)
class NodeRef:
    """The result of an earlier node of the same callback."""

    index: int


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """A parameter of the callback or of a scope around it."""

    name: str


@dataclass(frozen=True, slots=True)
class CallbackNode:
    """One call of a process. Arguments may hold references at any depth of lists and dicts, and callbacks."""

    key: str
    process_id: str
    arguments: Mapping[str, Any]


class ArrayFunction(Protocol):
    """A process on masked arrays: arguments by their openEO names, JSON or Masked or BoundCallback."""

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """The result of the process."""
        ...


@dataclass(frozen=True)
class UdfCall:
    """A callback that is one `run_udf`: the engine runs it outside its process.

    Attributes:
        udf: source text, or the callback's parameter that would hold it.
        runtime: as the graph has it, likewise.
        version: as the graph has it.
        context: JSON of the run_udf node, or the callback's own context.
    """

    udf: str | ParameterRef
    runtime: str | ParameterRef
    version: str | None
    context: Mapping[str, Any] | ParameterRef = field(default_factory=dict)


@dataclass(frozen=True)
class Callback:
    """A compiled callback.

    Attributes:
        nodes: in topological order.
        result: index of the result node.
        functions: the array function of each node's process, aligned with `nodes` (None for run_udf).
        udf: set where the callback is a single run_udf call.
    """

    nodes: tuple[CallbackNode, ...]
    result: int
    functions: tuple[ArrayFunction | None, ...] = field(repr=False)
    udf: UdfCall | None = None

    def __call__(self, **parameters: Any) -> Masked:
        """The result for these parameters (Masked, JSON or None), as a Masked."""
        return as_masked(self.evaluate(parameters))

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The raw result in a scope: Masked, or JSON where only JSON went in."""
        results: list[Any] = []
        for node, function in zip(self.nodes, self.functions, strict=True):
            if function is None:
                raise _no_function(node)
            arguments = {name: _resolve(value, results, scope) for name, value in node.arguments.items()}
            results.append(function(**arguments))
        return results[self.result]

    @cached_property
    def process_ids(self) -> tuple[str, ...]:
        """The processes it calls, in order."""
        return tuple(n.process_id for n in self.nodes)


@dataclass(frozen=True)
class BoundCallback:
    """A nested callback with the scope it stands in; inner parameters hide outer ones of the same name."""

    callback: Callback
    scope: Mapping[str, Any]

    def __call__(self, **parameters: Any) -> Any:
        """The raw result; the parameters given here hide those of the scope."""
        return self.callback.evaluate({**self.scope, **parameters})


def _no_function(node: CallbackNode) -> ProcessGraphError:
    if node.process_id == "run_udf":
        return ProcessGraphError(
            "run_udf cannot be mixed with other processes in one callback.",
            hint="Make run_udf the only node of the callback, and use a second apply for the rest.",
        )
    return ProcessGraphError(
        f"Process {node.process_id!r} (node {node.key!r}) works on data cubes; "
        "this callback computes on values.",
        hint="Call it outside of the callback, or in apply_neighborhood.",
    )


def as_masked(value: Any) -> Masked:
    """A JSON scalar, a JSON array of scalars, or a Masked as it is."""
    if isinstance(value, Masked):
        return value
    if isinstance(value, list | tuple):
        return from_list(list(value))
    return scalar(value)


def _resolve(value: Any, results: list[Any], scope: Mapping[str, Any]) -> Any:
    if isinstance(value, NodeRef):
        return results[value.index]
    if isinstance(value, ParameterRef):
        if value.name not in scope:
            raise ProcessParameterMissing(
                f"The callback uses a parameter {value.name!r} that is not defined here.",
                hint=f"Defined are {', '.join(sorted(scope)) or 'none'}.",
            )
        return scope[value.name]
    if isinstance(value, Callback):
        return BoundCallback(value, scope)
    if isinstance(value, Mapping):
        return {k: _resolve(v, results, scope) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(v, results, scope) for v in value]
    return value
