"""apply_polygon, against convolutions of each polygon's pixels by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate
from shapely.geometry import Polygon, box, mapping

from acreage.core.cube import Cube
from acreage.core.errors import (
    DataCubePropertiesImmutable,
    GeometriesOverlap,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.processes.callback import Callback, CallbackNode, ParameterRef, UdfCall
from support.harness import (
    assert_same,
    cubes,
    describe,
    fill,
    official,
    raster_meta,
    run_eager,
    run_windowed,
    window_sizes,
)

CRS = {"type": "name", "properties": {"name": "EPSG:32631"}}
KERNEL = [[1, 2, 0], [0, 1, 0], [0, 0, 3]]


def geojson(*shapes: Any) -> dict[str, Any]:
    features = [{"type": "Feature", "properties": {}, "geometry": mapping(s)} for s in shapes]
    return {"type": "FeatureCollection", "features": features, "crs": CRS}


def step(process_id: str, **arguments: Any) -> Callback:
    """A callback of one process on the data cube of a polygon."""
    node = CallbackNode("only", process_id, {"data": ParameterRef("data"), **arguments})
    return Callback((node,), 0, (None,))


CONVOLVED = step("apply_kernel", kernel=KERNEL)


@given(cubes(dtypes=("float64", "int16")), st.integers(0, 9), st.sampled_from([None, 0, 50]), window_sizes)
def test_each_polygon_is_computed_apart(
    cube: Cube, seed: int, mask_value: Any, size: tuple[int, int]
) -> None:
    assert cube.meta.box is not None
    west, south, east, north = cube.meta.box.bounds
    rng = np.random.default_rng(seed)
    cut = west + rng.uniform(0.2, 0.8) * (east - west)
    polygons = [
        Polygon([(west - 3, south - 3), (cut - 0.01, south - 3), (cut - 0.01, north + 3)]),
        box(cut + 0.01, south + 2, east + 9, north + 9),
    ]
    x, y = np.meshgrid(cube.meta.labels_of("x"), cube.meta.labels_of("y"))
    insides = [shapely.intersects_xy(p, x, y) for p in polygons]
    arguments = {
        "data": cube, "geometries": geojson(*polygons), "process": CONVOLVED, "mask_value": mask_value,
    }  # fmt: skip
    if not any(i.any() for i in insides):
        with pytest.raises(ProcessParameterInvalid, match="No polygon"):
            describe("apply_polygon", **arguments)
        return
    made = run_eager("apply_polygon", **arguments)
    assert_same(run_windowed("apply_polygon", *size, **arguments), made)
    known = np.where(cube.validity(), cube.values, 0).astype(float)
    outside = 0 if mask_value is None else mask_value
    expected = np.zeros(cube.meta.shape)
    for inside in insides:
        if not inside.any():
            continue
        rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
        at = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        part = np.where(inside[at], known[at], outside)
        kernel = np.array(KERNEL, float).reshape((1,) * (part.ndim - 2) + (3, 3))
        convolved = correlate(part, kernel, mode="constant", cval=0)
        expected[at] = np.where(inside[at], convolved, expected[at])
    belongs = np.broadcast_to(insides[0] | insides[1], cube.meta.shape)
    assert not made.validity()[~belongs].any()
    np.testing.assert_allclose(made.values[belongs & made.validity()], expected[belongs & made.validity()])


def test_only_pixels_of_two_polygons_are_an_overlap() -> None:
    cube = fill(raster_meta(), nulls=0)
    assert cube.meta.box is not None
    west, south, east, north = cube.meta.box.bounds
    arguments = {"data": cube, "process": CONVOLVED}
    beside = geojson(box(west, south, west + 20, north), box(west + 20, south, east, north))
    run_eager("apply_polygon", geometries=beside, **arguments)  # no centre lies on the common edge
    hardly = geojson(box(west, south, west + 22, north), box(west + 18, south, east, north))
    run_eager("apply_polygon", geometries=hardly, **arguments)
    with pytest.raises(GeometriesOverlap):
        describe(
            "apply_polygon",
            geometries=geojson(box(west, south, west + 26, north), box(west + 20, south, east, north)),
            **arguments,
        )


def test_a_process_that_changes_the_cube_is_refused() -> None:
    cube = fill(raster_meta(bands=("a", "b")), nulls=0)
    everything = geojson(box(*cube.meta.box.bounds))  # type: ignore[union-attr]
    first = step("reduce_dimension", dimension="bands", reducer=official("first", data="@data"))
    with pytest.raises(DataCubePropertiesImmutable):
        describe("apply_polygon", data=cube, geometries=everything, process=first)
    with pytest.raises(ProcessParameterInvalid, match="computes on arrays"):
        describe("apply_polygon", data=cube, geometries=everything, process=official("mean", data="@data"))
    udf = Callback((), 0, (), UdfCall("code", "Python", None))
    with pytest.raises(ProcessGraphError, match="without run_udf"):
        describe("apply_polygon", data=cube, geometries=everything, process=udf)
