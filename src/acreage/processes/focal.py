"""apply_kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import KernelDimensionsUneven, ProcessParameterInvalid
from acreage.core.grid import Box
from acreage.processes import convolution as loops
from acreage.processes.dtypes import float_for
from acreage.processes.registry import WHOLE, Footprint, Halo, cube_process
from acreage.processes.resampling import spatial_box

_PAD_MODES = {"replicate": "edge", "reflect": "symmetric", "reflect_pixel": "reflect", "wrap": "wrap"}


def _kernel(kernel: Any) -> loops.Float:
    try:
        array = np.asarray(kernel, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ProcessParameterInvalid(
            "`kernel` is not a table of numbers with rows of one length."
        ) from error
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ProcessParameterInvalid(
            "`kernel` is not a table of finite numbers.", hint="Give a list of rows."
        )
    if not (array.shape[0] % 2 and array.shape[1] % 2):
        raise KernelDimensionsUneven(
            f"The kernel has {array.shape[0]} rows and {array.shape[1]} columns; both must be odd."
        )
    return np.ascontiguousarray(array)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _describe_kernel(
    *, data: CubeMeta, kernel: Any, factor: Any, border: Any, replace_invalid: Any
) -> CubeMeta:
    spatial_box(data, "apply_kernel")
    _kernel(kernel)
    for name, value in (("factor", factor), ("replace_invalid", replace_invalid)):
        if not _is_number(value):
            raise ProcessParameterInvalid(f"`{name}` of apply_kernel is {value!r}, not a number.")
    if not (_is_number(border) or (isinstance(border, str) and border in _PAD_MODES)):
        raise ProcessParameterInvalid(
            f"`border` of apply_kernel is {border!r}.",
            hint=f"Use a number or one of {', '.join(_PAD_MODES)}.",
        )
    return replace(data, dtype=float_for(data.dtype), nodata=None, may_be_null=False)


def _kernel_footprints(*, kernel: Any, border: Any, **_: Any) -> dict[str, Footprint]:
    rows, columns = _kernel(kernel).shape
    return {"data": WHOLE if border == "wrap" else Halo(columns // 2, rows // 2)}


@cube_process("apply_kernel", describe=_describe_kernel, footprints=_kernel_footprints)
def apply_kernel(
    *, data: Cube, kernel: Any, factor: Any, border: Any, replace_invalid: Any, out: CubeMeta
) -> Cube:
    """Each pixel's neighbours times the kernel laid over them (not turned), summed, times the factor.

    The sum is float64; the result is float32 for float32 and integers of up to 16 bits, else float64. Nulls,
    NaN and infinities count as `replace_invalid`, so the result has no nulls. `border` says what lies outside
    of the cube.
    """
    weights = _kernel(kernel)
    assert out.box is not None
    assert data.meta.box is not None
    values = data.values.astype(np.float64)
    known = np.isfinite(values) if data.valid is None else data.valid & np.isfinite(values)
    np.copyto(values, float(replace_invalid), where=~known)
    padded = _padded(values, data.meta.box, out.box, weights.shape, border)
    made = np.empty((int(np.prod(out.shape[:-2], dtype=np.int64)), *out.box.shape), out.dtype)
    loops.correlate(padded.reshape(-1, *padded.shape[-2:]), weights, float(factor), made)
    return Cube.of(made.reshape(out.shape), None, out)


def _padded(values: loops.Float, have: Box, want: Box, kernel: tuple[int, ...], border: Any) -> loops.Float:
    """The values under the kernel for every wanted pixel; the cube ends where `have` ends before that."""
    half_y, half_x = kernel[0] // 2, kernel[1] // 2
    need = want.expand(half_x, half_y)
    below, right = max(need.y1 - have.y1, 0), max(need.x1 - have.x1, 0)
    above, left = max(have.y0 - need.y0, 0), max(have.x0 - need.x0, 0)
    widths = [(0, 0)] * (values.ndim - 2) + [(above, below), (left, right)]
    if isinstance(border, str):
        grown = np.pad(values, widths, mode=_PAD_MODES[border])  # type: ignore[call-overload]
    else:
        grown = np.pad(values, widths, mode="constant", constant_values=float(border))
    top, west = need.y0 - (have.y0 - above), need.x0 - (have.x0 - left)
    return np.ascontiguousarray(grown[..., top : top + need.height, west : west + need.width])
