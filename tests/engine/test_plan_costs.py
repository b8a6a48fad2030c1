"""What a plan says of its cost: memory, windows, decoded bytes; and that its advice is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiny_archive import CRS, Layer, TinyArchive, chain, extent, load, node

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.cli.runtime import budget_of
from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.settings import Settings, load_settings
from acreage.engine.budget import BASE_MEMORY, Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan

MARCH = ["2019-03-01", "2019-04-01"]
SIZE = 512


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Three dates of one band, 512 x 512 pixels in blocks of 32 x 32."""
    made = TinyArchive(tmp_path_factory.mktemp("costs"))
    values = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) | 1
    for day in (2, 12, 22):
        made.s2(f"d{day}", f"2019-03-{day:02}", {"B04": Layer(values), "SCL": Layer(values[::2, ::2], 20)})
    return open_catalog(made.write())


def planned(graph: Mapping[str, Any], catalog: Catalog, budget: Budget) -> Plan:
    return make_plan(parse_graph(graph), catalog, budget)


def median(area: Mapping[str, Any]) -> dict[str, Any]:
    inner = {"r": {**node("median", data={"from_parameter": "data"}), "result": True}}
    reduce = {
        "process_id": "reduce_dimension",
        "arguments": {"dimension": "t", "reducer": {"process_graph": inner}},
    }
    return chain(load(["B04"], area, MARCH), reduce)


def wide(steps: int) -> dict[str, Any]:
    """Kernels that reach far: even the smallest window needs much of the cube."""
    graph: dict[str, Any] = {"n0": load(["B04"], extent(SIZE, SIZE), MARCH)}
    for n in range(steps):
        graph[f"k{n}"] = node("apply_kernel", data="@n0", kernel=[[float(n + 1)] * 201] * 201)
        graph[f"s{n}"] = node("save_result", data=f"@k{n}", format="netCDF")
    graph["s0"]["result"] = True
    return graph


def exactly(found: Settings, memory: str, threads: int) -> Budget:
    """A budget as the command line understands it, in a process that takes what is usual."""
    return replace(budget_of(found, memory, threads), base=BASE_MEMORY)


def test_a_budget_that_is_too_small_names_one_that_works(catalog: Catalog) -> None:
    parsed, found = parse_graph(wide(2)), load_settings()
    with pytest.raises(MemoryBudgetExceeded) as caught:
        make_plan(parsed, catalog, Budget(BASE_MEMORY + 1_000_000, 2))
    both, one = re.findall(r"([\d.]+GB)", caught.value.hint)
    assert make_plan(parsed, catalog, exactly(found, both, 2)).threads == 2
    make_plan(parsed, catalog, exactly(found, one, 1))
    needed = float(re.findall(r"at least ([\d.]+)GB", caught.value.message)[0])
    with pytest.raises(MemoryBudgetExceeded):
        make_plan(parsed, catalog, Budget(int((needed - 0.02) * 1e9), 2))


