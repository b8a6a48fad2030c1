"""filter_bbox, filter_temporal, filter_bands, filter_labels against plain NumPy and shapely."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import Point

from acreage.core.arrays import Masked
from acreage.core.cube import CubeMeta, Dimension, Geometries
from acreage.core.errors import (
    BandFilterParameterMissing,
    DimensionMissing,
    DimensionNotAvailable,
    LabelNotAvailable,
    ProcessParameterInvalid,
    TemporalExtentEmpty,
    TooManyDimensions,
)
from acreage.processes.constraints import band_constraint, spatial_constraint, temporal_constraint
from support.harness import (
    assert_same,
    callback,
    cubes,
    dates,
    describe,
    fill,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

UTM = 32631


def _bbox(bounds: tuple[float, float, float, float], crs: Any = UTM) -> dict[str, Any]:
    return dict(zip(("west", "south", "east", "north"), bounds, strict=True)) | {"crs": crs}


def points(count: int = 4, **more: Any) -> CubeMeta:
    """A vector cube of points along the diagonal, with a t dimension."""
    shapes = tuple(Point(10 * i, 10 * i) for i in range(count))
    properties = tuple({"id": i} for i in range(count))
    return CubeMeta(
        (
            Dimension("geometry", "geometry", tuple(f"p{i}" for i in range(count))),
            Dimension("t", "temporal", dates("2019-01-01", "2019-01-11")),
        ),
        np.dtype(np.float32),
        geometries=Geometries(f"EPSG:{UTM}", shapes, properties),
        **more,
    )


@given(
    cube=cubes(),
    sizes=window_sizes,
    west=st.floats(-0.6, 0.6),
    south=st.floats(-0.6, 0.6),
    east=st.floats(0, 0.6),
    north=st.floats(0, 0.6),
)
def test_filter_bbox_keeps_the_pixels_whose_centres_lie_inside(
    cube: Any, sizes: Any, west: float, south: float, east: float, north: float
) -> None:
    box = cube.meta.box
    w, s, e, n = box.bounds
    width, height = e - w, n - s
    bounds = (w + west * width / 2, s + south * height / 2, e - east * width, n - north * height)
    columns = (box.x_centres() >= bounds[0]) & (box.x_centres() <= bounds[2])
    rows = (box.y_centres() >= bounds[1]) & (box.y_centres() <= bounds[3])
    if bounds[0] > bounds[2] or bounds[1] > bounds[3]:
        with pytest.raises(ProcessParameterInvalid):
            run_eager("filter_bbox", data=cube, extent=_bbox(bounds))
        return
    out = run_eager("filter_bbox", data=cube, extent=_bbox(bounds))
    if not columns.any() or not rows.any():
        assert out.meta.shape[-2:] == (0, 0)
        return
    np.testing.assert_array_equal(out.values, cube.values[..., rows, :][..., columns])
    np.testing.assert_array_equal(out.validity(), cube.validity()[..., rows, :][..., columns])
    assert_same(out, run_windowed("filter_bbox", *sizes, data=cube, extent=_bbox(bounds)))


def test_filter_bbox_includes_a_pixel_whose_centre_lies_on_the_edge() -> None:
    cube = fill(raster_meta(width=4, height=4, at=(0, 0)))
    out = run_eager("filter_bbox", data=cube, extent=_bbox((5.0, -25.0, 15.0, -15.0)))
    assert out.meta.shape == (2, 2)


def test_filter_bbox_takes_longitude_and_latitude_by_default() -> None:
    cube = fill(raster_meta(width=50, height=40, at=(50_000, -560_000)))
    back = Transformer.from_crs(UTM, 4326, always_xy=True)
    west, south, east, north = 500_103.0, 5_599_704.0, 500_297.0, 5_599_896.0
    corners = [back.transform(x, y) for x in (west, east) for y in (south, north)]
    lons, lats = zip(*corners, strict=True)
    extent = _bbox((min(lons), min(lats), max(lons), max(lats)))
    del extent["crs"]
    box = run_eager("filter_bbox", data=cube, extent=extent).meta.box
    assert box is not None
    assert (box.x0, box.x1) == (50_010, 50_030)
    assert (box.y0, box.y1) == (-559_990, -559_970)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"west": 100.0, "east": 0.0}, "inside out"),
        ({"north": None}, "not complete"),
        ({"crs": "EPSG:nonsense"}, "coordinate reference system"),
        ({"base": 0, "height": 10}, "vertical"),
    ],
)
def test_a_bounding_box_that_cannot_be_used_is_refused_with_a_reason(
    change: dict[str, Any], says: str
) -> None:
    cube = fill(raster_meta(width=4, height=4, at=(0, 0)))
    extent = {**_bbox((0.0, -40.0, 40.0, 0.0)), **change}
    with pytest.raises(ProcessParameterInvalid, match=says):
        run_eager("filter_bbox", data=cube, extent=extent)


def test_filter_bbox_keeps_the_geometries_inside() -> None:
    cube = fill(points())
    out = run_eager("filter_bbox", data=cube, extent=_bbox((5.0, 5.0, 20.0, 25.0)))
    assert out.meta.dims[0].labels == ("p1", "p2")
    assert out.meta.geometries is not None
    assert out.meta.geometries.properties == ({"id": 1}, {"id": 2})
    np.testing.assert_array_equal(out.values, cube.values[1:3])


# --- filter_temporal ----------------------------------------------------------------------------------------

DAYS = dates("2019-03-01", "2019-03-05T12:00", "2019-03-10", "2019-03-11")


@given(cube=cubes(t=True), sizes=window_sizes, start=st.integers(-5, 95), length=st.integers(1, 60))
def test_filter_temporal_is_left_closed(cube: Any, sizes: Any, start: int, length: int) -> None:
    first = np.datetime64("2019-02-20", "D") + start
    extent = [str(first), str(first + length)]
    out = run_eager("filter_temporal", data=cube, extent=extent)
    t = np.array(cube.meta.dims[0].labels)
    keep = (t >= first) & (t < first + length)
    np.testing.assert_array_equal(out.values, cube.values[keep])
    assert out.meta.dims[0].extent == dates(*extent)
    assert_same(out, run_windowed("filter_temporal", *sizes, data=cube, extent=extent))


def test_filter_temporal_with_open_ends_narrows_the_extent_that_was_filtered_before() -> None:
    meta = raster_meta(t=DAYS, extent=dates("2019-03-01", "2019-04-01"))
    assert describe("filter_temporal", data=meta, extent=["2019-03-05", None]).dims[0] == Dimension(
        "t", "temporal", DAYS[1:], dates("2019-03-05", "2019-04-01")
    )
    out = describe("filter_temporal", data=meta, extent=[None, "2019-03-11T00:00:00Z"])
    assert out.dims[0].labels == DAYS[:3]
    assert out.dims[0].extent == dates("2019-03-01", "2019-03-11")


def test_filter_temporal_reads_time_zones() -> None:
    out = describe(
        "filter_temporal", data=raster_meta(t=DAYS), extent=["2019-03-05T13:30:00+02:00", "2019-03-10"]
    )
    assert out.dims[0].labels == DAYS[1:2]


def test_filter_temporal_takes_period_labels_by_their_first_day() -> None:
    meta = raster_meta(t=("2019-07", "2019-08", "2019-09"))
    dekads = meta.with_dim("t", replace(meta.dims[0], period="dekad"))
    out = describe("filter_temporal", data=dekads, extent=["2019-03-02", "2019-04-01"])
    assert out.dims[0].labels == ("2019-08", "2019-09")
    with pytest.raises(ProcessParameterInvalid, match="not a point in time"):
        describe("filter_temporal", data=meta, extent=["2019-03-02", "2019-04-01"])


@pytest.mark.parametrize(
    ("extent", "error"),
    [
        (["2019-03-02", "2019-03-02"], TemporalExtentEmpty),
        ([None, None], ProcessParameterInvalid),
        (["spring", None], ProcessParameterInvalid),
        (["2019-03-02"], ProcessParameterInvalid),
    ],
)
def test_a_temporal_extent_that_cannot_be_used_is_refused(extent: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        describe("filter_temporal", data=raster_meta(t=DAYS), extent=extent)


def test_filter_temporal_on_a_cube_without_time_names_what_there_is() -> None:
    with pytest.raises(DimensionNotAvailable, match="y, x"):
        describe("filter_temporal", data=raster_meta(), extent=["2019-03-02", None])
    with pytest.raises(ProcessParameterInvalid, match="not temporal"):
        describe(
            "filter_temporal", data=raster_meta(bands=("a",)), extent=["2019-03-02", None], dimension="bands"
        )


def test_filter_temporal_filters_all_temporal_dimensions_or_the_one_that_is_named() -> None:
    dims = (Dimension("t", "temporal", DAYS), Dimension("run", "temporal", DAYS))
    meta = CubeMeta(dims, np.dtype(np.float32))
    extent = ["2019-03-10", None]
    assert run_eager("filter_temporal", data=fill(meta), extent=extent).meta.shape == (2, 2)
    cube = fill(meta)
    one = run_eager("filter_temporal", data=cube, extent=extent, dimension="run")
    np.testing.assert_array_equal(one.values, cube.values[:, 2:])
    with pytest.raises(TooManyDimensions):
        describe(
            "aggregate_temporal_period",
            data=meta,
            period="day",
            reducer=callback(lambda data, context: data, "data", "context"),
        )


# --- filter_bands -------------------------------------------------------------------------------------------


@given(cube=cubes(bands=True), sizes=window_sizes, order=st.randoms())
def test_filter_bands_keeps_the_order_that_is_asked_for(cube: Any, sizes: Any, order: Any) -> None:
    axis = cube.meta.axis("bands")
    names = list(cube.meta.dims[axis].labels)
    order.shuffle(names)
    asked = names[: 1 + len(names) // 2]
    out = run_eager("filter_bands", data=cube, bands=asked)
    where = [cube.meta.dims[axis].labels.index(b) for b in asked]
    np.testing.assert_array_equal(out.values, np.take(cube.values, where, axis))
    assert out.meta.dims[axis].labels == tuple(asked)
    assert_same(out, run_windowed("filter_bands", *sizes, data=cube, bands=asked))


def test_filter_bands_knows_common_names_and_prefers_names() -> None:
    meta = raster_meta(bands=("B02", "B04", "B08", "SCL"))
    assert describe("filter_bands", data=meta, bands=["nir", "B02", "red", "B04"]).dims[0].labels == (
        "B08",
        "B02",
        "B04",
    )
    named = raster_meta(bands=("red", "x", "y1")).with_attributes(
        {"band:x:common_name": "red", "band:y1:common_name": "blue"}
    )
    assert describe("filter_bands", data=named, bands=["red"]).dims[0].labels == ("red",)
    assert describe("filter_bands", data=named, bands=["blue"]).dims[0].labels == ("y1",)


def test_filter_bands_by_wavelength_in_the_cubes_order() -> None:
    meta = raster_meta(bands=("B08", "B04", "B03", "SCL"))
    out = describe("filter_bands", data=meta, bands=["SCL"], wavelengths=[[0.5, 0.7]])
    assert out.dims[0].labels == ("SCL", "B04", "B03")


def test_filter_bands_errors_say_which_bands_there_are() -> None:
    meta = raster_meta(bands=("VV", "VH"))
    with pytest.raises(LabelNotAvailable, match="VV, VH"):
        describe("filter_bands", data=meta, bands=["VV", "HH"])
    with pytest.raises(BandFilterParameterMissing):
        describe("filter_bands", data=meta)
    with pytest.raises(DimensionMissing):
        describe("filter_bands", data=raster_meta(), bands=["HH"])


# --- filter_labels ------------------------------------------------------------------------------------------


def _at_least(value: Any, context: Any = None) -> Any:
    if isinstance(value, Masked):
        return Masked(value.values >= context, value.valid)
    return value >= context


@pytest.mark.parametrize(
    ("dimension", "context", "keep"),
    [
        ("bands", "B03", (slice(None), slice(1, 3))),
        ("t", "2019-03-05T12:00:00Z", (slice(1, 4),)),
        ("x", 25.0, (..., slice(2, 5))),
        ("y", -15.0, (..., slice(0, 2), slice(None))),
    ],
)
def test_filter_labels_keeps_what_the_condition_is_true_for(dimension: str, context: Any, keep: Any) -> None:
    cube = fill(raster_meta(t=DAYS, bands=("B02", "B03", "B04"), width=5, height=4, at=(0, 0)))
    condition = callback(_at_least, "value", "context")
    args = {"data": cube, "condition": condition, "dimension": dimension, "context": context}
    out = run_eager("filter_labels", **args)
    np.testing.assert_array_equal(out.values, cube.values[keep])
    assert_same(out, run_windowed("filter_labels", 2, 3, **args))


def test_filter_labels_refuses_holes_along_x_and_conditions_that_are_none() -> None:
    meta = raster_meta(width=5, height=4, at=(0, 0), bands=("a", "b"))
    holes = callback(lambda value: Masked(value.values % 20 == 5), "value")
    with pytest.raises(ProcessParameterInvalid, match="separate"):
        describe("filter_labels", data=meta, condition=holes, dimension="x")
    with pytest.raises(ProcessParameterInvalid, match="not a boolean"):
        describe("filter_labels", data=meta, condition=callback(lambda value: 3, "value"), dimension="bands")


def test_filter_labels_takes_geometries_along() -> None:
    cube = fill(points())
    condition = callback(lambda value: value in ("p0", "p3"), "value")
    out = run_eager("filter_labels", data=cube, condition=condition, dimension="geometry")
    np.testing.assert_array_equal(out.values, cube.values[[0, 3]])
    assert out.meta.geometries is not None
    assert [p.x for p in out.meta.geometries.shapes] == [0, 30]


# --- constraints --------------------------------------------------------------------------------------------

SQUARE = {"type": "Polygon", "coordinates": [[[3, 50], [4, 50], [4, 51.5], [3, 51.5], [3, 50]]]}


def test_constraints_of_filters_are_known_from_their_arguments() -> None:
    extent = _bbox((1, 2, 3, 4), "EPSG:3035")
    assert spatial_constraint("filter_bbox", {"data": {}, "extent": extent}) == (1, 2, 3, 4, "EPSG:3035")
    collection = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": SQUARE, "properties": {}},
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 49]}, "properties": {}},
        ],
    }
    assert spatial_constraint("filter_spatial", {"geometries": collection}) == (3, 49, 5, 51.5, 4326)
    assert spatial_constraint("mask_polygon", {"mask": SQUARE}) == (3, 50, 4, 51.5, 4326)
    assert spatial_constraint("mask_polygon", {"mask": SQUARE, "inside": True}) is None
    assert spatial_constraint("mask_polygon", {"mask": SQUARE, "replacement": 0}) is None
    assert spatial_constraint("aggregate_spatial", {"geometries": points()}) == (0, 0, 30, 30, "EPSG:32631")
    assert spatial_constraint("filter_spatial", {"geometries": {"from_node": "load"}}) is None
    assert spatial_constraint("apply", {"extent": extent}) is None
    assert temporal_constraint("filter_temporal", {"extent": ["2019-03-01", None]}) == (
        np.datetime64("2019-03-01", "ms"),
        None,
    )
    assert temporal_constraint("filter_temporal", {"extent": {"from_parameter": "season"}}) is None
    assert band_constraint("filter_bands", {"bands": ["B02", "red"]}) == ("B02", "red")
    assert band_constraint("filter_bands", {"bands": ["B02"], "wavelengths": [[0.4, 0.5]]}) is None
