"""Trigonometric and hyperbolic functions: radians, null gives null, outside of the domain NaN.

All are computed in float64, so that the float32 results do not depend on the processor's vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from acreage.core.arrays import Array
from acreage.processes.callback import ArrayFunction
from acreage.processes.dtypes import FLOAT64, float_for
from acreage.processes.operands import elementwise, numbers
from acreage.processes.registry import array_process

_FUNCTIONS: Final[dict[str, Callable[..., Array]]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arsinh": np.arcsinh,
    "arcosh": np.arccosh,
    "artanh": np.arctanh,
}


def _process(function: Callable[..., Array]) -> ArrayFunction:
    def process(x: Any) -> Any:
        (x,) = numbers(x=x)
        return elementwise(function, [x], float_for(x), inner=FLOAT64)

    return process


for _id, _function in _FUNCTIONS.items():
    array_process(_id)(_process(_function))


@array_process("arctan2")
def arctan2(y: Any, x: Any) -> Any:
    """Angle of the point (x, y), in [-π, π]."""
    y, x = numbers(y=y, x=x)
    return elementwise(np.arctan2, [y, x], float_for(y, x), inner=FLOAT64)
