"""What any JSON body must be, before a route looks at it: what it is kept as can be told again."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from acreage.backend.errors import BudgetInvalid, RequestInvalid

_DEEPEST = 200
_MOST = 1_000_000
_TEXTS = ("title", "description", "plan")
_LONGEST_INTEGER = int(sys.float_info.max)


def checked_body(document: Any) -> Any:
    """The same document.

    Raises:
        ValueError: it is nested so deeply that recursion over it would end, has texts that are not Unicode or
            hold NUL (no database keeps them), numbers that JSON has not, or very many values.
    """
    layer, seen = [document], 0
    for _ in range(_DEEPEST):
        children: list[Any] = []
        for part in layer:
            if isinstance(part, dict):
                children += part
                children += part.values()
            elif isinstance(part, list):
                children += part
            else:
                _check_value(part)
        if not children:
            return document
        seen += len(children)
        if seen > _MOST:
            raise ValueError(f"it has more than {_MOST:,} values")
        layer = children
    raise ValueError(f"nested more than {_DEEPEST} levels deep")


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        value.encode()  # half of a pair of surrogates, which JSON can write, raises a ValueError
        if "\0" in value:
            raise ValueError("a text has the character NUL")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and abs(value) > _LONGEST_INTEGER:
        raise ValueError("a number is too large")


def check_told(body: Mapping[str, Any]) -> None:
    """Refuse what cannot be the title, description, plan or budget of something.

    Raises:
        RequestInvalid, BudgetInvalid
    """
    for name in _TEXTS:
        if not isinstance(body.get(name), str | None):
            raise RequestInvalid(f"`{name}` must be a text.")
    budget = body.get("budget")
    if isinstance(budget, bool) or not isinstance(budget, int | float | None) or (budget or 0) < 0:
        raise BudgetInvalid(f"A budget of {budget!r} is no amount.", hint="Give a number of 0 or more.")
