"""rename_labels, rename_dimension, add_dimension, drop_dimension, dimension_labels, create_data_cube."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from acreage.core.cube import CubeMeta, Dimension
from acreage.core.errors import (
    DimensionExists,
    DimensionLabelCountMismatch,
    DimensionNotAvailable,
    LabelExists,
    LabelMismatch,
    LabelNotAvailable,
    LabelsNotEnumerated,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.processes.bands import common_name
from acreage.processes.dimensions import dimension_labels
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

S2 = raster_meta(t=dates("2019-03-01", "2019-03-11"), bands=("B02", "B04", "B08"))


@given(cube=cubes(bands=True), sizes=window_sizes)
def test_rename_labels_changes_names_and_nothing_else(cube: Any, sizes: Any) -> None:
    args = {"data": cube, "dimension": "bands", "target": ["blue"], "source": ["B01"]}
    out = run_eager("rename_labels", **args)
    assert out.meta.dim("bands").labels == ("blue", *cube.meta.dim("bands").labels[1:])
    np.testing.assert_array_equal(out.values, cube.values)
    np.testing.assert_array_equal(out.validity(), cube.validity())
    assert_same(out, run_windowed("rename_labels", *sizes, **args))


def test_renamed_bands_keep_their_common_names() -> None:
    out = describe("rename_labels", data=S2, dimension="bands", target=["a", "B04"], source=["B04", "B08"])
    assert out.dim("bands").labels == ("B02", "a", "B04")
    assert [common_name(out, b) for b in ("B02", "a", "B04")] == ["blue", "red", "nir"]
    again = describe("rename_labels", data=out, dimension="bands", target=["b"], source=["a"])
    assert common_name(again, "b") == "red"
    assert common_name(again, "a") is None


def test_rename_labels_by_position_needs_enumerated_labels() -> None:
    enumerated = S2.with_dim("bands", Dimension("bands", "bands", (0, 1, 2)))
    out = describe("rename_labels", data=enumerated, dimension="bands", target=["p25", "p50", "p75"])
    assert out.dim("bands").labels == ("p25", "p50", "p75")
    with pytest.raises(LabelsNotEnumerated):
        describe("rename_labels", data=S2, dimension="bands", target=["p25", "p50", "p75"])
    first = describe("rename_labels", data=enumerated, dimension="bands", target=["p25"])
    assert first.dim("bands").labels == ("p25", 1, 2)
    with pytest.raises(LabelMismatch):
        describe("rename_labels", data=enumerated, dimension="bands", target=["a", "b", "c", "d"])


def test_rename_labels_matches_dates_however_they_are_written() -> None:
    out = describe(
        "rename_labels", data=S2, dimension="t", target=["2020-03-01"], source=["2019-03-01T01:00:00+01:00"]
    )
    assert out.dim("t").labels == dates("2020-03-01", "2019-03-11")
    text = describe("rename_labels", data=S2, dimension="t", target=["early"], source=["2019-03-01"])
    assert text.dim("t").labels[0] == "early"


@pytest.mark.parametrize(
    ("target", "source", "error"),
    [
        (["x"], ["B03"], LabelNotAvailable),
        (["B02"], ["B04"], LabelExists),
        (["x", "y"], ["B04"], LabelMismatch),
        (["x", "y"], ["B04", "B04"], LabelMismatch),
        ([None], ["B04"], ProcessParameterInvalid),
    ],
)
def test_rename_labels_refuses(target: Any, source: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        describe("rename_labels", data=S2, dimension="bands", target=target, source=source)


def test_pixel_coordinates_cannot_be_renamed() -> None:
    with pytest.raises(ProcessParameterInvalid, match="resample_spatial"):
        describe("rename_labels", data=S2, dimension="x", target=["a"], source=["b"])


@given(cube=cubes(t=True), sizes=window_sizes)
def test_rename_dimension_keeps_type_labels_and_data(cube: Any, sizes: Any) -> None:
    for source, target in (("t", "time"), ("x", "lon")):
        args = {"data": cube, "source": source, "target": target}
        out = run_eager("rename_dimension", **args)
        assert out.meta.names == tuple(target if n == source else n for n in cube.meta.names)
        assert out.meta.dim(target) == replace(cube.meta.dim(source), name=target)
        np.testing.assert_array_equal(out.values, cube.values)
        assert_same(out, run_windowed("rename_dimension", *sizes, **args))


def test_rename_dimension_refuses_a_name_that_is_taken() -> None:
    with pytest.raises(DimensionExists):
        describe("rename_dimension", data=S2, source="t", target="bands")
    with pytest.raises(DimensionNotAvailable):
        describe("rename_dimension", data=S2, source="time", target="when")


@given(cube=cubes(t=True, bands=False), sizes=window_sizes)
def test_add_dimension_then_drop_dimension_gives_the_same_cube(cube: Any, sizes: Any) -> None:
    args = {"data": cube, "name": "bands", "label": "DEM", "type": "bands"}
    added = run_eager("add_dimension", **args)
    assert added.meta.names == ("t", "bands", "y", "x")
    np.testing.assert_array_equal(added.values[:, 0], cube.values)
    assert_same(added, run_windowed("add_dimension", *sizes, **args))
    dropped = run_eager("drop_dimension", data=added, name="bands")
    assert_same(dropped, cube)
    assert_same(dropped, run_windowed("drop_dimension", *sizes, data=added, name="bands"))


@pytest.mark.parametrize(
    ("name", "kind", "label", "order", "stored"),
    [
        ("when", "temporal", "2019-03-01", ("t", "when", "bands", "y", "x"), np.datetime64("2019-03-01")),
        ("season", "temporal", "2019", ("t", "season", "bands", "y", "x"), "2019"),
        ("run", "other", 3, ("t", "bands", "run", "y", "x"), 3),
        ("z", "spatial", 10.5, ("t", "bands", "z", "y", "x"), 10.5),
    ],
)
def test_add_dimension_keeps_the_order_of_dimensions(
    name: str, kind: str, label: Any, order: Any, stored: Any
) -> None:
    out = run_eager("add_dimension", data=fill(S2), name=name, label=label, type=kind).meta
    assert out.names == order
    assert out.dim(name).labels == (stored,)


def test_add_dimension_refuses_taken_names_and_pixels_from_nowhere() -> None:
    with pytest.raises(DimensionExists):
        describe("add_dimension", data=S2, name="t", label="a")
    with pytest.raises(ProcessParameterInvalid, match="spatial"):
        describe("add_dimension", data=CubeMeta((), np.dtype(np.float32)), name="x", label=1, type="spatial")


@given(sizes=window_sizes)
def test_dropping_a_spatial_dimension_of_one_pixel(sizes: Any) -> None:
    column = fill(raster_meta(bands=("a", "b"), width=1, height=4))
    out = run_eager("drop_dimension", data=column, name="x")
    assert out.meta.names == ("bands", "y")
    np.testing.assert_array_equal(out.values, column.values[..., 0])
    assert_same(out, run_windowed("drop_dimension", *sizes, data=column, name="x"))
    pixel = fill(raster_meta(bands=("a", "b"), width=1, height=1))
    bare = run_eager("drop_dimension", data=run_eager("drop_dimension", data=pixel, name="x"), name="y")
    assert bare.meta.box is None
    np.testing.assert_array_equal(bare.values, pixel.values[:, 0, 0])


def test_only_dimensions_of_one_label_are_dropped() -> None:
    with pytest.raises(DimensionLabelCountMismatch, match="3 labels"):
        describe("drop_dimension", data=S2, name="bands")
    with pytest.raises(DimensionLabelCountMismatch):
        describe("drop_dimension", data=S2, name="x")
    with pytest.raises(DimensionNotAvailable):
        describe("drop_dimension", data=S2, name="z")


def test_dimension_labels_are_json() -> None:
    assert dimension_labels(data=S2, dimension="bands") == ["B02", "B04", "B08"]
    assert dimension_labels(data=fill(S2), dimension="t") == ["2019-03-01T00:00:00Z", "2019-03-11T00:00:00Z"]
    box = S2.box
    assert box is not None
    assert dimension_labels(data=S2, dimension="x") == [box.bounds[0] + 5 + 10 * i for i in range(7)]
    with pytest.raises(DimensionNotAvailable):
        dimension_labels(data=S2, dimension="z")
    with pytest.raises(ProcessGraphError):
        dimension_labels(data=[1, 2], dimension="z")


def test_a_cube_made_from_nothing_gets_dimensions_of_one_label() -> None:
    cube = run_eager("create_data_cube")
    assert cube.meta.dims == ()
    for name, label, kind in (("bands", "a", "bands"), ("t", "2019-01-01", "temporal"), ("n", 1, "other")):
        cube = run_eager("add_dimension", data=cube, name=name, label=label, type=kind)
    assert cube.meta.names == ("t", "bands", "n")
    assert not cube.validity().any()
