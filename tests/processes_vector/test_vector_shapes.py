"""filter_vector, vector_buffer and vector_reproject, against GeoPandas, pyproj and formulas."""

from __future__ import annotations

import math
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box, mapping

from acreage.core.errors import DimensionNotAvailable, ProcessParameterInvalid, UnitMismatch
from acreage.processes.vectors import load_geojson
from support.harness import describe, raster_meta, run_eager

CRS = {"type": "name", "properties": {"name": "EPSG:32631"}}
RELATIONS = ("intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "contains", "within")


def geojson(*shapes: Any, crs: Any = CRS) -> dict[str, Any]:
    features = [
        {"type": "Feature", "id": f"f{i}", "properties": {"size": i}, "geometry": mapping(s)}
        for i, s in enumerate(shapes)
    ]
    return {"type": "FeatureCollection", "features": features, "crs": crs}


def sized(*shapes: Any) -> Any:
    """A vector cube with the value i for the geometry i."""
    return load_geojson(geojson(*shapes), ["size"])


coordinates = st.integers(0, 6)


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    x, y = draw(coordinates), draw(coordinates)
    match draw(st.sampled_from(["point", "line", "box", "empty"])):
        case "point":
            return Point(x, y)
        case "line":
            return LineString([(x, y), (x + draw(st.integers(1, 4)), y + draw(coordinates))])
        case "box":
            return box(x, y, x + draw(st.integers(1, 4)), y + draw(st.integers(1, 4)))
    return Polygon()


@given(st.lists(shapes(), min_size=1, max_size=5), st.lists(shapes(), min_size=1, max_size=2), st.data())
def test_filter_vector_keeps_what_geopandas_finds(data: Any, base: Any, draws: st.DataObject) -> None:
    relation = draws.draw(st.sampled_from(RELATIONS))
    made = run_eager("filter_vector", data=sized(*data), geometries=geojson(*base), relation=relation)
    # GeoPandas reads the relation from the left: the union of the others comes first.
    union = gpd.GeoSeries([shapely.union_all(base)] * len(data))
    found = getattr(union, {"equals": "geom_equals"}.get(relation, relation))(
        gpd.GeoSeries(data), align=False
    )
    expected = [i for i, s in enumerate(data) if not s.is_empty and found.iloc[i]]
    assert list(made.meta.dim("geometry").labels) == [f"f{i}" for i in expected]
    assert made.values[:, 0].tolist() == expected
    assert made.meta.geometries is not None
    assert [p["size"] for p in made.meta.geometries.properties] == expected


def test_filter_vector_compares_in_the_crs_of_the_data() -> None:
    inside = Transformer.from_crs(32631, 4326, always_xy=True).transform(500_050.0, 5_500_050.0)
    data = sized(box(500_000, 5_500_000, 500_100, 5_500_100), box(500_200, 5_500_000, 500_300, 5_500_100))
    made = run_eager("filter_vector", data=data, geometries=mapping(Point(inside)))
    assert made.meta.dim("geometry").labels == ("f0",)


def test_buffers_have_the_area_of_their_formulas() -> None:
    point, square = Point(500_000, 5_500_000), box(500_000, 5_500_000, 500_100, 5_500_100)
    grown = run_eager("vector_buffer", geometries=sized(point, square), distance=10).meta.geometries
    assert grown is not None
    corners = 64 / 2 * 10**2 * math.sin(2 * math.pi / 64)  # a regular polygon of 64 corners
    assert grown.shapes[0].area == pytest.approx(corners)
    assert grown.shapes[1].area == pytest.approx(100 * 100 + 4 * 100 * 10 + corners)
    shrunk = run_eager("vector_buffer", geometries=sized(point, square), distance=-10)
    assert shrunk.meta.geometries is not None
    assert shrunk.meta.geometries.shapes[0].is_empty
    assert shrunk.meta.geometries.shapes[1].area == pytest.approx(80 * 80)
    assert shrunk.values.ravel().tolist() == [0, 1]
    assert shrunk.meta.dim("geometry").labels == ("f0", "f1")


def test_empty_geometries_stay_empty() -> None:
    made = run_eager("vector_buffer", geometries=geojson(Polygon(), Point(1, 1)), distance=2)
    assert made.meta.geometries is not None
    assert [s.is_empty for s in made.meta.geometries.shapes] == [True, False]


def test_a_distance_in_metres_needs_a_crs_in_metres() -> None:
    with pytest.raises(UnitMismatch, match="counts in degree"):
        describe("vector_buffer", geometries=mapping(Point(5, 50)), distance=10)
    feet = {"type": "name", "properties": {"name": "EPSG:2263"}}
    with pytest.raises(UnitMismatch):
        describe("vector_buffer", geometries=geojson(Point(5, 50), crs=feet), distance=10)


def test_reprojected_points_lie_where_pyproj_puts_them() -> None:
    points = MultiPoint([(500_000, 5_500_000), (510_000, 5_510_000)])
    made = run_eager("vector_reproject", data=sized(points), projection=3035)
    assert made.meta.geometries is not None
    assert made.meta.geometries.crs == "EPSG:3035"
    expected = Transformer.from_crs(32631, 3035, always_xy=True).transform(*shapely.get_coordinates(points).T)
    np.testing.assert_allclose(shapely.get_coordinates(made.meta.geometries.shapes[0]).T, expected)
    assert made.values.tolist() == [[0]]


def test_long_edges_stay_where_they_are_on_the_ground() -> None:
    wide = box(300_000, 5_500_000, 700_000, 5_600_000)
    made = run_eager("vector_reproject", data=geojson(wide), projection=4326).meta.geometries
    assert made is not None
    middle = Transformer.from_crs(32631, 4326, always_xy=True).transform(500_000, 5_500_000)
    assert made.shapes[0].boundary.distance(Point(middle)) < 1e-6


def test_only_geometries_are_reprojected() -> None:
    with pytest.raises(ProcessParameterInvalid, match="needs geometries"):
        describe("vector_reproject", data=raster_meta(), projection=3035)
    with pytest.raises(DimensionNotAvailable, match="has no geometries"):
        describe("vector_reproject", data=sized(Point(1, 1)), projection=3035, dimension="properties")
    with pytest.raises(ProcessParameterInvalid, match="In `projection`"):
        describe("vector_reproject", data=sized(Point(1, 1)), projection=999_999)
