"""Linear interpolation of gaps along an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.core.arrays import Array, Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.dtypes import float_for
from acreage.processes.gap_kernels import fill_gaps
from acreage.processes.kernels import flat
from acreage.processes.operands import holds_pixels, number_array, plain
from acreage.processes.registry import array_process


@array_process("array_interpolate_linear")
def array_interpolate_linear(data: Any) -> Any:
    """Nulls and NaN between two numbers replaced by linear interpolation; nothing is extrapolated.

    The places of the elements are their labels where these are numbers or datetime64 dates, else 0, 1, 2, ...
    (also for period labels such as `2019-03`). The result is float32 or float64 (see `dtypes`), computed in
    float64 by the formula of numpy.interp. Pixels with fewer than two numbers stay as they are.

    Raises:
        ProcessParameterInvalid: the labels are not in order.
    """
    ready = number_array(data)
    values, valid, masked = flat(ready)
    out = np.full(values.shape, np.nan, float_for(ready.dtype) if holds_pixels(data) else np.float64)
    out_valid = np.zeros(values.shape, bool)
    fill_gaps(values, valid, masked, _positions(ready), out, out_valid)
    shape = ready.values.shape
    result = Masked(
        out.reshape(shape), out_valid.reshape(shape) if masked else None, True, ready.labels, normal=True
    )
    return result if holds_pixels(data) else plain(result)


def _positions(data: Masked) -> Array:
    labels = np.array(data.labels) if data.labels else np.zeros(0)
    if labels.dtype.kind == "M":
        places = (labels - labels[0]).astype("timedelta64[ms]").astype(np.float64)
    elif labels.dtype.kind in "iuf" and labels.size:
        places = labels.astype(np.float64)
    else:
        return np.arange(data.length, dtype=np.float64)
    steps = np.diff(places)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ProcessParameterInvalid(
            "array_interpolate_linear needs labels in ascending or descending order, each once.",
            hint="Sort the dimension first.",
        )
    return np.asarray(places)
