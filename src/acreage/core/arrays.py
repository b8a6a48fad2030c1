"""Masked arrays: the values that callbacks compute with.

openEO's null is not NaN, and integers and booleans have nulls too, so every array goes with a validity mask.
An openEO array (the pixels along a dimension) has its array axis FIRST; all other axes are pixels that are
computed side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Masked:
    """Values plus validity.

    Attributes:
        values: any numeric, boolean, string or datetime64 array. What stands under an invalid place means
            nothing.
        valid: boolean array of the same shape, or None where all values are valid.
        is_array: True where axis 0 is an openEO array's axis; False where each element is an openEO scalar.
        labels: the labels of axis 0 (band names, datetime64 dates, numbers), where the array is labelled.
        normal: whether `null_like` is known to stand under every invalid place, so that nobody has to put it
            there.
    """

    values: Array
    valid: BoolArray | None = None
    is_array: bool = False
    labels: tuple[Any, ...] | None = None
    normal: bool = False

    def __post_init__(self) -> None:
        if self.valid is not None and self.valid.shape != self.values.shape:
            raise ValueError(f"validity of shape {self.valid.shape} for values of shape {self.values.shape}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.values.dtype

    @property
    def length(self) -> int:
        """Number of elements of an openEO array."""
        if not self.is_array:
            raise ValueError("a scalar has no length")
        return int(self.values.shape[0])

    def validity(self) -> BoolArray:
        """The mask, made where it is not there. Do not write into it."""
        return np.ones(self.values.shape, bool) if self.valid is None else self.valid


def null_like(dtype: np.dtype[Any]) -> Any:
    """What stands under an invalid place: NaN for floats, NaT for dates, zero for the rest."""
    if dtype.kind == "f":
        return dtype.type(np.nan)
    if dtype.kind == "M":
        return np.datetime64("NaT")
    return dtype.type()


def normalise(values: Array, valid: BoolArray | None) -> tuple[Array, BoolArray | None]:
    """The same with `null_like` under every invalid place, and validity None where all is valid (copies if it
    must).
    """
    if valid is None:
        return values, None
    if valid.all():
        return values, None
    return np.where(valid, values, null_like(values.dtype)), valid


def both_valid(*masks: BoolArray | None) -> BoolArray | None:
    """Validity of a result that needs all its inputs; broadcasts."""
    present = [m for m in masks if m is not None]
    if not present:
        return None
    out = present[0]
    for mask in present[1:]:
        out = out & mask
    return out


def scalar(value: Any) -> Masked:
    """A Python or JSON scalar as a 0-d Masked; None becomes an invalid float."""
    if value is None:
        return Masked(np.array(np.nan, np.float32), np.array(False))
    return Masked(np.asarray(value))


def from_list(items: Sequence[Any], labels: tuple[Any, ...] | None = None) -> Masked:
    """A JSON array of scalars (None = null) as a 1-d array value; mixed numbers become the common dtype."""
    known = [i for i in items if i is not None]
    sample = np.asarray(known) if known else np.zeros(0, np.float64)
    values = np.full(len(items), null_like(sample.dtype), dtype=sample.dtype)
    valid = np.array([i is not None for i in items], bool)
    values[valid] = sample
    return Masked(values, None if valid.all() else valid, is_array=True, labels=labels)
