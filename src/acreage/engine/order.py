"""The order of a graph's nodes: topological, in linear time and without recursion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acreage.core.errors import ProcessGraphError, ProcessParameterInvalid
from acreage.engine.problems import Problems


def is_node(value: Any) -> bool:
    """True for an object that calls a process."""
    return isinstance(value, Mapping) and isinstance(value.get("process_id"), str)


def order_of(flat: Mapping[str, Any], path: str, problems: Problems) -> tuple[list[str], str | None]:
    """Topological order of node keys and the result node's key, in linear time and without recursion."""
    needs: dict[str, list[str]] = {}
    for key, node in flat.items():
        if not is_node(node):
            problems.add(
                ProcessGraphError(f"Node {path}{key} has no process_id.", hint="Every node needs one.")
            )
            needs[key] = []
            continue
        if not isinstance(node.get("arguments", {}), Mapping):
            problems.add(ProcessGraphError(f"The arguments of node {path}{key} are not an object."))
            needs[key] = []
            continue
        needs[key] = []
        for target in from_nodes(node.get("arguments", {})):
            if target in flat:
                needs[key].append(target)
            else:
                problems.add(
                    ProcessParameterInvalid(
                        f"Node {path}{key} refers to a node {target!r} that does not exist.",
                        hint=f"Nodes here: {', '.join(flat)}.",
                    )
                )
    order = _topological(needs)
    if order is None:
        stuck = ", ".join(sorted(_in_cycles(needs)))
        problems.add(ProcessGraphError(f"Nodes refer to each other in a circle: {path}{stuck}."))
        return [], None
    return order, _result_key(flat, needs, path, problems)


def _result_key(
    flat: Mapping[str, Any], needs: Mapping[str, list[str]], path: str, problems: Problems
) -> str | None:
    marked = [k for k, n in flat.items() if is_node(n) and n.get("result") is True]
    if len(marked) == 1:
        return marked[0]
    where = f"of the callback {path.rstrip('/')}" if path else "of the process graph"
    if marked:
        problems.add(
            ProcessGraphError(
                f"Several nodes {where} are marked as result: {', '.join(marked)}.", hint="Mark one."
            )
        )
        return None
    used = {t for targets in needs.values() for t in targets}
    ends = [k for k in flat if k not in used]
    if len(ends) == 1:
        return ends[0]
    problems.add(
        ProcessGraphError(
            f"No node {where} is marked as result, and it ends in {', '.join(ends)}.",
            hint='Add "result": true.',
        )
    )
    return None


def _topological(needs: Mapping[str, list[str]]) -> list[str] | None:
    order = _topological_part(needs)
    return order if len(order) == len(needs) else None


def _topological_part(needs: Mapping[str, list[str]]) -> list[str]:
    """Keys in topological order, without those in a circle and those behind one."""
    waiting = {k: len(set(v)) for k, v in needs.items()}
    users: dict[str, list[str]] = {k: [] for k in needs}
    for key, targets in needs.items():
        for target in dict.fromkeys(targets):
            users[target].append(key)
    ready = [k for k, n in waiting.items() if n == 0]
    order: list[str] = []
    for key in ready:  # grows while it is walked
        order.append(key)
        for user in users[key]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    return order


def _in_cycles(needs: Mapping[str, list[str]]) -> set[str]:
    done = set(_topological_part(needs))
    # What only hangs behind a circle is taken off from the other end.
    behind: dict[str, list[str]] = {k: [] for k in needs if k not in done}
    for key in behind:
        for target in needs[key]:
            if target in behind:
                behind[target].append(key)
    return set(behind) - set(_topological_part(behind))


def from_nodes(value: Any) -> list[str]:
    """Keys that an argument refers to, at any depth, but not those inside its callbacks."""
    found: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if isinstance(item.get("from_node"), str) and len(item) == 1:
                found.append(item["from_node"])
            elif not isinstance(item.get("process_graph"), Mapping):
                stack.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            stack.extend(reversed(item))
    return found
