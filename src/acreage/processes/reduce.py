"""reduce_dimension and reduce_spatial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import DimensionNotAvailable
from acreage.processes.callback import Callback
from acreage.processes.convert import from_result, pixels, to_array
from acreage.processes.probing import null_array, reducer_dtype
from acreage.processes.registry import WHOLE, Footprint, cube_process
from acreage.processes.spans import along


def _describe_reduce(*, data: CubeMeta, reducer: Callback, dimension: str, context: Any) -> CubeMeta:
    length = data.shape[data.axis(dimension)]
    sample = null_array(data, length, data.labels_of(dimension))
    dtype = reducer_dtype("reduce_dimension", reducer, sample, context)
    return replace(data.without_dim(dimension), dtype=dtype, nodata=None, may_be_null=True)


def _reduce_footprints(*, data: CubeMeta, dimension: str, out: CubeMeta, **_: Any) -> Mapping[str, Footprint]:
    return along(data, dimension, out)


@cube_process("reduce_dimension", describe=_describe_reduce, footprints=_reduce_footprints)
def reduce_dimension(*, data: Cube, reducer: Callback, dimension: str, context: Any, out: CubeMeta) -> Cube:
    """One value for all values along a dimension, which is dropped: any dimension, x and y included."""
    return from_result(reducer(data=to_array(data, dimension), context=context), out.shape, out)


# --- reduce_spatial -----------------------------------------------------------------------------------------


def _describe_spatial(*, data: CubeMeta, reducer: Callback, context: Any) -> CubeMeta:
    x, y = data.find("x"), data.find("y")
    if x is None or y is None:
        raise DimensionNotAvailable(
            "reduce_spatial needs the dimensions x and y; the data cube has "
            f"{', '.join(data.names) or 'no dimensions'}."
        )
    out = data.without_dim(x.name).without_dim(y.name)
    sample = null_array(data.without_dim(x.name), 1, None)
    dtype = reducer_dtype("reduce_spatial", reducer, sample, context)
    return replace(out, dtype=dtype, nodata=None, may_be_null=True)


def _spatial_footprints(**_: Any) -> Mapping[str, Footprint]:
    return {"data": WHOLE}


@cube_process("reduce_spatial", describe=_describe_spatial, footprints=_spatial_footprints)
def reduce_spatial(*, data: Cube, reducer: Callback, context: Any, out: CubeMeta) -> Cube:
    """One value for all pixels; x and y are dropped. The pixels come row by row from the north-west."""
    return from_result(reducer(data=pixels(data), context=context), out.shape, out)
