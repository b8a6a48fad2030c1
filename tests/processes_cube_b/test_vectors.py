"""aggregate_spatial against independent counts, its partition by geometry, and load_geojson."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from exactextract import exact_extract
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box, mapping

from acreage.core.cube import Cube
from acreage.core.errors import GeometryInvalid, ProcessParameterInvalid, TargetDimensionExists
from acreage.core.grid import Grid
from acreage.processes.geometries import geometries_of, in_crs
from acreage.processes.vectors import aggregate_window, geometry_windows, load_geojson
from support.harness import (
    GRID,
    callback,
    cubes,
    dates,
    describe,
    fill,
    null_mean,
    raster_meta,
    run_eager,
    valid_count,
)

MEAN = callback(null_mean, "data", "context")
COUNT = callback(valid_count, "data", "context")
CRS = {"type": "name", "properties": {"name": "EPSG:32631"}}


def collection(
    *shapes: Any, ids: bool = False, properties: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    features = []
    for i, shape in enumerate(shapes):
        feature = {"type": "Feature", "properties": properties[i] if properties else {}}
        feature["geometry"] = None if shape is None else mapping(shape)
        features.append({**feature, **({"id": f"parcel-{i}"} if ids else {})})
    return {"type": "FeatureCollection", "features": features, "crs": CRS}


@st.composite
def shapes_in(draw: st.DrawFn, west: float, north: float) -> Any:
    """A small geometry near a corner; every third one with vertices on pixel centres and edges."""
    n = draw(st.integers(1, 4))
    step = draw(st.sampled_from([0.37, 1.0, 5.0]))
    points = [
        (west + step * draw(st.integers(-20, 90)) * 0.7, north - step * draw(st.integers(-20, 90)) * 0.7)
        for _ in range(n)
    ]
    if n == 1:
        return Point(points[0])
    if n == 2:
        return LineString(points) if points[0] != points[1] else Point(points[0])
    found = Polygon(points)
    return found if found.is_valid and found.area > 0 else MultiPoint(points)


def expected_pixels(shape: Any, cube: Cube) -> np.ndarray:
    """Pixels of a geometry, by testing every single one with shapely."""
    x, y = np.meshgrid(cube.meta.labels_of("x"), cube.meta.labels_of("y"))
    if shape.geom_type == "Polygon":
        return shapely.intersects_xy(shape, x, y)
    if shape.geom_type == "LineString":
        return shapely.intersects(shape, shapely.box(x - 5, y - 5, x + 5, y + 5))
    inside = np.zeros(x.shape, bool)
    for point in shapely.get_parts(shape):
        inside |= (x - 5 <= point.x) & (point.x < x + 5) & (y - 5 < point.y) & (point.y <= y + 5)
    return inside


@given(cubes(dtypes=("uint8", "float32")), st.data())
def test_values_are_those_of_the_pixels_of_each_geometry(cube: Cube, data: st.DataObject) -> None:
    assert cube.meta.box is not None
    west, _, _, north = cube.meta.box.bounds
    shapes = data.draw(st.lists(shapes_in(west, north), min_size=1, max_size=5))
    made = run_eager(
        "aggregate_spatial", data=cube, geometries=collection(*shapes), reducer=MEAN, target_dimension="stats"
    )
    names = tuple(n for n in cube.meta.names if n not in ("x", "y"))
    assert made.meta.names == (*names, "geometry", "stats")
    for i, shape in enumerate(shapes):
        inside = expected_pixels(shape, cube)
        values, valid = cube.values[..., inside].astype(np.float64), cube.validity()[..., inside]
        count = valid.sum(axis=-1)
        with np.errstate(invalid="ignore"):
            mean = np.where(valid, values, 0).sum(axis=-1) / count
        np.testing.assert_array_equal(made.values[..., i, 1], inside.sum())
        np.testing.assert_array_equal(made.values[..., i, 2], count)
        np.testing.assert_array_equal(made.validity()[..., i, 0], count > 0)
        np.testing.assert_allclose(made.values[..., i, 0], mean, rtol=1e-5)


def test_order_labels_and_properties_are_those_of_the_features() -> None:
    data = fill(raster_meta(t=dates("2019-03-01"), bands=("A", "B"), at=(0, -10)), 1)
    shapes = (Point(15, 95), None, box(20, 60, 50, 90), Point(9999, 9999))
    about = [{"crop": c} for c in ("wheat", "none", "maize", "far")]
    made = run_eager(
        "aggregate_spatial",
        data=data,
        geometries=collection(*shapes, ids=True, properties=about),
        reducer=COUNT,
    )
    assert made.meta.dim("geometry").labels == ("parcel-0", "parcel-1", "parcel-2", "parcel-3")
    assert made.meta.geometries is not None
    assert [p["crop"] for p in made.meta.geometries.properties] == ["wheat", "none", "maize", "far"]
    assert made.values.dtype == np.int32
    assert made.validity()[0, 0].tolist() == [True, False, True, False]  # empty and outside: null
    assert made.values[0, 1, 2] == data.validity()[0, 1, 1:4, 2:5].sum()


def test_a_polygon_without_a_pixel_centre_has_no_pixels() -> None:
    data = fill(raster_meta(at=(0, -5)), 1, 0.0)
    sliver = collection(box(11, 21, 14, 24))
    made = run_eager(
        "aggregate_spatial", data=data, geometries=sliver, reducer=MEAN, target_dimension="stats"
    )
    assert made.validity()[0].tolist() == [False, True, True]
    assert made.values[0, 1:].tolist() == [0, 0]


def test_a_vector_cube_serves_as_geometries() -> None:
    data = fill(raster_meta(at=(0, -5)), 1)
    parcels = collection(box(0, 0, 30, 30), box(20, 10, 60, 40), ids=True)
    from_json = run_eager("aggregate_spatial", data=data, geometries=parcels, reducer=MEAN)
    from_cube = run_eager("aggregate_spatial", data=data, geometries=load_geojson(parcels), reducer=MEAN)
    np.testing.assert_array_equal(from_json.values, from_cube.values)
    assert from_json.meta == from_cube.meta


def test_names_that_are_taken_are_refused() -> None:
    data = raster_meta(bands=("A",))
    with pytest.raises(TargetDimensionExists, match="'bands'"):
        describe(
            "aggregate_spatial",
            data=data,
            geometries=collection(Point(0, 0)),
            reducer=MEAN,
            target_dimension="bands",
        )
    with pytest.raises(ProcessParameterInvalid, match="needs geometries"):
        describe("aggregate_spatial", data=data, geometries=raster_meta(), reducer=MEAN)


# --- real parcels -------------------------------------------------------------------------------------------


def test_real_parcels_agree_with_exactextract(real_data: Path) -> None:
    """Means over real parcels at a tenth of the pixel size, where partial pixels hardly count."""
    parcels = gpd.read_file(real_data / "flanders-2019" / "parcels.gpkg").to_crs(32631)
    path = sorted((real_data / "flanders-2019").rglob("*.tif"))[0]
    with rasterio.open(path) as file:
        full = Grid.of_transform(file.crs.to_string(), file.transform).box_of_transform(
            file.transform, file.width, file.height
        )
    west, south, east, north = full.bounds
    grid = Grid.snapped(32631, 1)
    area = grid.box_covering(west, south, east, north)
    meta = raster_meta(
        width=area.width, height=area.height, at=(area.x0, area.y0), grid=grid, dtype=np.float64
    )
    rows, columns = np.indices(area.shape)
    data = Cube.of(np.sin(rows / 40.0) + columns / 100.0, None, meta)
    geojson = {**parcels[["geometry"]].__geo_interface__, "crs": CRS}
    made = run_eager("aggregate_spatial", data=data, geometries=geojson, reducer=MEAN)
    profile = {"driver": "GTiff", "width": area.width, "height": area.height, "count": 1, "dtype": "float64"}
    with rasterio.MemoryFile() as memory:
        with memory.open(crs=grid.crs, transform=area.affine, **profile) as file:
            file.write(data.values, 1)
        with memory.open() as file:
            found = exact_extract(file, parcels, ["mean", "count"], output="pandas")
    inside = found["count"] > 400
    assert inside.sum() >= 5
    np.testing.assert_allclose(made.values[inside], found["mean"][inside], atol=0.01)


# --- partition by geometry ----------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 200))
def test_clusters_hold_each_geometry_once_and_give_the_same_values(
    data: st.DataObject, max_pixels: int
) -> None:
    cube = fill(raster_meta(bands=("A", "B"), width=12, height=12, at=(0, -12)), 3)
    assert cube.meta.box is not None
    shapes = data.draw(st.lists(shapes_in(0.0, 120.0), min_size=1, max_size=8))
    whole = aggregate_window(cube, shapes, range(len(shapes)), MEAN, None, np.dtype(np.float32))
    windows = geometry_windows(shapes, cube.meta.box, max_pixels)
    seen = [i for _, members in windows for i in members]
    assert len(seen) == len(set(seen))
    assert set(np.flatnonzero(whole.total_count)) <= set(seen)
    for window, members in windows:
        assert window.size <= max_pixels or len(members) == 1
        part = aggregate_window(cube.crop(window), shapes, members, MEAN, None, np.dtype(np.float32))
        np.testing.assert_array_equal(part.values, whole.values[list(members)])
        np.testing.assert_array_equal(part.valid, whole.valid[list(members)])
        np.testing.assert_array_equal(part.total_count, whole.total_count[list(members)])
        np.testing.assert_array_equal(part.valid_count, whole.valid_count[list(members)])


def test_scattered_geometries_are_not_read_as_one_large_window() -> None:
    full = raster_meta(width=10000, height=10000, at=(0, -10000)).box
    assert full is not None
    spots = [Point(x * 20000 + 5, y * 20000 + 5) for x in range(5) for y in range(5)]
    shapes = [s.buffer(40) for s in spots]
    windows = geometry_windows(shapes, full, 512 * 512)
    assert sum(w.size for w, _ in windows) < 25 * 512 * 512
    assert sorted(i for _, members in windows for i in members) == list(range(25))


# --- load_geojson -------------------------------------------------------------------------------------------


def test_a_vector_cube_of_geometries_alone_holds_nulls() -> None:
    made = load_geojson(collection(Point(0, 0), Point(1, 1)))
    assert made.meta.names == ("geometry",)
    assert made.meta.dim("geometry").labels == ("0", "1")
    assert not made.validity().any()


def test_properties_become_a_dimension() -> None:
    about = [{"area": 2, "slope": 1.5, "rank": [1, 2]}, {"area": None, "slope": 0.5, "rank": [3]}]
    data = collection(Point(0, 0), Point(1, 1), properties=about)
    both = load_geojson(data, ["area", "slope"])
    assert both.meta.dim("properties").labels == ("area", "slope")
    assert both.values[:, 1].tolist() == [1.5, 0.5]
    assert both.validity()[:, 0].tolist() == [True, False]
    area = load_geojson(data, ["area"])
    assert area.values.dtype == np.int64
    ranks = load_geojson(data, ["rank"])
    assert ranks.meta.dim("properties").labels == (0, 1)
    assert ranks.values[:, 0].tolist() == [1, 3]
    assert ranks.validity().tolist() == [[True, True], [True, False]]
    with pytest.raises(GeometryInvalid, match="No feature of the GeoJSON object has the property 'crop'"):
        load_geojson(data, ["crop"])
    with pytest.raises(GeometryInvalid, match="not all numbers"):
        load_geojson(collection(Point(0, 0), properties=[{"crop": "wheat"}]), ["crop"])


def test_shapes_in_their_own_crs_are_untouched_and_others_follow_the_projection() -> None:
    found, _ = geometries_of(collection(box(0, 0, 10, 10)), "test")
    assert in_crs(found, GRID.crs) is found.shapes
    wide, _ = geometries_of(mapping(box(2.0, 50.0, 4.0, 51.0)), "test")
    moved = in_crs(wide, "EPSG:3035")[0]
    assert len(moved.exterior.coords) > 500  # a parallel is no straight line there
