"""vector_to_random_points and vector_to_regular_points: counts, places, and an even spread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPoint, MultiPolygon, Point, Polygon, box, mapping

from acreage.core.cube import Cube
from acreage.core.errors import CountMismatch, ProcessParameterInvalid, UnitMismatch
from acreage.processes.vectors import load_geojson
from support.harness import describe, run_eager

CRS = {"type": "name", "properties": {"name": "EPSG:32631"}}
ELL = Polygon([(0, 0), (30, 0), (30, 10), (10, 10), (10, 30), (0, 30)])


def sized(*shapes: Any) -> Cube:
    features = [
        {"type": "Feature", "id": f"f{i}", "properties": {"size": i}, "geometry": mapping(s)}
        for i, s in enumerate(shapes)
    ]
    return load_geojson({"type": "FeatureCollection", "features": features, "crs": CRS}, ["size"])


def points_of(cube: Cube) -> list[list[tuple[float, float]]]:
    assert cube.meta.geometries is not None
    return [list(map(tuple, shapely.get_coordinates(s))) for s in cube.meta.geometries.shapes]


def random_points(*shapes: Any, **arguments: Any) -> Cube:
    return run_eager("vector_to_random_points", data=sized(*shapes), **arguments)


# --- random points ------------------------------------------------------------------------------------------


def test_random_points_lie_in_their_geometries() -> None:
    hole = box(0, 0, 100, 100).difference(box(20, 20, 80, 80))
    line = LineString([(0, 0), (50, 0), (50, 50)])
    given_points = MultiPoint([(1, 1), (2, 2), (3, 3)])
    made = random_points(ELL, hole, line, given_points, Polygon(), geometry_count=50)
    found = points_of(made)
    assert [len(p) for p in found] == [50, 50, 50, 3, 0]
    for shape, points in zip((ELL, hole, line), found, strict=False):
        assert max(shape.distance(Point(p)) for p in points) < 1e-9
    assert found[3] == [(1, 1), (2, 2), (3, 3)]
    assert made.meta.dim("geometry").labels == ("f0", "f1", "f2", "f3", "f4")


def test_any_place_is_as_likely_as_any_other() -> None:
    (found,) = points_of(random_points(ELL, geometry_count=4000))
    share = np.mean([x > 10 for x, _ in found])  # 200 of 500 square metres
    assert abs(share - 0.4) < 4 * math.sqrt(0.4 * 0.6 / 4000)
    middles = np.mean([(x, y) for x, y in found], axis=0)
    np.testing.assert_allclose(middles, shapely.get_coordinates(ELL.centroid)[0], atol=0.6)
    (along,) = points_of(random_points(LineString([(0, 0), (90, 0), (90, 10)]), geometry_count=4000))
    assert abs(np.mean([x == 90 for x, _ in along]) - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 4000)


def test_the_same_seed_gives_the_same_points_and_no_seed_is_one_too() -> None:
    first, again = random_points(ELL, seed=5), random_points(ELL, seed=5)
    assert points_of(first) == points_of(again)
    assert points_of(first) != points_of(random_points(ELL, seed=6))
    assert points_of(random_points(ELL)) == points_of(random_points(ELL))


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({}, [1, 1, 1]),
        ({"geometry_count": 4}, [4, 4, 4]),
        ({"total_count": 8}, [3, 3, 2]),
        ({"total_count": 8, "geometry_count": 2}, [2, 2, 2]),
    ],
)
def test_counts_of_points(arguments: dict[str, Any], counts: list[int]) -> None:
    boxes = [box(i, 0, i + 1, 1) for i in range(3)]
    assert [len(p) for p in points_of(random_points(*boxes, **arguments))] == counts


def test_fewer_points_than_geometries_are_refused() -> None:
    data = sized(box(0, 0, 1, 1), box(2, 0, 3, 1))
    with pytest.raises(CountMismatch):
        describe("vector_to_random_points", data=data, total_count=1)
    with pytest.raises(ProcessParameterInvalid, match="more than 1,000,000"):
        describe("vector_to_random_points", data=data, geometry_count=600_000)


def test_points_of_their_own_have_the_values_and_properties_of_their_geometries() -> None:
    made = random_points(box(0, 0, 1, 1), Polygon(), box(2, 0, 3, 1), geometry_count=2, group=False)
    assert made.meta.geometries is not None
    assert {s.geom_type for s in made.meta.geometries.shapes} == {"Point"}
    assert made.values.ravel().tolist() == [0, 0, 2, 2]
    assert [p["size"] for p in made.meta.geometries.properties] == [0, 0, 2, 2]
    assert made.meta.dim("geometry").labels == ("0", "1", "2", "3")
    assert [x >= 2 for ((x, _),) in points_of(made)] == [False, False, True, True]


def test_one_point_of_each_geometry_has_no_label_of_it_either() -> None:
    made = random_points(box(0, 0, 1, 1), box(2, 0, 3, 1), group=False)
    assert made.meta.dim("geometry").labels == ("0", "1")


# --- regular points -----------------------------------------------------------------------------------------


def regular(*shapes: Any, distance: float, **arguments: Any) -> list[list[tuple[float, float]]]:
    return points_of(
        run_eager("vector_to_regular_points", data=sized(*shapes), distance=distance, **arguments)
    )


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3.0, 4.5, 10.0]))
def test_middles_of_cells_within_a_polygon(width: int, height: int, distance: float) -> None:
    polygon = Polygon([(0, 0), (width, 0), (width, height), (width / 3, height)])
    expected = []
    for row in range(math.ceil(height / distance)):
        for column in range(math.ceil(width / distance)):
            middle = ((column + 0.5) * distance, height - (row + 0.5) * distance)
            if polygon.contains(Point(middle)):
                expected.append(middle)
    (found,) = regular(polygon, distance=distance)
    np.testing.assert_allclose(found, expected or [(0, 0)])


def test_steps_along_a_line_and_points_as_they_are() -> None:
    line = LineString([(0, 0), (10, 0), (10, 10)])
    along, single, nothing = regular(line, MultiPoint([(7, 8), (1, 2)]), Polygon(), distance=4)
    np.testing.assert_allclose(along, [(0, 0), (4, 0), (8, 0), (10, 2), (10, 6), (10, 10)])
    assert single == [(7, 8), (1, 2)]
    assert nothing == []


def test_each_part_of_a_multipolygon_has_cells_of_its_own() -> None:
    parts = MultiPolygon([box(0, 0, 10, 10), box(103, 0, 113, 10)])
    (found,) = regular(parts, distance=10)
    assert found == [(5, 5), (108, 5)]


def test_regular_points_need_metres_and_a_distance_that_is_not_too_small() -> None:
    with pytest.raises(UnitMismatch):
        describe("vector_to_regular_points", data=mapping(Point(5, 50)), distance=10)
    with pytest.raises(ProcessParameterInvalid, match="must be above 0"):
        describe("vector_to_regular_points", data=sized(ELL), distance=0)
    with pytest.raises(ProcessParameterInvalid, match="more than 1,000,000"):
        describe("vector_to_regular_points", data=sized(ELL), distance=0.001)


def test_ungrouped_points_repeat_values() -> None:
    made = run_eager(
        "vector_to_regular_points",
        data=sized(LineString([(0, 0), (10, 0)]), Point(3, 3)),
        distance=5,
        group=False,
    )
    assert made.values.ravel().tolist() == [0, 0, 0, 1]
    assert [p[0] for p in points_of(made)] == [(0, 0), (5, 0), (10, 0), (3, 3)]
