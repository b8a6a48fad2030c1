"""A streaming composite is the plain evaluation of its graph, to the last bit, and what NumPy says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.composites.graphs import Graph, composite, one_load
from tests.composites.scenes import DATES, make_scenes, plain_composite, write_scenes
from tests.support.engine_runs import MEMORY, assert_same_cube, cubes_of

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import REWRITES, make_plan

CLOUDS = ("dilated", "eq", "any", "joined")


def planned(
    graph: Graph, catalog: Catalog, window: int | None = None, without: Any = (), threads: int = 2
) -> Plan:
    return make_plan(parse_graph(graph), catalog, Budget(MEMORY, threads, window), without=without)


def fires(plan: Plan) -> bool:
    return any(stage.composite is not None for stage in plan.stages)


def assert_equal(graph: Graph, catalog: Catalog, window: int | None) -> Plan:
    streamed = planned(graph, catalog, window)
    found, wanted = cubes_of(streamed), cubes_of(planned(graph, catalog, without=REWRITES))
    assert found.keys() == wanted.keys()
    for key, cube in wanted.items():
        assert_same_cube(cube, found[key], graph)
    return streamed


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    masks = draw(st.lists(st.sampled_from([*CLOUDS, "cover"]), max_size=3, unique=True))
    crs = draw(st.sampled_from([3035, 3035, 32631, 32632, None]))
    return composite(
        masks,
        method=draw(st.sampled_from(["bilinear", "bilinear", "near", "cubic", "average"])),
        crs=crs,
        resolution=draw(st.sampled_from([10, 10, 20, 7])),
        bands=draw(st.sampled_from([("B04", "B8A"), ("B8A",), ("B04",), ("B8A", "B04")])),
        reducer=draw(st.sampled_from(["median", "median", "mean", "max", "first", "sd", "count"])),
        period=draw(st.sampled_from(["dekad", "month", "week"])),
        interpolate=draw(st.booleans()),
    )


def test_random_graphs_are_the_plain_evaluation(catalog: Catalog) -> None:
    @settings(
        max_examples=14, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(graph=graphs(), window=st.sampled_from([None, None, 33, 64]))
    def check(graph: Graph, window: int | None) -> None:
        assert fires(assert_equal(graph, catalog, window))

    check()


@pytest.mark.proof
def test_very_many_random_graphs_and_scenes_are_the_plain_evaluation(tmp_path: Path) -> None:
    catalogs = []
    for seed in range(8):
        made = make_scenes(np.random.default_rng(seed), DATES)
        catalogs.append(open_catalog(str(write_scenes(tmp_path / str(seed), made))))

    @settings(hypothesis.settings.get_profile("proof"), suppress_health_check=list(HealthCheck))
    @given(graph=graphs(), window=st.sampled_from([None, 17, 33, 64]), which=st.sampled_from(catalogs))
    def check(graph: Graph, window: int | None, which: Catalog) -> None:
        assert fires(assert_equal(graph, which, window))

    check()


@pytest.mark.parametrize(
    "masks",
    [(), ("eq",), ("any",), ("joined",), ("cover", "eq"), ("eq", "cover"), ("dilated", "cover", "any")],
    ids="-".join,
)
def test_masks_may_be_combined_reordered_and_made_in_any_way(
    catalog: Catalog, masks: tuple[str, ...]
) -> None:
    assert fires(assert_equal(composite(masks, interpolate=True), catalog, None))


@pytest.mark.parametrize("mask", ["dilation", "element", "picked"])
def test_a_load_may_be_masked_by_a_band_of_its_own(catalog: Catalog, mask: str) -> None:
    assert fires(assert_equal(one_load(mask), catalog, None))


def test_counts_come_from_the_same_reading(catalog: Catalog) -> None:
    graph = composite(("dilated", "cover"), count=True)
    plan = assert_equal(graph, catalog, 40)
    made = [stage.composite for stage in plan.stages if stage.composite is not None]
    assert [len(c.sinks) for c in made] == [2]


@pytest.mark.parametrize(("mask", "cloudy"), [("eq", (8, 9)), ("any", (8, 9)), ("joined", (8, 9))])
def test_medians_and_counts_are_those_of_plain_numpy(
    scenes: tuple[Path, list[Any]], catalog: Catalog, mask: str, cloudy: tuple[int, ...]
) -> None:
    graph = composite((mask,), crs=None, bands=("B04",), count=True)
    plan = planned(graph, catalog)
    assert fires(plan)
    cubes = cubes_of(plan)
    medians, counts = plain_composite(scenes[1], "B04", cloudy)
    made = cubes["save"]
    np.testing.assert_array_equal(np.where(made.validity(), made.values, np.nan)[:, 0], medians)
    np.testing.assert_array_equal(cubes["save_number"].values[0], counts)
