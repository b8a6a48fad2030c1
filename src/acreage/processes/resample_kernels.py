"""The one resampling kernel of the product, on absolute pixel indices and hence independent of windows.

Follows GDAL's warper; where the target is coarser the filter is stretched as GDAL does, but by the ratio of
the two grids at the place instead of the ratio of whatever window is worked on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.grid import Box, Grid
from acreage.processes import resample_areal as statistics
from acreage.processes import resample_numba as loops
from acreage.processes.index_maps import Float, IndexMap, index_map, largest_span

_FILTERS = {  # kernel number and radius in source pixels
    "bilinear": (loops.BILINEAR, 1),
    "cubic": (loops.CUBIC, 2),
    "cubicspline": (loops.CUBICSPLINE, 2),
    "lanczos": (loops.LANCZOS, 3),
}
_STATISTICS = {  # statistic number and quantile
    "average": (statistics.AVERAGE, 0.0),
    "mean": (statistics.AVERAGE, 0.0),
    "mode": (statistics.MODE, 0.0),
    "min": (statistics.MIN, 0.0),
    "max": (statistics.MAX, 0.0),
    "med": (statistics.QUANTILE, 0.5),
    "q1": (statistics.QUANTILE, 0.25),
    "q3": (statistics.QUANTILE, 0.75),
    "sum": (statistics.SUM, 0.0),
    "rms": (statistics.RMS, 0.0),
}
METHODS = ("near", *_FILTERS, *_STATISTICS)
_KEEPS_VALUES = frozenset({"near", "mode", "min", "max"})
_NOT_IDENTITY = frozenset({"cubicspline", "rms"})  # change values even where both grids are one
FOUR_SAMPLES_FROM = 0.95  # GDAL: scales from here on are not downsampling


def check_method(method: str, dtype: np.dtype[np.generic]) -> None:
    """Refuse what cannot be computed.

    Raises:
        ProcessParameterInvalid: an unknown method, or one that makes no sense for the dtype.
    """
    if method not in METHODS:
        raise ProcessParameterInvalid(
            f"{method!r} is not a resampling method.", hint=f"Use one of {', '.join(METHODS)}."
        )
    if dtype.kind not in "biuf":
        raise ProcessParameterInvalid(f"Values of type {dtype} cannot be resampled.")
    if dtype.kind == "b" and method not in _KEEPS_VALUES:
        raise ProcessParameterInvalid(
            f"Boolean values cannot be resampled with {method!r}.",
            hint=f"Use one of {', '.join(sorted(_KEEPS_VALUES))}.",
        )


def is_identity(method: str, source: Grid, target: Grid) -> bool:
    """True where resampling copies pixels: both grids are one, and the method leaves such values alone."""
    return source.aligned_with(target) and method not in _NOT_IDENTITY


def support(method: str, source: Grid, target: Grid | Box) -> int:
    """How many source pixels around the covering ones a method needs, one pixel of slack included.

    Give the target's box where the grids have different CRS: the local scale depends on the place.
    """
    check_method(method, np.dtype(np.float32))
    if method == "near":
        return 1
    span = largest_span(source, target)
    if method in _STATISTICS:
        return 2
    return math.ceil(_FILTERS[method][1] * max(_rounded(span), span, 1.0)) + 2


def resample(
    values: Array, valid: BoolArray | None, source_box: Box, imap: IndexMap, method: str
) -> tuple[Array, BoolArray | None]:
    """Values on the target pixels of an index map.

    As GDAL has it: `near` and the filters (bilinear, cubic, cubicspline, lanczos) give null where the source
        pixel that holds the target's centre is null or absent, and else renormalise their weights over the
        valid pixels; the statistics (average, mode, ...) give null only where no valid source pixel is
        covered. Integers are rounded to the nearest, halves upward, and cut to their type.

    Args:
        values: shape (..., rows, columns) over `source_box`, boolean, integer or float.
        valid: validity of the same shape, None where all is valid.
        source_box: pixels of `imap.source`. Where it ends, data ends: give `support` pixels more than are
            covered.
        imap: from `index_map`.
        method: one of `METHODS`.

    Returns:
        values of the same dtype and leading shape over `imap.target`, and their validity (None where all is
        valid).

    Raises:
        ProcessParameterInvalid: as `check_method`.
    """
    check_method(method, values.dtype)
    if not imap.source.aligned_with(source_box.grid):
        raise ValueError(f"values lie on {source_box.grid}, the index map on {imap.source}")
    lead = values.shape[:-2]
    if values.shape[-2:] != source_box.shape:
        raise ValueError(f"values of shape {values.shape} for a box of {source_box.shape}")
    if imap.identity and method not in _NOT_IDENTITY:
        out, out_valid = _shifted(values, valid, source_box, imap)
    else:
        out, out_valid = _computed(values, valid, source_box, imap, method)
    out, out_valid = out.reshape(*lead, *imap.target.shape), out_valid.reshape(*lead, *imap.target.shape)
    return out, None if out_valid.all() else out_valid


def _computed(
    values: Array, valid: BoolArray | None, source_box: Box, imap: IndexMap, method: str
) -> tuple[Array, BoolArray]:
    layers = int(np.prod(values.shape[:-2], dtype=np.int64))
    source = np.ascontiguousarray(values).reshape(layers, *source_box.shape)
    mask = np.zeros((0, *source_box.shape), bool)
    if valid is not None:
        mask = np.ascontiguousarray(valid).reshape(source.shape)
    shape = (layers, *imap.target.shape)
    out = np.full(shape, null_like(values.dtype), values.dtype)
    out_valid = np.zeros(shape, bool)
    if out.size == 0 or source_box.is_empty:
        return out, out_valid
    place = (source, mask, source_box.x0, source_box.y0, imap.columns, imap.rows)
    if method == "near":
        loops.near(*place, out, out_valid)
        return out, out_valid
    integer, low, high = limits(values.dtype)
    if method in _STATISTICS:
        kind, quantile = _STATISTICS[method]
        statistics.areal(*place, *imap.spans(), kind, quantile, integer, low, high, out, out_valid)
        return out, out_valid
    kind, radius = _FILTERS[method]
    unstretched = {"bilinear": loops.bilinear, "cubic": loops.cubic}.get(method)
    if unstretched is not None and largest_span(imap.source, imap.target) * FOUR_SAMPLES_FROM <= 1.0:
        unstretched(*place, integer, low, high, out, out_valid)
        return out, out_valid
    scale_x, scale_y = _scales(imap)
    shrinks = (scale_x < FOUR_SAMPLES_FROM) | (scale_y < FOUR_SAMPLES_FROM)
    loops.weighted(*place, scale_x, scale_y, kind, radius, integer, low, high, out, out_valid)
    if unstretched is not None and not shrinks.all():
        same, same_valid = np.full_like(out, null_like(out.dtype)), np.zeros_like(out_valid)
        unstretched(*place, integer, low, high, same, same_valid)
        out, out_valid = np.where(shrinks, out, same), np.where(shrinks, out_valid, same_valid)
    return out, out_valid


def limits(dtype: np.dtype[Any]) -> tuple[bool, float, float]:
    """Whether values are rounded, and the range that they are cut to."""
    if dtype.kind == "f":
        return False, -math.inf, math.inf
    if dtype.kind == "b":
        return True, 0.0, 1.0
    info = np.iinfo(dtype)
    high = float(info.max)
    return True, float(info.min), high if int(high) <= info.max else float(np.nextafter(high, 0.0))


def _scales(imap: IndexMap) -> tuple[Float, Float]:
    """Target pixels a source pixel, below 1 where the target is coarser; near whole ratios are made whole."""
    scales = []
    for span in imap.spans():
        whole = np.round(span)
        with np.errstate(divide="ignore", invalid="ignore"):
            scales.append(1.0 / np.where((span > 1.0) & (np.abs(span - whole) < 0.05), whole, span))
    return scales[0], scales[1]


def _rounded(span: float) -> float:
    return float(round(span)) if span > 1.0 and abs(span - round(span)) < 0.05 else span


def _shifted(
    values: Array, valid: BoolArray | None, source_box: Box, imap: IndexMap
) -> tuple[Array, BoolArray]:
    """The same lattice: pixels are copied."""
    lead = values.shape[:-2]
    target = imap.target.on(source_box.grid)
    common = target.intersect(source_box)
    out = np.full((*lead, *target.shape), null_like(values.dtype), values.dtype)
    out_valid = np.zeros(out.shape, bool)
    if not common.is_empty:
        into = (..., *common.slices_in(target))
        place = (..., *common.slices_in(source_box))
        out[into] = values[place]
        out_valid[into] = True if valid is None else valid[place]
    return out, out_valid


__all__ = ["METHODS", "IndexMap", "check_method", "index_map", "resample", "support"]
