"""Inputs and outputs of a model: dimensions, bands, scaling, classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.errors import MlModelInvalid, MlModelUnsupported

Json = Mapping[str, Any]
#: What a model's dimensions are called, by what they mean here.
_ROLES = {
    "batch": ("batch", "b", "n"),
    "bands": ("bands", "band", "channel", "channels", "c"),
    "time": ("time", "t", "times", "temporal"),
    "y": ("y", "height", "h"),
    "x": ("x", "width", "w"),
}
_SCALINGS: Mapping[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
_CLASSIFYING = ("classification", "segmentation")


@dataclass(frozen=True)
class Input:
    """What a model takes.

    Attributes:
        roles: meaning of its dimensions in order: `batch`, `bands`, `time`, `y`, `x`.
        shape: their sizes; -1 for any.
        bands: names in the model's order; empty where the item names none.
        dtype: numpy name.
        scaling: one object for all bands, or one a band; empty for none. A `type` of null scales nothing.
        fill: what stands for null in each band, None where the model takes no nulls; NaN is written `nan`.
    """

    roles: tuple[str, ...]
    shape: tuple[int, ...]
    bands: tuple[str, ...]
    dtype: str
    scaling: tuple[Json, ...] = ()
    fill: tuple[float | str | None, ...] = ()

    def size(self, role: str) -> int | None:
        """Of a dimension: -1 for any, None where the model does not have it."""
        return self.shape[self.roles.index(role)] if role in self.roles else None


@dataclass(frozen=True)
class Output:
    """What a model gives.

    Attributes:
        roles: meaning of its dimensions in order: `batch`, `values`, `y`, `x`; `one`: of size 1.
        size: values a prediction.
        labels: names of the values; empty where there are none.
        codes: class that each value is the score of; empty where values are no scores.
    """

    roles: tuple[str, ...]
    size: int
    labels: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()


def read_input(data: Json, what: str, bands: Mapping[str, Json]) -> Input:
    """An entry of `mlm:input`.

    Args:
        data: the entry.
        what: the model for messages.
        bands: band objects of the item by name.

    Raises:
        MlModelInvalid, MlModelUnsupported: as `read_item`.
    """
    for key in ("pre_processing_function", "resize_type"):
        if data.get(key) is not None:
            raise MlModelUnsupported(
                f"{what} wants its input prepared by a {key}, which is not done here.",
                hint="Prepare the data cube in the process graph, and leave it out of the item.",
            )
    if data.get("variables"):
        raise MlModelUnsupported(f"{what} takes variables.", hint="Models of bands are run here.")
    roles, shape = _dimensions(data.get("input"), f"the input of {what}")
    unknown = [r for r in roles if r not in _ROLES]
    whole = "batch" in roles and bool({"bands", "time"} & set(roles)) and ("x" in roles) == ("y" in roles)
    if unknown or not whole:
        raise MlModelUnsupported(
            f"{what} has an input of the dimensions {', '.join(roles)}.",
            hint="Models of batch, bands and time are run here, and of height and width beside these.",
        )
    names = tuple(_band_name(b, what) for b in data.get("bands") or ())
    count = shape[roles.index("bands")] if "bands" in roles else None
    if names and count is not None and count not in (-1, len(names)):
        raise MlModelInvalid(f"{what} names {len(names)} bands, and its input has {count}.")
    scaling = _scaling(data.get("value_scaling"), what)
    many = len(names) or (count or 0)
    if len(scaling) > 1 and len(scaling) != many:
        raise MlModelInvalid(f"{what} scales {len(scaling)} bands, and its input has {many}.")
    fill = tuple(_fill(bands.get(name, {})) for name in names)
    return Input(roles, shape, names, _dtype(data["input"].get("data_type"), what), scaling, fill)


def read_output(data: Json, what: str, given: Input) -> Output:
    """An entry of `mlm:output`; arguments and errors as `read_input`."""
    if data.get("post_processing_function") is not None:
        raise MlModelUnsupported(
            f"{what} wants its output processed by a post_processing_function, which is not done here.",
            hint="Make it a part of the model, or of the process graph.",
        )
    names, shape = _dimensions(data.get("result"), f"the result of {what}")
    roles = ["values" if r not in ("batch", "y", "x") else r for r in names]
    if roles.count("values") > 1:
        # A dimension of one entry says nothing.
        roles = ["one" if r == "values" and n == 1 else r for r, n in zip(roles, shape, strict=True)]
    spatial = {"x", "y"} & set(given.roles)
    if "batch" not in roles or {"x", "y"} & set(roles) != spatial or roles.count("values") > 1:
        raise MlModelUnsupported(
            f"{what} gives {', '.join(names)} for an input of {', '.join(given.roles)}.",
            hint="A model is run that gives one or several values for every pixel.",
        )
    for axis in spatial:
        own, asked = shape[roles.index(axis)], given.size(axis)
        if -1 not in (own, asked) and own != asked:
            raise MlModelUnsupported(
                f"{what} gives {own} pixels along {axis} for {asked}.",
                hint="It must give as many as it takes.",
            )
    size = shape[roles.index("values")] if "values" in roles else 1
    classes = data.get("classification:classes") or data.get("classification_classes") or []
    if size == -1:
        size = len(classes) or len(data.get("bands") or ()) or 1
    return _labelled(data, tuple(roles), size, classes, what)


def _labelled(data: Json, roles: tuple[str, ...], size: int, classes: Any, what: str) -> Output:
    tasks = data.get("tasks") or ()
    classifying = any(str(t).lower().endswith(_CLASSIFYING) for t in tasks)
    if size > 1 and classes and (classifying or not tasks):
        if not isinstance(classes, list) or len(classes) != size:
            raise MlModelInvalid(f"{what} gives {size} values, and has {len(classes)} classes.")
        try:
            codes = tuple(int(c["value"]) for c in classes)
            labels = tuple(str(c.get("name") or c["value"]) for c in classes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MlModelInvalid(f"{what} has a class without a value.") from error
        return Output(roles, size, labels, codes)
    names = tuple(_band_name(b, what) for b in data.get("bands") or ())
    return Output(roles, size, names if len(names) == size and size > 1 else ())


def _dimensions(data: Any, of: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    shape, order = (data.get("shape"), data.get("dim_order")) if isinstance(data, Mapping) else (None, None)
    good = (
        isinstance(shape, list)
        and isinstance(order, list)
        and len(shape) == len(order) > 0
        and all(isinstance(n, int) and not isinstance(n, bool) and (n > 0 or n == -1) for n in shape)
        and all(isinstance(name, str) for name in order)
    )
    if not good:
        raise MlModelInvalid(
            f"The shape and dim_order of {of} are {shape!r} and {order!r}.",
            hint="Give a size (-1 for any) and a name for each dimension.",
        )
    assert shape is not None
    assert order is not None
    roles = tuple(_role(name) for name in order)
    if len(set(roles) - {""}) < len([r for r in roles if r in _ROLES]):
        repeated = [r for r in roles if roles.count(r) > 1 and r in _ROLES]
        if repeated:
            raise MlModelInvalid(f"{of} has the dimension {repeated[0]!r} twice.")
    return roles, tuple(shape)


def _role(name: str) -> str:
    return next((role for role, names in _ROLES.items() if name.lower() in names), name)


def _band_name(band: Any, what: str) -> str:
    name = band if isinstance(band, str) else band.get("name") if isinstance(band, Mapping) else None
    if not isinstance(name, str) or not name:
        raise MlModelInvalid(f"{what} has a band without a name.")
    if isinstance(band, Mapping) and band.get("expression") is not None:
        raise MlModelUnsupported(
            f"{what} wants its band {name!r} computed by an expression, which is not done here.",
            hint="Compute it in the process graph, and leave the expression out of the item.",
        )
    return name


def _scaling(data: Any, what: str) -> tuple[Json, ...]:
    entries: Sequence[Any] = data if isinstance(data, list) else [] if data is None else [data]
    for entry in entries:
        kind = entry.get("type") if isinstance(entry, Mapping) else entry
        if kind is None:
            continue
        if kind not in _SCALINGS:
            raise MlModelUnsupported(
                f"{what} scales its values by {kind!r}, which is not done here.",
                hint=f"These are: {', '.join(_SCALINGS)}. Do others in the process graph.",
            )
        for name in _SCALINGS[kind]:
            value = entry.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise MlModelInvalid(f"{what} scales by {kind!r} without a number for {name!r}.")
    kept = tuple(e if isinstance(e, Mapping) else {"type": None} for e in entries)
    return kept if any(e.get("type") is not None for e in kept) else ()


def _fill(band: Json) -> float | str | None:
    value = band.get("nodata")
    if isinstance(value, str):
        return "nan" if value.lower() == "nan" else None
    return None if value is None or isinstance(value, bool) else float(value)


def _dtype(value: Any, what: str) -> str:
    try:
        dtype = np.dtype(value) if isinstance(value, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "iuf":
        raise MlModelUnsupported(
            f"{what} takes values of the type {value!r}.", hint="Integers and floats are given here."
        )
    return dtype.name
