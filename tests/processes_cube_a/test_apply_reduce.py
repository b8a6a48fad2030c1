"""apply, apply_dimension, reduce_dimension, reduce_spatial against plain NumPy on every dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import DimensionNotAvailable, ProcessGraphError, ProcessParameterInvalid
from acreage.processes.callback import Callback, CallbackNode, UdfCall
from support.harness import (
    assert_same,
    callback,
    cubes,
    dates,
    describe,
    fill,
    null_cumsum,
    null_mean,
    raster_meta,
    run_eager,
    run_windowed,
    valid_count,
    window_sizes,
)

MEAN = callback(null_mean, "data", "context")
COUNT = callback(valid_count, "data")
CUMSUM = callback(null_cumsum, "data")
FULL = raster_meta(t=dates("2019-03-01", "2019-03-05", "2019-03-11"), bands=("B02", "B03"))


def vector_meta(count: int = 3) -> CubeMeta:
    """A vector cube of points with bands."""
    return CubeMeta(
        (
            Dimension("geometry", "geometry", tuple(range(count))),
            Dimension("t", "temporal", dates("2019-03-01", "2019-03-05", "2019-03-11")),
            Dimension("bands", "bands", ("a", "b")),
        ),
        np.dtype(np.uint16),
        geometries=Geometries("EPSG:4326", tuple(Point(i, i) for i in range(count))),
    )


def _with_nan(cube: Cube) -> np.ndarray[Any, Any]:
    return np.where(cube.validity(), cube.values.astype(np.float64), np.nan)


def _mean(values: np.ndarray[Any, Any], axis: Any) -> np.ndarray[Any, Any]:
    """Mean without nulls by way of a masked array: NaN where all are null."""
    masked = np.ma.masked_invalid(values).mean(axis=axis, dtype=np.float64)
    return np.asarray(np.ma.filled(masked, np.nan))


# --- apply --------------------------------------------------------------------------------------------------


def _above(x: Masked, context: Any = None) -> Masked:
    return Masked(x.values > context, x.valid)


@given(cube=cubes(), sizes=window_sizes, threshold=st.integers(-50, 100))
def test_apply_computes_each_value(cube: Cube, sizes: Any, threshold: int) -> None:
    args = {"data": cube, "process": callback(_above, "x", "context"), "context": threshold}
    out = run_eager("apply", **args)
    assert out.values.dtype == bool
    keep = cube.validity()
    np.testing.assert_array_equal(out.validity(), keep)
    np.testing.assert_array_equal(out.values[keep], cube.values[keep] > threshold)
    assert_same(out, run_windowed("apply", *sizes, **args))


def test_apply_may_fill_nulls_and_forgets_the_old_nodata() -> None:
    cube = fill(raster_meta(dtype=np.uint8, nodata=0))
    filled = callback(lambda x: Masked(np.where(x.validity(), x.values, 9).astype(np.int16)), "x")
    out = run_eager("apply", data=cube, process=filled)
    assert out.valid is None
    assert out.meta.nodata is None
    np.testing.assert_array_equal(out.values, np.where(cube.validity(), cube.values, 9))


def test_apply_of_a_constant_fills_the_cube() -> None:
    out = run_eager("apply", data=fill(FULL), process=callback(lambda x: 7, "x"))
    np.testing.assert_array_equal(out.values, np.full(FULL.shape, 7))


# --- reduce_dimension ---------------------------------------------------------------------------------------


@given(
    cube=cubes(t=True, bands=True), sizes=window_sizes, dimension=st.sampled_from(["t", "bands", "y", "x"])
)
def test_reduce_dimension_over_any_dimension(cube: Cube, sizes: Any, dimension: str) -> None:
    args = {"data": cube, "reducer": MEAN, "dimension": dimension}
    out = run_eager("reduce_dimension", **args)
    assert out.meta.names == tuple(n for n in cube.meta.names if n != dimension)
    np.testing.assert_allclose(
        _with_nan(out), _mean(_with_nan(cube), cube.meta.axis(dimension)), rtol=1e-6, atol=1e-6
    )
    assert_same(out, run_windowed("reduce_dimension", *sizes, **args))


@given(sizes=window_sizes, first=st.sampled_from(["x", "y"]))
def test_both_spatial_dimensions_can_be_reduced_one_after_the_other(sizes: Any, first: str) -> None:
    cube = fill(FULL)
    second = "y" if first == "x" else "x"
    line = run_eager("reduce_dimension", data=cube, reducer=COUNT, dimension=first)
    assert line.meta.box is not None
    args = {"data": line, "reducer": callback(_total, "data"), "dimension": second}
    out = run_eager("reduce_dimension", **args)
    assert out.meta.box is None
    np.testing.assert_array_equal(out.values, cube.validity().sum(axis=(-1, -2)))
    assert_same(out, run_windowed("reduce_dimension", *sizes, **args))
    # Between the two, the cube is a line of pixels that any process can go on with.
    below = callback(_above, "x", "context")
    args = {"data": line, "process": below, "context": 3}
    assert_same(run_eager("apply", **args), run_windowed("apply", *sizes, **args))


def _total(data: Masked) -> Masked:
    return Masked(data.values.sum(axis=0))


def test_the_reducer_gets_the_labels_of_the_dimension() -> None:
    seen = []

    def look(data: Masked) -> Masked:
        seen.append(data.labels)
        return valid_count(data)

    cube = fill(FULL)
    for dimension in ("t", "bands", "x"):
        run_eager("reduce_dimension", data=cube, reducer=callback(look, "data"), dimension=dimension)
    assert seen[1::2] == [FULL.dims[0].labels, ("B02", "B03"), FULL.labels_of("x")]


def test_vector_cubes_are_reduced_too() -> None:
    cube = fill(vector_meta())
    out = run_eager("reduce_dimension", data=cube, reducer=MEAN, dimension="t")
    np.testing.assert_allclose(_with_nan(out), _mean(_with_nan(cube), 1), rtol=1e-6)
    assert out.meta.geometries == cube.meta.geometries
    over = run_eager("reduce_dimension", data=cube, reducer=COUNT, dimension="geometry")
    np.testing.assert_array_equal(over.values, cube.validity().sum(axis=0))
    assert over.meta.geometries is None


@pytest.mark.parametrize("process", ["reduce_dimension", "apply_dimension"])
def test_what_no_callback_may_be_is_refused(process: str) -> None:
    name = "reducer" if process == "reduce_dimension" else "process"
    udf = Callback((CallbackNode("u", "run_udf", {}),), 0, (None,), UdfCall("code", "Python", None))
    with pytest.raises(ProcessGraphError, match="engine"):
        describe(process, data=FULL, dimension="t", **{name: udf})
    with pytest.raises(ProcessParameterInvalid, match="process graph is needed"):
        describe(process, data=FULL, dimension="t", **{name: "mean"})
    with pytest.raises(DimensionNotAvailable):
        describe(process, data=FULL, dimension="z", **{name: MEAN})
    wrong = CUMSUM if process == "reduce_dimension" else MEAN
    with pytest.raises(ProcessParameterInvalid, match="must give"):
        describe(process, data=FULL, dimension="t", **{name: wrong})
    text = callback(lambda data: Masked(np.array("text")), "data")
    with pytest.raises(ProcessParameterInvalid, match="numbers and booleans"):
        describe(process, data=FULL, dimension="t", **{name: text})


# --- reduce_spatial -----------------------------------------------------------------------------------------


@given(cube=cubes(), sizes=window_sizes)
def test_reduce_spatial_leaves_no_pixels(cube: Cube, sizes: Any) -> None:
    args = {"data": cube, "reducer": MEAN}
    out = run_eager("reduce_spatial", **args)
    assert out.meta.box is None
    np.testing.assert_allclose(_with_nan(out), _mean(_with_nan(cube), (-2, -1)), rtol=1e-6, atol=1e-6)
    assert_same(out, run_windowed("reduce_spatial", *sizes, **args))


def test_reduce_spatial_needs_pixels() -> None:
    with pytest.raises(DimensionNotAvailable, match="geometry"):
        describe("reduce_spatial", data=vector_meta(), reducer=MEAN)


# --- apply_dimension ----------------------------------------------------------------------------------------


def _first_two(data: Masked) -> Masked:
    return Masked(
        np.concatenate([data.values[:1], data.values[-1:]]),
        np.concatenate([data.validity()[:1], data.validity()[-1:]]),
        is_array=True,
    )


ENDS = callback(_first_two, "data")
DIMENSIONS = st.sampled_from(["t", "bands", "y", "x"])


@given(cube=cubes(t=True, bands=True), sizes=window_sizes, dimension=DIMENSIONS)
def test_apply_dimension_of_the_same_length_keeps_the_labels(cube: Cube, sizes: Any, dimension: str) -> None:
    args = {"data": cube, "process": CUMSUM, "dimension": dimension}
    out = run_eager("apply_dimension", **args)
    assert out.meta.dims == cube.meta.dims
    expected = np.where(cube.validity(), cube.values, 0).astype(np.float64).cumsum(cube.meta.axis(dimension))
    keep = cube.validity()
    np.testing.assert_array_equal(out.validity(), keep)
    np.testing.assert_array_equal(out.values[keep], expected[keep])
    assert_same(out, run_windowed("apply_dimension", *sizes, **args))


@given(
    cube=cubes(t=True, bands=True),
    sizes=window_sizes,
    dimension=DIMENSIONS,
    target=st.sampled_from([None, "n"]),
)
def test_apply_dimension_of_another_length_enumerates_the_labels(
    cube: Cube, sizes: Any, dimension: str, target: str | None
) -> None:
    args = {"data": cube, "process": ENDS, "dimension": dimension, "target_dimension": target}
    out = run_eager("apply_dimension", **args)
    axis = cube.meta.axis(dimension)
    length = cube.meta.shape[axis]
    if target is None and length == 2:
        assert out.meta.dims == cube.meta.dims
        return
    name = target or dimension
    new = out.meta.dim(name)
    assert new.labels == (0, 1)
    assert new.type == (
        cube.meta.dim(dimension).type if target is None and dimension in ("t", "bands") else "other"
    )
    assert dimension not in out.meta.names or name == dimension
    expected = np.moveaxis(np.take(cube.values, [0, length - 1], axis), axis, out.meta.axis(name))
    np.testing.assert_array_equal(out.values, expected)
    assert_same(out, run_windowed("apply_dimension", *sizes, **args))


@given(cube=cubes(t=True, bands=False), sizes=window_sizes, dimension=st.sampled_from(["t", "x"]))
def test_apply_dimension_fills_a_target_dimension_of_one_label(
    cube: Cube, sizes: Any, dimension: str
) -> None:
    with_bands = run_eager("add_dimension", data=cube, name="bands", label="B02", type="bands")
    args = {"data": with_bands, "process": ENDS, "dimension": dimension, "target_dimension": "bands"}
    out = run_eager("apply_dimension", **args)
    assert out.meta.names == (("bands", "y", "x") if dimension == "t" else ("t", "bands", "y"))
    assert out.meta.dim("bands") == Dimension("bands", "bands", (0, 1))
    axis = cube.meta.axis(dimension)
    ends = np.take(cube.values, [0, cube.meta.shape[axis] - 1], axis)
    np.testing.assert_array_equal(out.values, np.moveaxis(ends, axis, out.meta.axis("bands")))
    assert_same(out, run_windowed("apply_dimension", *sizes, **args))


def test_apply_dimension_spreads_an_array_of_constants() -> None:
    process = callback(lambda data: [1, None, 3, 4], "data")
    cube = fill(FULL)
    out = run_eager("apply_dimension", data=cube, process=process, dimension="bands")
    assert out.meta.shape == (3, 4, 5, 7)
    np.testing.assert_array_equal(out.values[:, 3], np.full((3, 5, 7), 4))
    assert not out.validity()[:, 1].any()
    one = run_eager("add_dimension", data=fill(raster_meta(t=FULL.dims[0].labels)), name="n", label=0)
    moved = run_eager("apply_dimension", data=one, process=process, dimension="t", target_dimension="n")
    assert moved.meta.shape == (4, 5, 7)
    np.testing.assert_array_equal(moved.values[2], np.full((5, 7), 3))


def test_apply_dimension_refuses_a_target_of_several_labels() -> None:
    with pytest.raises(ProcessParameterInvalid, match="2 labels"):
        describe("apply_dimension", data=FULL, process=ENDS, dimension="t", target_dimension="bands")
    with pytest.raises(ProcessParameterInvalid, match="'x'"):
        describe("apply_dimension", data=FULL, process=ENDS, dimension="t", target_dimension="x")


def test_apply_dimension_on_a_vector_cube() -> None:
    cube = fill(vector_meta())
    out = run_eager("apply_dimension", data=cube, process=ENDS, dimension="t", target_dimension="ends")
    assert out.meta.names == ("geometry", "ends", "bands")
    np.testing.assert_array_equal(out.values, cube.values[:, [0, 2]])
    over = run_eager("apply_dimension", data=cube, process=ENDS, dimension="geometry")
    assert over.meta.geometries is None
    assert over.meta.dim("geometry").type == "other"


def test_a_callback_that_changes_its_dtype_with_the_data_is_an_error_of_the_program() -> None:
    fickle = callback(lambda x: Masked(x.values.astype(np.int8 if x.values.size > 1 else np.int16)), "x")
    with pytest.raises(TypeError, match="probed"):
        run_eager("apply", data=fill(raster_meta(dtype=np.uint8)), process=fickle)
