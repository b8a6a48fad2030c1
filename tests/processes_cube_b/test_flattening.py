"""flatten_dimensions and unflatten_dimension, against xarray's stack."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given

from acreage.core.cube import Cube, Dimension
from acreage.core.errors import (
    DimensionNotAvailable,
    LabelExists,
    ProcessParameterInvalid,
    TargetDimensionExists,
)
from support.harness import (
    assert_same,
    cubes,
    dates,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

META = raster_meta(t=dates("2019-03-01", "2019-03-11"), bands=("B04", "B08"))


@given(cubes(t=True, bands=True), window_sizes)
def test_flattened_as_xarray_stacks(cube: Cube, size: tuple[int, int]) -> None:
    import xarray as xr

    arguments = {"data": cube, "dimensions": ["bands", "t"], "target_dimension": "both"}
    made = run_eager("flatten_dimensions", **arguments)
    assert_same(run_windowed("flatten_dimensions", *size, **arguments), made)
    for array, flat in ((cube.values, made.values), (cube.validity(), made.validity())):
        stacked = xr.DataArray(array, dims=cube.meta.names).stack(both=["bands", "t"])
        np.testing.assert_array_equal(flat, stacked.transpose("both", "y", "x").values)
    texts = [f"{np.datetime_as_string(t, unit='s')}Z" for t in cube.meta.dim("t").labels]
    expected = tuple(f"{b}~{t}" for b, t in product(cube.meta.dim("bands").labels, texts))
    assert made.meta.dim("both").labels == expected
    assert made.meta.dim("both").type == "other"


@given(cubes(t=True, bands=True), window_sizes)
def test_there_and_back_gives_the_same_values(cube: Cube, size: tuple[int, int]) -> None:
    flat = run_eager("flatten_dimensions", data=cube, dimensions=["t", "bands"], target_dimension="both")
    arguments = {"data": flat, "dimension": "both", "target_dimensions": ["time", "band"]}
    back = run_eager("unflatten_dimension", **arguments)
    assert_same(run_windowed("unflatten_dimension", *size, **arguments), back)
    assert back.meta.names == ("time", "band", "y", "x")
    assert back.meta.dim("band").labels == cube.meta.dim("bands").labels
    np.testing.assert_array_equal(back.values, cube.values)
    np.testing.assert_array_equal(back.validity(), cube.validity())


def test_labels_may_come_in_any_order() -> None:
    cube = fill(raster_meta(bands=("2~b", "1~a", "1~b", "2~a")), nulls=0)
    made = run_eager("unflatten_dimension", data=cube, dimension="bands", target_dimensions=["n", "l"])
    assert (made.meta.dim("n").labels, made.meta.dim("l").labels) == (("2", "1"), ("b", "a"))
    np.testing.assert_array_equal(made.values[0, 1], cube.values[3])
    np.testing.assert_array_equal(made.values[1, 0], cube.values[2])


def test_what_cannot_be_flattened_is_refused() -> None:
    with pytest.raises(DimensionNotAvailable):
        describe("flatten_dimensions", data=META, dimensions=["t", "none"], target_dimension="new")
    with pytest.raises(TargetDimensionExists):
        describe("flatten_dimensions", data=META, dimensions=["t", "bands"], target_dimension="bands")
    with pytest.raises(ProcessParameterInvalid, match="pixels as labels"):
        describe("flatten_dimensions", data=META, dimensions=["t", "x"], target_dimension="new")
    with pytest.raises(ProcessParameterInvalid, match="each once"):
        describe("flatten_dimensions", data=META, dimensions=["t", "t"], target_dimension="new")


def test_two_elements_with_one_label_are_refused() -> None:
    data = raster_meta(bands=("a", "a~b"))
    more = Dimension("more", "other", ("b~c", "c"))
    data = replace(data, dims=(data.dims[0], more, *data.dims[1:]))
    with pytest.raises(LabelExists):  # a~b~c is a and b~c, and a~b and c
        describe("flatten_dimensions", data=data, dimensions=["bands", "more"], target_dimension="n")


def test_labels_without_the_right_parts_are_refused() -> None:
    for labels, said in (
        (("1~a", "2"), "has 1 parts where 2"),
        (("1~a", "2~b"), "'1~b' is missing"),
    ):
        with pytest.raises(ProcessParameterInvalid, match=said):
            describe(
                "unflatten_dimension",
                data=raster_meta(bands=labels),
                dimension="bands",
                target_dimensions=["n", "l"],
            )
