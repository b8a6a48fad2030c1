"""mask, mask_polygon, filter_spatial, and which pixels a geometry has."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, mapping

from acreage.core.cube import Cube
from acreage.core.errors import (
    CubesNotCompatible,
    DimensionMismatch,
    GeometryInvalid,
    LabelMismatch,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box, Grid, transformer
from acreage.processes.geometry_pixels import pixel_bounds, pixels_of
from support.harness import (
    GRID,
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

T = dates("2019-03-01", "2019-03-11", "2019-03-21")
CRS = {"type": "name", "properties": {"name": "EPSG:32631"}}


def geojson(*shapes: Any) -> dict[str, Any]:
    features = [{"type": "Feature", "properties": {}, "geometry": mapping(s)} for s in shapes]
    return {"type": "FeatureCollection", "features": features, "crs": CRS}


def mask_for(cube: Cube, seed: int, drop: tuple[str, ...], dtype: Any = bool) -> Cube:
    meta = cube.meta
    for name in drop:
        if name in meta.names:
            meta = meta.without_dim(name)
    grown = meta.with_box(meta.box.expand(1, 2)) if meta.box is not None else meta
    return fill(replace(grown, dtype=np.dtype(dtype)), seed, 0.2)


# --- mask ---------------------------------------------------------------------------------------------------


@given(
    cubes(dtypes=("uint8", "int16", "float32", "bool")),
    st.integers(0, 99),
    st.sampled_from([(), ("t",), ("bands",), ("t", "bands")]),
    st.sampled_from(["bool", "uint8", "float32"]),
    window_sizes,
)
def test_mask_by_windows_and_as_a_loop(
    cube: Cube, seed: int, drop: tuple[str, ...], dtype: str, size: tuple[int, int]
) -> None:
    mask = mask_for(cube, seed, drop, dtype)
    made = run_eager("mask", data=cube, mask=mask)
    assert_same(run_windowed("mask", *size, data=cube, mask=mask), made)
    inner = mask.crop(cube.meta.box) if cube.meta.box else mask
    hit = np.where(inner.validity(), inner.values.astype(np.float64), 0) != 0
    lacking = [n for n in cube.meta.names if n not in mask.meta.names]
    for name in lacking:
        hit = np.expand_dims(hit, cube.meta.axis(name))
    np.testing.assert_array_equal(made.validity(), cube.validity() & ~hit)
    np.testing.assert_array_equal(made.values[made.validity()], cube.values[made.validity()])


def test_a_replacement_keeps_nulls_and_widens_the_type_only_if_it_must() -> None:
    data = fill(raster_meta(bands=("A", "B"), dtype=np.uint8), 1)
    mask = fill(raster_meta(dtype=bool), 2, 0.0)
    made = run_eager("mask", data=data, mask=mask, replacement=7)
    assert made.values.dtype == np.uint8
    np.testing.assert_array_equal(made.validity(), data.validity())
    known = data.validity()
    hit = np.broadcast_to(mask.values, data.values.shape)
    np.testing.assert_array_equal(made.values[known], np.where(hit, 7, data.values)[known])
    assert run_eager("mask", data=data, mask=mask, replacement=-1).values.dtype == np.int16
    assert run_eager("mask", data=data, mask=mask, replacement=0.5).values.dtype == np.float32


def test_dates_are_matched_by_label_and_not_by_position() -> None:
    data = fill(raster_meta(t=T, dtype=np.uint8), 1, 0.0)
    mask = fill(raster_meta(t=T, dtype=bool), 2, 0.0)
    turned = mask.take("t", [2, 0, 1], raster_meta(t=(T[2], T[0], T[1])).dim("t"))
    assert_same(run_eager("mask", data=data, mask=turned), run_eager("mask", data=data, mask=mask))


def test_a_mask_of_one_band_counts_for_all_bands() -> None:
    data = fill(raster_meta(t=T, bands=("B04", "B08"), dtype=np.uint16), 1, 0.0)
    mask = fill(raster_meta(t=T, bands=("SCL",), dtype=bool), 2, 0.0)
    made = run_eager("mask", data=data, mask=mask)
    np.testing.assert_array_equal(made.validity(), np.broadcast_to(~mask.values, data.values.shape))
    plain = fill(raster_meta(t=T, dtype=np.uint16), 1, 0.0)
    made = run_eager("mask", data=plain, mask=mask)
    np.testing.assert_array_equal(made.validity(), ~mask.values[:, 0])


def test_masks_that_do_not_fit_are_refused_with_the_reason() -> None:
    data = raster_meta(t=T, bands=("A",))
    with pytest.raises(LabelMismatch, match=r"1 of the data cube's are not in the mask \(2019-03-21"):
        describe("mask", data=data, mask=raster_meta(t=T[:2]))
    with pytest.raises(LabelMismatch, match="1 of the mask's not in the data cube"):
        describe("mask", data=raster_meta(t=T[:2]), mask=data)
    with pytest.raises(DimensionMismatch, match="a dimension 't' of type temporal"):
        describe("mask", data=raster_meta(), mask=raster_meta(t=T))
    with pytest.raises(DimensionMismatch, match="some pixels have no mask"):
        describe("mask", data=data, mask=raster_meta(width=3))
    with pytest.raises(CubesNotCompatible, match=r"shifted by 0\.5 pixels"):
        describe("mask", data=data, mask=raster_meta(grid=Grid(GRID.crs, 10.0, 10.0, 5.0, 0.0)))
    with pytest.raises(ProcessParameterInvalid, match="'cloud' cannot replace pixels of type float32"):
        describe("mask", data=data, mask=raster_meta(), replacement="cloud")
    with pytest.raises(ProcessParameterInvalid, match="True cannot replace"):
        describe("mask", data=data, mask=raster_meta(), replacement=True)


# --- pixels of a geometry -----------------------------------------------------------------------------------


def star(seed: int, reach: float, at: tuple[float, float]) -> Polygon:
    """A crooked polygon with a hole; vertices anywhere, or exactly on centres and edges of pixels."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(12)) * 2 * math.pi
    radius = reach * (0.4 + 0.6 * rng.random(12))
    points = np.column_stack([at[0] + radius * np.cos(angles), at[1] + radius * np.sin(angles)])
    if seed % 2:
        points = np.round(points / 5) * 5  # centres and edges of 10 m pixels
    shape = shapely.make_valid(Polygon(points))
    return shape.difference(box(at[0] - reach / 8, at[1] - reach / 8, at[0] + reach / 8, at[1] + reach / 8))


