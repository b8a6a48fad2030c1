"""A parsed process graph: nodes in topological order, references resolved to indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acreage.processes.callback import Callback, NodeRef


@dataclass(frozen=True)
class GraphNode:
    """One call of a process at the top level.

    Attributes:
        key: the node's id in the JSON graph.
        process_id: what it calls.
        arguments: by parameter name, defaults of the description filled in. Values are JSON, `NodeRef` (at
            any depth) or `Callback`.
    """

    key: str
    process_id: str
    arguments: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the nodes it refers to, each once, in order of appearance."""
        return tuple(dict.fromkeys(ref.index for ref in references(self.arguments)))


@dataclass(frozen=True)
class Graph:
    """A parsed process graph.

    Attributes:
        nodes: in topological order; equal calls on equal inputs are one node.
        result: index of the result node.
        outputs: indices of the `save_result` nodes, plus the result node where it is not one.
    """

    nodes: tuple[GraphNode, ...]
    result: int
    outputs: tuple[int, ...]


def references(value: Any) -> Iterator[NodeRef]:
    """All node references in an argument value, at any depth of lists and objects (not inside callbacks)."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, NodeRef):
            yield item
        elif isinstance(item, Mapping):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, list | tuple) and not isinstance(item, Callback):
            stack.extend(reversed(item))


def substitute(value: Any, replacement: Mapping[int, Any]) -> Any:
    """The same value with every node reference replaced (a missing index stays a reference)."""
    if isinstance(value, NodeRef):
        return replacement.get(value.index, value)
    if isinstance(value, Mapping):
        return {k: substitute(v, replacement) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [substitute(v, replacement) for v in value]
    return value
