"""Filters that leave nothing: a cube without pixels or bands, which nothing is computed of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.engine_runs import plan_of, run_cubes
from tests.support.process_runner import EXAMPLE_CUBE, SMALL_CUBE, NoCollections, example_cubes

from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.run import run_plan

FAR = {"west": 16.1, "south": 48.1, "east": 16.6, "north": 48.6}
FILTERS: dict[str, dict[str, Any]] = {
    "filter_bbox": {"extent": FAR},
    "filter_spatial": {
        "geometries": {
            "type": "Polygon",
            "coordinates": [[[16.1, 48.1], [16.6, 48.1], [16.6, 48.6], [16.1, 48.1]]],
        }
    },
    "filter_bands": {"bands": ["B99"]},
}


def node(process_id: str, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process_id, "arguments": arguments}


def emptied(process_id: str) -> dict[str, Any]:
    return {
        "cube": node(EXAMPLE_CUBE, cube=SMALL_CUBE),
        "kept": node(process_id, data={"from_node": "cube"}, **FILTERS[process_id]),
    }


@pytest.mark.parametrize("process_id", FILTERS)
def test_a_filter_that_nothing_suits_leaves_an_empty_cube(process_id: str) -> None:
    with example_cubes():
        (cube,) = run_cubes(emptied(process_id), NoCollections(), 2).values()
    assert cube.values.size == 0
    assert cube.meta.names == ("t", "bands", "y", "x")


@pytest.mark.parametrize(
    ("process_id", "says"),
    [
        ("filter_bbox", "leaves no pixel centre of the data cube, which covers 400000, "),
        ("filter_spatial", "leaves no pixel centre of the data cube, which covers 400000, "),
        ("filter_bands", "the data cube has none of B99; it has red, nir"),
    ],
)
def test_nothing_is_computed_of_it_and_no_file_is_made(process_id: str, says: str, tmp_path: Path) -> None:
    nothing = emptied(process_id)
    with example_cubes():
        for after in (
            node("save_result", data={"from_node": "kept"}, format="GTiff"),
            node("drop_dimension", data={"from_node": "kept"}, name="t"),
        ):
            with pytest.raises(ProcessParameterInvalid, match=says):
                plan_of({**nothing, "after": after}, NoCollections(), 2)
        plan = plan_of(nothing, NoCollections(), 2)
        with pytest.raises(ProcessParameterInvalid, match=says):
            run_plan(plan, tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []
