"""Sorting. Ties keep their order; NaN counts as larger than every number; dates are compared in time.

Every pixel of an array of pixels keeps its number of elements: nulls that are to be removed (`nodata` null)
are moved to the end, which is the same for every process that ignores nulls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, Masked
from acreage.core.errors import ArrayElementNotAvailable, ProcessParameterInvalid
from acreage.processes.dates import instants, is_date
from acreage.processes.dtypes import INT32
from acreage.processes.operands import array, concatenate, holds_pixels, plain, whole_number
from acreage.processes.registry import array_process


@array_process("order")
def order(data: Any, asc: bool = True, nodata: bool | None = None) -> Any:
    """Places of the elements in sorted order, int32.

    Args:
        data: numbers or dates.
        asc: smallest first.
        nodata: where nulls go: true to the end, false to the start, null nowhere.
    """
    ready = array(data)
    places = _permutation(ready, asc, nulls_first=nodata is False)
    dropped = nodata is None and ready.valid is not None
    valid = np.take_along_axis(ready.validity(), places, axis=0) if dropped else None
    return _form(data, Masked(places.astype(INT32), valid, True), drop_nulls=nodata is None)


@array_process("sort")
def sort(data: Any, asc: bool = True, nodata: bool | None = None) -> Any:
    """The elements in sorted order; see `order`."""
    ready = array(data)
    places = _permutation(ready, asc, nulls_first=nodata is False)
    valid = None if ready.valid is None else np.take_along_axis(ready.valid, places, axis=0)
    result = Masked(np.take_along_axis(ready.values, places, axis=0), valid, True)
    return _form(data, result, drop_nulls=nodata is None)


@array_process("rearrange")
def rearrange(data: Any, order: Any) -> Any:
    """The elements at the places of `order`, in its order; labels go with them where it is a constant.

    Raises:
        ArrayElementNotAvailable: a place is outside of the array.
    """
    if holds_pixels(order):
        return _rearranged(array(data), array(order, "order"))
    if not isinstance(order, list | tuple):
        raise ProcessParameterInvalid(f"Parameter 'order' must be an array, not {order!r}.")
    places = [whole_number(p, "order") for p in order]
    length = len(data) if isinstance(data, list | tuple) else array(data).length
    _check_places(np.array(places, np.int64), None, length)
    if not holds_pixels(data):
        return [data[p] for p in places]
    ready = array(data)
    labels = None if ready.labels is None else tuple(ready.labels[p] for p in places)
    index = np.array(places, np.intp)
    return Masked(ready.values[index], None if ready.valid is None else ready.valid[index], True, labels)


def take(data: Masked, places: Masked) -> Masked:
    """Elements of an array at places that may differ from pixel to pixel; a null place gives null.

    Args:
        data: array (n, *pixels).
        places: integers of any shape that broadcasts to (..., *pixels).

    Raises:
        ArrayElementNotAvailable: a place is outside of the array.
    """
    if places.dtype.kind not in "iu":
        raise ProcessParameterInvalid(f"Places in an array must be integers, not {places.dtype}.")
    _check_places(places.values, places.valid, data.length)
    pixels = data.values.shape[1:]
    extra = max(places.values.ndim - len(pixels), 0)
    shape = (*places.values.shape[:extra], *np.broadcast_shapes(places.values.shape[extra:], pixels))
    known = np.broadcast_to(places.validity(), shape).reshape(-1, *shape[extra:])
    index = np.broadcast_to(places.values, shape).reshape(known.shape)
    index = np.where(known, index, 0).astype(np.intp)
    full = (data.length, *shape[extra:])
    values = np.take_along_axis(np.broadcast_to(data.values, full), index, axis=0).reshape(shape)
    valid = known & np.take_along_axis(np.broadcast_to(data.validity(), full), index, axis=0)
    return Masked(values, valid.reshape(shape))


def _rearranged(data: Masked, places: Masked) -> Masked:
    if data.length == 0 and places.length:
        data = concatenate([data, Masked(np.zeros((1, *data.values.shape[1:]), data.dtype), None, True)])
    taken = take(data, places)
    return Masked(taken.values, taken.valid, True)


def _check_places(places: Array, valid: BoolArray | None, length: int) -> None:
    known = places if valid is None else places[valid]
    if known.size and (known.min() < 0 or known.max() >= length):
        bad = known.min() if known.min() < 0 else known.max()
        raise ArrayElementNotAvailable(f"The array has no element {bad}: it has {length} elements.")


def _permutation(data: Masked, asc: bool, *, nulls_first: bool) -> Array:
    keys = _sortable(data)
    null = ~data.validity()
    if data.valid is not None:
        keys = np.where(null, np.zeros((), keys.dtype), keys)
    rank = ~null if nulls_first else null
    if asc:
        return np.lexsort((keys, rank), axis=0)
    # Backwards and turned round again, so that ties keep their order too.
    turned = np.lexsort((keys[::-1], ~rank[::-1]), axis=0)
    return np.asarray(data.length - 1 - turned[::-1])


def _sortable(data: Masked) -> Array:
    if data.dtype.kind != "U":
        return data.values
    known = data.values[data.validity()]
    if not all(is_date(str(t)) for t in known.ravel()):
        raise ProcessParameterInvalid("Only numbers and dates can be sorted, not other texts.")
    return instants(data.values)


def _form(data: Any, result: Masked, *, drop_nulls: bool) -> Any:
    if holds_pixels(data):
        return result
    items = plain(result)
    return [v for v in items if v is not None] if drop_nulls else items
