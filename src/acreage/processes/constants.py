"""Constants; they are weak literals until they meet an array."""

from __future__ import annotations

import math
from typing import Any

from acreage.processes.registry import array_process


@array_process("pi")
def pi() -> float:
    """The ratio of a circle's circumference to its diameter."""
    return math.pi


@array_process("e")
def e() -> float:
    """The base of the natural logarithm."""
    return math.e


@array_process("nan")
def nan() -> float:
    """Not a number: a value, other than null."""
    return math.nan


@array_process("constant")
def constant(x: Any) -> Any:
    """The value itself."""
    return x
