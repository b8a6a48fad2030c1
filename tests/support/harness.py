"""Cube processes run as the engine runs them: whole, and window by window, on small random cubes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from acreage.core.arrays import Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.grid import Box, Grid
from acreage.processes.callback import Callback, CallbackNode, ParameterRef
from acreage.processes.registry import POINTWISE, CubeProcess, Footprint, cube_processes
from acreage.processes.specs import load_spec

GRID = Grid.snapped(32631, 10)


def arguments_of(process_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call: the given ones plus the defaults of the process's description."""
    parameters = load_spec(process_id)["parameters"]
    unknown = set(given) - {p["name"] for p in parameters}
    assert not unknown, f"{process_id} has no parameter {unknown}"
    missing = [p["name"] for p in parameters if not p.get("optional") and p["name"] not in given]
    assert not missing, f"{process_id} needs {missing}"
    return {p["name"]: given[p["name"]] if p["name"] in given else p.get("default") for p in parameters}


def metas(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as `describe` and `footprints` get them: cubes as their metadata."""
    return {name: v.meta if isinstance(v, Cube) else v for name, v in arguments.items()}


def process(process_id: str) -> CubeProcess:
    """The registered cube process."""
    return cube_processes()[process_id]


def describe(process_id: str, **given: Any) -> CubeMeta:
    """The metadata that the process promises."""
    return process(process_id).describe(**metas(arguments_of(process_id, given)))


def run_eager(process_id: str, **given: Any) -> Cube:
    """The process on whole cubes; what comes out is what was described."""
    arguments = arguments_of(process_id, given)
    out = process(process_id).describe(**metas(arguments))
    return _checked(process(process_id).run(**arguments, out=out), out)


def run_windowed(process_id: str, columns: int, rows: int, **given: Any) -> Cube:
    """The process window by window, each input cut to exactly its footprint, put together again."""
    arguments = arguments_of(process_id, given)
    about = metas(arguments)
    found = process(process_id)
    full = found.describe(**about)
    if full.box is None:
        return _piece(found, arguments, about, full)
    values = np.zeros(full.shape, full.dtype)
    valid = np.zeros(full.shape, bool)
    for window in full.box.windows(columns, rows):
        piece = _piece(found, arguments, about, full.with_box(window))
        at = place(full, window)
        values[at], valid[at] = piece.values, piece.validity()
    return Cube.of(values, valid, full)


def place(meta: CubeMeta, window: Box) -> tuple[slice, ...]:
    """Where a window lies in an array that covers `meta`."""
    assert meta.box is not None
    rows, columns = window.slices_in(meta.box)
    return tuple({"y": rows, "x": columns}.get(d.type, slice(None)) for d in meta.dims)


def _piece(found: CubeProcess, arguments: Mapping[str, Any], about: Mapping[str, Any], out: CubeMeta) -> Cube:
    footprints = found.footprints(**about, out=out)
    cubes = {name for name, v in arguments.items() if isinstance(v, Cube)}
    assert set(footprints) <= cubes, f"{found.id} gives footprints of {set(footprints) - cubes}"
    parts = {
        name: _cut(v, out, footprints.get(name, POINTWISE)) if name in cubes else v
        for name, v in arguments.items()
    }
    return _checked(found.run(**parts, out=out), out)


def _cut(cube: Cube, out: CubeMeta, footprint: Footprint) -> Cube:
    full = cube.meta.box
    if full is None:
        return cube
    return cube.crop(footprint(out.box if out.box is not None else full, full).intersect(full))


def _checked(cube: Cube, out: CubeMeta) -> Cube:
    assert cube.meta == out
    assert cube.values.shape == out.shape
    assert cube.values.dtype == out.dtype
    if cube.valid is not None:
        blank = cube.values[~cube.valid]
        null = null_like(cube.values.dtype)
        assert np.isnan(blank).all() if cube.values.dtype.kind == "f" else (blank == null).all()
        assert out.may_be_null, "nulls in a cube that was described as free of them"
    return cube


def assert_same(a: Cube, b: Cube) -> None:
    """Equal to the last bit: metadata, validity, values (NaN is NaN)."""
    assert a.meta == b.meta
    np.testing.assert_array_equal(a.validity(), b.validity())
    assert a.values.dtype == b.values.dtype
    np.testing.assert_array_equal(a.values, b.values)
    keep = a.validity()
    assert a.values[keep].tobytes() == b.values[keep].tobytes()


# --- callbacks ----------------------------------------------------------------------------------------------


def callback(function: Callable[..., Any], *parameters: str, **arguments: Any) -> Callback:
    """A callback of one node: a Python function with these callback parameters and fixed arguments."""
    names: dict[str, Any] = {name: ParameterRef(name) for name in parameters}
    return Callback((CallbackNode("node", function.__name__, {**names, **arguments}),), 0, (function,))


def official(process_id: str, **arguments: Any) -> Callback:
    """A callback of one registered array process; strings such as `@x` refer to callback parameters."""
    from acreage.processes.registry import array_processes

    resolved = {
        k: ParameterRef(v[1:]) if isinstance(v, str) and v.startswith("@") else v
        for k, v in arguments.items()
    }
    node = CallbackNode("node", process_id, resolved)
    return Callback((node,), 0, (array_processes()[process_id].function,))


def null_mean(data: Masked, context: Any = None) -> Masked:
    """float32 mean of the valid values of an array, null where there are none; sums in array order."""
    total = np.zeros(data.values.shape[1:], np.float64)
    count = np.zeros(data.values.shape[1:], np.int64)
    for values, valid in zip(data.values, data.validity(), strict=True):
        total = total + np.where(valid, values, 0)
        count = count + valid
    with np.errstate(invalid="ignore"):
        return Masked((total / count).astype(np.float32), count > 0)


def valid_count(data: Masked, context: Any = None) -> Masked:
    """int32 count of the valid values of an array, never null."""
    return Masked(data.validity().sum(axis=0, dtype=np.int32))


def null_cumsum(data: Masked, context: Any = None) -> Masked:
    """float64 running sum along an array, null where the value is null."""
    steps = np.zeros(data.values.shape, np.float64)
    running = np.zeros(data.values.shape[1:], np.float64)
    for i, (values, valid) in enumerate(zip(data.values, data.validity(), strict=True)):
        running = running + np.where(valid, values, 0)
        steps[i] = running
    return Masked(steps, data.valid, is_array=True, labels=data.labels)


# --- cubes --------------------------------------------------------------------------------------------------


def dates(*texts: str) -> tuple[np.datetime64, ...]:
    """Temporal labels."""
    return tuple(np.datetime64(t, "ms") for t in texts)


def raster_meta(
    *,
    t: tuple[Any, ...] | None = None,
    bands: tuple[str, ...] | None = None,
    width: int = 7,
    height: int = 5,
    dtype: Any = np.float32,
    at: tuple[int, int] = (-3, 11),
    grid: Grid = GRID,
    extent: tuple[np.datetime64, np.datetime64] | None = None,
    **more: Any,
) -> CubeMeta:
    """Metadata of a raster cube (t, bands, y, x); t and bands only where labels are given."""
    dims = []
    if t is not None:
        dims.append(Dimension("t", "temporal", t, extent))
    if bands is not None:
        dims.append(Dimension("bands", "bands", bands))
    dims += [Dimension("y", "y"), Dimension("x", "x")]
    box = Box(grid, at[0], at[1], at[0] + width, at[1] + height)
    return CubeMeta(tuple(dims), np.dtype(dtype), box, **more)


def fill(meta: CubeMeta, seed: int = 0, nulls: float = 0.3) -> Cube:
    """A cube of random values of any dtype with this share of nulls."""
    rng = np.random.default_rng(seed)
    dtype = meta.dtype
    if dtype.kind == "b":
        values = rng.random(meta.shape) < 0.5
    elif dtype.kind == "f":
        values = (rng.normal(size=meta.shape) * 1000).astype(dtype)
    else:
        values = rng.integers(0 if dtype.kind == "u" else -100, 120, meta.shape).astype(dtype)
    valid = rng.random(meta.shape) >= nulls if nulls else None
    return Cube.of(np.asarray(values), None if valid is None else np.asarray(valid), meta)


DTYPES = ("uint8", "int16", "uint16", "float32", "float64", "bool")


@st.composite
def cubes(
    draw: st.DrawFn,
    *,
    t: bool | None = None,
    bands: bool | None = None,
    dtypes: tuple[str, ...] = DTYPES,
    max_side: int = 9,
) -> Cube:
    """Random raster cubes; `t` and `bands` force or forbid these dimensions, None leaves it to chance."""
    with_t = draw(st.booleans()) if t is None else t
    with_bands = draw(st.booleans()) if bands is None else bands
    start = np.datetime64("2019-02-20", "ms")
    days = sorted(draw(st.sets(st.integers(0, 90), min_size=1, max_size=5))) if with_t else []
    names = tuple(f"B{i:02d}" for i in range(1, draw(st.integers(1, 3)) + 1)) if with_bands else None
    meta = raster_meta(
        t=tuple(start + np.timedelta64(d, "D") for d in days) if with_t else None,
        bands=names,
        width=draw(st.integers(1, max_side)),
        height=draw(st.integers(1, max_side)),
        at=(draw(st.integers(-8, 8)), draw(st.integers(-8, 8))),
        dtype=draw(st.sampled_from(dtypes)),
    )
    return fill(meta, draw(st.integers(0, 2**16)), draw(st.sampled_from([0.0, 0.3, 1.0])))


window_sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
