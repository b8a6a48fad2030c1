"""apply_kernel against SciPy and apply_neighborhood against plain loops; both by windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from acreage.core.cube import Cube
from acreage.core.errors import (
    DataCubePropertiesImmutable,
    DimensionNotAvailable,
    KernelDimensionsUneven,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.processes.blocks import chunkings
from acreage.processes.callback import Callback, CallbackNode, NodeRef, ParameterRef, UdfCall
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
    window_sizes,
)

SCIPY = {"replicate": "nearest", "reflect": "reflect", "reflect_pixel": "mirror", "wrap": "grid-wrap"}
BORDERS = [0, 3.5, *SCIPY]


def kernel_of(rows: int, columns: int, seed: int) -> list[list[float]]:
    return np.random.default_rng(seed).normal(size=(rows, columns)).round(3).tolist()


# --- apply_kernel -------------------------------------------------------------------------------------------


@given(
    cubes(dtypes=("uint8", "int16", "float32", "float64", "bool")),
    st.sampled_from([1, 3, 5, 9]),
    st.sampled_from([1, 3, 7]),
    st.sampled_from(BORDERS),
    st.integers(0, 99),
    window_sizes,
)
def test_apply_kernel_is_scipys_correlation_in_every_window(
    cube: Cube, rows: int, columns: int, border: Any, seed: int, size: tuple[int, int]
) -> None:
    kernel = kernel_of(rows, columns, seed)
    arguments = {"data": cube, "kernel": kernel, "factor": 0.5, "border": border, "replace_invalid": 2}
    made = run_eager("apply_kernel", **arguments)
    assert_same(run_windowed("apply_kernel", *size, **arguments), made)
    values = np.where(cube.validity(), cube.values.astype(np.float64), 2.0)
    weights = np.asarray(kernel).reshape((1,) * (values.ndim - 2) + (rows, columns))
    how = {"mode": SCIPY[border]} if isinstance(border, str) else {"mode": "constant", "cval": border}
    expected = ndimage.correlate(values, weights, **how) * 0.5
    np.testing.assert_allclose(made.values, expected, rtol=2e-6, atol=2e-3)


def test_infinite_values_count_as_invalid() -> None:
    data = fill(raster_meta(dtype=np.float32), 1, 0.0)
    data.values[2, 3] = np.inf
    made = run_eager("apply_kernel", data=data, kernel=[[1]], replace_invalid=-9)
    assert made.valid is None
    assert made.values[2, 3] == -9


def test_bad_kernels_are_refused() -> None:
    with pytest.raises(KernelDimensionsUneven, match="1 rows and 2 columns"):
        describe("apply_kernel", data=raster_meta(), kernel=[[1, 2]])
    with pytest.raises(ProcessParameterInvalid, match="rows of one length"):
        describe("apply_kernel", data=raster_meta(), kernel=[[1], [1, 2, 3]])
    with pytest.raises(ProcessParameterInvalid, match="table of finite numbers"):
        describe("apply_kernel", data=raster_meta(), kernel=[1, 2, 3])
    with pytest.raises(ProcessParameterInvalid, match="`border` of apply_kernel is 'mirror'"):
        describe("apply_kernel", data=raster_meta(), kernel=[[1]], border="mirror")
    with pytest.raises(ProcessParameterInvalid, match="`factor`"):
        describe("apply_kernel", data=raster_meta(), kernel=[[1]], factor="two")


# --- apply_neighborhood on cubes ----------------------------------------------------------------------------


def on_cubes(*nodes: tuple[str, dict[str, Any]]) -> Callback:
    """A callback whose nodes are cube processes, each on the result of the one before."""
    made = []
    for i, (process_id, arguments) in enumerate(nodes):
        data = NodeRef(i - 1) if i else ParameterRef("data")
        made.append(CallbackNode(f"n{i}", process_id, {"data": data, **arguments}))
    return Callback(tuple(made), len(made) - 1, (None,) * len(made))


KERNEL = kernel_of(3, 3, 5)
CUMSUM = callback(null_cumsum, "data", "context")
BLUR = on_cubes(("apply_kernel", {"kernel": KERNEL}))


def chunks(x: int | None, y: int | None, unit: str = "px", **other: Any) -> list[dict[str, Any]]:
    found = [{"dimension": "x", "value": x, "unit": unit}, {"dimension": "y", "value": y, "unit": unit}]
    return found + [{"dimension": k, "value": v} for k, v in other.items()]


@given(
    cubes(dtypes=("uint8", "float32")),
    st.sampled_from([1, 2, 3, 5, None]),
    st.sampled_from([1, 2, 4, None]),
    st.integers(0, 3),
    st.integers(0, 3),
    window_sizes,
)
def test_neighbourhoods_by_windows_are_the_whole_cube(
    cube: Cube, x: int | None, y: int | None, over_x: int, over_y: int, size: tuple[int, int]
) -> None:
    arguments = {"data": cube, "process": BLUR, "size": chunks(x, y), "overlap": chunks(over_x, over_y)}
    whole = run_eager("apply_neighborhood", **arguments)
    assert_same(run_windowed("apply_neighborhood", *size, **arguments), whole)


@given(cubes(dtypes=("float32",)), st.integers(1, 5), st.integers(1, 5))
def test_with_enough_overlap_blocks_leave_no_seam(cube: Cube, x: int, y: int) -> None:
    whole = run_eager("apply_kernel", data=cube, kernel=KERNEL)
    made = run_eager("apply_neighborhood", data=cube, process=BLUR, size=chunks(x, y), overlap=chunks(1, 1))
    np.testing.assert_array_equal(made.values, whole.values)


def test_without_overlap_every_block_is_alone_and_the_last_is_smaller() -> None:
    data = fill(raster_meta(width=7, height=5), 1)
    made = run_eager("apply_neighborhood", data=data, process=BLUR, size=chunks(3, 2))
    for y in (0, 2, 4):
        for x in (0, 3, 6):
            assert data.meta.box is not None
            part = data.meta.box
            block = type(part)(
                part.grid,
                part.x0 + x,
                part.y0 + y,
                min(part.x0 + x + 3, part.x1),
                min(part.y0 + y + 2, part.y1),
            )
            alone = run_eager("apply_kernel", data=data.crop(block), kernel=KERNEL)
            np.testing.assert_array_equal(made.crop(block).values, alone.values)


@pytest.mark.parametrize(
    ("size", "overlap", "lengths"),
    [
        ("P1M", None, [2, 1, 2]),
        ("P1M", "P10D", [3, 2, 2]),
        (2, None, [2, 2, 1]),
        (2, 1, [3, 4, 2]),
        (None, None, [5]),
    ],
)
def test_time_is_cut_into_labels_or_durations(size: Any, overlap: Any, lengths: list[int]) -> None:
    t = dates("2019-03-05", "2019-03-25", "2019-04-02", "2019-05-30", "2019-05-31")
    start, end = dates("2019-03-01", "2019-06-01")
    data = fill(raster_meta(t=t, extent=(start, end), width=1, height=1), 1)
    sizes, overlaps = chunks(1, 1, t=size), chunks(0, 0, t=overlap)
    ranges = chunkings(data.meta, sizes, overlaps)["t"].ranges(0, 5)
    assert [r.high - r.low for r in ranges] == lengths
    assert [r.start for r in ranges] == [0, *(r.stop for r in ranges[:-1])]
    made = run_eager("apply_neighborhood", data=data, process=CUMSUM, size=sizes, overlap=overlaps)
    known = np.where(data.validity(), data.values.astype(np.float64), 0.0)[:, 0, 0]
    expected = [np.cumsum(known[r.low : r.high])[r.start - r.low : r.stop - r.low] for r in ranges]
    valid = made.validity()[:, 0, 0]
    np.testing.assert_array_equal(made.values[valid, 0, 0], np.concatenate(expected)[valid])


def test_labels_may_change_only_where_a_block_sees_them_all() -> None:
    data = fill(raster_meta(t=dates("2019-03-01", "2019-03-02"), bands=("A", "B")), 1)
    one = on_cubes(("filter_bands", {"bands": ["B"]}))
    made = run_eager("apply_neighborhood", data=data, process=one, size=chunks(2, 2))
    assert made.meta.dim("bands").labels == ("B",)
    np.testing.assert_array_equal(made.values[:, 0], data.values[:, 1])
    with pytest.raises(DataCubePropertiesImmutable, match="changes the labels of 'bands'"):
        describe("apply_neighborhood", data=data.meta, process=one, size=chunks(2, 2, bands=2))
    gone = on_cubes(("filter_bands", {"bands": ["B"]}), ("drop_dimension", {"name": "bands"}))
    with pytest.raises(DataCubePropertiesImmutable, match="must stay as they are"):
        describe("apply_neighborhood", data=data.meta, process=gone, size=chunks(2, 2))


def test_metres_are_converted_and_must_be_whole_pixels() -> None:
    data = fill(raster_meta(width=6, height=6), 1)
    pixels = run_eager("apply_neighborhood", data=data, process=BLUR, size=chunks(3, 2))
    metres = run_eager("apply_neighborhood", data=data, process=BLUR, size=chunks(30, 20, "m"))
    assert_same(metres, pixels)
    with pytest.raises(ProcessParameterInvalid, match=r"1\.5 pixels, not a whole number"):
        describe("apply_neighborhood", data=data.meta, process=BLUR, size=chunks(15, 20, "m"))


# --- apply_neighborhood on arrays ---------------------------------------------------------------------------


@given(cubes(t=True, bands=False, dtypes=("int16", "float32")), window_sizes)
def test_pixel_by_pixel_over_time_is_apply_dimension(cube: Cube, size: tuple[int, int]) -> None:
    arguments = {"data": cube, "process": CUMSUM, "size": chunks(1, 1)}
    made = run_windowed("apply_neighborhood", *size, **arguments)
    expected = run_eager("apply_dimension", data=cube, process=CUMSUM, dimension="t")
    np.testing.assert_array_equal(made.values, expected.values)
    np.testing.assert_array_equal(made.validity(), expected.validity())


@given(cubes(t=False, bands=False, dtypes=("float32",)), st.integers(2, 4), window_sizes)
def test_arrays_along_a_row_are_cut_into_blocks(cube: Cube, length: int, size: tuple[int, int]) -> None:
    arguments = {"data": cube, "process": CUMSUM, "size": chunks(length, 1)}
    made = run_windowed("apply_neighborhood", *size, **arguments)
    known = np.where(cube.validity(), cube.values.astype(np.float64), 0.0)
    expected = np.concatenate(
        [np.cumsum(known[:, i : i + length], axis=1) for i in range(0, known.shape[1], length)], axis=1
    )
    np.testing.assert_array_equal(made.values[made.validity()], expected[cube.validity()])


@pytest.mark.parametrize(
    ("size", "overlap", "error", "message"),
    [
        ([{"dimension": "z", "value": 1}], None, DimensionNotAvailable, "no dimension 'z'"),
        (chunks(0, 1), None, ProcessParameterInvalid, "must be above 0"),
        ({"x": 3}, None, ProcessParameterInvalid, "no list of sizes"),
        (chunks(3, 3) + chunks(3, 3), None, ProcessParameterInvalid, "names the dimension 'x' twice"),
        (chunks(3, 3, "km"), None, ProcessParameterInvalid, "px or m"),
        ([{"dimension": "x", "value": "P1D"}], None, ProcessParameterInvalid, "no temporal dimension"),
        (chunks(3, 3, t="1 month"), None, ProcessParameterInvalid, "not a duration"),
    ],
)
def test_sizes_that_cannot_be_used_are_told(
    size: Any, overlap: Any, error: type[Exception], message: str
) -> None:
    data = raster_meta(t=dates("2019-03-01"))
    with pytest.raises(error, match=message) as raised:
        describe("apply_neighborhood", data=data, process=BLUR, size=size, overlap=overlap)
    assert str(raised.value)


def test_callbacks_that_cannot_run_on_a_block_are_refused() -> None:
    data = raster_meta(bands=("A", "B"))
    with pytest.raises(
        ProcessParameterInvalid, match="computes on arrays, but each neighbourhood is a data cube"
    ):
        describe("apply_neighborhood", data=data, process=CUMSUM, size=chunks(4, 4))
    udf = Callback((), 0, (), UdfCall("def apply_datacube(cube, context): return cube", "Python", None))
    with pytest.raises(ProcessGraphError, match="through the engine"):
        describe("apply_neighborhood", data=data, process=udf, size=chunks(4, 4))
    mean = callback(null_mean, "data", "context")
    with pytest.raises(DataCubePropertiesImmutable, match="gives one value for 2 values along 'bands'"):
        describe("apply_neighborhood", data=data, process=mean, size=chunks(1, 1))
    load = Callback((CallbackNode("a", "load_collection", {}), *BLUR.nodes), 1, (None, None))
    with pytest.raises(ProcessGraphError, match="load_collection cannot be used inside a callback"):
        describe("apply_neighborhood", data=data, process=load, size=chunks(4, 4))