def spatial(process_id: str, **arguments: Any) -> dict[str, Any]:
    inner = {"r": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    step = node(process_id, reducer={"process_graph": inner}, **arguments)
    return chain(load(["B04"], extent(SIZE, SIZE), MARCH), step)


CORNERS = [[3.0, 50.51], [3.07, 50.51], [3.07, 50.55], [3.0, 50.55], [3.0, 50.51]]
PARCEL = {"type": "Polygon", "coordinates": [CORNERS]}


@pytest.mark.parametrize(
    "graph",
    [spatial("reduce_spatial"), spatial("aggregate_spatial", geometries=PARCEL)],
    ids=["reduce_spatial", "aggregate_spatial"],
)
def test_what_must_be_whole_in_memory_is_refused_where_it_does_not_fit(
    catalog: Catalog, graph: dict[str, Any]
) -> None:
    with pytest.raises(MemoryBudgetExceeded) as caught:
        planned(graph, catalog, Budget(BASE_MEMORY + 1_000_000, 2))
    (enough,) = re.findall(r"--memory ([\d.]+GB)", caught.value.hint)
    plan = planned(graph, catalog, exactly(load_settings(), enough, 2))
    assert plan.estimate.memory_bytes <= float(enough.removesuffix("GB")) * 1e9


@pytest.mark.parametrize("memory", [BASE_MEMORY + 3_000_000, BASE_MEMORY + 30_000_000, 4_000_000_000])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_expected_memory_stays_within_the_budget(catalog: Catalog, memory: int, threads: int) -> None:
    plan = planned(median(extent(SIZE, SIZE)), catalog, Budget(memory, threads))
    assert plan.estimate.memory_bytes <= memory


def test_less_memory_means_smaller_windows(catalog: Catalog) -> None:
    counts = [
        planned(median(extent(SIZE, SIZE)), catalog, Budget(BASE_MEMORY + m, 1)).estimate.windows
        for m in (1_000_000, 4_000_000, 400_000_000)
    ]
    assert counts[0] > counts[1] > counts[2]


def test_every_thread_gets_a_window_where_there_are_pixels_enough(catalog: Catalog) -> None:
    assert planned(median(extent(SIZE, SIZE)), catalog, Budget(4_000_000_000, 4)).estimate.windows >= 4


def test_one_whole_window_decodes_every_block_once(catalog: Catalog) -> None:
    estimate = planned(median(extent(SIZE, SIZE)), catalog, Budget(4_000_000_000, 1, 1_000_000)).estimate
    assert estimate.amplification == 1.0
    assert estimate.windows == 1
    assert estimate.decoded_bytes == 3 * SIZE * SIZE * 2
    assert estimate.source_pixels == 3 * SIZE * SIZE


@settings(max_examples=12)
@given(size=st.integers(16, 600), columns=st.integers(1, SIZE), rows=st.integers(1, SIZE))
def test_amplification_is_never_below_one(catalog: Catalog, size: int, columns: int, rows: int) -> None:
    plan = planned(median(extent(columns, rows)), catalog, Budget(4_000_000_000, 1, size))
    estimate, box = plan.estimate, plan.nodes[0].meta.box
    assert estimate.amplification >= 1.0
    assert estimate.decoded_bytes >= 3 * columns * rows * 2
    assert box is not None
    assert estimate.windows == len(list(box.windows(size, size)))
    assert estimate.source_pixels >= 3 * columns * rows


def test_windows_across_blocks_are_said_to_decode_blocks_more_than_once(catalog: Catalog) -> None:
    aligned = planned(median(extent(SIZE, SIZE)), catalog, Budget(4_000_000_000, 1, 128)).estimate
    crossing = planned(median(extent(SIZE, SIZE)), catalog, Budget(4_000_000_000, 1, 48)).estimate
    assert crossing.amplification > 1.5
    assert crossing.amplification > aligned.amplification


def test_twice_the_area_and_twice_the_dates_cost_about_twice(catalog: Catalog) -> None:
    budget = Budget(4_000_000_000, 1, 128)
    one = planned(median(extent(256, SIZE)), catalog, budget).estimate
    two = planned(median(extent(512, SIZE)), catalog, budget).estimate
    assert two.core_seconds == pytest.approx(2 * one.core_seconds, rel=0.25)
    assert two.decoded_bytes == pytest.approx(2 * one.decoded_bytes, rel=0.25)
    assert two.scratch_bytes == 2 * one.scratch_bytes
    early = chain(load(["B04"], extent(SIZE, SIZE), ["2019-03-01", "2019-03-05"]))
    whole = chain(load(["B04"], extent(SIZE, SIZE), MARCH))
    first, all_ = (planned(g, catalog, budget).estimate for g in (early, whole))
    assert all_.source_pixels == 3 * first.source_pixels
    assert all_.decoded_bytes == 3 * first.decoded_bytes


def test_the_source_pixels_of_the_plan_are_those_that_the_run_reads(catalog: Catalog, tmp_path: Path) -> None:
    plan = planned(median(extent(300, 200)), catalog, Budget(4_000_000_000, 2, 100))
    done = run_plan(plan, tmp_path / "out.tif")
    assert done.usage.source_pixels == plan.estimate.source_pixels
    assert len(done.items_read) == 3
    assert plan.sources[0].collection == "SENTINEL2_L2A"
    assert plan.nodes[0].meta.grid.crs == CRS
