"""A larger window never changes a value, and neither does the number of threads change a byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from tests.support.engine_runs import WHOLE, assert_same_cube, plan_of
from tests.support.random_archive import centre_in
from tests.support.random_graphs import graphs
from tests.support.real_site import from_node, node, reducer

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.errors import ArrayElementNotAvailable
from acreage.core.grid import Box
from acreage.engine.plan import Context, Plan, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.run import run_plan

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def first_raster_stage(plan: Plan) -> Stage:
    """A stage that reads files only and makes a raster."""
    for stage in plan.stages:
        box = plan.nodes[stage.targets[0]].meta.box
        if not stage.given and not stage.partition and box is not None and not box.is_empty:
            return stage
    assume(False)
    raise AssertionError("unreachable")


@st.composite
def nested(draw: st.DrawFn, full: Box) -> tuple[Box, Box]:
    """A window, and a larger one around it."""
    x0, y0 = draw(st.integers(full.x0, full.x1 - 1)), draw(st.integers(full.y0, full.y1 - 1))
    x1, y1 = (
        draw(st.integers(x0 + 1, min(full.x1, x0 + 20))),
        draw(st.integers(y0 + 1, min(full.y1, y0 + 20))),
    )
    inner = Box(full.grid, x0, y0, x1, y1)
    left, up, right, down = (draw(st.integers(0, 9)) for _ in range(4))
    return inner, Box(full.grid, x0 - left, y0 - up, x1 + right, y1 + down).intersect(full)


def computed(program: Program, window: Box) -> tuple[Cube, ...]:
    def nothing_given(index: int, box: Box | None) -> Cube:
        raise AssertionError("the stage reads files only")

    return program.run(window, nothing_given, Context(WindowLog()))


def check_footprints(graph: Mapping[str, Any], catalog: Catalog, data: st.DataObject) -> None:
    plan = plan_of(graph, catalog, WHOLE)
    stage = first_raster_stage(plan)
    program = Program.of(plan.nodes, stage)
    full = plan.nodes[stage.targets[0]].meta.box
    assert full is not None
    inner, outer = data.draw(nested(full))
    try:
        small, large = computed(program, inner), computed(program, outer)
    except ArrayElementNotAvailable:
        assume(False)
    for a, b in zip(small, large, strict=True):
        assert_same_cube(a, b.crop(inner), graph)


def test_a_larger_window_never_changes_a_value(catalog: Catalog, address: str) -> None:
    @settings(max_examples=25, phases=[Phase.generate], suppress_health_check=SLOW)
    @given(graph=graphs(catalog, address), data=st.data())
    def check(graph: Mapping[str, Any], data: st.DataObject) -> None:
        check_footprints(graph, catalog, data)

    check()


@pytest.mark.proof
@pytest.mark.timeout(7200)
def test_a_larger_window_never_changes_a_value_in_very_many_graphs(catalog: Catalog, address: str) -> None:
    @settings(hypothesis.settings.get_profile("proof"), suppress_health_check=SLOW)
    @given(graph=graphs(catalog, address, most=9), data=st.data())
    def check(graph: Mapping[str, Any], data: st.DataObject) -> None:
        check_footprints(graph, catalog, data)

    check()


@pytest.mark.parametrize("suffix", ["nc", "tif"])
def test_the_number_of_threads_does_not_change_a_byte(suffix: str, catalog: Catalog, tmp_path: Path) -> None:
    x, y = centre_in("EPSG:32631")
    extent = {"west": x - 200, "east": x + 200, "south": y - 150, "north": y + 150, "crs": 32631}
    load = node(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=extent,
        temporal_extent=["2019-03-01", "2019-06-01"],
        bands=["B04", "B05"],
    )
    graph = {
        "load": load,
        "warp": node(
            "resample_spatial", data=from_node("load"), resolution=10, projection=3035, method="cubic"
        ),
        "dekads": {
            **node(
                "aggregate_temporal_period", data=from_node("warp"), period="dekad", reducer=reducer("median")
            ),
            "result": True,
        },
    }
    written = []
    for threads in (1, 2, 5):
        folder = tmp_path / str(threads)
        folder.mkdir()
        result = run_plan(plan_of(graph, catalog, 9, threads=threads), folder / f"cube.{suffix}")
        written.append({f.name: f.read_bytes() for f in result.files[0]})
    assert written[0]
    assert written[0] == written[1] == written[2]
