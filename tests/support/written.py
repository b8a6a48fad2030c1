"""Small cubes of every kind, and writing them: for tests of what is written and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.grid import Box, Grid
from acreage.core.temporal import parse_instant
from acreage.engine.plan import Output
from acreage.engine.writers import find_format, format_for, write_outputs

GRID = Grid.snapped("EPSG:3035", 10)
DATES = tuple(parse_instant(t) for t in ("2019-03-01T00:00:00Z", "2019-03-11T10:56:21.024Z"))
DTYPES = [np.dtype(d) for d in ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")]


def box_of(rows: int, columns: int) -> Box:
    return Box(GRID, 380_000, -310_000, 380_000 + columns, -310_000 + rows)


def raster_meta(
    dtype: Any, *, times: int = 2, bands: int = 2, rows: int = 3, columns: int = 4, **kwargs: Any
) -> CubeMeta:
    dims = []
    if times:
        dims.append(Dimension("t", "temporal", DATES[:times]))
    if bands:
        dims.append(Dimension("bands", "bands", ("B04", "B8A", "SCL")[:bands]))
    return CubeMeta(
        (*dims, Dimension("y", "y"), Dimension("x", "x")), np.dtype(dtype), box_of(rows, columns), **kwargs
    )


def write(cube: Cube, name: str, folder: Path, **options: Any) -> list[Path]:
    output = Output(0, "result", name, options)
    found = find_format(name)
    target = format_for(output, cube.meta, folder / f"out{found.suffix}", single=True, overwrite=True)
    return list(write_outputs([(output, target, cube)])[0])


@st.composite
def cubes(draw: st.DrawFn, *, spatial: bool = True) -> Cube:
    """Cubes of every dtype, with extreme values and any pattern of nulls."""
    dtype = draw(st.sampled_from(DTYPES))
    times, bands = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    meta = raster_meta(
        dtype, times=times, bands=bands, rows=draw(st.integers(1, 4)), columns=draw(st.integers(1, 4))
    )
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        edge = st.sampled_from([info.min, info.min + 1, 0, 1, info.max - 1, info.max])
        elements: Any = edge | st.integers(int(info.min), int(info.max))
        nodata = draw(st.none() | edge)
        meta = CubeMeta(meta.dims, meta.dtype, meta.box, nodata=nodata)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        elements = st.floats(allow_nan=False, allow_infinity=False, width=8 * dtype.itemsize)  # type: ignore[arg-type]
    values = draw(hnp.arrays(dtype, meta.shape, elements=elements))
    valid = draw(st.none() | hnp.arrays(np.bool_, meta.shape))
    return Cube.of(values, valid, meta)


def assert_equal(values: Any, null: Any, cube: Cube) -> None:
    np.testing.assert_array_equal(~null, cube.validity())
    np.testing.assert_array_equal(values[~null], cube.values[cube.validity()])


def vector_cube(dtype: str = "f4", nulls: bool = True) -> Cube:
    shapes = tuple(shapely.box(n, 0, n + 1, 1) for n in range(3))
    properties = ({"crop": "maize", "n": 1}, {"crop": "wheat"}, {"crop": None, "more": [1, 2]})
    dims = (
        Dimension("geometry", "geometry", ("a", "b", "c")),
        Dimension("t", "temporal", DATES),
        Dimension("bands", "bands", ("B04", "B08")),
    )
    meta = CubeMeta(dims, np.dtype(dtype), None, Geometries("EPSG:4326", shapes, properties))
    values = np.arange(12).reshape(meta.shape).astype(dtype)
    valid = np.ones(meta.shape, bool)
    if nulls:
        valid[1, 0, 1] = False
        valid[2] = False
    return Cube.of(values, valid, meta)
