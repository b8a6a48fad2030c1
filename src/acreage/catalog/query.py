"""Property filters: checked, evaluated on items, and written as STAC APIs take them.

A filter is a mapping from property to conditions, which all must hold:
`{"eo:cloud_cover": {"lte": 20}}`. Beside the operators of the STAC API query extension there are
`between: [low, high]` (both included) and `any: [conditions, ...]`, of which one must hold.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from acreage.catalog.properties import is_fixed, spellings, value_of
from acreage.core.errors import InvalidInput

Query = Mapping[str, Mapping[str, Any]]

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": lambda value, allowed: value in allowed,
    "between": lambda value, limits: limits[0] <= value <= limits[1],
}
_CQL2 = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def check_query(query: Mapping[str, Any]) -> None:
    """Refuse what cannot be evaluated.

    Raises:
        InvalidInput: an unknown operator, or a filter that is not a mapping of operators.
    """
    for name, filters in query.items():
        if not isinstance(filters, Mapping) or not filters:
            raise InvalidInput(f"The filter on {name!r} is {filters!r}.", hint='Write it as {"lte": 20}.')
        for key, wanted in filters.items():
            if key == "any":
                for alternative in wanted:
                    check_query({name: alternative})
            elif key not in _OPERATORS:
                raise InvalidInput(
                    f"The filter on {name!r} has an unknown operator {key!r}; known: {[*_OPERATORS, 'any']}."
                )


def matches(properties: Mapping[str, Any], query: Query) -> bool:
    """True where every filter holds. A property that is absent or of another type matches only `neq`.

    A property may be given under any of its spellings (`properties.yaml`).
    """
    return all(_all_hold(value_of(properties, name), filters) for name, filters in query.items())


def check_known(names: Iterable[str], items: Sequence[Mapping[str, Any]], collection: str) -> None:
    """Refuse a filter on a property that none of the items has, for it would leave nothing silently.

    Args:
        names: properties that are filtered by.
        items: properties of the items to be filtered; without any there is nothing to say.
        collection: for the message.

    Raises:
        InvalidInput: with the properties that there are.
    """
    unknown = [name for name in names if items and all(value_of(i, name) is None for i in items)]
    if unknown:
        there = sorted({name for properties in items for name, v in properties.items() if v is not None})
        raise InvalidInput(
            f"Collection {collection} is filtered by {', '.join(map(repr, unknown))}, "
            "which none of its items has.",
            hint=f"They have: {', '.join(there)}.",
        )


def _all_hold(value: Any, filters: Mapping[str, Any]) -> bool:
    return all(
        any(_all_hold(value, alternative) for alternative in wanted)
        if key == "any"
        else _holds(value, key, wanted)
        for key, wanted in filters.items()
    )


def _holds(value: Any, key: str, wanted: Any) -> bool:
    if value is None:
        return key == "neq" and wanted is not None
    try:
        return bool(_OPERATORS[key](value, wanted))
    except TypeError:
        return False


# --- asking a catalog to filter -----------------------------------------------------------------------------


def pushable(query: Query, known: Mapping[str, Any], supersedes: bool) -> dict[str, dict[str, Any]]:
    """The filters that a catalog may apply itself, under the names and values that it uses.

    Args:
        query: checked filters.
        known: properties of one of the catalog's items; what it does not have is not asked.
        supersedes: newer processings replace older ones, so that only what all processings have in common may
            be asked: any other filter would let an old one through where it refuses the new one.
    """
    result: dict[str, dict[str, Any]] = {}
    for name, filters in query.items():
        if supersedes and not is_fixed(name):
            continue
        for spelling in [name, *(s for s, _ in spellings(name, _an_operand(filters)))]:
            if known.get(spelling) is not None:
                there = _under(name, filters, spelling)
                if there is not None:
                    result[spelling] = result.get(spelling, {}) | there
                break
    return result


def _an_operand(filters: Mapping[str, Any]) -> Any:
    """One of the values compared with."""
    key, wanted = next(iter(filters.items()))
    if key == "any":
        return _an_operand(wanted[0])
    return wanted[0] if key in ("in", "between") and wanted else wanted


def _under(name: str, filters: Mapping[str, Any], spelling: str) -> dict[str, Any] | None:
    """The filters with values as another spelling writes them; None where one cannot be written so."""
    if spelling == name:
        return dict(filters)
    result: dict[str, Any] = {}
    for key, wanted in filters.items():
        if key == "any":
            parts = [_under(name, alternative, spelling) for alternative in wanted]
            if None in parts:
                return None
            result[key] = parts
        elif key in ("in", "between"):
            values = [_as(name, value, spelling) for value in wanted]
            if None in values:
                return None
            result[key] = values
        else:
            result[key] = _as(name, wanted, spelling)
            if result[key] is None:
                return None
    return result


def _as(name: str, value: Any, spelling: str) -> Any:
    return dict(spellings(name, value)).get(spelling)


def as_query_extension(query: Query) -> dict[str, dict[str, Any]]:
    """What the query extension can say of the filters; the rest is left out."""
    result: dict[str, dict[str, Any]] = {}
    for name, filters in query.items():
        said: dict[str, Any] = {}
        for key, wanted in filters.items():
            if key == "between":
                said |= {"gte": wanted[0], "lte": wanted[1]}
            elif key == "any":
                if all(set(alternative) == {"eq"} for alternative in wanted):
                    said["in"] = [alternative["eq"] for alternative in wanted]
            else:
                said[key] = list(wanted) if key == "in" else wanted
        if said:
            result[name] = said
    return result


def as_cql2(query: Query) -> dict[str, Any]:
    """The filters as CQL2 JSON. Items that lack a property stay in: they may have it under another name."""
    parts = []
    for name, filters in query.items():
        prop = {"property": name}
        parts.append({"op": "or", "args": [_conjunction(prop, filters), {"op": "isNull", "args": [prop]}]})
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _conjunction(prop: Mapping[str, Any], filters: Mapping[str, Any]) -> dict[str, Any]:
    parts = [_comparison(prop, key, wanted) for key, wanted in filters.items()]
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _comparison(prop: Mapping[str, Any], key: str, wanted: Any) -> dict[str, Any]:
    if key == "any":
        parts: Iterable[dict[str, Any]] = [_conjunction(prop, alternative) for alternative in wanted]
        parts = list(parts)
        return parts[0] if len(parts) == 1 else {"op": "or", "args": parts}
    if key == "in":
        return {"op": "in", "args": [prop, list(wanted)]}
    if key == "between":
        return {
            "op": "and",
            "args": [{"op": ">=", "args": [prop, wanted[0]]}, {"op": "<=", "args": [prop, wanted[1]]}],
        }
    return {"op": _CQL2[key], "args": [prop, wanted]}