@pytest.mark.parametrize("reach", [30.0, 900.0])
@pytest.mark.parametrize("seed", range(6))
def test_polygon_pixels_are_the_centres_it_covers_in_every_window(seed: int, reach: float) -> None:
    polygon = star(seed, reach, (500000.0, 5650000.0))
    if polygon.geom_type == "GeometryCollection":
        polygon = MultiPolygon([p for p in polygon.geoms if p.geom_type == "Polygon"])
    full = pixel_bounds(polygon, GRID).expand(2, 2)
    whole = pixels_of(polygon, full)
    x, y = np.meshgrid(full.x_centres(), full.y_centres())
    np.testing.assert_array_equal(whole, shapely.covers(polygon, shapely.points(x, y)))
    for window in full.windows(37, 23):
        np.testing.assert_array_equal(pixels_of(polygon, window), whole[window.slices_in(full)])


@pytest.mark.parametrize("length", [80.0, 1500.0])
def test_a_line_has_all_pixels_it_touches(length: float) -> None:
    line = LineString(
        [(500003, 5650001), (500003 + length, 5650001 - length / 3), (500003, 5650001 - length)]
    )
    full = pixel_bounds(line, GRID).expand(1, 1)
    whole = pixels_of(line, full)
    x, y = np.meshgrid(full.x_centres(), full.y_centres())
    np.testing.assert_array_equal(whole, shapely.intersects(line, shapely.box(x - 5, y - 5, x + 5, y + 5)))
    for window in full.windows(29, 31):
        np.testing.assert_array_equal(pixels_of(line, window), whole[window.slices_in(full)])


def test_a_point_has_the_one_pixel_it_lies_in() -> None:
    full = Box(GRID, 0, -3, 3, 0)
    for x, y, at in [(0.0, 30.0, (0, 0)), (9.99, 20.01, (0, 0)), (10.0, 20.0, (1, 1)), (29, 1, (2, 2))]:
        found = pixels_of(Point(x, y), full)
        assert np.argwhere(found).tolist() == [list(at)]


# --- mask_polygon and filter_spatial ------------------------------------------------------------------------


@given(cubes(dtypes=("uint8", "float32")), st.integers(0, 9), st.booleans(), window_sizes)
def test_mask_polygon_by_windows(cube: Cube, seed: int, inside: bool, size: tuple[int, int]) -> None:
    west, south, east, north = cube.meta.box.bounds if cube.meta.box else (0, 0, 0, 0)
    polygon = star(seed, 35.0, ((west + east) / 2, (south + north) / 2))
    arguments = {"data": cube, "mask": geojson(polygon.buffer(0)), "inside": inside}
    made = run_eager("mask_polygon", **arguments)
    assert_same(run_windowed("mask_polygon", *size, **arguments), made)
    x, y = np.meshgrid(cube.meta.labels_of("x"), cube.meta.labels_of("y"))
    hit = shapely.intersects_xy(polygon.buffer(0), x, y)
    np.testing.assert_array_equal(made.validity(), cube.validity() & (~hit if inside else hit))


