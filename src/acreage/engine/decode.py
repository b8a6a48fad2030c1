"""From a file's numbers to values and validity: null values, offsets, decibels, border noise.

Pure functions on arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acreage.catalog.items import BorderNoise, Raster
from acreage.core.arrays import Array, BoolArray

SWATH_EDGE = 5
"""Side of the smallest square of null pixels that is taken for the outside of a swath."""


def decode(values: Array, raster: Raster) -> tuple[Array, BoolArray | None]:
    """Values and validity (None: all valid) of pixels as the file has them.

    Digital numbers get `raster.dn_offset` and keep their dtype. Decibels (`raster.db`) become linear power,
    float32: 10 ** ((DN * scale + offset) / 10).
    """
    valid: BoolArray | None = None
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
        if raster.nodata is not None and not np.isnan(raster.nodata):
            # A float32 file holds its null value rounded to float32.
            valid &= values != values.dtype.type(raster.nodata)
    elif raster.nodata is not None and not np.isnan(raster.nodata):
        valid = values != raster.nodata
    if raster.db:
        values = linear_power(values, valid, raster.scale, raster.offset)
    elif raster.dn_offset:
        values = _add_offset(values, raster.dn_offset)
    return values, None if valid is None or valid.all() else valid


def linear_power(values: Array, valid: BoolArray | None, scale: float, offset: float) -> Array:
    """Linear power, float32, of decibels stored as numbers; NaN where not valid. Computed in float64."""
    decibels = values.astype(np.float64) * scale + offset
    if valid is not None:
        decibels[~valid] = np.nan
    with np.errstate(over="ignore"):
        power: Array = np.power(10.0, decibels / 10.0).astype(np.float32)
    return power


def border_halo(border: BorderNoise | None) -> int:
    """How many pixels around a window decide on its border noise."""
    return 0 if border is None else border.distance + SWATH_EDGE - 1


def mask_border_noise(values: Array, valid: BoolArray | None, border: BorderNoise) -> BoolArray | None:
    """Validity without the noise along the edge of a swath.

    A valid pixel counts as noise where it is below `border.floor` and at most `border.distance` pixels, in
    rows and in columns, away from a part of the raster that is null over at least 5 x 5 pixels: such parts
    lie outside of the swath, whereas smaller holes (a shadow, a masked pixel) say nothing of its edge. The
    outer edge of the array is no edge of a swath, but null pixels there may go on beyond it.

    Args:
        values: linear power, (rows, columns), with a halo of `border_halo` where the raster goes on.
        valid: validity, None where all is valid.
        border: distance and floor.
    """
    if valid is None:
        return None
    from scipy.ndimage import maximum_filter1d, minimum_filter1d  # slow to load, and no plan needs them

    outside: Any = (~valid).astype(np.uint8)
    half = SWATH_EDGE // 2
    for axis in (0, 1):
        outside = minimum_filter1d(outside, SWATH_EDGE, axis=axis, mode="constant", cval=1)
    if not outside.any():
        return valid
    reach = 2 * (half + border.distance) + 1
    for axis in (0, 1):
        outside = maximum_filter1d(outside, reach, axis=axis, mode="constant", cval=0)
    with np.errstate(invalid="ignore"):
        kept: BoolArray = valid & ~((outside > 0) & (values < border.floor))
    return kept


def _add_offset(values: Array, offset: int) -> Array:
    # Dark pixels may fall below zero after the offset; 0 would read as null, 1 is the darkest valid DN.
    if values.dtype.kind == "f":
        moved: Array = values + values.dtype.type(offset)
        return moved
    info = np.iinfo(values.dtype)
    shifted = values.astype(np.int32) + offset
    result: Array = np.clip(shifted, max(1, info.min), info.max).astype(values.dtype)
    return result
