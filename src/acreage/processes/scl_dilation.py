"""to_scl_dilation_mask and mask_scl_dilation: the openEO federation's cloud mask of Sentinel-2's SCL band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import LabelNotAvailable, ProcessParameterInvalid
from acreage.core.grid import Box
from acreage.processes import convolution as loops
from acreage.processes.bands import bands_dimension
from acreage.processes.masking import replaced
from acreage.processes.registry import Footprint, Halo, cube_process
from acreage.processes.resampling import spatial_box

THRESHOLD_1, THRESHOLD_2 = 0.057, 0.025  # of the convolved masks, as the federation's back end has them
CLEAR_VALUES, CLOUD_VALUES = (2, 4, 5, 6, 7), (3, 8, 9, 10, 11)
KERNEL_1, KERNEL_2 = 17, 201
NO_DATA = 0  # SCL's own class for no data, which catalogs state as its null value
DEFAULTS: Mapping[str, Any] = {
    "erosion_kernel_size": 0,
    "mask1_values": CLEAR_VALUES,
    "mask2_values": CLOUD_VALUES,
    "kernel1_size": KERNEL_1,
    "kernel2_size": KERNEL_2,
}
"""Arguments of to_scl_dilation_mask with which mask_scl_dilation calls it."""


@lru_cache(maxsize=64)
def gaussian(size: int) -> loops.Float:
    """Weights of one axis of the federation's kernel: standard deviation size / 6, sum 1, float64."""
    x = np.arange(size, dtype=np.float64) - size // 2
    sigma = size / 6.0
    weights = np.exp(-(x**2) / (2.0 * sigma**2))
    normal: loops.Float = weights / weights.sum()
    normal.flags.writeable = False
    return normal


def _odd(value: Any, name: str, *, least: int = 1) -> int:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not good or value < least or (value and int(value) % 2 == 0):
        raise ProcessParameterInvalid(
            f"`{name}` is {value!r}.", hint=f"Give an odd number of pixels{' or 0' if least == 0 else ''}."
        )
    return int(value)


def _values(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(v, int | float) for v in values):
        raise ProcessParameterInvalid(
            f"`{name}` is {values!r}.", hint="Give a list of SCL values, such as [3, 8, 9]."
        )
    return tuple(int(v) for v in values)


# --- to_scl_dilation_mask -----------------------------------------------------------------------------------


def _describe(
    *,
    data: CubeMeta,
    erosion_kernel_size: Any,
    mask1_values: Any,
    mask2_values: Any,
    kernel1_size: Any,
    kernel2_size: Any,
) -> CubeMeta:
    spatial_box(data, "to_scl_dilation_mask")
    bands = data.find("bands")
    if bands is not None and len(bands.labels) != 1:
        raise ProcessParameterInvalid(
            "to_scl_dilation_mask needs the scene classification alone, and was given the bands "
            f"{', '.join(map(str, bands.labels))}.",
            hint="Use filter_bands to keep SCL only.",
        )
    if data.dtype.kind not in "iuf":
        raise ProcessParameterInvalid(f"A scene classification holds numbers, not {data.dtype}.")
    _odd(erosion_kernel_size, "erosion_kernel_size", least=0)
    _odd(kernel1_size, "kernel1_size", least=0)
    _odd(kernel2_size, "kernel2_size")
    _values(mask1_values, "mask1_values")
    _values(mask2_values, "mask2_values")
    return replace(data, dtype=np.dtype(bool), nodata=None, may_be_null=False)


def reach(erosion_kernel_size: int, kernel1_size: int, kernel2_size: int) -> int:
    """How many pixels around a pixel its mask depends on."""
    return max(kernel1_size, kernel2_size) // 2 + erosion_kernel_size // 2


def _footprints(
    *, erosion_kernel_size: Any, kernel1_size: Any, kernel2_size: Any, **_: Any
) -> dict[str, Footprint]:
    margin = reach(int(erosion_kernel_size), int(kernel1_size), int(kernel2_size))
    return {"data": Halo(margin, margin)}


