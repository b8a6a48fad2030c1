"""The order of tiles: a column or an expression of columns that a person writes.

Names, numbers, texts, arithmetic, comparisons and `and`, `or`, `not` are evaluated by pandas; anything else
(attributes, calls, indices) is refused before pandas sees it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

import numpy as np
import pandas as pd

from acreage.core.errors import InvalidInput

_ALLOWED = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
_LONGEST = 1000
_HINT = (
    "Write a column or an expression, as cropland_share, -core_seconds or (country == 'FR') + cropland_share."
)


def priorities(table: pd.DataFrame, expression: str) -> tuple[float, ...]:
    """The value of an expression for each row; higher comes first.

    Args:
        table: columns of numbers and texts; a missing number makes the row's value 0.
        expression: of its columns.

    Raises:
        InvalidInput: it is no expression of the columns, or gives no number for some row.
    """
    names = _checked(expression, list(table.columns))
    try:
        found = table.eval(expression, engine="python")
    except (TypeError, ValueError, ArithmeticError, NotImplementedError, KeyError) as error:
        raise InvalidInput(f"The priority {expression!r} cannot be computed: {error}.", hint=_HINT) from error
    if not isinstance(found, pd.Series):
        found = pd.Series([found] * len(table), index=table.index)
    values = pd.to_numeric(found, errors="coerce").to_numpy(np.float64)
    missing = table[names].isna().any(axis=1).to_numpy() if names else np.zeros(len(table), bool)
    values = np.where(missing, 0.0, values)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        first = table.index[bad[0]]
        raise InvalidInput(
            f"The priority {expression!r} is no number for {bad.size} tiles, the first: {first}.", hint=_HINT
        )
    return tuple(float(v) for v in values)


def check_priority(expression: str, columns: Sequence[str]) -> None:
    """Refuse what is no expression of the columns, before they are filled.

    Raises:
        InvalidInput: see `priorities`.
    """
    _checked(expression, columns)


def _checked(expression: str, columns: Sequence[str]) -> list[str]:
    """The columns that it names."""
    if len(expression) > _LONGEST:
        raise InvalidInput(f"The priority is longer than {_LONGEST} characters.", hint=_HINT)
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"The priority {expression!r} is no expression.", hint=_HINT) from error
    names = []
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or isinstance(node, ast.Pow | ast.LShift):
            raise InvalidInput(
                f"The priority {expression!r} has a part that is not allowed ({type(node).__name__}).",
                hint=_HINT,
            )
        if isinstance(node, ast.Name):
            if node.id not in columns:
                raise InvalidInput(
                    f"The priority {expression!r} names {node.id}, which is no column.",
                    hint=f"Columns are {', '.join(columns)}.",
                )
            names.append(node.id)
    return sorted(set(names))
