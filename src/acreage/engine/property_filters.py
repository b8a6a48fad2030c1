"""Filters of load_collection on item properties: evaluated on items, and told to the catalog too.

What the catalog is told is never narrower than the process graph, which has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acreage.catalog.items import SourceItem
from acreage.catalog.properties import value_of
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.callback import Callback, CallbackNode, NodeRef, ParameterRef, as_masked

_MIRRORED = {"eq": "eq", "neq": "neq", "lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}


def passes(item: SourceItem, properties: Mapping[str, Any]) -> bool:
    """True where an item's properties satisfy every filter; a property that it does not have fails it.

    A property may be filtered by under the name that another catalog has for it.
    """
    for name, condition in properties.items():
        value = value_of(item.properties, name)
        if value is None or isinstance(value, Mapping):
            return False
        result = as_masked(_graph(name, condition).evaluate({"value": value}))
        if not (bool(result.validity().all()) and bool(np.all(result.values))):
            return False
    return True


def as_query(properties: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Filters as `Catalog.search` takes them; those that cannot be said so are left out."""
    said = {name: _conditions(_graph(name, condition)) for name, condition in properties.items()}
    return {name: conditions for name, conditions in said.items() if conditions}


def _graph(name: str, condition: object) -> Callback:
    if not isinstance(condition, Callback):
        raise ProcessParameterInvalid(
            f"The filter on property {name!r} is not a process graph.",
            hint='Give {"process_graph": {...}} per property.',
        )
    return condition


def _conditions(condition: Callback) -> dict[str, Any] | None:
    return _node(condition, condition.result)


def _node(condition: Callback, index: int) -> dict[str, Any] | None:
    node = condition.nodes[index]
    if node.process_id in _MIRRORED:
        return _comparison(node)
    if node.process_id == "between":
        return _between(node)
    if node.process_id == "array_contains":
        data, value = node.arguments.get("data"), node.arguments.get("value")
        fixed = isinstance(data, list | tuple) and all(map(_is_plain, data))
        return {"in": list(data)} if fixed and data and _is_value(value) else None
    if node.process_id in ("and", "or"):
        sides = [node.arguments.get(side) for side in ("x", "y")]
        parts = [_node(condition, side.index) if isinstance(side, NodeRef) else None for side in sides]
        return _either(parts) if node.process_id == "or" else _both(parts)
    return None


def _comparison(node: CallbackNode) -> dict[str, Any] | None:
    x, y = node.arguments.get("x"), node.arguments.get("y")
    if node.arguments.get("delta") is not None or node.arguments.get("case_sensitive") is False:
        return None
    if _is_value(x) and _is_plain(y):
        return {node.process_id: y}
    if _is_value(y) and _is_plain(x):
        return {_MIRRORED[node.process_id]: x}
    return None


def _between(node: CallbackNode) -> dict[str, Any] | None:
    low, high = node.arguments.get("min"), node.arguments.get("max")
    if not (_is_value(node.arguments.get("x")) and _is_plain(low) and _is_plain(high)):
        return None
    if node.arguments.get("exclude_max"):
        return {"gte": low, "lt": high}
    return {"between": [low, high]}


def _both(parts: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Conditions that must all hold; one that cannot be said is left out, which lets more through."""
    known = [part for part in parts if part]
    if not known:
        return None
    first, *others = known
    for other in others:
        if first.keys() & other.keys():
            return first
        first = first | other
    return first


def _either(parts: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    known = [part for part in parts if part]
    return {"any": known} if len(known) == len(parts) else None


def _is_value(argument: object) -> bool:
    return argument == ParameterRef("value")


def _is_plain(argument: object) -> bool:
    return isinstance(argument, str | int | float) and not isinstance(argument, bool)