@cube_process("to_scl_dilation_mask", describe=_describe, footprints=_footprints)
def to_scl_dilation_mask(
    *,
    data: Cube,
    erosion_kernel_size: Any,
    mask1_values: Any,
    mask2_values: Any,
    kernel1_size: Any,
    kernel2_size: Any,
    out: CubeMeta,
) -> Cube:
    """True near clouds: a boolean cube of the same dimensions, never null.

    Two masks, either of which masks a pixel: what is not in `mask1_values` (a null counts as 0), eroded by a
    disc and convolved with a Gaussian of `kernel1_size`, above 0.057; and what is in `mask2_values`, eroded
    and convolved with a Gaussian of `kernel2_size`, above 0.025. Outside of the cube nothing is marked. As
    the federation's back end computes it (openeo-geotrellis-extensions, SCLConvolutionFilter;
    docs/decisions/0010).
    """
    assert out.box is not None
    assert data.meta.box is not None
    unmarked = _values(mask1_values, "mask1_values")
    clear = _is_in(data.values, unmarked)
    second = _is_in(data.values, _values(mask2_values, "mask2_values"))
    if data.valid is not None:
        clear = np.where(data.valid, clear, NO_DATA in unmarked)
        second &= data.valid
    first = ~clear
    found = np.zeros((int(np.prod(out.shape[:-2], dtype=np.int64)), *out.box.shape), bool)
    for layer, one, two in zip(found, _layers(first), _layers(second), strict=True):
        # The wider kernel first: what it marks need not be looked at again.
        marks = _eroded(two, int(erosion_kernel_size))
        _dilate(marks, gaussian(int(kernel2_size)), THRESHOLD_2, data.meta.box, out.box, layer)
        if kernel1_size:
            marks = _eroded(one, int(erosion_kernel_size))
            _dilate(marks, gaussian(int(kernel1_size)), THRESHOLD_1, data.meta.box, out.box, layer)
        else:
            layer |= one[out.box.slices_in(data.meta.box)]
    return Cube(found.reshape(out.shape), None, out)


def _is_in(values: Array, wanted: tuple[int, ...]) -> BoolArray:
    """Where values are among the wanted: one comparison a value, which is faster than a search for a few."""
    found = np.zeros(values.shape, bool)
    for value in wanted:
        found |= values == value
    return found


def _eroded(marked: BoolArray, size: int) -> BoolArray:
    if size < 2 or not marked.any():
        return marked
    eroded = np.empty_like(marked)
    loops.erode(marked, size // 2, eroded)
    return eroded


def _layers(marked: BoolArray) -> BoolArray:
    return np.ascontiguousarray(marked).reshape(-1, *marked.shape[-2:])


def _dilate(
    marked: BoolArray, weights: loops.Float, threshold: float, have: Box, want: Box, into: Array
) -> None:
    if marked.any():
        loops.mark_convolved(marked, weights, want.y0 - have.y0, want.x0 - have.x0, threshold, into)


# --- mask_scl_dilation --------------------------------------------------------------------------------------


def scl_band(data: CubeMeta, name: str | None) -> str:
    """The label of the scene classification band.

    Raises:
        LabelNotAvailable: the named band is not there, or none looks like a scene classification.
    """
    dim = bands_dimension(data)
    labels = [str(label) for label in dim.labels]
    if name is not None:
        dim.index(name)
        return name
    found = [b for b in labels if b.upper() == "SCL"] or [b for b in labels if "SCL" in b.upper()]
    if len(found) != 1:
        raise LabelNotAvailable(
            f"mask_scl_dilation finds {len(found)} scene classification bands among {', '.join(labels)}.",
            hint="Name it in `scl_band_name`.",
        )
    return found[0]


def _describe_masked(*, data: CubeMeta, scl_band_name: str | None) -> CubeMeta:
    spatial_box(data, "mask_scl_dilation")
    scl_band(data, scl_band_name)
    return replace(data, may_be_null=True)


def _masked_footprints(**_: Any) -> dict[str, Footprint]:
    margin = reach(0, KERNEL_1, KERNEL_2)
    return {"data": Halo(margin, margin)}


@cube_process("mask_scl_dilation", describe=_describe_masked, footprints=_masked_footprints)
def mask_scl_dilation(*, data: Cube, scl_band_name: str | None, out: CubeMeta) -> Cube:
    """All bands set to null where to_scl_dilation_mask, with its defaults, of the SCL band is true."""
    assert out.box is not None
    dim = bands_dimension(data.meta)
    band = scl_band(data.meta, scl_band_name)
    scl = data.take(dim.name, [dim.index(band)], replace(dim, labels=(band,)))
    about = _describe(data=scl.meta, **DEFAULTS).with_box(out.box)
    cloud = to_scl_dilation_mask(data=scl, **DEFAULTS, out=about)
    return replaced(data.crop(out.box), cloud.values, None, out)
