"""ndvi."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray, both_valid
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import BandExists, NirBandAmbiguous, ProcessGraphError, RedBandAmbiguous
from acreage.processes.bands import bands_dimension, named
from acreage.processes.convert import owned
from acreage.processes.registry import cube_process


def _band(meta: CubeMeta, dim: Dimension, name: str, ambiguous: type[ProcessGraphError]) -> int:
    found = named(meta, dim, name)
    if len(found) != 1:
        means = f"several bands: {', '.join(found)}" if found else "no band"
        raise ambiguous(
            f"{name!r} means {means} of this data cube, which has {', '.join(map(str, dim.labels))}.",
            hint="Name the band itself in the parameters `nir` and `red`.",
        )
    return dim.index(found[0])


def _describe(*, data: CubeMeta, nir: str, red: str, target_band: str | None) -> CubeMeta:
    dim = bands_dimension(data, exactly_one=True)
    _band(data, dim, nir, NirBandAmbiguous)
    _band(data, dim, red, RedBandAmbiguous)
    dtype = np.result_type(data.dtype, np.float32)
    out = replace(data, dtype=dtype, nodata=None, may_be_null=True)
    if target_band is None:
        return out.without_dim(dim.name)
    if target_band in dim.labels:
        raise BandExists(
            f"The data cube has a band {target_band!r} already.", hint="Choose another `target_band`."
        )
    return out.with_dim(dim.name, replace(dim, labels=(*dim.labels, target_band)))


@cube_process("ndvi", describe=_describe)
def ndvi(*, data: Cube, nir: str, red: str, target_band: str | None, out: CubeMeta) -> Cube:
    """(nir - red) / (nir + red), float32 (float64 for cubes of int32 or wider and of float64); 0 / 0 is null.

    Rouse et al. 1974. With `target_band` it is added after the bands, else the bands dimension is dropped.
    """
    dim = bands_dimension(data.meta, exactly_one=True)
    axis = data.meta.axis(dim.name)
    at_nir = _band(data.meta, dim, nir, NirBandAmbiguous)
    at_red = _band(data.meta, dim, red, RedBandAmbiguous)
    values = np.moveaxis(data.values, axis, 0)
    masks = None if data.valid is None else np.moveaxis(data.valid, axis, 0)
    valid = None if masks is None else both_valid(masks[at_nir], masks[at_red])
    index, known = _normalised_difference(values[at_nir], values[at_red], valid, out.dtype)
    if target_band is None:
        return owned(index, known, out)
    return owned(
        np.concatenate([data.values.astype(out.dtype), np.expand_dims(index, axis)], axis),
        np.concatenate([data.validity(), np.expand_dims(known, axis)], axis),
        out,
    )


def _normalised_difference(
    a: Array, b: Array, valid: BoolArray | None, dtype: np.dtype[Any]
) -> tuple[Array, BoolArray]:
    a, b = a.astype(dtype), b.astype(dtype)
    with np.errstate(all="ignore"):
        index = (a - b) / (a + b)
    known = ~np.isnan(index)
    return index, known if valid is None else known & valid
