"""The plan: grids, constraints carried back to the loads, searches, stages, and what it says of itself."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.engine_runs import assert_same_cube, cubes_of, run_cubes
from tests.support.tiny_archive import chain, extent, load, node

from acreage.catalog import open_catalog
from acreage.catalog.items import Bounds, Catalog, CollectionInfo, Interval, Search
from acreage.core.errors import InvalidProcessGraph, LabelNotAvailable, ProcessGraphError
from acreage.core.grid import Grid
from acreage.core.temporal import parse_instant
from acreage.engine import compiler
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.sources import SourceOp

AREA = extent(60, 60)
MARCH = ["2019-03-01", "2019-04-01"]
BUDGET = Budget(4_000_000_000, 1)


@dataclass
class CountingCatalog:
    """A catalog that writes down what it is asked."""

    inner: Catalog
    searches: list[tuple[str, Bounds, Interval]] = field(default_factory=list)

    def collections(self) -> tuple[str, ...]:
        return self.inner.collections()

    def describe(self, collection_id: str) -> CollectionInfo:
        return self.inner.describe(collection_id)

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        self.searches.append((collection_id, bounds, interval))
        return self.inner.search(collection_id, bounds, interval, bands, query)


@pytest.fixture
def catalog(archive: Path) -> CountingCatalog:
    return CountingCatalog(open_catalog(archive))


def planned(graph: Mapping[str, Any], catalog: Catalog, budget: Budget = BUDGET) -> Plan:
    return make_plan(parse_graph(graph), catalog, budget)


def sources_of(plan: Plan) -> list[SourceOp]:
    return [n.op for n in plan.nodes if isinstance(n.op, SourceOp)]


def reducing(dimension: str, reducer: str = "mean") -> dict[str, Any]:
    inner = {"r": {**node(reducer, data={"from_parameter": "data"}), "result": True}}
    return {
        "process_id": "reduce_dimension",
        "arguments": {"dimension": dimension, "reducer": {"process_graph": inner}},
    }


KERNEL = node("apply_kernel", kernel=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])

# --- grids ---


def test_a_load_without_resample_lies_on_its_finest_bands_own_lattice(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B05", "B04"], AREA, MARCH)), catalog)
    box = plan.nodes[0].meta.box
    assert box is not None
    assert box.grid == Grid.snapped("EPSG:32631", 10)
    assert box.bounds == (AREA["west"], AREA["south"], AREA["east"], AREA["north"])
    assert planned(chain(load(["B05"], AREA, MARCH)), catalog).nodes[0].meta.grid.res_x == 20


@pytest.mark.parametrize(("projection", "resolution"), [(32631, 20), (3035, 10), (32632, 30)])
@pytest.mark.parametrize("method", ["near", "bilinear", "average"])
def test_every_band_is_resampled_in_one_step_from_its_native_grid(
    catalog: CountingCatalog, projection: int, resolution: float, method: str
) -> None:
    resample = node("resample_spatial", projection=projection, resolution=resolution, method=method)
    both = run_cubes(chain(load(["B04", "B05"], AREA, MARCH), resample), catalog)["n1"]
    for n, band in enumerate(("B04", "B05")):
        alone = run_cubes(chain(load([band], AREA, MARCH), resample), catalog)["n1"]
        assert alone.meta.box == both.meta.box
        np.testing.assert_array_equal(both.values[:, n], alone.values[:, 0])
        np.testing.assert_array_equal(both.validity()[:, n], alone.validity()[:, 0])
    plan = planned(chain(load(["B04", "B05"], AREA, MARCH), resample), catalog)
    assert [type(n.op) for n in plan.nodes] == [SourceOp]


def test_a_20_m_band_back_on_20_m_is_untouched_although_loaded_beside_10_m(catalog: CountingCatalog) -> None:
    resample = node("resample_spatial", projection=32631, resolution=20, method="bilinear")
    both = run_cubes(chain(load(["B04", "B05"], AREA, MARCH), resample), catalog)["n1"]
    native = run_cubes(chain(load(["B05"], AREA, MARCH)), catalog)["n0"]
    np.testing.assert_array_equal(both.values[:, 1], native.values[:, 0])


def test_filters_between_a_load_and_its_resample_change_no_pixel(catalog: CountingCatalog) -> None:
    resample = node("resample_spatial", projection=3035, resolution=10, method="bilinear")
    direct = run_cubes(chain(load(["B05"], AREA, MARCH), resample), catalog)["n1"]
    steps = [node("filter_bands", bands=["B05"]), node("filter_temporal", extent=MARCH), resample]
    filtered = run_cubes(
        chain(load(["B04", "B05", "B08"], AREA, ["2019-03-01", "2019-05-01"]), *steps), catalog
    )["n3"]
    assert_same_cube(direct, filtered)


def test_resample_cube_spatial_puts_a_load_on_the_targets_grid_in_one_step(catalog: CountingCatalog) -> None:
    graph = {
        "s2": load(["B05"], AREA, MARCH),
        "dem": load(["DEM"], AREA, None, "COPERNICUS_30"),
        "out": {**node("resample_cube_spatial", data="@s2", target="@dem", method="near"), "result": True},
    }
    plan = planned(graph, catalog)
    assert plan.nodes[-1].meta.grid == Grid("EPSG:32631", 30.0, 30.0, 500_000 % 30, 5_600_000 % 30)
    assert isinstance(plan.nodes[-1].op, SourceOp)
    native = run_cubes(chain(load(["B05"], AREA, MARCH)), catalog)["n0"].values
    centres = (np.arange(20) * 30 + 15) // 20  # the 20 m pixel that holds each target's centre
    np.testing.assert_array_equal(
        run_cubes(graph, catalog)["out"].values, native[..., centres[:, None], centres]
    )


def test_a_resample_behind_a_computation_keeps_the_order_of_the_graph(catalog: CountingCatalog) -> None:
    plan = planned(
        chain(load(["B04"], AREA, MARCH), KERNEL, node("resample_spatial", resolution=20)), catalog
    )
    assert [n.process_id for n in plan.nodes] == ["load_collection", "apply_kernel", "resample_spatial"]


# --- constraints ---


def test_filters_behind_a_load_narrow_its_search_and_its_cube(catalog: CountingCatalog) -> None:
    small = extent(20, 10)
    steps = [
        node("filter_bbox", extent=small),
        node("filter_temporal", extent=["2019-03-10", "2019-03-20"]),
        node("filter_bands", bands=["B08"]),
    ]
    plan = planned(chain(load(), *steps), catalog)
    ((_, bounds, interval),) = catalog.searches
    direct = CountingCatalog(catalog.inner)
    same = planned(chain(load(["B08"], small, ["2019-03-10", "2019-03-20"])), direct)
    assert (bounds, interval) == direct.searches[0][1:]
    source, direct_source = sources_of(plan)[0], sources_of(same)[0]
    assert source.bands == ("B08",)
    assert source.steps == direct_source.steps
    assert len(source.steps) == 1
    assert plan.nodes[0].meta.box == same.nodes[0].meta.box
    assert_same_cube(cubes_of(plan)["n3"], cubes_of(same)["n0"])


@pytest.mark.parametrize("step", [KERNEL, node("resample_spatial", resolution=20), reducing("t")])
def test_an_area_is_not_carried_back_across_what_reads_neighbours(
    catalog: CountingCatalog, step: dict[str, Any]
) -> None:
    plan = planned(
        chain(load(["B04"], AREA, MARCH), step, node("filter_bbox", extent=extent(20, 20))), catalog
    )
    source = next(n for n in plan.nodes if isinstance(n.op, SourceOp))
    assert source.meta.box is not None
    assert source.meta.box.size >= 30 * 30
    assert len(sources_of(plan)[0].steps) == 3


def test_pixels_at_the_edge_of_a_filter_behind_a_kernel_still_see_their_neighbours(
    catalog: CountingCatalog,
) -> None:
    inner = {**extent(20, 20), "west": AREA["west"] + 200, "east": AREA["west"] + 400}
    cut = run_cubes(chain(load(["B04"], AREA, MARCH), KERNEL, node("filter_bbox", extent=inner)), catalog)[
        "n2"
    ]
    whole = run_cubes(chain(load(["B04"], AREA, MARCH), KERNEL), catalog)["n1"]
    assert cut.meta.box is not None
    expected = whole.crop(cut.meta.box)
    np.testing.assert_array_equal(cut.values, expected.values)
    np.testing.assert_array_equal(cut.validity(), expected.validity())


def test_two_consumers_with_different_filters_get_what_each_asks(catalog: CountingCatalog) -> None:
    graph = {
        "a": load(None, AREA, MARCH),
        "red": node("filter_bands", data="@a", bands=["B04"]),
        "nir": node("filter_bands", data="@a", bands=["B08"]),
        "out": {**node("merge_cubes", cube1="@red", cube2="@nir"), "result": True},
    }
    cube = run_cubes(graph, catalog)["out"]
    direct = run_cubes(chain(load(["B04", "B08"], AREA, MARCH)), catalog)["n0"]
    np.testing.assert_array_equal(cube.values, direct.values)
    assert cube.meta.dim("bands").labels == ("B04", "B08")


def test_a_band_filter_behind_a_rename_is_not_taken_for_the_collections_bands(
    catalog: CountingCatalog,
) -> None:
    steps = [
        node("rename_labels", dimension="bands", target=["B08"], source=["B04"]),
        node("filter_bands", bands=["B08"]),
    ]
    renamed = run_cubes(chain(load(["B04"], AREA, MARCH), *steps), catalog)["n2"]
    red = run_cubes(chain(load(["B04"], AREA, MARCH)), catalog)["n0"]
    np.testing.assert_array_equal(renamed.values, red.values)


# --- searches ---


def test_two_loads_of_a_collection_share_one_search(catalog: CountingCatalog) -> None:
    graph = {
        "a": load(["B04", "B08"], AREA, MARCH),
        "scl": load(["SCL"], AREA, MARCH),
        "fine": node("resample_spatial", data="@scl", resolution=10),
        "out": {**node("merge_cubes", cube1="@a", cube2="@fine"), "result": True},
    }
    plan = planned(graph, catalog)
    assert len(catalog.searches) == 1
    assert sources_of(plan)[0].steps == sources_of(plan)[1].steps


def test_no_search_is_repeated_for_a_second_grid(catalog: CountingCatalog) -> None:
    graph = {
        "a": load(["B04"], AREA, MARCH),
        "coarse": node("resample_spatial", data="@a", resolution=20),
        "s1": node("save_result", data="@coarse", format="netCDF"),
        "s2": {**node("save_result", data="@a", format="netCDF"), "result": True},
    }
    plan = planned(graph, catalog)
    assert len(catalog.searches) == 1
    assert len(sources_of(plan)) == 2


# --- work ---


def test_compiling_a_chain_of_500_visits_every_node_once(
    catalog: CountingCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"compile": 0}
    inner = compiler.Compiler._compile

    def counting(self: Any, index: int, request: Any) -> Any:
        counts["compile"] += 1
        return inner(self, index, request)

    monkeypatch.setattr(compiler.Compiler, "_compile", counting)
    absolute = {"a": {**node("add", x={"from_parameter": "x"}, y=1), "result": True}}
    steps = [node("apply", process={"process_graph": absolute}, context=n) for n in range(500)]
    plan = planned(chain(load(["B04"], AREA, MARCH), *steps), catalog)
    assert counts["compile"] == 501
    assert len(plan.nodes) == 501
    cube = cubes_of(plan)["n500"]
    start = run_cubes(chain(load(["B04"], AREA, MARCH)), catalog)["n0"]
    valid = start.validity()
    np.testing.assert_array_equal(cube.values[valid], start.values[valid].astype(np.int64) + 500)


def test_what_no_output_needs_is_not_planned(catalog: CountingCatalog) -> None:
    graph = {
        "a": load(["B04"], AREA, MARCH),
        "unused": node("resample_spatial", data="@a", resolution=20),
        "out": {**node("filter_bands", data="@a", bands=["B04"]), "result": True},
    }
    assert {n.key for n in planned(graph, catalog).nodes} == {"a", "out"}


# --- stages ---


def test_windowwise_work_is_one_stage(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B04"], AREA, MARCH), KERNEL, reducing("t")), catalog)
    assert len(plan.stages) == 1
    assert plan.estimate.scratch_bytes == plan.nodes[-1].meta.size * (plan.nodes[-1].meta.dtype.itemsize + 1)


def test_a_reduction_over_space_ends_a_stage_and_its_input_is_kept(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B04"], AREA, MARCH), reducing("x")), catalog, Budget(4_000_000_000, 1, 16))
    assert [[plan.nodes[t].key for t in s.targets] for s in plan.stages] == [["n0"], ["n1"]]
    assert plan.stages[1].given == (0,)
    assert 0 not in plan.stages[1].nodes
    whole = run_cubes(chain(load(["B04"], AREA, MARCH), reducing("x")), catalog)["n1"]
    assert_same_cube(whole, cubes_of(plan)["n1"])


def test_a_result_without_x_and_y_is_one_window(catalog: CountingCatalog) -> None:
    inner = {"r": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    graph = chain(
        load(["B04"], AREA, MARCH),
        {"process_id": "reduce_spatial", "arguments": {"reducer": {"process_graph": inner}}},
    )
    plan = planned(graph, catalog)
    assert plan.stages[-1].windows == (None,)
    loaded = run_cubes(chain(load(["B04"], AREA, MARCH)), catalog)["n0"]
    expected = np.array([loaded.values[t, 0][loaded.validity()[t, 0]].mean() for t in range(3)])
    np.testing.assert_allclose(cubes_of(plan)["n1"].values[:, 0], expected, rtol=1e-6)


def test_windows_cover_every_pixel_once(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B04"], AREA, MARCH)), catalog, Budget(4_000_000_000, 1, 16))
    (stage,) = plan.stages
    seen = np.zeros((60, 60), int)
    full = plan.nodes[0].meta.box
    assert full is not None
    for window in stage.windows:
        assert window is not None
        seen[window.slices_in(full)] += 1
    assert (seen == 1).all()
    assert len(stage.windows) == 16


# --- problems ---


def test_problems_of_several_nodes_are_listed_at_once_with_their_nodes(catalog: CountingCatalog) -> None:
    graph = {
        "a": load(["B04"], AREA, MARCH),
        "bad": node("drop_dimension", data="@a", name="height"),
        "worse": node("rename_labels", data="@a", dimension="bands", source=["B99"], target=["x"]),
        "out": {**node("merge_cubes", cube1="@bad", cube2="@worse"), "result": True},
    }
    with pytest.raises(InvalidProcessGraph) as caught:
        planned(graph, catalog)
    assert {p.code for p in caught.value.problems} >= {"DimensionNotAvailable"}
    assert "'bad'" in caught.value.message
    assert "'worse'" in caught.value.message
    assert "'out'" not in caught.value.message


def test_a_single_problem_keeps_its_kind(catalog: CountingCatalog) -> None:
    with pytest.raises(LabelNotAvailable, match="B99"):
        planned(chain(load(["B99"], AREA, MARCH)), catalog)
    with pytest.raises(ProcessGraphError, match="works on numbers"):
        planned(chain(load(["B04"], AREA, MARCH), {"process_id": "sum", "arguments": {}}), catalog)


def test_a_plan_survives_pickling_and_gives_the_same_cube(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B04", "B05"], AREA, MARCH), KERNEL, reducing("t", "median")), catalog)
    again = pickle.loads(pickle.dumps(plan))
    assert again.estimate == plan.estimate
    assert again.stages == plan.stages
    assert_same_cube(cubes_of(plan)["n2"], cubes_of(again)["n2"])


def test_time_steps_carry_the_extent_that_was_asked_for(catalog: CountingCatalog) -> None:
    plan = planned(chain(load(["B04"], AREA, MARCH)), catalog)
    dim = plan.nodes[0].meta.dim("t")
    assert dim.extent == (parse_instant("2019-03-01"), parse_instant("2019-04-01"))
    assert len(dim.labels) == 3
