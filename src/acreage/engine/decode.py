"""From a file's numbers to values and validity: null values and offsets. Pure functions on arrays."""

from __future__ import annotations

import numpy as np

from acreage.catalog.items import Raster
from acreage.core.arrays import Array, BoolArray


def decode(values: Array, raster: Raster) -> tuple[Array, BoolArray | None]:
    """Values with `raster.dn_offset` added, in the dtype given, and validity (None: all valid)."""
    valid: BoolArray | None = None
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
        if raster.nodata is not None and not np.isnan(raster.nodata):
            valid &= values != raster.nodata
    elif raster.nodata is not None and not np.isnan(raster.nodata):
        valid = values != raster.nodata
    if raster.dn_offset:
        values = _add_offset(values, raster.dn_offset)
    return values, None if valid is None or valid.all() else valid


def _add_offset(values: Array, offset: int) -> Array:
    # Dark pixels may fall below zero after the offset; 0 would read as null, 1 is the darkest valid DN.
    if values.dtype.kind == "f":
        moved: Array = values + values.dtype.type(offset)
        return moved
    info = np.iinfo(values.dtype)
    shifted = values.astype(np.int32) + offset
    result: Array = np.clip(shifted, max(1, info.min), info.max).astype(values.dtype)
    return result
