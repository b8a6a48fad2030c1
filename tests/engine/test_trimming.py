"""trim_cube: labels of nothing but nulls are left out of results, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, box, mapping
from tests.support.engine_runs import run_cubes
from tests.support.process_runner import SMALL_CUBE, EngineRunner, NoCollections, example_cubes

from acreage.core.cube import Cube, Dimension
from acreage.core.errors import ProcessGraphError
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan
from acreage.engine.trimming import trimmed
from support.harness import cubes, fill, raster_meta

RUNNER = EngineRunner()


def cube_of(found: Any) -> Cube:
    cube: Cube = found if isinstance(found, Cube) else found.read(None)
    return cube


def ends(known: Any) -> slice:
    places = np.flatnonzero(known)
    return slice(int(places[0]), int(places[-1]) + 1)


@given(cubes(max_side=6), st.data())
def test_what_is_left_is_what_numpy_leaves(cube: Cube, draw: st.DataObject) -> None:
    valid = cube.validity().copy()
    for axis, length in enumerate(valid.shape):
        drop = draw.draw(st.sets(st.integers(0, length - 1)))
        valid[(slice(None),) * axis + (sorted(drop),)] = False
    cube = Cube.of(cube.values, valid, cube.meta)
    made = cube_of(trimmed(cube))
    if not valid.any():
        assert made is cube
        return
    expected, labels = [cube.values, valid], {}
    for axis, dim in enumerate(cube.dims):
        known = valid.any(axis=tuple(i for i in range(valid.ndim) if i != axis))
        keep: Any = np.flatnonzero(known) if dim.type == "bands" else np.arange(len(known))[ends(known)]
        expected = [np.take(array, keep, axis=axis) for array in expected]
        labels[dim.name] = tuple(cube.meta.labels_of(dim.name)[i] for i in keep)
    np.testing.assert_array_equal(made.values, expected[0])
    np.testing.assert_array_equal(made.validity(), expected[1])
    assert {n: made.meta.labels_of(n) for n in made.meta.names} == labels


def masked_graph(**last: Any) -> dict[str, Any]:
    """The small cube, of which only the middle pixel of the first band is left."""
    lone = {"process_id": "eq", "arguments": {"x": {"from_parameter": "x"}, "y": 5}, "result": True}
    return {
        "cube": {"process_id": "example_cube", "arguments": {"cube": SMALL_CUBE}},
        "other": {
            "process_id": "apply",
            "arguments": {"data": {"from_node": "cube"}, "process": {"process_graph": {"e": lone}}},
        },
        "not": {
            "process_id": "apply",
            "arguments": {
                "data": {"from_node": "other"},
                "process": {
                    "process_graph": {
                        "n": {
                            "process_id": "not",
                            "arguments": {"x": {"from_parameter": "x"}},
                            "result": True,
                        }
                    }
                },
            },
        },
        "mask": {
            "process_id": "mask",
            "arguments": {"data": {"from_node": "cube"}, "mask": {"from_node": "not"}},
        },
        "trim": {"process_id": "trim_cube", "arguments": {"data": {"from_node": "mask"}}},
        **last,
    }


@pytest.mark.parametrize("window", [1, 2, 100])
def test_a_graph_may_end_with_it(window: int) -> None:
    graph = masked_graph()
    graph["trim"]["result"] = True
    with example_cubes():
        (made,) = run_cubes(graph, NoCollections(), window).values()
    assert made.values.tolist() == [[[[5]]]]
    assert made.meta.labels_of("bands") == ("red",)
    assert (made.meta.labels_of("x"), made.meta.labels_of("y")) == ((400015.0,), (5000005.0,))


def test_a_file_holds_what_is_left(tmp_path: Path) -> None:
    import rasterio

    save = {"data": {"from_node": "trim"}, "format": "GTiff"}
    graph = masked_graph(save={"process_id": "save_result", "arguments": save, "result": True})
    with example_cubes():
        plan = make_plan(parse_graph(graph), NoCollections(), Budget(2_000_000_000, 1))
        result = run_plan(plan, tmp_path / "out.tif")
    ((path,),) = result.files
    with rasterio.open(path) as raster:
        assert (raster.count, raster.width, raster.height) == (1, 1, 1)
        assert raster.read(1).tolist() == [[5]]
        assert (raster.bounds.left, raster.bounds.top) == (400010.0, 5000010.0)


def test_nothing_may_come_behind_it() -> None:
    more = {"process_id": "rename_dimension", "arguments": {"data": {"from_node": "trim"}, "source": "t",
                                                            "target": "time"}, "result": True}  # fmt: skip
    with example_cubes(), pytest.raises(ProcessGraphError, match="nothing can come behind it"):
        make_plan(parse_graph(masked_graph(more=more)), NoCollections(), Budget(2_000_000_000, 1))


def test_geometries_go_with_their_labels() -> None:
    features = [
        {"type": "Feature", "id": f"f{i}", "geometry": mapping(s), "properties": {"v": v}}
        for i, (s, v) in enumerate([(box(0, 0, 1, 1), 3), (Point(1, 1), None), (box(2, 2, 3, 3), 4)])
    ]
    document = {"type": "FeatureCollection", "features": features}
    graph = {
        "load": {"process_id": "load_geojson", "arguments": {"data": document, "properties": ["v"]}},
        "trim": {"process_id": "trim_cube", "arguments": {"data": {"from_node": "load"}}, "result": True},
    }
    (made,) = run_cubes(graph, NoCollections()).values()
    assert made.meta.dim("geometry").labels == ("f0", "f2")
    assert made.meta.geometries is not None
    assert made.meta.geometries.shapes == (box(0, 0, 1, 1), box(2, 2, 3, 3))
    assert made.values.ravel().tolist() == [3, 4]


def test_a_cube_without_margins_is_handed_on_as_it_is() -> None:
    cube = fill(raster_meta(bands=("a",)), nulls=0)
    assert trimmed(cube) is cube
    period = replace(cube.meta, dims=(Dimension("n", "other", (1,)), *cube.dims[1:]))
    assert trimmed(Cube(cube.values, None, period)).meta == period
