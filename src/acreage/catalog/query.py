"""Property filters as the STAC API query extension writes them: `{"eo:cloud_cover": {"lte": 20}}`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

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
}


def check_query(query: Mapping[str, Any]) -> None:
    """Refuse what cannot be evaluated.

    Raises:
        InvalidInput: an unknown operator, or a filter that is not a mapping of operators.
    """
    for name, filters in query.items():
        if not isinstance(filters, Mapping) or not filters:
            raise InvalidInput(f"The filter on {name!r} is {filters!r}.", hint='Write it as {"lte": 20}.')
        for key in filters:
            if key not in _OPERATORS:
                raise InvalidInput(
                    f"The filter on {name!r} has an unknown operator {key!r}; known: {list(_OPERATORS)}."
                )


def matches(properties: Mapping[str, Any], query: Query) -> bool:
    """True where every filter holds. A property that is absent or of another type matches only `neq`."""
    return all(
        _holds(properties.get(name), key, wanted)
        for name, filters in query.items()
        for key, wanted in filters.items()
    )


def _holds(value: Any, key: str, wanted: Any) -> bool:
    if value is None:
        return key == "neq" and wanted is not None
    try:
        return bool(_OPERATORS[key](value, wanted))
    except TypeError:
        return False
