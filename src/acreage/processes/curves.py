"""fit_curve and predict_curve: model functions fitted to arrays, and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.callback import BoundCallback, Callback, as_masked
from acreage.processes.convert import from_result, to_array
from acreage.processes.dates import is_date, moment
from acreage.processes.least_squares import fit
from acreage.processes.operands import holds_pixels, number_array, plain
from acreage.processes.probing import callback_meta, null_array, single_dtype
from acreage.processes.registry import Footprint, array_process, cube_process

Float = NDArray[np.float64]
_PIXELS = 4096  # fitted side by side


def _numbers(labels: Sequence[Any]) -> Float:
    """The independent variable: numbers, dates in seconds since 1970-01-01, other labels by their place."""
    if labels and all(isinstance(v, np.datetime64) for v in labels):
        return np.array([v.astype("datetime64[ms]").astype(np.int64) / 1000 for v in labels])
    if labels and all(isinstance(v, int | float) and not isinstance(v, bool) for v in labels):
        return np.array(labels, np.float64)
    return np.arange(len(labels), dtype=np.float64)


def _model(function: Any, x: Float) -> Callable[[Float], Float]:
    """The callback as a function of parameters (k, pixels), which gives values (x, pixels)."""
    if not isinstance(function, Callback | BoundCallback):
        raise ProcessParameterInvalid(f"The model function must be a process graph, not {function!r}.")
    column = Masked(x[:, None])

    def values(parameters: Float) -> Float:
        made = as_masked(function(x=column, parameters=Masked(parameters[:, None], None, True)))
        found = made.values.astype(np.float64)
        if made.valid is not None:
            found = np.where(made.valid, found, np.nan)
        return np.broadcast_to(found, (len(x), parameters.shape[1]))

    return values


# --- fit_curve ----------------------------------------------------------------------------------------------


@array_process("fit_curve")
def fit_curve(data: Any, parameters: Any, function: Any, ignore_nodata: bool = True) -> Any:
    """Parameters of a model function that fit an array best by least squares, float64; null without a fit.

    Args:
        data: numbers y; the labels (or 0, 1, 2, ...) are x, dates in seconds since 1970-01-01.
        parameters: the guess to begin with.
        function: callback with `x` and `parameters`.
        ignore_nodata: whether nulls do not count; otherwise an array with a null has no fit.

    Raises:
        ProcessParameterInvalid: no numbers, no guess, or no callback.
    """
    ready = number_array(data)
    guess = plain(parameters) if isinstance(parameters, Masked) else parameters
    if not isinstance(guess, list | tuple) or not guess or not all(isinstance(p, int | float) for p in guess):
        raise ProcessParameterInvalid(f"fit_curve needs a guess of each parameter, not {guess!r}.")
    model = _model(function, _numbers(ready.labels or tuple(range(ready.length))))
    y = ready.values.reshape(ready.length, -1).astype(np.float64)
    valid = ready.validity().reshape(y.shape)
    made, good = np.zeros((len(guess), y.shape[1])), np.zeros(y.shape[1], bool)
    for start in range(0, y.shape[1], _PIXELS):
        part = slice(start, start + _PIXELS)
        made[:, part], good[part] = fit(model, y[:, part], valid[:, part], np.array(guess, np.float64))
    if not ignore_nodata:
        good &= valid.all(axis=0)
    shape = (len(guess), *ready.values.shape[1:])
    result = Masked(made.reshape(shape), np.broadcast_to(good, made.shape).reshape(shape), True)
    return result if holds_pixels(data) else plain(result)


# --- predict_curve ------------------------------------------------------------------------------------------


def _new_dimension(dim: Dimension, labels: Any) -> Dimension:
    if not labels:
        raise ProcessParameterInvalid(
            "predict_curve needs labels: a data cube of parameters holds no values that could be filled.",
            hint="Give the labels to predict values for.",
        )
    if all(isinstance(v, str) and is_date(v) for v in labels):
        return Dimension(dim.name, "temporal", tuple(moment(v) for v in labels))
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in labels):
        return Dimension(dim.name, "other", tuple(labels))
    raise ProcessParameterInvalid(f"The labels of predict_curve are all numbers or all dates, not {labels}.")


def _describe_predict(*, parameters: CubeMeta, function: Callback, dimension: str, labels: Any) -> CubeMeta:
    dim = parameters.dim(dimension)
    if dim.type in ("x", "y", "geometry"):
        raise ProcessParameterInvalid(f"The dimension {dimension!r} holds no parameters, but {dim.type}.")
    new = _new_dimension(dim, labels)
    sample = null_array(parameters, len(dim.labels), None)
    x = Masked(np.zeros((1,) * sample.values.ndim))
    held = Masked(sample.values[:, None], sample.validity()[:, None], True)
    found = callback_meta(function, {"x": x, "parameters": held})
    dtype = single_dtype("predict_curve", function, found)
    return replace(parameters.with_dim(dimension, new), dtype=dtype, nodata=None, may_be_null=True)


def _predict_footprints(**_: Any) -> Mapping[str, Footprint]:
    return {}


@cube_process("predict_curve", describe=_describe_predict, footprints=_predict_footprints)
def predict_curve(
    *, parameters: Cube, function: Callback, dimension: str, labels: Any, out: CubeMeta
) -> Cube:
    """Values of a model function at new labels, from its parameters along a dimension."""
    held = to_array(parameters, dimension)
    x = _numbers(out.dim(dimension).labels)
    column = Masked(x.reshape(-1, *(1,) * (held.values.ndim - 1)))
    valid = None if held.valid is None else held.valid[:, None]
    made = as_masked(function(x=column, parameters=Masked(held.values[:, None], valid, True)))
    return from_result(made, (len(x), *held.values.shape[1:]), out, out.axis(dimension))