def test_longitudes_and_latitudes_follow_the_projection() -> None:
    data = fill(raster_meta(width=300, height=300, at=(50000, -560000), dtype=np.uint8), 1, 0.0)
    assert data.meta.box is not None
    west, south, east, north = data.meta.box.bounds
    corners = [(west + 400, south + 300), (east - 300, south + 500), (west + 900, north - 200)]
    back = transformer(GRID.crs, "EPSG:4326")
    dense = shapely.segmentize(Polygon(back.transform(x, y) for x, y in corners), 1e-4)
    rough = Polygon([back.transform(x, y) for x, y in corners])
    made = run_eager("mask_polygon", data=data, mask=mapping(rough))
    forth = shapely.transform(
        dense, lambda p: np.column_stack(transformer("EPSG:4326", GRID.crs).transform(*p.T))
    )
    x, y = np.meshgrid(data.meta.labels_of("x"), data.meta.labels_of("y"))
    expected = shapely.intersects_xy(forth, x, y)
    assert (made.validity() != expected).sum() <= 1  # 2 cm of difference at most


@given(cubes(dtypes=("uint8", "float32")), st.integers(0, 9), window_sizes)
def test_filter_spatial_by_windows_cuts_to_the_bounds(cube: Cube, seed: int, size: tuple[int, int]) -> None:
    assert cube.meta.box is not None
    west, _, _, north = cube.meta.box.bounds
    at = (west + 7.0, north - 4.0)
    polygon = star(seed, 30.0, at).union(Point(at).buffer(4))
    arguments = {"data": cube, "geometries": geojson(polygon.buffer(0), Point(at))}
    made = run_eager("filter_spatial", **arguments)
    assert_same(run_windowed("filter_spatial", *size, **arguments), made)
    low_x, low_y, high_x, high_y = polygon.bounds
    xs, ys = np.array(cube.meta.labels_of("x")), np.array(cube.meta.labels_of("y"))
    # Centres within the polygon's bounds, and the pixel that the point lies in.
    assert made.meta.labels_of("x") == tuple(xs[(low_x <= xs) & (xs <= high_x) | (abs(xs - at[0]) <= 5)])
    assert made.meta.labels_of("y") == tuple(ys[(low_y <= ys) & (ys <= high_y) | (abs(ys - at[1]) <= 5)])


def test_a_polygon_without_a_pixel_centre_leaves_no_pixel() -> None:
    data = raster_meta()
    x, y = data.labels_of("x")[1], data.labels_of("y")[1]
    between = geojson(box(x + 1, y + 1, x + 4, y + 4))
    assert describe("filter_spatial", data=data, geometries=between).shape[-2:] == (0, 0)


def test_geometries_outside_of_the_cube_leave_no_pixel() -> None:
    outside = mapping(box(4, 50, 5, 51))
    assert describe("filter_spatial", data=raster_meta(), geometries=outside).shape[-2:] == (0, 0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"type": "FeatureCollection", "features": []}, "has no features"),
        ({"type": "GeometryCollection", "geometries": []}, "GeometryCollection cannot be used"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}, "Self-intersection"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "coordinates that make no Polygon"),
        ({"type": "Polygon"}, "has no coordinates"),
        ({"type": "Point", "coordinates": [500000, 5650000]}, "no longitudes and latitudes"),
        ({"type": "Point", "coordinates": ["a", "b"]}, "make no Point"),
        ("a file name", "not a GeoJSON object"),
        ({"type": "Map"}, "'Map' is not a GeoJSON type"),
        ({"type": "Point", "coordinates": [1, 2], "crs": {"type": "link"}}, "names no CRS"),
        (
            {"type": "Point", "coordinates": [1, 2], "crs": {"properties": {"name": "nonsense"}}},
            "`crs` member",
        ),
    ],
)
def test_broken_geometries_are_told(bad: Any, message: str) -> None:
    with pytest.raises(GeometryInvalid, match=message):
        describe("filter_spatial", data=raster_meta(), geometries=bad)


def test_mask_polygon_wants_polygons() -> None:
    with pytest.raises(ProcessParameterInvalid, match="takes polygons only, and was given Point"):
        describe("mask_polygon", data=raster_meta(), mask=mapping(Point(3, 51)))
    with pytest.raises(ProcessParameterInvalid, match="needs geometries"):
        describe("mask_polygon", data=raster_meta(), mask=raster_meta())
